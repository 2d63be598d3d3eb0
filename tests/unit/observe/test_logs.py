"""One event, one line, whatever is in it."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.observe.logs import ROOT, LogSettings, formatter, set_up


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging as it was before the test."""
    root, ours = logging.getLogger(), logging.getLogger(ROOT)
    before = root.handlers, root.level, ours.level
    yield
    root.handlers = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture
def stream(restored: None) -> io.StringIO:
    return io.StringIO()


def written(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "sfu_wrapper.x", "msg": message, "levelno": logging.INFO})
    made.created = 1_590_392_548.633
    vars(made).update(fields)
    return made


def test_a_line_has_time_level_action_and_fields() -> None:
    line = formatter(LogSettings()).format(record("segment.started", room="60315b4f", segment=1))

    assert line == "2020-05-25T07:42:28.633Z info  segment.started room=60315b4f segment=1"


def test_a_json_line_has_the_same_beside_each_other() -> None:
    line = formatter(LogSettings(format="json")).format(
        record("segment.started", segment=1, missing=("audio",), details={"a": Path("/x")}, level=3)
    )

    assert json.loads(line) == {
        "time": "2020-05-25T07:42:28.633Z",
        "level": "info",
        "message": "segment.started",
        "segment": 1,
        "missing": ["audio"],
        "details": {"a": "/x"},
        "level_": 3,
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ("", '""'),
        ('say "no"', '"say \\"no\\""'),
        ("a=b", '"a=b"'),
        ("über", "über"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([1, "a"], '[1, "a"]'),
        ("a\r\nb", '"a\\r\\nb"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\x9b31m", '"\\u009b31m"'),
        ("\ud800", "\\ud800"),
    ],
)
def test_values_are_quoted_where_they_must_be(value: object, shown: str) -> None:
    line = formatter(LogSettings()).format(record("x", value=value))

    assert line.endswith(f" x value={shown}")


@pytest.mark.parametrize("form", ["text", "json"])
@given(text=st.text())
def test_nothing_in_a_value_or_message_ends_the_line(form: str, text: str) -> None:
    settings = LogSettings(format="json") if form == "json" else LogSettings()

    line = formatter(settings).format(record(text.replace("%", ""), value=text, inner=[text]))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    line.encode()


def test_paths_are_relative_to_their_configured_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = formatter(LogSettings(folders=(Path("data/raw"), Path("/rec"), Path("/rec/done"))))

    def shown(text: str) -> str:
        return lines.format(record(text)).partition("info  ")[2]

    assert shown("Processing video: data/raw/a/b.mjr.") == "Processing video: a/b.mjr."
    assert shown(f"open {tmp_path}/data/raw/a.mjr") == "open a.mjr"
    assert shown("/rec/done/x.webm and /rec/y.mjr") == "x.webm and y.mjr"
    assert shown("/mnt/rec/y.mjr and /recording/z") == "/mnt/rec/y.mjr and /recording/z"
    assert lines.format(record("x", file=Path("/rec/y.mjr"))).endswith(" x file=y.mjr")


def test_without_folders_paths_stay_whole() -> None:
    line = formatter(LogSettings()).format(record("x", file=Path("/rec/y.mjr")))

    assert line.endswith(" x file=/rec/y.mjr")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("warning", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_decides_what_is_logged(
    stream: io.StringIO, level: str, expected: list[str]
) -> None:
    set_up(LogSettings(level), stream)
    log = logging.getLogger("sfu_wrapper.service")

    log.debug("x")
    log.info("x")
    log.warning("x")
    log.error("x")
    assert [line.split()[1] for line in written(stream)] == expected


def test_libraries_speak_from_warnings_on(stream: io.StringIO) -> None:
    set_up(LogSettings("debug"), stream)

    logging.getLogger("aio_pika").info("chatter")
    logging.getLogger("some_library").warning("trouble")
    assert [line.split()[2] for line in written(stream)] == ["trouble"]


def test_set_up_again_it_does_not_say_everything_twice(stream: io.StringIO) -> None:
    set_up(LogSettings(), io.StringIO())
    set_up(LogSettings(), stream)

    logging.getLogger("sfu_wrapper").info("x")
    assert len(written(stream)) == 1


def test_an_exception_is_part_of_its_line(stream: io.StringIO) -> None:
    set_up(LogSettings(), stream)

    try:
        int("no\nway")
    except ValueError:
        logging.getLogger("sfu_wrapper").exception("job.failed")
    [line] = written(stream)
    assert 'job.failed exception="Traceback' in line
    assert "ValueError: invalid literal for int() with base 10: 'no\\\\nway'" in line
