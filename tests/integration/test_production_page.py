"""The page on production by hand, block by block, on the real software."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.app.parts import queues
from sfu_wrapper.cli.main import main
from sfu_wrapper.config.load import load
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Message
from tests.helpers.janus import private_network
from tests.helpers.pages import DOCS, block, blocks, section
from tests.helpers.rabbitmq import RabbitServer

PAGE = "how-to/production.md"
TOP = DOCS.parent
SAMPLES = TOP / "tests" / "samples"
START_S = 40.0

pytestmark = pytest.mark.system


def shell(
    script: str, folder: Path, variables: Mapping[str, str] = MappingProxyType({}), cwd: Path = TOP
) -> str:
    """Run a block with everything that it would write to the system kept in ``folder``."""
    for path in ("/etc/", "/opt/", "/sippo-recording"):
        script = script.replace(path, f"{folder}{path}")
    script = script.replace("-o sfu-wrapper -g sfu-wrapper ", "")
    script = "\n".join(line for line in script.splitlines() if not line.startswith("chown "))
    run = subprocess.run(
        ["bash", "-euc", script],
        cwd=cwd,
        env=os.environ | dict(variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def without_services(script: str) -> str:
    """Return a block without what only a running systemd can do."""
    return "\n".join(line for line in script.splitlines() if not line.startswith("systemctl "))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder in the place of /, with the secrets of the page."""
    (tmp_path / "etc").mkdir()
    shell(block(PAGE, "Secrets"), tmp_path)
    secrets = sorted(path.name for path in (tmp_path / "etc/sfu-wrapper/secrets").iterdir())
    assert secrets == ["janus-admin", "janus-api", "janus-room", "jwt", "rabbitmq"]
    return tmp_path


def test_the_configuration_is_valid_with_the_variables_of_the_check(
    host: Path,
) -> None:
    program = host / "opt/sfu-wrapper/bin/sfu-wrapper"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).parent / "sfu-wrapper")
    shell(blocks(PAGE, "RabbitMQ", "sh")[1], host)
    config = host / "etc/sfu-wrapper"
    (config / "sfu-wrapper.toml").write_text(block(PAGE, "Configuration", "toml"))
    (config / "recording.toml").write_text(block(PAGE, "Encryption of finished files", "toml"))

    check = blocks(PAGE, "Check", "sh")[0]
    check = check.replace("config check", "config check --config /etc/sfu-wrapper")
    assert shell(check, host).startswith("ok")
    address = (config / "secrets/rabbitmq-address").read_text()
    assert address.startswith("amqp://sfu-wrapper:")
    assert len(address) > len("amqp://sfu-wrapper:@127.0.0.1/") + 60


async def _use(address: str) -> None:
    """Declare, publish and read as the users of the page do, the controller first."""
    specs = queues(load(None, {}))
    ours = RabbitBroker(address)
    consumer = RabbitBroker(re.sub("//.*@", "//my-consumer:another-password@", address))
    try:
        await ours.open(specs)
        await ours.publish(Message("recordingInfo", "a:1", b"{}", "r", 0, mandatory=True))
        segment = await anext(ours.consume(specs[0].name, 1))
        await ours.publish(Message("failed", "a:1:failed", b"{}", "r", 0, mandatory=True))
        await segment.ack()
        await consumer.open(specs)
        result = await anext(consumer.consume(specs[2].name, 1))
        assert result.message_id == "a:1:failed"
        await result.ack()
        with pytest.raises(Unavailable, match="ACCESS_REFUSED"):
            await consumer.publish(Message("recordingInfo", "b:1", b"{}", "r", 0))
    finally:
        await ours.close()
        await consumer.close()


@pytest.mark.timeout(240)
def test_the_rights_at_rabbitmq_suffice_and_are_no_more(host: Path) -> None:
    server = RabbitServer(host / "rabbitmq")
    server.start()
    try:
        users, address = blocks(PAGE, "RabbitMQ", "sh")
        shell(users, host, server.tools)
        shell(address, host)
        assert "guest" not in server.ctl("list_users")
        asyncio.run(asyncio.wait_for(_use(_address(host, server)), 60))

        rotate = block("how-to/rotate-keys.md", "The password of RabbitMQ", "sh")
        before = _address(host, server)
        shell(without_services(rotate), host, server.tools)
        assert _address(host, server) != before
        asyncio.run(asyncio.wait_for(_use(_address(host, server)), 60))

        limit = block("how-to/empty-the-queues.md", "Limit them without a program", "sh")
        shell(limit, host, server.tools)
        queues_limited = server.ctl("list_queues", "name", "policy").splitlines()
        assert "processed_queue\tresults" in queues_limited
    finally:
        server.stop()


def _address(host: Path, server: RabbitServer) -> str:
    """Return the address of our user at this server."""
    text = (host / "etc/sfu-wrapper/secrets/rabbitmq-address").read_text()
    return text.replace("@127.0.0.1/", f"@127.0.0.1:{server.port}/")


def test_the_units_are_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing: apt-get install -y systemd")
    names = ("janus-recording", "sfu-wrapper", "sfu-wrapper-worker@")
    texts = blocks(PAGE, "Janus", "ini") + blocks(PAGE, "systemd units", "ini")
    for name, text in zip(names, texts, strict=True):
        assert f"/{name}.service`" in section(PAGE, "Janus") + section(PAGE, "systemd units")
        program = str(Path(sys.executable).parent / "sfu-wrapper")
        unit = text.replace("/opt/sfu-wrapper/bin/sfu-wrapper", program)
        (tmp_path / f"{name}.service").write_text(unit)

    for unit in ("janus-recording", "sfu-wrapper", "sfu-wrapper-worker@1"):
        run = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", f"{tmp_path}/{unit}.service"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:/lib/systemd/system"},
        )
        ours = [line for line in run.stderr.splitlines() if unit.rstrip("1") in line]
        assert (run.returncode, ours) == (0, []), run.stderr


def test_the_key_is_made_exported_and_encrypts_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = tmp_path / "g"
    ring.mkdir(mode=0o700)
    make, decrypt = blocks(PAGE, "Encryption of finished files", "sh")
    try:
        shell(make, tmp_path, {"GNUPGHOME": str(ring)}, tmp_path)
        keys = "should_encrypt=true", "encryption_mail=recordings@example.com"
        monkeypatch.setenv("SFU_WRAPPER__ENCRYPTION_KEY", str(tmp_path / "key.asc"))
        monkeypatch.chdir(tmp_path)
        arguments = ["process", str(SAMPLES / "seg-1" / "recordingInfo.json"), "--out", "out"]
        arguments += ["--recordings", str(SAMPLES), "--audio", str(SAMPLES)]
        for key in keys:
            arguments += ["--set", key]
        assert main(arguments) == 0, capsys.readouterr().err
        (encrypted,) = (tmp_path / "out").glob("*.webm.gpg")
        encrypted.rename(tmp_path / "recording.webm.gpg")
        shell(decrypt, tmp_path, {"GNUPGHOME": str(ring)}, tmp_path)
    finally:
        subprocess.run(
            ["gpgconf", "--homedir", str(ring), "--kill", "all"], timeout=30, check=False
        )

    assert (tmp_path / "recording.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, "no server listens"
        time.sleep(0.05)


def _created(janus: ClientConnection, secret: str) -> str:
    """Return what Janus answers to a session with this secret."""
    janus.send(json.dumps({"janus": "create", "transaction": "1", "apisecret": secret}))
    answer: str = json.loads(janus.recv(START_S))["janus"]
    return answer


def test_janus_starts_with_its_files_and_asks_for_the_secret(host: Path) -> None:
    shell(block(PAGE, "Janus", "sh"), host)
    files = sorted((host / "etc/janus-recording").iterdir())
    assert len(files) == 4
    assert not [file for file in files if "change-me" in file.read_text()]
    unit = block(PAGE, "Janus", "ini")
    (line,) = (each for each in unit.splitlines() if each.startswith("ExecStart="))
    command = shlex.split(line.partition("=")[2].replace("/etc/", f"{host}/etc/"))
    secret = (host / "etc/sfu-wrapper/secrets/janus-api").read_text().strip()

    with private_network(), (host / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for_port(8188)
            protocols = [Subprotocol("janus-protocol")]
            with connect("ws://127.0.0.1:8188", subprotocols=protocols, proxy=None) as janus:
                assert _created(janus, "wrong") == "error"
                assert _created(janus, secret) == "success"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(START_S)


def test_the_ports_of_media_are_those_of_the_files() -> None:
    ranges = {
        "config/janus/janus.jcfg": section(PAGE, "Janus"),
        "deploy/compose.yaml": section("how-to/deployment.md", "As containers"),
    }
    for file, text in ranges.items():
        found = {
            word
            for word in (TOP / file).read_text().replace('"', " ").replace("=", " ").split()
            if word.count("-") == 1 and word.replace("-", "").isdigit() and len(word) == 11
        }
        assert len(found) == 1, found
        assert found.pop() in text
