"""Key set (JWKS) of an identity provider: fetched in the background and kept fresh.

A token is verified only with keys that are loaded; its header may choose one of them by ``kid``. An
unknown ``kid`` makes ``run`` fetch the set again, at most once in ``AGAIN_S``. While the set is
unavailable the last good keys stay valid; without any, every token is refused.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, cast

import jwt

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.gateway.auth import VerifyingKey, fitting_algorithm
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.system import KeySetSource

REFRESH_S: Final = 300.0  # regular fetches, which drop withdrawn keys
AGAIN_S: Final = 10.0  # least time between fetches for unknown keys
FIRST_S: Final = 5.0  # that a controller waits for its first keys before it listens
MAX_KEYS: Final = 32
MAX_LISTED: Final = 256  # entries of a key set that are read, usable or not
MAX_TRIED: Final = 4  # keys for one token
BACKOFF: Final = Backoff(1.0, 60.0)

log = logging.getLogger(__name__)

_Named = tuple[str | None, VerifyingKey]
Keys = tuple[_Named, ...]


def read_key_set(body: bytes, algorithms: Collection[str]) -> Keys:
    """Return the keys that can verify tokens, each with its id; others are skipped.

    Raises:
        Unavailable: the body is no key set, or none of its keys is accepted.
    """
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unavailable("the response is not a key set") from error
    listed = listed[:MAX_LISTED] if isinstance(listed, list) else ()
    keys = tuple(islice(_usable_keys(listed, algorithms), MAX_KEYS))
    if not keys:
        raise Unavailable("the key set holds no key for a signature that is accepted")
    return keys


def _usable_keys(listed: Sequence[object], algorithms: Collection[str]) -> Iterator[_Named]:
    """Yield public keys of accepted signatures; secrets and encryption keys are skipped."""
    for each in listed:
        try:
            key = jwt.PyJWK(cast("dict[str, Any]", each))
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, RuntimeError):
            continue  # unknown kind, or malformed
        algorithm = fitting_algorithm(key.key)
        if algorithm in algorithms and algorithm == key.algorithm_name and _signs(key):
            yield key.key_id, VerifyingKey(key.key, (algorithm,))


def _signs(key: jwt.PyJWK) -> bool:
    return key.public_key_use in (None, "sig")


class KeySet:
    """``KeySource`` of a fetched key set.

    Args:
        source: fetches the set.
        algorithms: accepted signature algorithms.
        report: called after each fetch; True: the fetch succeeded.
        refresh_s: time between regular fetches.
        again_s: least time between fetches for unknown keys.
        backoff: pauses after failures.
    """

    def __init__(
        self,
        source: KeySetSource,
        algorithms: Collection[str],
        report: Callable[[bool], None],
        *,
        refresh_s: float = REFRESH_S,
        again_s: float = AGAIN_S,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._source = source
        self._algorithms = algorithms
        self._report = report
        self._refresh_s = refresh_s
        self._again_s = again_s
        self._backoff = backoff
        self._pauses_s = iter(backoff)
        self._keys: Keys = ()
        self._tried = asyncio.Event()
        self._wanted = asyncio.Event()
        self._failed = False

    def candidates(self, token: str) -> Sequence[VerifyingKey]:
        """Return the keys of the token's ``kid``; of a token without one, those of its ``alg``.

        At most ``MAX_TRIED``: each costs a verification before the sender is known.
        """
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return ()
        kid = header.get("kid")
        found = [key for key_id, key in self._keys if kid in (None, key_id)]
        if not found:
            self._wanted.set()
        return [key for key in found if header.get("alg") in key.algorithms][:MAX_TRIED]

    async def settled(self) -> None:
        """Wait for the end of the first fetch, at most ``FIRST_S``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._tried.wait()

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        while True:
            await self._refresh()
            self._tried.set()
            self._wanted.clear()
            pause_s = self._pause_s()
            soonest_s = min(self._again_s, pause_s)
            await asyncio.sleep(soonest_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s - soonest_s):
                    await self._wanted.wait()

    def _pause_s(self) -> float:
        if not self._failed:
            return self._refresh_s
        return min(next(self._pauses_s), self._refresh_s)

    async def _refresh(self) -> None:
        try:
            keys = read_key_set(await self._source.fetch(), self._algorithms)
        except Unavailable as error:
            if not self._failed:
                extra = {"error": error.detail, "keys": len(self._keys)}
                log.warning("auth.jwksUnavailable", extra=extra)
                self._failed, self._pauses_s = True, iter(self._backoff)
            self._report(False)
            return
        if self._failed or len(keys) != len(self._keys):
            log.info("auth.keysRead", extra={"keys": len(keys)})
        self._keys, self._failed = keys, False
        self._report(True)
