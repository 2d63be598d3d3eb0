"""Variables, secrets in files and --set, over the files of configuration."""

import json
from pathlib import Path

import pytest

from sfu_wrapper.config.load import DEFAULT, load, read
from sfu_wrapper.core.policy import PolicySettings, PstnConflict
from sfu_wrapper.model.identity import RecordingType, Role
from tests.helpers import config_files
from tests.helpers.config_files import Write, problems

write = config_files.write


def test_variables_override_files(write: Write) -> None:
    folder = write(wrapper="recordRecordingAtStart = true\nwebsocket.port = 1")
    environ = {
        "SFU_WRAPPER__WEBSOCKET__PORT": "9000",
        "SFU_WRAPPER__RECORD_RECORDING_AT_START": "false",
        "SFU_WRAPPER__TRUNK__RECORD_INCOMING_PSTN": "True",
        "SFU_WRAPPER__ROOMS__RECONNECT_GRACE_SECONDS": "0.5",
        "SFU_WRAPPER__WEBSOCKET__ALLOWED_ORIGINS": "https://a.example, https://b.example:8443",
        "SFU_WRAPPER__WEBSOCKET__GATEWAY_ROLES": '["service"]',
        "SFU_WRAPPER__MIX_LIMIT": "4",
        "SFU_WRAPPER__QUALITY": "high",
        "SFU_WRAPPER__AUTH__PUBLIC_KEY_FILE": "/keys/public.pem",
        "PATH": "/bin",
    }

    loaded = read(folder, environ)
    settings = loaded.settings
    assert settings.websocket.port == 9000
    assert not settings.record_recording_at_start
    assert settings.trunk.record_incoming_pstn
    assert settings.rooms.reconnect_grace_seconds == 0.5
    assert settings.websocket.allowed_origins == ("https://a.example", "https://b.example:8443")
    assert settings.websocket.gateway_roles == (Role.SERVICE,)
    assert settings.recording.mix_limit == 4
    assert settings.recording.quality == "high"
    assert settings.auth.public_key_file == Path("/keys/public.pem")
    assert loaded.sources["websocket", "port"] == "$SFU_WRAPPER__WEBSOCKET__PORT"
    assert loaded.sources.get(("http", "port"), DEFAULT) == DEFAULT


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WEBSOCKET__PROT", "1", "unknown key; the nearest known key is websocket.port"),
        ("QUALITY_FILE", "x", "unknown key; the nearest known key is quality"),
        ("WEBSOCKET__PORT", "many", "must be a whole number from 0 to 65535"),
        ("SHOULD_ENCRYPT", "maybe", "must be true or false"),
        ("MEDIA__TIMEOUT_SECONDS", "soon", "must be a number above 0 to 30"),
        ("WEBSOCKET__GATEWAY_ROLES", "[", "must be a list; each entry one of user"),
        ("WEBSOCKET__HOST", "\udcff", "must be valid Unicode"),
        ("AUTH__SECRET_FILE", "/nowhere/secret", "cannot be read"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, expected: str) -> None:
    [problem] = problems(tmp_path, {f"SFU_WRAPPER__{name}": value})

    assert problem.startswith(f"$SFU_WRAPPER__{name}: ")
    assert expected in problem


def test_secrets_can_be_given_as_files(tmp_path: Path) -> None:
    for name in ("secret", "address"):
        (tmp_path / name).write_text(f"amqp://guest:{name}@h\n")
    environ = {
        "SFU_WRAPPER__AUTH__SECRET_FILE": str(tmp_path / "secret"),
        "SFU_WRAPPER__RABBITMQ__ADDRESS_FILE": str(tmp_path / "address"),
    }

    settings = load(tmp_path, environ)
    assert settings.auth.secret is not None
    assert settings.auth.secret.get_secret_value() == "amqp://guest:secret@h"
    assert settings.rabbitmq.address == "amqp://guest:address@h"
    assert not settings.rabbitmq.embedded


def test_the_command_line_overrides_everything(write: Write) -> None:
    folder = write(recording="quality = 'low'\n[worker]\nattempts = 5")
    environ = {"SFU_WRAPPER__QUALITY": "medium"}

    settings = load(folder, environ, ["quality=high", "worker.attempts=1", "processedQueue=done"])
    assert settings.recording.quality == "high"
    assert settings.worker.attempts == 1
    assert settings.recording.processed_queue == "done"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("quality", "--set: quality: must be KEY=VALUE"),
        ("qualty=low", "--set: qualty: unknown key; the nearest known key is quality"),
        ("mix_limit=0", "--set: mix_limit = 0: must be a whole number from 1"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, expected: str) -> None:
    assert problems(tmp_path, {}, override) == [expected]


def test_the_policy_gets_its_part(write: Write) -> None:
    folder = write(
        config=json.dumps({"rooms": {"record": "audio"}, "trunk": {"recordIncomingPSTN": True}}),
        wrapper="recordRecordingAtStart = false\n"
        "policy.optionalAllowsManual = true\ntrunk.conflict = 'record'",
    )

    assert load(folder, {}).policy_settings() == PolicySettings(
        system=RecordingType.AUDIO,
        record_at_start=False,
        record_incoming_pstn=True,
        pstn_conflict=PstnConflict.RECORD,
        optional_allows_manual=True,
    )
