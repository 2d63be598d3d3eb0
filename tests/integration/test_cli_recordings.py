"""``sfu-wrapper recordings``, on the configured store, with or without a controller."""

import asyncio
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.identity import UserId, UserKey
from sfu_wrapper.model.recording import DeletionReason, Recording, RecordingState
from tests.helpers.indexed import ALICE
from tests.helpers.kept import OTHER, Kept, stay

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configured store, with a recording of alice, a held one, and one that she attended."""
    path = tmp_path / "data" / "store.db"
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{path}")

    async def fill() -> None:
        with closing(SqliteStore(path)) as opened:
            kept = Kept(opened)
            await kept.put(1, stays=stay(ALICE))
            await kept.put(2, owner=OTHER.key.user, stays=stay(ALICE))
            await kept.put(3, owner=UserId("carol"), state=RecordingState.RECORDING)

    asyncio.run(fill())
    return path


@pytest.fixture
def run(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """One command: (exit code, output, errors)."""

    def inner(*argv: str) -> tuple[int, str, str]:
        code = main(["recordings", *argv, "--config", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return inner


def stored(path: Path, number: int = 1) -> Recording:
    with closing(SqliteStore(path)) as opened:
        (found,) = (each for each in opened.index.all() if each.key.segment == number)
        return found


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Let standard input be a terminal on which somebody types."""
    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", typed)


def test_a_recording_is_deleted_and_found_by_the_controller(store: Path, run: Run) -> None:
    code, out, _ = run("delete", "uuid/1", "--yes")
    assert code == 0
    assert out.startswith("uuid/1: will be deleted, within 300 s of a running controller")
    deletion = stored(store).deletion
    assert deletion is not None
    assert deletion.reason is DeletionReason.REQUESTED
    assert deletion.by == UserKey(ALICE.domain, UserId("operator"))

    async def controller() -> Kept:
        with closing(SqliteStore(store)) as opened:
            kept = Kept(opened)
            await kept.retention().evaluate()
            return kept

    (request,) = asyncio.run(controller()).requests()
    assert str(request.key) == "uuid/1"


def test_a_command_works_next_to_a_running_controller(store: Path, run: Run) -> None:
    async def controller() -> None:
        with closing(SqliteStore(store)) as opened:
            kept = Kept(opened)
            code, _, _ = await asyncio.to_thread(run, "delete", "uuid/1", "--yes")
            assert code == 0
            await kept.retention().evaluate()
            assert len(kept.requests()) == 1
            assert len(kept.audited()) == 1

    asyncio.run(controller())


def test_nothing_is_deleted_without_a_yes(
    store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, errors = run("delete", "uuid/1")
    assert code == 1
    assert "add --yes to delete uuid/1" in errors

    for answer in ("\n", "n\n", "no\n", ""):
        on_a_terminal(monkeypatch, answer)
        assert run("delete", "uuid/1")[0] == 1
    assert stored(store).deletion is None

    on_a_terminal(monkeypatch, "y\n")
    code, _, asked = run("delete", "uuid/1")
    assert code == 0
    assert asked == "Delete uuid/1, owned by alice, with all its files? [y/N] "
    assert stored(store).deletion is not None


def test_a_hold_keeps_a_recording_until_it_is_removed(store: Path, run: Run) -> None:
    assert run("hold", "uuid/1", "--reason", "case 7")[1] == "uuid/1: held: case 7\n"
    code, _, errors = run("delete", "uuid/1", "--yes")
    assert code == 1
    assert "RECORDING_HELD" in errors
    assert run("hold", "uuid/1", "--remove")[0] == 0
    assert run("hold", "uuid/1", "--remove")[0] == 1, "it has none any more"
    assert run("delete", "uuid/1", "--yes", "--json")[1] == (
        '{"recording": "uuid/1", "state": "ready", "requested": true}\n'
    )


def test_a_refused_change_is_in_the_audit_log(store: Path, run: Run) -> None:
    run("hold", "uuid/1", "--reason", "case 7")
    run("delete", "uuid/1", "--yes")
    run("hold", "uuid/2", "--remove")
    with closing(SqliteStore(store)) as opened:
        noted = [json.loads(row.entry) for row in opened.audit.entries(ALICE.domain, 0, 10)]

    assert [(each["actor"], each["action"], each["outcome"]) for each in noted] == [
        ("operator", "recording.hold", "done"),
        ("operator", "recording.delete", "RECORDING_HELD"),
        ("operator", "recording.release", "NOT_FOUND"),
    ]


def test_a_running_recording_is_not_deleted(store: Path, run: Run) -> None:
    code, _, errors = run("delete", "uuid/3", "--yes")

    assert code == 1
    assert "RECORDING_RUNNING: recording is running: stop it first" in errors


def test_a_person_is_erased(store: Path, run: Run) -> None:
    run("hold", "uuid/1", "--reason", "case 7")
    code, out, _ = run("erase", "alice", "--domain", "example", "--yes")

    assert code == 0
    assert out.splitlines() == [
        "uuid/2: took part",
        "uuid/1: held, stays",
        "1 recordings will be deleted, within 300 s of a running controller, or when one starts",
    ]
    assert stored(store, 1).deletion is None
    assert stored(store, 2).deletion is not None


def test_an_erasure_as_json(store: Path, run: Run) -> None:
    _, out, _ = run("erase", "alice", "--domain", "example", "--yes", "--json")

    assert json.loads(out) == {
        "user": "alice",
        "domain": "example",
        "count": 2,
        "recordings": ["uuid/1", "uuid/2"],
        "held": [],
        "running": [],
    }
    assert run("erase", "alice", "--domain", "example")[1] == "nothing\n"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["delete", "nothing/1", "--yes"], "NOT_FOUND: recording not found: nothing/1"),
        (["delete", "uuid", "--yes"], "'uuid' is no recording: write UUID/SEGMENT"),
        (["delete", "../x/1", "--yes"], "'../x/1' is no recording"),
        (["erase", "a b", "--domain", "example"], "'a b' is no id"),
    ],
)
def test_what_is_wrong_is_said(run: Run, argv: list[str], error: str) -> None:
    code, out, errors = run(*argv)

    assert (code, out) == (1, "")
    assert error in errors


def test_a_store_that_was_never_used_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{tmp_path}/none.db")

    assert main(["recordings", "delete", "uuid/1", "--config", str(tmp_path)]) == 1
    assert "does not exist: nothing was recorded yet" in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()
