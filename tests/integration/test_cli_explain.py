"""``sfu-wrapper explain``: the decision in words, with the level that decided."""

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
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
)

EXAMPLE = DomainId("example")
ALWAYS_ALL = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
SKIP = RecordingPermissions(RecordingType.NONE, RecordingProfile.SKIP)
OPTIONAL = RecordingPermissions(RecordingType.VIDEO, RecordingProfile.OPTIONAL)

Explain = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder, and a store beside it."""
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{tmp_path}/store.db")
    return tmp_path


@pytest.fixture
def explain(folder: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Ask: (exit code, output, errors)."""

    def inner(*argv: str) -> tuple[int, str, str]:
        code = main(["explain", "--config", str(folder), *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return inner


@pytest.fixture
def store(folder: Path) -> Callable[..., None]:
    """Put permissions into the store."""

    def inner(user: str | None, permission: RecordingPermissions) -> None:
        asyncio.run(put(None if user is None else UserId(user), permission))

    async def put(user: UserId | None, permission: RecordingPermissions) -> None:
        with closing(SqliteStore(folder / "store.db")) as opened:
            await opened.set_permission(EXAMPLE, user, permission)

    return inner


ALICE = ("--user", "alice@example", "--domain", "example")


def test_nobody_is_recorded_where_nothing_is_set(explain: Explain, folder: Path) -> None:
    code, out, err = explain(*ALICE)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "a direct room, internal, no record flag (counts as true)",
        "  user alice@example: no permission stored",
        "  domain example: no permission stored",
        "  system: rooms.record = none   <- decides",
        "starts by itself when established: no, neither user nor domain has a permission, "
        "and rooms.record is none (NO_PERMISSION)",
        "can be started by hand: by nobody",
    ]
    assert not (folder / "store.db").exists()


def test_the_users_own_permission_decides(explain: Explain, store: Callable[..., None]) -> None:
    store(None, SKIP)
    store("alice@example", ALWAYS_ALL)

    _, out, _ = explain(*ALICE)
    assert out.splitlines()[1:] == [
        "  user alice@example: recordingProfile always, recordingType all   <- decides",
        "  domain example: recordingProfile skip, recordingType none",
        "  system: rooms.record = none",
        "starts by itself when established: yes, recording all",
        "can be started by hand: by alice@example and by nobody else, recording all",
    ]


def test_the_domains_permission_is_the_fallback(
    explain: Explain, store: Callable[..., None]
) -> None:
    store(None, SKIP)

    [answer] = map(json.loads, explain(*ALICE, "--json")[1].splitlines())
    assert answer == {
        "user": "alice@example",
        "domain": "example",
        "kind": "direct",
        "origin": "internal",
        "record": True,
        "automatic": False,
        "allowed": False,
        "startBy": None,
        "type": "none",
        "source": "domain",
        "reason": "PROFILE",
        "levels": {
            "user": None,
            "domain": {"recordingType": "none", "recordingProfile": "skip"},
            "system": "none",
        },
    }


@pytest.mark.parametrize(
    ("argv", "environ", "words"),
    [
        (["--kind", "meeting"], {}, "no, the room does not ask for it (record) (NOT_ASKED)"),
        (["--kind", "meeting", "--record", "true"], {}, "yes, recording all"),
        (["--record", "false"], {}, "(NOT_ASKED)"),
        ([], {"RECORD_RECORDING_AT_START": "false"}, "recordRecordingAtStart is false"),
        (["--kind", "public"], {}, "public rooms are never recorded (PUBLIC_ROOM)"),
        (["--origin", "pstn"], {}, "trunk.recordIncomingPSTN is false (PSTN_OFF)"),
        (["--origin", "pstn"], {"TRUNK__RECORD_INCOMING_PSTN": "true"}, "yes, recording all"),
        (["--origin", "pstn"], {}, "by hand: by nobody, its creator is the PSTN user"),
    ],
)
def test_kind_origin_flag_and_configuration_count(
    explain: Explain,
    store: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    environ: dict[str, str],
    words: str,
) -> None:
    store("alice@example", ALWAYS_ALL)
    for name, value in environ.items():
        monkeypatch.setenv(f"SFU_WRAPPER__{name}", value)

    assert words in explain(*ALICE, *argv)[1]


def test_optional_lets_the_owner_start_by_hand_where_the_operator_allows_it(
    explain: Explain, store: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store("alice@example", OPTIONAL)
    before = explain(*ALICE)[1]
    monkeypatch.setenv("SFU_WRAPPER__POLICY__OPTIONAL_ALLOWS_MANUAL", "true")

    assert "by hand: by nobody" in before
    assert "by hand: by alice@example and by nobody else, recording video" in explain(*ALICE)[1]


def test_the_domain_is_what_follows_the_at_sign(
    explain: Explain, store: Callable[..., None]
) -> None:
    store("alice@example", ALWAYS_ALL)

    assert "yes, recording all" in explain("--user", "alice@example")[1]


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--user", "alice"], "--domain is required: alice names none"),
        ([*ALICE, "--kind", "meeting", "--origin", "pstn"], "pstn goes with --kind direct only"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    explain: Explain, argv: list[str], word: str
) -> None:
    code, out, err = explain(*argv)

    assert (code, out) == (1, "")
    assert word in err


def test_it_answers_beside_a_running_controller(
    explain: Explain, store: Callable[..., None], folder: Path
) -> None:
    store("alice@example", ALWAYS_ALL)

    with closing(SqliteStore(folder / "store.db")):
        assert "yes, recording all" in explain(*ALICE)[1]


def test_another_database_is_not_read_yet(
    explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", "postgresql://db/sfu")

    code, _, err = explain(*ALICE)
    assert code == 1
    assert "explain reads sqlite:<file> only" in err
