"""How often somebody may ask (protocol.md, "Limits"). Knows no clock: the time is given to it.

Fair turns: how much of what many peers ask for is done in one round of the event loop.

A peer that has more to be done waits for its turn, in the order of arrival. So a round stays short
however many peers flood: answers, commits and timers of everybody else are never more than a round
away. A peer that asks for one thing at a time is served at once, and waits afterwards.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.identity import Identity, UserKey

ANSWER_BYTES = 4096  # of an answer that counts as one request; a longer one counts as several
NOTICES = 50  # people told of a change, that count as one more request of whoever made it
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
        """How long until there is a token; 0 when there is one."""
        if self._filled_ms is not None and now_ms > self._filled_ms:
            gained = (now_ms - self._filled_ms) * self._per_ms
            self._tokens = min(self._burst, self._tokens + gained)
        self._filled_ms = now_ms
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._per_ms

    def take(self, tokens: float = 1) -> None:
        """Use a token that ``wait_ms`` has found; of more than there are, the rest is owed."""
        self._tokens -= tokens

    def charge(self, tokens: float) -> None:
        """Count what a request cost beyond itself: a long answer, notices to many people.

        One charge takes half a burst at most, and no more than a burst is ever owed: whoever asks
        for little goes on at once, and whoever asks again and again waits for ``burst`` tokens.
        """
        self._tokens = max(self._tokens - min(tokens, self._burst / 2), -self._burst)

    def is_full(self, now_ms: int) -> bool:
        """Whether it cannot be told from a new one."""
        return self.wait_ms(now_ms) == 0 and self._tokens >= self._burst


class Limits:
    """The buckets of all users, over all of their connections."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._users: dict[tuple[UserKey, bool], TokenBucket] = {}
        self._sweep_at = _SWEEP_FROM

    @property
    def known(self) -> int:
        """How many users have a bucket at hand."""
        return len(self._users)

    def fresh(self, *, service: bool = False) -> TokenBucket:
        """A bucket for one connection. The room service may burst for as long as anybody."""
        rate, burst = self._settings.requests_per_second, self._settings.requests_burst
        if service:
            seconds = burst / rate
            rate = self._settings.service_requests_per_second
            return TokenBucket(rate, rate * seconds)
        return TokenBucket(rate, burst)

    def of(self, identity: Identity, now_ms: int) -> TokenBucket:
        """The bucket of a user; a user that has not asked for a while has a new one."""
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
    """How long to leave a connection unread after its request was refused.

    Refusals of all connections together take tokens; while there are some, nobody waits. Of a flood
    each connection waits until its own refusal is paid for, so that however many there are, they
    are answered no faster than the tokens come.
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
        """Wait for the next turn, a round away where nobody else waits.

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
            if not turn.done():  # whoever was cancelled meanwhile takes no place
                turn.set_result(None)
                left -= weight
        if self._waiting:
            loop.call_soon(self._next_round, loop)


class Errands:
    """Work that nobody waits for, a bounded number in one round of the event loop, in order.

    Args:
        a_round: how many are done in one round; work raises nothing.
    """

    def __init__(self, a_round: int) -> None:
        self._a_round = a_round
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Do this in its turn."""
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
