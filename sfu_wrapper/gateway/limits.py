"""Rate limits of users (protocol.md, "Limits"), and bounds on the work of one event loop round.

Token buckets have no clock: callers pass the time. ``Turns`` and ``Errands`` do a bounded number of
pieces of work in one round of the event loop, in order of arrival. A round stays short however
many peers flood, so responses, commits and timers of all others are at most a round away. A peer
that sends one request at a time gets its response at once, and waits afterwards.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.identity import Identity, UserKey

ANSWER_BYTES = 4096  # of a response that counts as one request; a longer one counts as several
NOTICES = 50  # recipients of a change that count as one more request of its sender
_SWEEP_FROM = 1024  # buckets of users; below it nothing is ever cleaned up


class TokenBucket:
    """``per_second`` tokens a second, at most ``burst`` of them; times are monotonic ms."""

    __slots__ = ("_burst", "_filled_ms", "_per_ms", "_tokens")

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_ms = per_second / 1000
        self._burst = max(burst, 1.0)
        self._tokens = self._burst
        self._filled_ms: int | None = None

    def wait_ms(self, now_ms: int) -> float:
        """Return the time in ms until a token is available; 0: now."""
        if self._filled_ms is not None and now_ms > self._filled_ms:
            gained = (now_ms - self._filled_ms) * self._per_ms
            self._tokens = min(self._burst, self._tokens + gained)
        self._filled_ms = now_ms
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._per_ms

    def take(self, tokens: float = 1) -> None:
        """Use a token that ``wait_ms`` has found; of more than there are, the rest is owed."""
        self._tokens -= tokens

    def charge(self, tokens: float) -> None:
        """Charge the extra cost of a request: a long response, notices to many users.

        One charge takes at most half a burst, and at most a burst is owed: a client with a single
        costly request continues at once, one with many waits for ``burst`` tokens.
        """
        self._tokens = max(self._tokens - min(tokens, self._burst / 2), -self._burst)

    def is_full(self, now_ms: int) -> bool:
        """Return True if the bucket equals a new one."""
        return self.wait_ms(now_ms) == 0 and self._tokens >= self._burst


class Limits:
    """The buckets of all users, over all of their connections."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._users: dict[tuple[UserKey, bool], TokenBucket] = {}
        self._sweep_at = _SWEEP_FROM

    @property
    def known(self) -> int:
        """Number of users with a bucket."""
        return len(self._users)

    def fresh(self, *, service: bool = False) -> TokenBucket:
        """Return a bucket for one connection. The service's burst lasts as long as a user's."""
        rate, burst = self._settings.requests_per_second, self._settings.requests_burst
        if service:
            seconds = burst / rate
            rate = self._settings.service_requests_per_second
            return TokenBucket(rate, rate * seconds)
        return TokenBucket(rate, burst)

    def of(self, identity: Identity, now_ms: int) -> TokenBucket:
        """Return the bucket of a user; a new one if the user was idle for long."""
        key = identity.key, identity.is_service
        bucket = self._users.get(key)
        if bucket is None:
            self._sweep(now_ms)
            bucket = self._users[key] = self.fresh(service=identity.is_service)
        return bucket

    def _sweep(self, now_ms: int) -> None:
        """Drop full buckets whenever their number has doubled, so that it costs little a user."""
        if len(self._users) < self._sweep_at:
            return
        used = {key: b for key, b in self._users.items() if not b.is_full(now_ms)}
        self._users = used
        self._sweep_at = max(_SWEEP_FROM, 2 * len(used))


class Refusals:
    """Delay before the next request of a connection is read after a refusal.

    Refusals of all connections take tokens from one bucket; while it has some, no connection waits.
    In a flood each connection waits until its own refusal is paid for, so refusals are sent no
    faster than the tokens come.
    """

    def __init__(self, per_second: float, burst: float, longest_s: float) -> None:
        self._bucket = TokenBucket(per_second, burst)
        self._longest_ms = longest_s * 1000

    def delay_s(self, now_ms: int) -> float:
        """Count one refusal. Returns the seconds that its connection has to wait."""
        if self._bucket.wait_ms(now_ms) < self._longest_ms:
            self._bucket.take()
        return min(self._bucket.wait_ms(now_ms), self._longest_ms) / 1000


class Turns:
    """Places in the rounds of one event loop.

    Args:
        a_round: how many peers go on in one round.
    """

    def __init__(self, a_round: int) -> None:
        self._a_round = a_round
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, weight: int = 1) -> None:
        """Wait for the next turn, a round away if no other peer waits.

        Args:
            weight: how many peers it counts as.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._next_round, loop)
        self._waiting.append((turn, weight))
        await turn

    def _next_round(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._a_round
        while self._waiting and left > 0:
            turn, weight = self._waiting.popleft()
            if not turn.done():  # a cancelled waiter takes no place
                turn.set_result(None)
                left -= weight
        if self._waiting:
            loop.call_soon(self._next_round, loop)


class Errands:
    """Background work, a bounded number of pieces in one round of the event loop, in order.

    Args:
        a_round: how many are done in one round; work raises nothing.
    """

    def __init__(self, a_round: int) -> None:
        self._a_round = a_round
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Do the work in its turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next_round)
        self._waiting.append(work)

    def _next_round(self) -> None:
        try:
            for _ in range(min(self._a_round, len(self._waiting))):
                self._waiting.popleft()()
        finally:
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next_round)
