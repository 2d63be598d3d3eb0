"""A shell in a folder that looks like a clone, for pages whose blocks a reader runs one by one."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.helpers.pages import DOCS, blocks
from tests.helpers.processes import free_port

TOP = DOCS.parent


def clone(folder: Path) -> dict[str, str]:
    """Make a folder look like a clone with its environment; return ports in place of the usual."""
    for name in ("config", "docs", ".venv", "sfu_wrapper"):
        (folder / name).symlink_to(TOP / name)
    return {number: str(free_port()) for number in ("8765", "8080", "8000")}


class Shell:
    """A bash in a clone, which runs the blocks of a page on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.ports = clone(folder)
        ports = {"WEBSOCKET__PORT": self.ports["8765"], "HTTP__PORT": self.ports["8080"]}
        environment = os.environ | {f"SFU_WRAPPER__{key}": value for key, value in ports.items()}
        environment["PATH"] = f"{folder}/.venv/bin:{environment['PATH']}"
        self._jobs: list[int] = []
        self._process = subprocess.Popen(
            ["bash", "-m"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str) -> list[str]:
        """Run a block; return the lines that it printed, and an empty one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for number, port in self.ports.items():
            script = script.replace(number, port)
        self._process.stdin.write(f"{script}\necho\necho the-end $(jobs -p)\n")
        self._process.stdin.flush()
        lines: list[str] = []
        while not (line := self._process.stdout.readline()).startswith("the-end"):
            assert line, f"the shell has ended: {lines}"
            lines.append(line.rstrip("\n"))
        self._jobs = [int(pid) for pid in line.split()[1:]]
        return lines

    def close(self) -> None:
        """End the shell and everything that it started."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write("kill $(jobs -p) 2> /dev/null; wait; exit\n")
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        for group in (*self._jobs, self._process.pid):  # each job has a group of its own
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def shell_blocks(page: str, *titles: str) -> list[str]:
    """Return the blocks of commands below these headings."""
    return [text for title in titles for text in blocks(page, title, "sh")]
