"""Bounds of everything that is read from outside, in one table (protocol.md, "Limits").

Each bound is checked before the thing that it bounds costs anything: a text before it is parsed, a
list before its items are validated. Quotas, which depend on what is stored, are not here.
"""

from dataclasses import dataclass
from typing import Final

UNAUTHENTICATED_BYTES: Final = 9_216  # of a message before its sender is known
MAX_ITEMS: Final = 4_096  # of a list in a request
MAX_TOPICS: Final = 16  # of a watch
MAX_DESCRIPTION: Final = 32_768  # characters of a session description of one stream
MAX_ROLES: Final = 64  # that a gateway may name for one client
MAX_TOKEN: Final = 8_192  # characters of a token; longer ones are not even decoded
MAX_TOKEN_HEADER: Final = 2_048  # of these, of its header, which is parsed before it is verified
MAX_CLAIMED: Final = 256  # roles, or audiences, of one token
MAX_PATH_PART: Final = 64  # characters of a field's name that an error repeats
MAX_PATH: Final = 256  # characters of the whole path


MAX_FILES: Final = 20_000  # of one kind (video, audio) in an event; outputs of a segment
MAX_STAYS: Final = 50_000  # of all participants in an event
MAX_NAME: Final = 256  # characters of an id, a reason or a kind in a broker message
MAX_TEXT: Final = 4_096  # characters of a file name or a sentence in a broker message


@dataclass(frozen=True, slots=True)
class Structure:
    """Limits on the structure of a JSON text, so that a refusal costs less than parsing it.

    Attributes:
        size: Bytes of an encoded text; None where its sender is limited already.
        commas: Commas in the whole text, those within strings included: a plain count of
            characters costs a tenth of a parse.
        brackets: Opening brackets and braces, counted in the same way.
    """

    commas: int
    brackets: int
    size: int | None = None

    def admits(self, text: str) -> bool:
        """Return True if the text stays within these limits."""
        if len(text) <= self.brackets:
            return True
        if text.count("[") + text.count("{") > self.brackets:
            return False
        return text.count(",") <= self.commas


MIB: Final = 1024 * 1024

BEFORE_AUTHENTICATION: Final = Structure(commas=256, brackets=64)
REQUEST: Final = Structure(commas=MAX_ITEMS + 256, brackets=256)
EVENT: Final = Structure(commas=1_000_000, brackets=300_000, size=16 * MIB)
OUTCOME: Final = Structure(commas=1_000_000, brackets=300_000, size=8 * MIB)
PROGRESS: Final = Structure(commas=64, brackets=16, size=4_096)
