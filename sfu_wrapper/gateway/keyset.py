"""The keys of an identity provider: read from its key set, kept at hand, and kept fresh.

A token is only ever checked with keys that are here; its header may choose one of them by ``kid``
and name nothing else. A ``kid`` that nobody knows has the set fetched again soon, but never more
often than ``AGAIN_S``. While the set cannot be had the last good keys count; without any, nobody is
believed.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, cast

import jwt

from sfu_wrapper.gateway.auth import VerifyingKey, fitting_algorithm
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.system import KeySetSource

REFRESH_S: Final = 300.0  # so often it is fetched anyway: a key that was taken back is dropped
AGAIN_S: Final = 10.0  # no unknown key makes it fetched sooner
FIRST_S: Final = 5.0  # how long a controller waits for its first keys before it opens its doors
MAX_KEYS: Final = 32
MAX_LISTED: Final = 256  # entries of a key set that are looked at, usable or not
MAX_TRIED: Final = 4  # keys for one token
BACK_OFF_S: Final = (1.0, 60.0)  # first, longest; doubled each time

log = logging.getLogger(__name__)

_Named = tuple[str | None, VerifyingKey]
Keys = tuple[_Named, ...]


def read_key_set(body: bytes, algorithms: Collection[str]) -> Keys:
    """The keys that may verify, each with its id if it has one; others are passed over.

    Raises:
        Unavailable: it is no key set, or none of its keys can be used here.
    """
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unavailable("what came is no key set") from error
    listed = listed[:MAX_LISTED] if isinstance(listed, list) else ()
    keys = tuple(islice(_usable_keys(listed, algorithms), MAX_KEYS))
    if not keys:
        raise Unavailable("the key set holds no key for a signature that is accepted")
    return keys


def _usable_keys(listed: Sequence[object], algorithms: Collection[str]) -> Iterator[_Named]:
    """Not secrets, private keys, keys for encryption, or for signatures that are not accepted."""
    for each in listed:
        try:
            key = jwt.PyJWK(cast("dict[str, Any]", each))
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, RuntimeError):
            continue  # a kind that is not known here, or not well made
        algorithm = fitting_algorithm(key.key)
        if algorithm in algorithms and algorithm == key.algorithm_name and _signs(key):
            yield key.key_id, VerifyingKey(key.key, (algorithm,))


def _signs(key: jwt.PyJWK) -> bool:
    return key.public_key_use in (None, "sig")


class KeySet:
    """A ``KeySource`` that is fetched.

    report: told after each fetch whether it succeeded.
    """

    def __init__(
        self,
        source: KeySetSource,
        algorithms: Collection[str],
        report: Callable[[bool], None],
        *,
        refresh_s: float = REFRESH_S,
        again_s: float = AGAIN_S,
        back_off_s: tuple[float, float] = BACK_OFF_S,
    ) -> None:
        self._source = source
        self._algorithms = algorithms
        self._report = report
        self._refresh_s = refresh_s
        self._again_s = again_s
        self._back_off_s = back_off_s
        self._keys: Keys = ()
        self._tried = asyncio.Event()
        self._wanted = asyncio.Event()
        self._failed = 0

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
        """Until the set was fetched, or could not be; not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._tried.wait()

    async def run(self) -> None:
        """Keep it fresh until cancelled."""
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
        first_s, longest_s = self._back_off_s
        if not self._failed:
            return self._refresh_s
        return min(first_s * 2.0 ** min(self._failed - 1, 10), longest_s, self._refresh_s)

    async def _refresh(self) -> None:
        try:
            keys = read_key_set(await self._source.fetch(), self._algorithms)
        except Unavailable as error:
            self._failed += 1
            if self._failed == 1:
                extra = {"error": error.detail, "keys": len(self._keys)}
                log.warning("auth.jwksUnavailable", extra=extra)
            self._report(False)
            return
        if self._failed or len(keys) != len(self._keys):
            log.info("auth.keysRead", extra={"keys": len(keys)})
        self._keys, self._failed = keys, 0
        self._report(True)
