"""Check of the keys that verify tokens."""

from collections.abc import AsyncIterator

from sfu_wrapper.adapters.jwks import HttpKeySet
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.parts import authenticator
from sfu_wrapper.cli.checks.report import Finding, good, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.gateway.keyset import read_key_set
from sfu_wrapper.model.errors import Misconfigured, Unavailable


async def look(settings: Settings) -> AsyncIterator[Finding]:
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
        yield good(f"{accepted} with {where}")
        return
    try:
        keys = read_key_set(await HttpKeySet(auth.jwks_url).fetch(), auth.accepted_algorithms)
    except Unavailable as error:
        yield wrong(
            f"auth.jwksUrl: {error.detail}",
            "every token is refused until the key set can be fetched",
        )
    else:
        yield good(f"{accepted} with auth.jwksUrl: {len(keys)} keys")
