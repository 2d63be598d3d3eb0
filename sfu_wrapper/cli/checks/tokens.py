"""Whose tokens are believed."""

from collections.abc import AsyncIterator

from sfu_wrapper.adapters.clock import SystemClock
from sfu_wrapper.cli.checks.finding import Finding, good, wrong
from sfu_wrapper.cli.parts import authenticator
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """The key is made as the controller would make it."""
    auth = settings.auth
    try:
        authenticator(auth, SystemClock())
    except Misconfigured as error:
        yield wrong(error.detail, "serve does not start without it")
        return
    where = "auth.secret" if auth.secret else f"auth.publicKeyFile {auth.public_key_file}"
    yield good(f"{', '.join(auth.accepted_algorithms)} with {where}")
