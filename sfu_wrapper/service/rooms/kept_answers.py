"""Shares of users in the answers that are kept for repeats: the oldest make room for the newest.

Without a bound, one user could fill the store within the time for which answers are kept. Counting
costs O(1) an answer; what has expired is no longer counted, whether or not it is still stored.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

OVERHEAD_BYTES: Final = 256  # of a stored answer, beside its own


@dataclass(frozen=True, slots=True)
class _Kept:
    user: str
    key: str
    bytes: int
    expires_ms: int


@dataclass(slots=True)
class _Share:
    """What is kept for one user, oldest first."""

    bytes: int = 0
    answers: deque[_Kept] = field(default_factory=deque)


class KeptAnswers:
    """Sizes of the kept answers by user. limit_bytes: of one user; 0: no limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._shares: dict[str, _Share] = {}
        self._all: deque[_Kept] = deque()  # oldest first, which is the order of expiry as well

    def add(self, key: str, size: int, expires_ms: int, now_ms: int) -> list[str]:
        """Count one more answer.

        Args:
            key: as of ``RequestRef``, which begins with domain and user.
            size: bytes of the answer.
            expires_ms, now_ms: epoch ms; answers are added in the order of their expiry.

        Returns:
            Keys to be kept no longer; its own among them where it alone is too large.
        """
        if not self._limit_bytes:
            return []
        self._expire(now_ms)
        user = "\n".join(key.split("\n", 2)[:2])
        kept = _Kept(user, key, size + OVERHEAD_BYTES, expires_ms)
        share = self._shares.setdefault(user, _Share())
        share.answers.append(kept)
        share.bytes += kept.bytes
        self._all.append(kept)
        gone = []
        while share.bytes > self._limit_bytes:
            gone.append(self._drop_oldest(share))
        return gone

    def _expire(self, now_ms: int) -> None:
        while self._all and self._all[0].expires_ms <= now_ms:
            expired = self._all.popleft()
            share = self._shares.get(expired.user)
            if share is None or not share.answers or share.answers[0] is not expired:
                continue  # it had to make room before
            self._drop_oldest(share)
            if not share.answers:
                del self._shares[expired.user]

    @staticmethod
    def _drop_oldest(share: _Share) -> str:
        oldest = share.answers.popleft()
        share.bytes -= oldest.bytes
        return oldest.key
