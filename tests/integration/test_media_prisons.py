"""A media process that was taken over has its descriptors and its work folder, and nothing else."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from sfu_wrapper.adapters.media import tools
from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.os import confinement
from sfu_wrapper.adapters.os.confinement import Confinement, Fence, Policy, fence_of, probe
from sfu_wrapper.cli.doctor.media import judge_confinement
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.errors import JobFailed
from tests.helpers.prisoners import found_by, prisoners
from tests.helpers.samples import SAMPLES

MIX = SAMPLES / "seg-1" / "mix.wav"
DEADLINE_S = 30.0
FORBIDDEN = "import errno\ndef no(*_): raise OSError(errno.EPERM, 'Operation not permitted')\n"
NO_LANDLOCK = f"{FORBIDDEN}media_process.restrict.__globals__['landlock'].restrict = no\n"
NO_NAMESPACES = f"{FORBIDDEN}media_process.enter.__globals__['_leave_network'] = no\n"
NO_FILTER = f"{FORBIDDEN}media_process.restrict.__globals__['syscalls'].forbid = no\n"


@pytest.fixture
def work_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret").write_text("somebody else's")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def escape(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    work: str,
    system: str = "",
    policy: Policy = "prefer",
) -> dict[str, object]:
    """What a process finds that writes its result into that folder."""
    monkeypatch.setattr(tools, "_COMMAND", prisoners(work, system))
    with MediaProcesses(confinement=policy) as media, pytest.raises(JobFailed) as caught:
        await media.write_audio((), 1_000_000, folder / "mix.wav", timeout_s=DEADLINE_S)
    return found_by(caught.value)


async def test_it_opens_no_file_but_in_its_work_folder(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path
) -> None:
    (work_folder / "made").write_text("its own")
    outside = work_folder.parent

    found = await escape(
        monkeypatch,
        work_folder,
        f"""
import os
outside, folder = {str(outside)!r}, str(task.target.parent)
found["own"] = said(lambda: open(folder + "/made").read())
found["write"] = said(lambda: open(folder + "/new", "w").write("x"))
found["rename"] = said(lambda: os.rename(folder + "/new", folder + "/newer"))
found["read"] = said(lambda: open(outside + "/secret").read())
found["up"] = said(lambda: open(folder + "/../secret").read())
found["list"] = said(lambda: os.listdir(outside))
found["make"] = said(lambda: open(outside + "/made", "w"))
found["remove"] = said(lambda: os.unlink(outside + "/secret"))
found["out"] = said(lambda: os.rename(folder + "/newer", outside + "/newer"))
found["link"] = said(lambda: os.symlink(outside + "/secret", folder + "/link"))
found["name"] = said(lambda: os.link(outside + "/secret", folder + "/name"))
found["pipe"] = said(lambda: os.mkfifo(folder + "/pipe"))
found["users"] = said(lambda: open("/etc/passwd").read())
found["self"] = said(lambda: open("/proc/self/environ").read())
found["parent"] = said(lambda: open(f"/proc/{{os.getppid()}}/environ").read())
""",
    )

    assert (found.pop("own"), found.pop("write"), found.pop("rename")) == ("its own", 1, None)
    assert set(found.values()) <= {"PermissionError", "OSError"}, found  # EXDEV between folders
    assert (outside / "secret").read_text() == "somebody else's"
    assert names(work_folder) == ["made", "newer"]


async def test_it_reads_a_raw_file_through_its_descriptor_and_has_no_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = f"""
from sfu_wrapper.adapters.media.demux import opened
import os
with opened(task.source) as number:
    found["head"] = os.pread(number, 4, 0)
found["path"] = said(lambda: open(task.source))
found["beside"] = said(lambda: os.listdir({str(MIX.parent)!r}))
"""
    monkeypatch.setattr(tools, "_COMMAND", prisoners(work))

    with MediaProcesses() as media, pytest.raises(JobFailed) as caught:
        await media.audio_us(MIX, timeout_s=DEADLINE_S)

    found = found_by(caught.value)
    assert found["head"] == b"RIFF"
    assert (found["path"], found["beside"]) == ("PermissionError", "PermissionError")


@pytest.mark.parametrize("system", ["", NO_NAMESPACES, NO_FILTER])
async def test_it_reaches_nobody_on_the_network_nor_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path, system: str
) -> None:
    """By either of two means alone, too: where namespaces, or filters, are forbidden."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mailbox,
    ):
        mailbox.bind(("127.0.0.1", 0))
        mailbox.setblocking(False)
        found = await escape(
            monkeypatch,
            work_folder,
            f"""
import socket
where = ("127.0.0.1", {listener.getsockname()[1]})
found["tcp"] = said(lambda: socket.create_connection(where, 5))
box = ("127.0.0.1", {mailbox.getsockname()[1]})
found["udp"] = said(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", box))
found["raw"] = said(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
""",
            system,
        )
        with pytest.raises(BlockingIOError):
            mailbox.recv(1)

    assert {type(word) for word in found.values()} == {str}, found
    assert set(found.values()) <= {"PermissionError", "OSError"}


async def test_it_connects_to_no_socket_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path
) -> None:
    path = str(work_folder.parent / "door")
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(path)
        door.listen()
        found = await escape(
            monkeypatch,
            work_folder,
            f"""
import socket
found["connect"] = said(lambda: socket.socket(socket.AF_UNIX).connect({path!r}))
kinds = socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
found["others"] = [said(lambda: socket.socket(socket.AF_UNIX, kind)) for kind in kinds]
""",
        )

    assert found == {"connect": "PermissionError", "others": ["PermissionError"] * 2}


async def test_it_gains_no_privileges_and_touches_no_other_process(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path
) -> None:
    found = await escape(
        monkeypatch,
        work_folder,
        """
import ctypes, os, resource
libc = ctypes.CDLL(None, use_errno=True)
found["flag"] = libc.prctl(39, 0, 0, 0, 0)
found["owner"] = said(lambda: os.chown(task.target.parent, 1, 1))
found["user"] = said(lambda: os.setuid(12345))
found["parent"] = said(lambda: os.kill(os.getppid(), 0))
found["group"] = said(lambda: os.setsid())
found["namespace"] = libc.unshare(0x10000000)
found["program"] = said(lambda: os.execv("/bin/true", ["true"]))
header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc.capget(header, held)
found["capabilities"] = (held[0] | held[1] | held[3] | held[4]) & ~2
""",
    )

    assert found.pop("flag") == 1  # PR_GET_NO_NEW_PRIVS
    assert found.pop("namespace") == -1
    assert found.pop("capabilities") == 0  # but for root's right to its operator's folders
    assert set(found.values()) <= {"PermissionError", "OSError"}, found


async def test_threads_that_it_starts_later_are_as_confined(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path
) -> None:
    """Landlock holds for the calling thread and what it starts: it is there before the codecs'."""
    found = await escape(
        monkeypatch,
        work_folder,
        f"""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    look = lambda: open({str(work_folder.parent / "secret")!r})
    found["thread"] = pool.submit(said, look).result()
""",
    )

    assert found == {"thread": "PermissionError"}


@pytest.mark.parametrize(
    ("system", "missing"),
    [(NO_LANDLOCK, "files"), (NO_NAMESPACES + NO_FILTER, "network"), ("", None)],
)
async def test_where_the_system_allows_less_a_process_works_unless_more_is_required(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path, system: str, missing: str | None
) -> None:
    assert await escape(monkeypatch, work_folder, "found['done'] = 1", system) == {"done": 1}

    monkeypatch.setattr(tools, "_COMMAND", prisoners("found['done'] = 1", system))
    with MediaProcesses(confinement="require") as media, pytest.raises(JobFailed) as caught:
        await media.write_audio((), 1_000_000, work_folder / "mix.wav", timeout_s=DEADLINE_S)

    if missing is None:
        assert found_by(caught.value) == {"done": 1}
    else:
        assert caught.value.code == "MEDIA_CRASH"
        assert f"nothing keeps the {missing} of media processes" in caught.value.detail
        assert "Operation not permitted" in caught.value.detail


async def test_with_confinement_off_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch, work_folder: Path
) -> None:
    work = f"found['read'] = said(lambda: open({str(work_folder.parent / 'secret')!r}).read())"

    found = await escape(monkeypatch, work_folder, work, policy="off")

    assert found == {"read": "somebody else's"}


def test_a_fence_is_the_same_on_the_other_side_of_a_command() -> None:
    fence = Fence("require", (("/usr", 13), ("/srv/x", 1)))

    assert fence_of(fence.text()) == fence


def test_doctor_says_by_what_media_processes_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFU_WRAPPER__AUTH__SECRET", "0123456789abcdef0123456789abcdef")

    main(["doctor"])

    found = [line for line in capsys.readouterr().out.splitlines() if "confinement" in line]
    kept = [line.split("restricted by")[0].split("confinement")[1].strip() for line in found]
    assert kept == [f"media processes, {name}:" for name in ("files", "network", "privileges")]
    assert "Landlock" in found[0]


def test_doctor_says_what_is_missing_and_only_a_requirement_makes_it_wrong() -> None:
    found = Confinement(network=("system call filter",), refused=("Landlock: not implemented",))

    wished = list(judge_confinement("prefer", found))
    required = list(judge_confinement("require", found))

    assert [one.status for one in wished] == ["warning", "ok", "warning"]
    assert [one.status for one in required] == ["wrong", "ok", "wrong"]
    assert "can open every file of this user (Landlock: not implemented)" in wished[0].text
    assert all(one.advice for one in wished if one.status != "ok")


@pytest.mark.parametrize("policy", ["require", "prefer", "off"])
def test_a_worker_says_at_its_start_how_it_is_confined_or_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    policy: str,
) -> None:
    less = Confinement(network=("network namespace",), refused=("Landlock: not implemented",))
    monkeypatch.setattr("sfu_wrapper.app.worker.probe", lambda: less)
    monkeypatch.chdir(tmp_path)
    for key, value in {
        "AUTH__SECRET": "0123456789abcdef0123456789abcdef",
        "WORKER__CONFINEMENT": policy,
        "STORE__URL": f"sqlite:{tmp_path}/state/store.db",
        "RECORDINGS_PATH": str(tmp_path / "raw"),
        "AUDIO_PATH": str(tmp_path / "audio"),
        "DESTINATION_PATH": str(tmp_path / "out"),
        "LOGS_PATH": str(tmp_path / "logs"),
    }.items():
        monkeypatch.setenv(f"SFU_WRAPPER__{key}", value)

    code = main(["worker", "--once"])

    said = capsys.readouterr().err
    if policy == "off":
        assert code == 0
        assert "worker.unconfined" in said
        return
    assert "worker.confinement" in said
    assert "Landlock: not implemented" in said
    assert code == (0 if policy == "prefer" else 75)
    if policy == "require":
        assert "nothing keeps the files and the privileges of media processes" in said


def test_the_probe_says_so_where_it_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "alone", lambda _: ["/bin/false"])

    with pytest.raises(OSError, match="exit status 1"):
        probe()


def test_this_system_keeps_all_three() -> None:
    assert probe().missing == ()
