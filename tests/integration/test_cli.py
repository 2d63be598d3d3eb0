"""The commands as somebody at a terminal meets them: output, exit codes, where it goes."""

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sfu_wrapper.cli.main import COMMANDS, Command, main
from sfu_wrapper.config.catalogue import known_keys
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import Role
from sfu_wrapper.wire.claims import read_claims

SECRET = "0123456789abcdef0123456789abcdef"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with a configuration folder of its own: (exit code, output, errors)."""
    monkeypatch.setenv("SFU_WRAPPER__AUTH__SECRET", SECRET)

    def inner(*argv: str) -> tuple[int, str, str]:
        try:
            code = main([*argv, "--config", str(tmp_path)])
        except SystemExit as exc:
            code = int(exc.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return inner


def objects(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_help_names_every_command(run: Run) -> None:
    code, out, _ = run("--help")

    assert code == 0
    assert all(command.name in out and command.help in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_takes_the_common_flags(run: Run, command: Command) -> None:
    code, out, _ = run(command.name, "--help")

    assert code == 0
    assert "--config DIR" in out
    assert "--json" in out


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["token"],
        ["token", "--sub", "alice", "--domain", "example", "--role", "root"],
        ["token", "--sub", "alice", "--domain", "example", "--ttl", "0"],
        ["token", "--sub", "alice", "--domain", "example", "--ttl", "soon"],
        ["config"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, argv: list[str]) -> None:
    code, out, err = run(*argv)

    assert (code, out) == (2, "")
    assert err.startswith("usage: ")


def test_a_token_is_signed_with_the_secret_and_says_who_it_is_for(run: Run) -> None:
    code, out, err = run("token", "--sub", "alice@example", "--domain", "example")

    claims = read_claims(jwt.decode(out.strip(), SECRET, algorithms=["HS256"]))
    assert (code, err) == (0, "")
    assert (claims.sub, claims.domain, claims.roles) == ("alice@example", "example", ["user"])
    assert claims.iat is not None
    assert claims.exp - claims.iat == 3600


def test_a_token_can_have_roles_and_a_life_of_its_own(run: Run) -> None:
    argv = ["--sub", "rooms", "--domain", "example", "--role", "service", "--role", "gateway"]
    _, out, _ = run("--json", "token", *argv, "--ttl", "60")

    [answer] = objects(out)
    claims = read_claims(jwt.decode(str(answer["token"]), SECRET, algorithms=["HS256"]))
    assert claims.identity().roles == {Role.SERVICE, Role.GATEWAY}
    assert claims.iat is not None
    assert claims.exp - claims.iat == 60
    assert str(answer["expiresAt"]).endswith("Z")


def test_a_gateways_token_names_the_domains_that_it_vouches_for(run: Run) -> None:
    gateway = ("token", "--sub", "gw", "--domain", "example", "--role", "gateway", "--domains")
    _, out, _ = run(*gateway, "one", "two")
    code, _, err = run(*gateway, "one", "t w o")

    assert jwt.decode(out.strip(), SECRET, ["HS256"])["domains"] == ["one", "two"]
    assert (code, "domains.1: must be 1 to 128 characters" in err) == (1, True)


def test_a_token_names_audience_and_issuer_where_they_are_configured(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "sfu-wrapper.toml").write_text("[auth]\naudience = 'here'\nissuer = 'us'")

    _, out, _ = run("token", "--sub", "alice", "--domain", "example")
    payload = jwt.decode(out.strip(), SECRET, ["HS256"], audience="here", issuer="us")
    assert payload["sub"] == "alice"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["RSA", "P-256", "Ed25519"],
)
def test_a_token_can_be_signed_with_a_private_key(
    run: Run,
    tmp_path: Path,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: str,
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    _, out, _ = run("token", "--sub", "a", "--domain", "b", "--private-key", str(file))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert jwt.decode(out.strip(), public, algorithms=[algorithm])["sub"] == "a"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"),
        (b"no key", "cannot be read"),
        (
            ec.generate_private_key(ec.SECP384R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "must be an RSA, P-256 or Ed25519 key",
        ),
    ],
    ids=["missing", "nonsense", "P-384"],
)
def test_a_private_key_that_does_not_serve_is_refused(
    run: Run, tmp_path: Path, content: bytes | None, word: str
) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)

    code, out, err = run("token", "--sub", "a", "--domain", "b", "--private-key", str(file))
    assert (code, out) == (1, "")
    assert word in err


def test_without_a_secret_there_is_no_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SFU_WRAPPER__AUTH__SECRET")

    code, out, err = run("token", "--sub", "alice", "--domain", "example")
    assert (code, out) == (1, "")
    assert err.startswith("sfu-wrapper: MISCONFIGURED: auth.secret is not set")


def test_no_token_is_made_for_an_id_that_nobody_can_have(run: Run) -> None:
    told = "must be 1 to 128 characters of A-Z a-z 0-9 . _ @ + : -\n"

    code, _, err = run("token", "--sub", "../alice", "--domain", "example")
    assert (code, err) == (1, f"sfu-wrapper: BAD_REQUEST: invalid claim: sub: {told}")

    code, _, err = run("token", "--sub", "alice", "--domain", "two words")
    assert (code, err) == (1, f"sfu-wrapper: BAD_REQUEST: invalid claim: domain: {told}")


def test_a_configuration_in_order_is_ok(run: Run, tmp_path: Path) -> None:
    assert run("config", "check") == (0, f"ok: {tmp_path}\n", "")


def test_what_is_odd_in_a_configuration_is_noted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_text("mix_limit = 12")

    code, out, _ = run("config", "check", "--json")
    assert code == 0
    assert objects(out) == [
        {"note": "mix_limit = 12: above 9 the output is always split"},
        {"ok": True, "folder": str(tmp_path)},
    ]


def test_each_problem_of_a_configuration_has_a_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_text("mix_limit = 0\nqualty = 'low'")
    file = tmp_path / "recording.toml"

    code, out, _ = run("config", "check")
    assert code == 1
    assert out.splitlines() == [
        f"{file}: qualty: unknown key; the nearest known key is quality",
        f"{file}: mix_limit = 0: must be a whole number from 1",
    ]
    assert [found["source"] for found in objects(run("config", "check", "--json")[1])] == [
        str(file),
        str(file),
    ]


def test_a_broken_configuration_stops_every_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_text("mix_limit = 0")

    code, out, err = run("--json", "config", "show")
    assert code == 1
    assert err.startswith("sfu-wrapper: MISCONFIGURED: ")
    [answer] = objects(out)
    assert isinstance(answer["error"], dict)
    assert answer["error"]["code"] == "MISCONFIGURED"


def test_the_configuration_is_shown_with_its_sources_and_without_its_secrets(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "sfu-wrapper.toml").write_text("websocket.port = 9000")

    _, out, _ = run("config", "show")
    assert f"websocket.port = 9000  # {tmp_path}/sfu-wrapper.toml" in out
    assert 'auth.secret = "********"  # $SFU_WRAPPER__AUTH__SECRET' in out
    assert SECRET not in out
    shown = [row["key"] for row in objects(run("config", "show", "--json")[1])]
    assert shown == [key.name for key in known_keys().values()]


def test_the_schema_is_one_json_object(run: Run) -> None:
    _, out, _ = run("config", "schema")

    assert json.loads(out)["properties"]["mix_limit"]["minimum"] == 1
    assert objects(run("config", "schema", "--json")[1]) == [json.loads(out)]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Refused(Code.NOT_PERMITTED, "no"), 1, "sfu-wrapper: NOT_PERMITTED: no\n"),
        (Unavailable("the store is away"), 75, "sfu-wrapper: OVERLOADED: the store is away\n"),
        (KeyboardInterrupt(), 1, "sfu-wrapper: interrupted\n"),
    ],
    ids=["refused", "unavailable", "interrupted"],
)
def test_how_a_command_ended_is_its_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fail(_: Namespace) -> int:
        raise error

    monkeypatch.setattr("sfu_wrapper.cli.config.run", fail)

    assert run("config", "check") == (code, "", said)


def test_a_reader_that_goes_away_is_no_crash(tmp_path: Path) -> None:
    command = f"{sys.executable} -m sfu_wrapper.cli --config {tmp_path} config show | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_token_needs_no_media_library(tmp_path: Path) -> None:
    program = (
        "import sys; from sfu_wrapper.cli.main import main; main(sys.argv[1:]);"
        "sys.exit(bool(sys.modules.keys() & {'av', 'numpy', 'PIL', 'aio_pika', 'websockets'}))"
    )
    argv = ["token", "--sub", "a", "--domain", "b", "--config", str(tmp_path)]
    environ = {"SFU_WRAPPER__AUTH__SECRET": SECRET, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program, *argv], env=environ, check=False)

    assert done.returncode == 0
