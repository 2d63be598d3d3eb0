"""Encryption with the system's ``gpg``, to one public key out of a file.

Each call makes a temporary keyring that holds nothing but that key. The key is checked before every
use and addressed by its fingerprint, since gpg itself would accept any key whose user id merely
contains the mail address. Fails closed: the output appears only if it is whole and encrypted.
"""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import ParamSpec

from sfu_wrapper.adapters.os.beneath import open_plain
from sfu_wrapper.adapters.os.confinement import SYSTEM, Fence, Policy
from sfu_wrapper.adapters.os.files import no_space, refused
from sfu_wrapper.adapters.os.landlock import RUN, WORK
from sfu_wrapper.adapters.os.rlimits import Limits, command
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage

_CHECK_S = 30.0  # to check the key
_CLEANUP_S = 5.0
_MAX_OUTPUT_BYTES = 1 << 20
_MAX_KEY_BYTES = 1 << 20
_MAX_MEMORY_BYTES = 512 << 20
_SPARE_BYTES = 16 << 20
_OPTIONS = (
    "--batch",
    "--no-tty",
    "--no-options",
    "--no-autostart",  # an agent would outlive us, and holds nothing but secret keys
    "--no-auto-key-locate",
    "--trust-model=always",
    "--status-fd=1",
)
_STATUS = "[GNUPG:] "
# First bytes of a public-key encrypted session key packet, in the old and in the new form.
_PKESK = (0x84, 0x85, 0x86, 0xC1)
_UNUSABLE = {"e": "has expired", "r": "is revoked", "d": "is disabled", "i": "is invalid"}

Params = ParamSpec("Params")


class GpgEncryptor:
    """``Encryptor`` for one public key.

    Args:
        key_file: file with that key alone, armoured or binary.
        mail: address that one of the key's user ids must have exactly.
        program: name or path of ``gpg``.
        confinement: policy where the system does not allow to confine gpg.
    """

    def __init__(
        self, key_file: Path, mail: str, program: str = "gpg", confinement: Policy = "prefer"
    ) -> None:
        self._key_file = key_file
        self._mail = mail
        self._program = program
        self._confinement = confinement

    async def check(self) -> int | None:
        """See the port."""
        async with _within(_CHECK_S), self._keyring() as (_, key):
            return key.expires_s

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        """See the port."""
        part = target.with_name(f".{target.name}.part")
        try:
            async with _within(timeout_s):
                await self._encrypt(source, part, target, timeout_s)
        finally:
            await _clean_up(part.unlink, missing_ok=True)

    async def _encrypt(self, source: Path, part: Path, target: Path, timeout_s: float) -> None:
        await run_in_daemon_thread(part.unlink, missing_ok=True)
        number = await run_in_daemon_thread(open_plain, source)
        try:
            size = os.fstat(number).st_size
            async with self._keyring() as (home, key):
                options = ("--compress-algo=none", "--recipient", key.fingerprint)
                output = ("--set-filename", source.name, "--output", str(part), "--encrypt")
                status = await self._gpg(
                    home,
                    *options,
                    *output,
                    reads=number,
                    writes=(part.parent,),
                    cpu_s=timeout_s,
                    file_bytes=_SPARE_BYTES + 2 * size,
                )
        finally:
            os.close(number)
        if f"{_STATUS}END_ENCRYPTION" not in status.splitlines():
            detail = "gpg did not report the end of the encryption"
            raise _failed(JobCode.BAD_RESULT, detail, permanent=False)
        await run_in_daemon_thread(_settle, part, target, size)

    @asynccontextmanager
    async def _keyring(self) -> AsyncIterator[tuple[Path, "_Key"]]:
        """Provide a keyring with our key alone, and the key. Raises JobFailed."""
        if not await run_in_daemon_thread(self._key_file.is_file):
            raise _unusable(f"the key file {self._key_file} does not exist")
        # Read once: the key that is checked is the key that is used.
        key = await run_in_daemon_thread(_read_key, self._key_file)
        home = Path(await run_in_daemon_thread(tempfile.mkdtemp, prefix="gpg-"))  # with mode 0700
        try:
            packets = await self._gpg(home, "--list-packets", reads=key)
            if re.search(r"^:secret (sub )?key packet:", packets, re.MULTILINE):
                raise _unusable(f"{self._key_file} holds a secret key; give the public one")
            await self._gpg(home, "--import", reads=key)
            listed = await self._gpg(home, "--with-colons", "--list-keys")
            yield home, _usable_key(listed, self._mail)
        finally:
            await _clean_up(shutil.rmtree, home, ignore_errors=True)

    async def _gpg(
        self,
        home: Path,
        *arguments: str,
        reads: int | bytes = b"",
        writes: Sequence[Path] = (),
        cpu_s: float = _CHECK_S,
        file_bytes: int = _SPARE_BYTES,
    ) -> str:
        """Run gpg, confined to its keyring; return its standard output.

        Args:
            home: folder of the keyring.
            arguments: the command and its options.
            reads: standard input, a descriptor or bytes.
            writes: further folders that gpg may write to.
            cpu_s: limit of processor time in seconds.
            file_bytes: limit of the length of each file that gpg writes.

        Raises:
            JobFailed: gpg fails or is not installed.
        """
        program = shutil.which(self._program)
        if program is None:
            raise _failed(JobCode.NO_GPG, f"{self._program} cannot be run: it is not installed")
        limits = Limits(_MAX_MEMORY_BYTES, ceil(cpu_s), file_bytes)
        rules = (*SYSTEM, (program, RUN), *((str(folder), WORK) for folder in (home, *writes)))
        arguments = (program, "--homedir", str(home), *_OPTIONS, *arguments)
        confined = command(limits, arguments, Fence(self._confinement, rules))
        process = await _start(confined, reads)
        try:
            given = reads if isinstance(reads, bytes) else None
            output, errors = await process.communicate(given)
        finally:
            await _kill(process)
        if process.returncode:
            text = errors[-_MAX_OUTPUT_BYTES:].decode(errors="replace").strip()
            raise _failure_of(process.returncode, text)
        return output.decode(errors="replace")


@dataclass(slots=True)
class _Key:
    """A primary key of a listing; ``ends_s``: expiry of each part that encrypts; 0: never."""

    validity: str
    capabilities: str
    primary_end_s: int = 0
    fingerprint: str = ""
    mails: tuple[str, ...] = ()
    ends_s: tuple[int, ...] = ()

    @property
    def expires_s(self) -> int | None:
        """Time at which nothing of the key can encrypt any more, epoch s; None: never."""
        last_s = 0 if 0 in self.ends_s else max(self.ends_s, default=0)
        return min(filter(None, (self.primary_end_s, last_s)), default=None)


def _usable_key(listing: str, mail: str) -> _Key:
    """Return the only key in a listing.

    Raises:
        JobFailed: there is not exactly one key, or it cannot be used for that mail address.
    """
    keys = _keys(listing)
    if len(keys) != 1:
        raise _unusable(f"the key file holds {len(keys)} keys; there must be exactly one")
    (key,) = keys
    if key.validity in _UNUSABLE:
        raise _unusable(f"the key {_UNUSABLE[key.validity]}")
    if mail not in key.mails:
        raise _unusable(f"the key is not of {mail} but of {', '.join(key.mails) or 'no address'}")
    if "E" not in key.capabilities:
        raise _unusable("the key cannot encrypt: it has no valid encryption subkey")
    return key


def _keys(listing: str) -> list[_Key]:
    """Parse gpg's colon listing: doc/DETAILS of GnuPG, "Format of the colon listings"."""
    keys: list[_Key] = []
    for line in listing.splitlines():
        fields = line.split(":")
        match fields[0]:
            case "pub":
                keys.append(_Key(fields[1], fields[11], int(fields[6] or 0)))
                keys[-1].ends_s += _ends(fields)
            case "sub" if keys:
                keys[-1].ends_s += _ends(fields)
            case "fpr" if keys and not keys[-1].fingerprint:
                keys[-1].fingerprint = fields[9]
            case "uid" if keys and fields[1] not in _UNUSABLE:
                keys[-1].mails += (_mail(fields[9]),)
    return keys


def _ends(fields: list[str]) -> tuple[int, ...]:
    """Return the expiry of a key or subkey that can encrypt now, epoch s; 0: never."""
    usable = fields[1] not in _UNUSABLE and "e" in fields[11]
    return (int(fields[6] or 0),) if usable else ()


def _mail(user_id: str) -> str:
    """Return the address of a user id: ``Name (comment) <mail>``, or the mail address alone.

    In listings gpg writes a colon as ``\\x3a``.
    """
    text = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), user_id)
    found = re.fullmatch(r"(?:.* )?<([^<>]*)>", text)
    return found[1] if found else text


def _settle(part: Path, target: Path, size: int) -> None:
    """Check the form of gpg's output and rename it to ``target``. Raises JobFailed or OSError."""
    with os.fdopen(open_plain(part), "rb") as file:
        first = file.read(1)
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), 0o600)
        written = os.fstat(file.fileno()).st_size
    if not first or first[0] not in _PKESK or written <= size:
        raise _failed(
            JobCode.BAD_RESULT, "the output of gpg is not an encrypted file", permanent=False
        )
    part.replace(target)


def _read_key(file: Path) -> bytes:
    """Read the key file. Raises JobFailed where it is too long for a key, or OSError."""
    with file.open("rb") as key:
        content = key.read(_MAX_KEY_BYTES + 1)
    if len(content) > _MAX_KEY_BYTES:
        raise _unusable(f"{file} is longer than {_MAX_KEY_BYTES} bytes: export one public key")
    return content


@asynccontextmanager
async def _within(timeout_s: float) -> AsyncIterator[None]:
    """Limit the block's duration. Raises JobFailed on a timeout, and for each OSError within."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as exc:
        detail = f"the key and gpg took longer than {timeout_s:g} s"
        raise _failed(JobCode.TIMEOUT, detail, permanent=False) from exc
    except OSError as exc:
        raise refused(Stage.ENCRYPT, exc) from exc


async def _clean_up(
    work: Callable[Params, object], *args: Params.args, **kwargs: Params.kwargs
) -> None:
    """Remove files on a best-effort basis; no later attempt depends on their removal."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_CLEANUP_S):
            await run_in_daemon_thread(work, *args, **kwargs)


async def _start(arguments: Sequence[str], reads: int | bytes) -> asyncio.subprocess.Process:
    """Start a process in a process group of its own. Raises OSError."""
    return await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE if isinstance(reads, bytes) else reads,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        umask=0o077,
    )


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _failure_of(code: int, text: str) -> JobFailed:
    """Return the failure for an exit code of gpg; a full disk or a signal is not permanent."""
    if os.strerror(errno.ENOSPC) in text:
        return no_space(Stage.ENCRYPT, "the encrypted file")
    if code < 0:
        detail = f"gpg was killed by {signal.Signals(-code).name}"
        return _failed(JobCode.GPG_FAILED, detail, permanent=False)
    return _failed(JobCode.GPG_FAILED, text.rsplit("\n", 1)[-1] or "gpg failed")


def _unusable(detail: str) -> JobFailed:
    return _failed(JobCode.KEY_UNUSABLE, detail)


def _failed(code: JobCode, detail: str, *, permanent: bool = True) -> JobFailed:
    return JobFailed(Stage.ENCRYPT, code, detail, permanent=permanent)
