"""``sfu-wrapper permissions``, on the configured store, beside a controller or without one."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
    UserKey,
)

ALICE = UserKey(DomainId("example"), UserId("alice"))
ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
SKIP = RecordingPermissions(RecordingType.NONE, RecordingProfile.SKIP)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configured store is, or will be."""
    path = tmp_path / "data" / "store.db"
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{path}")
    return path


@pytest.fixture
def run(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """One command: (exit code, output, errors)."""

    def inner(*argv: str) -> tuple[int, str, str]:
        code = main(["permissions", "--config", str(tmp_path), *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return inner


def set_to(permission: RecordingPermissions) -> list[str]:
    """The arguments that set it."""
    return ["--type", permission.recording_type, "--profile", permission.recording_profile]


def test_a_permission_is_set_shown_and_deleted_before_any_controller_runs(run: Run) -> None:
    none = run("get", "domain:example")
    created = run("set", "domain:example", *set_to(ALWAYS))
    shown = run("get", "domain:example", "--json")
    deleted = run("delete", "domain:example")
    gone = run("delete", "domain:example")

    assert (none[0], none[2]) == (
        1,
        "sfu-wrapper: NOT_FOUND: permission not found\n",
    )
    assert created[:2] == (0, "domain example: recordingType all, recordingProfile always\n")
    assert json.loads(shown[1]) == {
        "domain": "example",
        "user": None,
        "recording": {"recordingType": "all", "recordingProfile": "always"},
    }
    assert deleted[:2] == (0, "domain example: nothing stored\n")
    assert gone[0] == 1


async def test_a_running_controller_sees_the_change_at_once(store: Path) -> None:
    with closing(SqliteStore(store)) as running:
        await running.set_permission(ALICE.domain, None, SKIP)
        before = running.permissions(ALICE)
        process = await run_command("set", "user:alice", "--domain", "example", *set_to(ALWAYS))
        after = running.permissions(ALICE)

    assert process == 0
    assert before == OwnerPermissions(None, SKIP)
    assert after == OwnerPermissions(ALWAYS, SKIP)


async def run_command(*argv: str) -> int:
    """The command on a thread of its own, since it brings its own event loop."""
    return await asyncio.to_thread(main, ["permissions", *argv])


def test_the_domain_is_what_follows_the_at_sign(run: Run) -> None:
    run("set", "user:bob@example.org", *set_to(SKIP))
    code, out, _ = run("get", "user:bob@example.org", "--domain", "example.org")

    assert (code, out) == (
        0,
        "user bob@example.org of domain example.org: recordingType none, recordingProfile skip\n",
    )


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (("set", "domain:example"), "both --type and --profile"),
        (("set", "domain:example", "--type", "all"), "both --type and --profile"),
        (("get", "domain:example", "--type", "all"), "go with set"),
        (("get", "user:alice"), "--domain is required"),
        (("get", "example"), "write domain:ID"),
        (("get", "domain:example", "--domain", "other"), "write domain:ID"),
        (("get", "domain:"), "is no id"),
        (("get", "domain:a b"), "is no id"),
        (("get", "domain:" + "x" * 129), "is no id"),
        (("get", "user:..", "--domain", "example"), "is no id"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, argv: tuple[str, ...], word: str) -> None:
    code, out, err = run(*argv)

    assert (code, out) == (1, "")
    assert word in err


def test_another_database_is_not_served_yet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", "postgresql://user@host/base")
    code, _, err = run("get", "domain:example")

    assert code == 1
    assert "sqlite" in err


def test_a_store_that_cannot_be_written_is_worth_another_try(store: Path, run: Run) -> None:
    store.parent.write_text("in the way", encoding="utf-8")
    code, _, err = run("set", "domain:example", *set_to(ALWAYS))

    assert code == 75
    assert "OVERLOADED" in err
