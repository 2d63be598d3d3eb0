"""The processes of one installation, from first to last. Run by ``scripts/stack``.

Everything listens on loopback but the media of Janus, which offers no candidate there: they are
on the machine's own address, or, where it has none, on a pair of virtual interfaces that is made
for them (as root) and removed at the end. PostgreSQL is not among the processes: this version
stores in SQLite only.
"""

import argparse
import asyncio
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import connect

TOP = Path(__file__).resolve().parents[1]
PROGRAM = TOP / ".venv" / "bin" / "sfu-wrapper"
DOMAIN, OWNER, GUEST, ROOM = "example", "alice", "bob", "standup"
START_S = 60.0
STOP_S = 20.0
LINK, FAR_END, ADDRESS = "sfuwrap0", "sfuwrap1", "198.18.0.1"  # RFC 2544: of no real network


class Failed(Exception):
    """Why it does not start; one line."""


@dataclass
class Child:
    """A process in a group of its own, which is ended as a whole."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.process.poll() is not None

    def end(self) -> None:
        """SIGTERM, and SIGKILL where that does not do."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.ended:
                return
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                say(f"{self.name} does not stop; killing it")


@dataclass
class Stack:
    """What was started so far, in order. undo: what else is to be taken back."""

    folder: Path
    children: list[Child] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)

    def start(self, name: str, argv: list[object], environment: dict[str, str]) -> Child:
        """Start a process; what it says goes to a file of its own."""
        log = self.folder / "log" / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(each) for each in argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.children.append(child)
        say(f"{name} (pid {process.pid})")
        return child

    def wait_for(self, child: Child, port: int, greeting: bytes = b"") -> None:
        """Until something answers on that port."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and not child.ended:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                    client.sendall(greeting)
                    if not greeting or client.recv(1):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise Failed(f"{child.name} does not start; see {child.log}")

    def stop(self) -> None:
        """End everything, the last one first."""
        for child in reversed(self.children):
            child.end()
        for each in reversed(self.undo):
            each()


def main() -> int:
    """Start, wait, stop."""
    args = parse()
    folder = (args.dir or TOP / "data" / "stack" / time.strftime("%Y%m%d-%H%M%S")).resolve()
    for name in ("log", "raw", "audio", "out", "logs", "janus", "rabbitmq"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = Stack(folder)
    code = 0
    try:
        run(args, stack)
    except KeyboardInterrupt:
        say("stopping")
    except Failed as failed:
        print(failed, file=sys.stderr)
        code = 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stack.stop()
    say("everything has stopped")
    return code


def parse() -> argparse.Namespace:
    """What may be chosen."""
    parser = argparse.ArgumentParser(prog="scripts/stack", description=__doc__)
    parser.add_argument("--dir", type=Path, help="folder of all files (default: data/stack/<time>)")
    parser.add_argument("--interface", help="network interface for media (default: found)")
    parser.add_argument("--http-port", type=int, help="of the call page (default: a free one)")
    parser.add_argument("--embedded", action="store_true", help="no RabbitMQ: a queue of our own")
    parser.add_argument("--asterisk", action="store_true", help="mix and record with Asterisk")
    return parser.parse_args()


def run(args: argparse.Namespace, stack: Stack) -> None:
    """Start all; returns by an exception only."""
    say(f"everything is below {stack.folder}")
    interface, address = media_interface(args.interface, stack)
    say(f"media are on {address} ({interface}): Janus uses no loopback interface for them")
    http_port, websocket_port = args.http_port or free_port(), free_port()
    settings = {
        "HTTP__PORT": str(http_port),
        "WEBSOCKET__PORT": str(websocket_port),
        "WEBSOCKET__ALLOWED_ORIGINS": ",".join(
            f"http://{host}:{http_port}" for host in ("localhost", "127.0.0.1")
        ),
        "AUTH__SECRET": secrets.token_hex(32),
        "RECORD_RECORDING_AT_START": "false",
        "STORE__URL": f"sqlite:{stack.folder / 'state' / 'sfu-wrapper.db'}",
        "RECORDINGS_PATH": str(stack.folder / "raw"),
        "AUDIO_PATH": str(stack.folder / "audio"),
        "DESTINATION_PATH": str(stack.folder / "out"),
        "LOGS_PATH": str(stack.folder / "logs"),
        "RABBITMQ__ADDRESS": "embedded:" if args.embedded else start_rabbitmq(stack),
        "MEDIA__SFU": "janus",
        "MEDIA__MIXER": "audiobridge",
    }
    settings |= start_janus(stack, interface, address)
    if args.asterisk:
        settings |= start_asterisk(stack)
    ours = os.environ | {f"SFU_WRAPPER__{key}": value for key, value in settings.items()}
    config = ["--config", TOP / "config"]
    permission = ["--domain", DOMAIN, "--type", "all", "--profile", "always"]
    command("permissions", "set", f"user:{OWNER}", *permission, *config, environment=ours)
    controller = stack.start("controller", [PROGRAM, "serve", *config], ours)
    stack.wait_for(controller, websocket_port)
    stack.start("worker", [PROGRAM, "worker", *config], ours)
    asyncio.run(make_room(f"ws://127.0.0.1:{websocket_port}/client", token("room-service", ours)))
    tell(stack.folder, http_port, ours)
    while True:
        for child in stack.children:
            if child.ended:
                raise Failed(f"{child.name} has ended; see {child.log}")
        time.sleep(0.5)


def tell(folder: Path, http_port: int, environment: dict[str, str]) -> None:
    """What to open, and where things are."""
    page = f"http://localhost:{http_port}/call/{ROOM}"
    print(f"\n{OWNER}, who may record:\n  {page}#token={token(OWNER, environment)}")
    print(f"\n{GUEST}:\n  {page}#token={token(GUEST, environment)}")
    print(f"\nfinished recordings: {folder / 'out'}\nlogs: {folder / 'log'}\n")
    say("ready; Ctrl-C ends everything")


async def make_room(url: str, service: str) -> None:
    """A meeting, as the room service makes one."""
    room = {"id": ROOM, "kind": "meeting", "owner": OWNER, "domain": DOMAIN}
    body = {"endpoint": "createRoom", "payload": room, "id": "stack"}
    headers = {"Authorization": f"Bearer {service}"}
    async with asyncio.timeout(START_S), connect(url, additional_headers=headers) as socket_:
        await socket_.send(json.dumps({"type": "request", "payload": body}))
        answer = json.loads(await socket_.recv())["payload"]
    if answer["status"] != "ok":
        raise Failed(f"the room cannot be made: {answer['error']['message']}")


def token(user: str, environment: dict[str, str]) -> str:
    """A token for a day."""
    role = ["--role", "service"] if user == "room-service" else []
    who = ["--sub", user, "--domain", DOMAIN, "--ttl", "86400", *role]
    return command("token", *who, "--config", TOP / "config", environment=environment).strip()


def command(*argv: object, environment: dict[str, str]) -> str:
    """What a command of ours prints."""
    run_ = subprocess.run(
        [str(each) for each in (PROGRAM, *argv)],
        env=environment, capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip
    if run_.returncode:
        raise Failed(run_.stderr.strip().splitlines()[-1])
    return run_.stdout


def media_interface(wanted: str | None, stack: Stack) -> tuple[str, str]:
    """Its name and its address."""
    found = [
        (each["ifname"], address["local"])
        for each in json.loads(ip("-json", "-4", "address", "show", "up"))
        for address in each.get("addr_info", ())
        if "LOOPBACK" not in each["flags"] and wanted in (None, each["ifname"])
    ]
    if found:
        return found[0]
    if wanted is not None:
        raise Failed(f"{wanted} is no interface with an IPv4 address that is up")
    if os.geteuid():
        raise Failed("there is no network interface but loopback; run it as root to make one")
    ip("link", "add", LINK, "type", "veth", "peer", "name", FAR_END)
    stack.undo.append(lambda: ip("link", "delete", LINK))
    ip("address", "add", f"{ADDRESS}/32", "dev", LINK)
    for each in (LINK, FAR_END):
        ip("link", "set", each, "up")
    return LINK, ADDRESS


def ip(*argv: str) -> str:
    """Run ``ip``."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    run_ = subprocess.run(
        ["ip", *argv], env={"PATH": path}, capture_output=True, text=True, timeout=10, check=False
    )
    if run_.returncode:
        raise Failed(f"ip {' '.join(argv)}: {run_.stderr.strip()}")
    return run_.stdout


def start_janus(stack: Stack, interface: str, address: str) -> dict[str, str]:
    """Janus with the files of config/janus."""
    folder, port = stack.folder / "janus", free_port()
    api_secret, admin_key = secrets.token_hex(16), secrets.token_hex(16)
    first = 20_000 + 400 * random.randrange(40)  # noqa: S311  # no secret
    changes = (
        (r'"/etc/janus"', f'"{folder}"'),
        (r".*protected_folders.*", ""),  # a clone may stand anywhere
        (r"change-me-api-secret", api_secret),
        (r"change-me-admin-key", admin_key),
        (r"ws_port = \d+", f"ws_port = {port}"),
        (r'rtp_port_range = ".*"', f'rtp_port_range = "{first}-{first + 399}"'),
        (r"# ice_enforce_list = .*", f'ice_enforce_list = "{interface}"\n\tice_lite = true'),
        (r"session_timeout = 60", f'session_timeout = 60\n\tinterface = "{address}"'),
    )
    for example in (TOP / "config" / "janus").glob("*.jcfg"):
        text = example.read_text("utf-8")
        for before, after in changes:
            text = re.sub(before, after, text)
        write(folder / example.name, text)
    argv = ["janus", "-F", folder, "-C", folder / "janus.jcfg", "-o"]
    stack.wait_for(stack.start("janus", argv, dict(os.environ)), port)
    return {
        "JANUS__URL": f"ws://127.0.0.1:{port}",
        "JANUS__API_SECRET": api_secret,
        "JANUS__ADMIN_KEY": admin_key,
        "JANUS__ROOM_SECRET": secrets.token_hex(16),
    }


def start_rabbitmq(stack: Stack) -> str:
    """One node with its own name server (epmd); its address."""
    sbin = next(iter(sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"))), None)
    epmd = shutil.which("epmd")
    if sbin is None or epmd is None:
        raise Failed("RabbitMQ is not there; install it with: apt-get install -y rabbitmq-server")
    folder, port, names, peers = stack.folder / "rabbitmq", free_port(), free_port(), free_port()
    write(folder / "rabbitmq.conf", f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = false\n")
    write(folder / "plugins", "[].\n")
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"stack{port}@localhost",
        "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
        "RABBITMQ_LOG_BASE": str(stack.folder / "log"),
        "RABBITMQ_PID_FILE": f"{folder}/pid",
        "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
        "RABBITMQ_DIST_PORT": str(peers),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
        ),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    argv: list[object] = [epmd, "-address", "127.0.0.1", "-port", names]
    stack.wait_for(stack.start("epmd", argv, environment), names)
    node = stack.start("rabbitmq", [sbin / "rabbitmq-server"], environment)
    stack.wait_for(node, port, b"AMQP\x00\x00\x09\x01")
    return f"amqp://guest:guest@127.0.0.1:{port}/"


def start_asterisk(stack: Stack) -> dict[str, str]:
    """The Asterisk of ``scripts/fetch-asterisk``, with the files of config/asterisk."""
    fetched, folder = TOP / ".asterisk", stack.folder / "asterisk"
    if not fetched.is_dir():
        raise Failed("there is no Asterisk here; fetch it with: scripts/fetch-asterisk")
    manager, trunk, secret = free_port(), free_port(socket.SOCK_DGRAM), secrets.token_hex(16)
    places = {"astetcdir": "etc", "astspooldir": "spool", "astrundir": "run", "astlogdir": "log"}
    places |= dict.fromkeys(("astvarlibdir", "astdbdir", "astkeydir", "astagidir"), "var")
    for name in set(places.values()):
        (folder / name).mkdir(parents=True, exist_ok=True)
    changes = (
        ("port = 5038", f"port = {manager}"),
        ("change-me", secret),
        ("127.0.0.1:5060", f"127.0.0.1:{trunk}"),
    )
    for example in (TOP / "config" / "asterisk").glob("*.conf"):
        text = example.read_text("utf-8")
        for before, after in changes:
            text = text.replace(before, after)
        write(folder / "etc" / example.name, text)
    lines = [f"{key} => {folder / name}" for key, name in places.items()]
    lines += [f"astmoddir => {fetched / 'usr/lib/asterisk/modules'}"]
    lines += [f"astdatadir => {fetched / 'usr/share/asterisk'}"]
    write(folder / "etc" / "asterisk.conf", "\n".join(("[directories]", *lines, "")))
    libraries = next((fetched / "lib").glob("*-linux-gnu*"))
    paths = (libraries, fetched / "usr/lib" / libraries.name, fetched / "usr/lib")
    argv: list[object] = [
        next(libraries.glob("ld-*.so")),
        "--library-path",
        ":".join(map(str, paths)),
    ]
    argv += [fetched / "usr/sbin/asterisk", "-f", "-C", folder / "etc" / "asterisk.conf"]
    stack.wait_for(stack.start("asterisk", argv, dict(os.environ)), manager)
    say(f"trunk calls to sip:<number>@127.0.0.1:{trunk}; the call page has no sound of this mixer")
    return {
        "MEDIA__MIXER": "asterisk",
        "ASTERISK__PORT": str(manager),
        "ASTERISK__SECRET": secret,
        "ASTERISK__TRUNK_DOMAIN": DOMAIN,
        "TRUNK__RECORD_INCOMING_PSTN": "true",
        "RECORD_RECORDING_AT_START": "true",
    }


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write(file: Path, text: str) -> None:
    """A file for ourselves alone: there are secrets in some."""
    file.write_text(text, "utf-8")
    file.chmod(0o600)


def say(what: str) -> None:
    """One line, at once."""
    print(f"== {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
