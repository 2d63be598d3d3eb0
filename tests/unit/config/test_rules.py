"""What cannot be together, and what is allowed but worth a word."""

from pathlib import Path

import pytest

from sfu_wrapper.config.load import Loaded, inspect, read

PSTN = ["trunk.recordIncomingPSTN=true", "recordRecordingAtStart=false"]
LONG = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            [*PSTN, "trunk.conflict=refuse"],
            "trunk.recordIncomingPSTN: recordIncomingPSTN = true with recordRecordingAtStart = "
            "false: incoming calls could never be recorded, and trunk.conflict = refuse",
        ),
        (["should_encrypt=true"], "encryption_mail: required with should_encrypt"),
        (["processed_queue=failure_queue"], "processing_queue: the five queues need five names"),
        (
            ["processed_queue=sfu_wrapper.index"],
            "processing_queue: the five queues need five names",
        ),
        (
            ["websocket.maxGatewayFrameBytes=4096"],
            "websocket.maxGatewayFrameBytes: a gateway frame must have room for a message",
        ),
        (
            [f"auth.secret={LONG}", "auth.publicKeyFile=x.pem"],
            "auth.secret: only one of secret, publicKeyFile and jwksUrl may be given",
        ),
        (
            [f"auth.secret={LONG}", "auth.algorithms=HS256,RS256"],
            "auth.algorithms: HS256 requires secret, and secret allows no other algorithm",
        ),
        (
            ["media.sfu=janus", "media.mixer=audiobridge"],
            "janus.roomSecret: required with media.sfu = janus",
        ),
        (
            ["media.mixer=audiobridge"],
            "janus.roomSecret: required with media.mixer = audiobridge",
        ),
        (
            ["media.mixer=asterisk"],
            "asterisk.secret: required with media.mixer = asterisk",
        ),
        (
            ["auth.publicKeyFile=x.pem", "auth.algorithms=HS256,RS256"],
            "auth.algorithms: HS256 requires secret, and secret allows no other algorithm",
        ),
    ],
)
def test_what_cannot_be_together_is_refused(
    tmp_path: Path, overrides: list[str], expected: str
) -> None:
    found = inspect(tmp_path, {}, overrides)

    assert not isinstance(found, Loaded)
    assert [str(problem) for problem in found] == [f"--set: {expected}"]


def test_a_conflict_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"trunk": {"recordIncomingPSTN": true}}')
    (tmp_path / "sfu-wrapper.toml").write_text(
        "recordRecordingAtStart = false\ntrunk.conflict = 'refuse'"
    )

    found = inspect(tmp_path, {})
    assert not isinstance(found, Loaded)
    assert found[0].source == f"{tmp_path}/config.json, {tmp_path}/sfu-wrapper.toml"


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (PSTN, "incoming calls are never recorded"),
        (["mix_limit=10"], "mix_limit = 10: above 9 the output is always split"),
        (["fileformat=rec-{{year}}"], "names are not unique"),
        (["asterisk.trunkDomain=example"], "ignored unless media.mixer = asterisk"),
        (["auth.secret=short"], "auth.secret: shorter than 32 bytes"),
        (["auth.jwksUrl=https://id.example/keys"], "auth.audience: not set"),
        (
            ["preprocessor=janus-pp-rec", "janus.videoCodecs=vp8,av1"],
            "janus.videoCodecs: av1 with preprocessor = janus-pp-rec may fail",
        ),
        (
            ["storage.url=s3://recordings", "storage.endpointUrl=http://192.0.2.7:9000"],
            "storage.endpointUrl: without https recordings cross the network",
        ),
    ],
)
def test_what_is_odd_is_noted(tmp_path: Path, overrides: list[str], word: str) -> None:
    [note] = read(tmp_path, {}, overrides).notes

    assert word in note


@pytest.mark.parametrize(
    "overrides",
    [
        [*PSTN, "trunk.conflict=record"],
        [f"auth.secret={LONG}", "auth.algorithms=HS256"],
        ["auth.publicKeyFile=x.pem", "auth.algorithms=ES256", "auth.audience=sfu-wrapper"],
        ["should_encrypt=true", "encryption_mail=mail@domain.com"],
        ["mix_limit=9"],
        ["preprocessor=janus-pp-rec", "janus.videoCodecs=vp8,vp9,h264"],
        ["janus.videoCodecs=av1,h265"],
        ["storage.url=s3://recordings", "storage.endpointUrl=http://127.0.0.1:9000"],
        ["storage.url=s3://recordings", "storage.endpointUrl=https://s3.example.com"],
    ],
)
def test_what_is_in_order_is_not_remarked_upon(tmp_path: Path, overrides: list[str]) -> None:
    assert read(tmp_path, {}, overrides).notes == ()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([f"auth.secret={LONG}"], ("HS256",)),
        (["auth.publicKeyFile=x.pem"], ("RS256", "ES256", "EdDSA")),
        (["auth.jwksUrl=https://id.example/k", "auth.algorithms=EdDSA"], ("EdDSA",)),
    ],
)
def test_a_shared_secret_and_a_public_key_never_share_an_algorithm(
    tmp_path: Path, overrides: list[str], expected: tuple[str, ...]
) -> None:
    auth = read(tmp_path, {}, overrides).settings.auth

    assert auth.configured
    assert auth.accepted_algorithms == expected


def test_without_any_key_no_token_can_be_checked(tmp_path: Path) -> None:
    assert not read(tmp_path, {}).settings.auth.configured


@pytest.mark.parametrize(
    ("url", "file"),
    [("sqlite:data/x.db", Path("data/x.db")), ("postgresql://u@h/db", None)],
)
def test_the_store_is_a_file_or_a_server(tmp_path: Path, url: str, file: Path | None) -> None:
    assert read(tmp_path, {}, [f"store.url={url}"]).settings.store.sqlite_file == file
