"""Report of ``sfu-wrapper doctor`` on a Janus."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfu_wrapper.cli.main import main
from tests.helpers.janus import ADMIN_KEY, API_SECRET, JanusServer, running_janus

pytestmark = pytest.mark.system

Lines = list[tuple[str, str, str]]
"""Status, text and advice of each check."""
Doctor = Callable[..., Lines]


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


@pytest.fixture
def doctor(
    janus: JanusServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Return the report on this Janus with these settings."""

    def inner(**settings: str) -> Lines:
        usual = {
            "AUTH__SECRET": "0123456789abcdef0123456789abcdef",
            "STORE__URL": f"sqlite:{tmp_path}/store.db",
            "RECORDINGS_PATH": str(janus.recordings),
            "AUDIO_PATH": str(janus.audio),
            "DESTINATION_PATH": f"{tmp_path}/out",
            "LOGS_PATH": f"{tmp_path}/logs",
            "MEDIA__SFU": "janus",
            "MEDIA__MIXER": "audiobridge",
            "JANUS__URL": janus.url,
            "JANUS__API_SECRET": API_SECRET,
            "JANUS__ADMIN_KEY": ADMIN_KEY,
            "JANUS__ROOM_SECRET": "secret-of-these-rooms",
        }
        for key, value in (usual | settings).items():
            monkeypatch.setenv(f"SFU_WRAPPER__{key}", value)
        main(["doctor", "--json", "--config", str(tmp_path)])
        rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
        return [(r["status"], r["text"], r["advice"]) for r in rows if r["check"] == "janus"]

    return inner


def test_one_that_is_in_order(doctor: Doctor, janus: JanusServer) -> None:
    lines = doctor()

    assert [status for status, _, _ in lines] == ["ok"] * 5
    assert lines[0][1].startswith("Janus 1.")
    assert lines[1][1] == "VideoRoom: a room can be created, joined and destroyed"
    assert lines[3][1] == "AudioBridge: a room can be created, joined and destroyed"
    assert f"{janus.audio} is {janus.audio} at Janus" in lines[4][1]


def test_an_unused_plugin_is_not_checked(doctor: Doctor) -> None:
    texts = [text for _, text, _ in doctor(MEDIA__MIXER="none")]

    assert not [text for text in texts if "AudioBridge" in text]
    assert doctor(MEDIA__SFU="none", MEDIA__MIXER="none") == []


def test_one_that_is_not_there(doctor: Doctor) -> None:
    ((status, text, advice),) = doctor(JANUS__URL="ws://127.0.0.1:9")

    assert (status, advice) == ("wrong", "start Janus, or correct janus.url")
    assert text.startswith("ws://127.0.0.1:9: Janus cannot be reached")


def test_a_wrong_secret(doctor: Doctor) -> None:
    ((status, text, advice),) = doctor(JANUS__API_SECRET="guessed")

    assert status == "wrong"
    assert "Unauthorized" in text
    assert "janus.apiSecret" in advice


def test_a_wrong_key_to_make_rooms(doctor: Doctor) -> None:
    found = [
        (text, advice)
        for status, text, advice in doctor(JANUS__ADMIN_KEY="guessed")
        if status == "wrong"
    ]

    assert len(found) == 2
    assert "Unauthorized" in found[0][0]
    assert found[0][1] == ("compare janus.adminKey with admin_key in janus.plugin.videoroom.jcfg")


def test_a_folder_that_is_not_shared(doctor: Doctor, tmp_path: Path) -> None:
    texts = [
        text
        for status, text, _ in doctor(RECORDINGS_PATH=f"{tmp_path}/nowhere")
        if status == "wrong"
    ]

    assert texts == [f"VideoRoom: {tmp_path}/nowhere not found"]
