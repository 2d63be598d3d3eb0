"""Checks of this machine and of the configuration: runtime, values, keys of tokens, audit and
encryption, access by browsers.

Each check yields its findings; none yields anything on a subject that is not configured.
"""

import platform
import resource
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Final

from sfu_wrapper import __version__
from sfu_wrapper.adapters.http_fetch import HttpKeySet
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.parts import audit_signer, authenticator
from sfu_wrapper.app.planes import PLANES
from sfu_wrapper.app.worker import encryptor
from sfu_wrapper.config import rules
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.gateway.keyset import read_key_set
from sfu_wrapper.model.errors import JobFailed, Misconfigured, Unavailable
from sfu_wrapper.observe.findings import Finding, ok, warning, wrong
from sfu_wrapper.service.worker.key_watch import days_left
from sfu_wrapper.wire.strict_json import iso

_LIBRARIES: Final = ("websockets", "aio-pika", "pydantic", "fastapi", "pyjwt", "cryptography", "av")
_ENOUGH_FILES: Final = 4096  # a client is one


async def check_runtime(settings: Settings) -> AsyncIterator[Finding]:
    """Report versions, and the programs that this configuration requires."""
    yield ok(
        f"sfu-wrapper {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.release()}"
    )
    yield ok(", ".join(f"{name} {version(name)}" for name in _LIBRARIES))
    if settings.recording.should_encrypt:
        yield check_program("gpg", "gnupg", "should_encrypt")
    if settings.recording.preprocessor != "builtin":
        yield check_program(settings.recording.preprocessor, "janus-tools", "preprocessor")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= _ENOUGH_FILES:
        yield ok(f"{most if most != resource.RLIM_INFINITY else 'any number of'} open files")
    else:
        advice = "raise the limit (ulimit -Hn, LimitNOFILE of systemd): each client needs one"
        yield warning(f"only {most} open files are allowed", advice)


def check_program(name: str, package: str, needed_for: str) -> Finding:
    """Return a finding: a program of the system is installed, or not."""
    found = shutil.which(name)
    if found is None:
        return wrong(f"{name} is not installed, and {needed_for} needs it", f"install {package}")
    return ok(f"{name}: {found}")


async def check_combinations(settings: Settings) -> AsyncIterator[Finding]:
    """Report warnings; conflicts prevent a start and were reported before."""
    found = list(rules.warnings(settings))
    for text in found:
        yield warning(text, "see docs/reference/configuration.md")
    if settings.permissions.user_may_write:
        yield warning(
            "permissions.userMayWrite = true: a user's own permission overrides its domain's",
            "set it to false if the domain must decide",
        )
    if settings.media.simulated_faults:
        yield warning("media.simulatedFaults is set: recording fails on purpose", "unset it")
    if not found:
        yield ok("no conflicts")


async def check_token_keys(settings: Settings) -> AsyncIterator[Finding]:
    """Load the key, or fetch the key set, as the controller does."""
    auth = settings.auth
    try:
        authenticator(auth, SystemClock())
    except Misconfigured as error:
        yield wrong(error.detail, "serve does not start without it")
        return
    accepted = ", ".join(auth.accepted_algorithms)
    if auth.jwks_url is None:
        where = "auth.secret" if auth.secret else f"auth.publicKeyFile {auth.public_key_file}"
        yield ok(f"{accepted} with {where}")
        return
    try:
        keys = read_key_set(await HttpKeySet(auth.jwks_url).fetch(), auth.accepted_algorithms)
    except Unavailable as error:
        yield wrong(
            f"auth.jwksUrl: {error.detail}",
            "every token is refused until the key set can be fetched",
        )
    else:
        yield ok(f"{accepted} with auth.jwksUrl: {len(keys)} keys")


async def check_audit_key(settings: Settings) -> AsyncIterator[Finding]:
    """Load the key that signs audit heads and evidence, and check who else may read it."""
    file = settings.audit.key_file
    if file is None:
        yield ok("heads and evidence are not signed (audit.keyFile is not set)")
        return
    try:
        audit_signer(settings)
        mode = stat.S_IMODE(file.stat().st_mode)
    except Misconfigured as error:
        yield wrong(error.detail, "serve does not start without it")
        return
    except OSError as error:
        yield wrong(f"audit.keyFile = {file}: {error.strerror}", "serve does not start without it")
        return
    if mode & 0o077:
        text = f"audit.keyFile = {file} has mode {mode:04o}: others can sign with it"
        yield warning(text, f"chmod 600 {file}; make a new key if others could read it")
    else:
        yield ok(f"{file} can sign")


async def check_encryption(settings: Settings) -> AsyncIterator[Finding]:
    """Test the key as the worker does, without encrypting anything."""
    encrypting = encryptor(settings.recording, settings.worker.confinement)
    if encrypting is None:
        yield ok("finished files are not encrypted (should_encrypt = false)")
        return
    try:
        expires_s = await encrypting.check()
    except JobFailed as error:
        advice = "set encryption_key and encryption_mail: workers require a usable key to start"
        yield wrong(f"{error.code}: {error.detail}", advice)
    else:
        yield _judge_expiry(settings, expires_s)


def _judge_expiry(settings: Settings, expires_s: int | None) -> Finding:
    recording = settings.recording
    text = f"{recording.encryption_key} can encrypt to {recording.encryption_mail}"
    if expires_s is None:
        return ok(text)
    day = iso(1000 * expires_s)[:10]
    days = days_left(expires_s - SystemClock().now().wall_ms / 1000)
    if days is None:
        return ok(f"{text} until {day}")
    advice = "extend it and export it again; after that no segment is processed"
    return warning(f"{text}, and expires in {days} days, on {day}", advice)


async def check_browser_access(settings: Settings) -> AsyncIterator[Finding]:
    """Check addresses and origins, without any connection."""
    if PLANES[settings.media.sfu].browsers is None:
        return
    url = settings.http.public_websocket_url
    if url is None and settings.http.host not in rules.LOOPBACK:
        yield warning(
            "http.publicWebsocketUrl is not set: except on this machine, browsers deny the camera "
            "to a page without https",
            "install a proxy with TLS and set its address: docs/how-to/deployment.md",
        )
    elif url is not None and url.startswith("ws://"):
        yield warning(
            f"http.publicWebsocketUrl = {url}: tokens cross the network unencrypted",
            "install a proxy with TLS and write wss://",
        )
    else:
        yield ok(f"browsers connect to {url or 'this machine only'}")
    if not settings.websocket.allowed_origins:
        yield warning(
            "websocket.allowedOrigins is empty: pages of any site may connect",
            "list the origin of the call page and of your own clients",
        )
