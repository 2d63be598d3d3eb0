"""``sfu-wrapper recordings list | show | download | retry``, on the configured store."""

import asyncio
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.recording import Hold
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.wire.recording_info import encode_event
from sfu_wrapper.wire.recording_models import IndexedRecording
from sfu_wrapper.wire.strict_json import iso
from tests.helpers.builders import segment_info
from tests.helpers.recordings import (
    START_MS,
    facts,
    failure,
    finished,
    put,
    put_ready,
    user,
    write_files,
)

Run = Callable[..., tuple[int, str, str]]
CONTENT = bytes(range(256)) * 8192  # more than one piece
VIDEO = RawFile("seg/a.mjr", Stream.CAMERA, START_MS, None, user=facts().owner)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """One command on a store with two recordings: (exit code, output, errors)."""
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{tmp_path}/store.db")
    monkeypatch.setenv("SFU_WRAPPER__DESTINATION_PATH", f"{tmp_path}/postprocessed")
    monkeypatch.setenv("SFU_WRAPPER__RECORDINGS_PATH", f"{tmp_path}/raw_files")
    monkeypatch.setenv("SFU_WRAPPER__AUDIO_PATH", f"{tmp_path}/raw_audio")
    monkeypatch.setenv("COLUMNS", "200")
    write_files(tmp_path / "raw_files", {"seg/a.mjr": b"raw"})

    async def fill() -> None:
        with closing(SqliteStore(tmp_path / "store.db")) as store:
            await put_ready(store, tmp_path, {"a.webm": CONTENT, "a.jpg": b"jpg"}, facts("one"))
            failed = facts("two", owner="carol", started_ms=START_MS + 1000)
            info = segment_info(uuid="two", video=(VIDEO,))
            await put(store, finished(failed, failure(failed, event=encode_event(info))))

    asyncio.run(fill())

    def inner(*argv: str) -> tuple[int, str, str]:
        code = main(["recordings", *argv, "--config", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return inner


def test_the_list_is_a_table_for_people(run: Run) -> None:
    code, out, _ = run("list")

    assert code == 0
    newer, older = (line for line in out.splitlines() if "example" in line)
    for part in ("two/1", "failed", "carol", "1:00"):
        assert part in newer
    for part in ("one/1", "ready", "alice", "2, 2.1 MB"):
        assert part in older


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ((), ["two/1", "one/1"]),
        (("--limit", "1"), ["two/1"]),
        (("--limit", "0"), ["two/1", "one/1"]),
        (("--state", "ready"), ["one/1"]),
        (("--domain", "example", "--owner", "carol"), ["two/1"]),
        (("--domain", "example", "--participant", "alice"), ["one/1"]),
        (("--uuid", "one"), ["one/1"]),
        (("--room", "none"), []),
        (("--from", iso(START_MS + 1)), ["two/1"]),
        (("--to", iso(START_MS + 1)), ["one/1"]),
    ],
)
def test_the_list_is_one_object_a_line_for_programs(
    run: Run, filters: tuple[str, ...], names: list[str]
) -> None:
    code, out, _ = run("list", "--json", *filters)

    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["recording"] for line in lines] == names
    for line in lines:
        IndexedRecording.model_validate_json(json.dumps(line), strict=False)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("list", "--owner", "alice"), "--domain is required"),
        (("list", "--from", "yesterday"), "is no time"),
        (("list", "--limit", "-1"), "--limit must be"),
        (("show", "one"), "write UUID/SEGMENT"),
        (("show", "none/1"), "recording not found"),
        (("download", "two/1"), "has no files: it is failed"),
        (("download", "one/1", "--name", "x"), "file not found"),
        (("retry", "one/1"), "has not failed"),
    ],
)
def test_what_cannot_be_is_explained(run: Run, argv: tuple[str, ...], says: str) -> None:
    code, _, errors = run(*argv)

    assert code == 1
    assert says in errors


def test_one_recording_is_shown_with_its_files(run: Run) -> None:
    _, text, _ = run("show", "one/1")
    _, line, _ = run("show", "one/1", "--json")

    assert "a.webm  2097152 bytes" in text
    assert json.loads(line)["participants"][1]["user"] == "bob"


def test_one_recording_is_shown_in_words(run: Run) -> None:
    _, text, _ = run("show", "one/1")

    assert "decision     allowed yes, automatic yes, type all, source user" in text
    assert "missing      none" in text
    assert not {"<", "{", "["} & set(text)


def test_a_recording_that_is_being_deleted_is_listed_as_such_without_files(run: Run) -> None:
    assert run("delete", "one/1", "--yes")[0] == 0
    _, out, _ = run("list", "--state", "ready")

    (line,) = (line for line in out.splitlines() if "one/1" in line)
    assert "ready, being deleted" in line
    assert "MB" not in line


@pytest.mark.parametrize("forged", ["case 7\n9 recording.delete two/1 done", "\x1b[2J"])
def test_a_text_of_a_client_controls_no_terminal_and_writes_no_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], forged: str
) -> None:
    with closing(SqliteStore(tmp_path / "store.db")) as store:
        known = store.index.recording(facts("one").key)
        assert known is not None
        held = replace(known, hold=Hold(user("adam"), forged, 1))
        noted = entry(1, user("adam"), facts().domain, "recording.hold", "one/1", reason=forged)
        change = Commit(recordings=(PutRecording(held),), audit=(noted,))
        asyncio.run(committed(store, change))
    _, shown, _ = run("show", "one/1")
    assert main(["audit", "show", "--config", str(tmp_path)]) == 0
    audit = capsys.readouterr().out

    assert [line for line in shown.splitlines() if line.startswith("hold ")]
    assert len(audit.splitlines()) == 1
    assert (shown + audit).replace("\n", "").isprintable()


async def committed(store: SqliteStore, change: Commit) -> None:
    """Write a commit."""
    await store.commit(change, 1)


def test_files_are_copied_and_kept_private(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("download", "one/1", "--out", str(tmp_path / "copies"))
    again, _, errors = run("download", "one/1", "--out", str(tmp_path / "copies"))

    copy = tmp_path / "copies" / "a.webm"
    assert code == 0
    assert copy.read_bytes() == CONTENT
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in sorted(copy.parent.iterdir())] == ["a.jpg", "a.webm"]
    assert "a.webm  2097152 bytes" in out
    assert (again, "exists already" in errors) == (1, True)


def test_a_copy_that_is_not_what_was_recorded_does_not_stay(run: Run, tmp_path: Path) -> None:
    (tmp_path / "postprocessed" / "a.webm").write_bytes(b"x" * len(CONTENT))
    code, _, errors = run("download", "one/1", "--name", "a.webm", "--out", str(tmp_path / "out"))

    assert code == 1
    assert "SHA-256 differs" in errors
    assert list((tmp_path / "out").iterdir()) == []


def test_a_copy_is_in_the_audit_log(run: Run, tmp_path: Path) -> None:
    run("download", "one/1", "--name", "a.jpg", "--out", str(tmp_path / "out"))

    with closing(SqliteStore(tmp_path / "store.db")) as store:
        (row,) = store.audit.entries(facts().domain, 0, 10)
    assert b'"action":"file.read"' in row.entry
    assert b'"actor":"operator"' in row.entry


def test_a_retry_puts_the_event_into_the_queue_and_counts(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("retry", "two/1")
    again, _, errors = run("retry", "two/1")

    with closing(SqliteStore(tmp_path / "store.db")) as store:
        stored = store.index.recording(facts("two").key)
    assert stored is not None
    assert (code, stored.state, stored.retries) == (0, "queued", 1)
    assert out == "two/1: put into processing_queue, retry 1\n"
    assert (again, "has not failed, it is queued" in errors) == (1, True)
    with closing(sqlite3.connect(tmp_path / "queue.db")) as queue:
        names = [row[0] for row in queue.execute("SELECT name FROM sqlite_master")]
    assert names


def test_a_person_of_another_domain_is_another_person(run: Run) -> None:
    _, out, _ = run("list", "--json", "--domain", "other", "--participant", user("bob").user)

    assert out == ""
