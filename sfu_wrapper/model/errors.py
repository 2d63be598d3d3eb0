"""Errors that this package raises on purpose.

RecordingError
├── Refused        the caller may not do this now                      never retried
├── Malformed      the caller sent something unreadable                never retried
├── Misconfigured  a configuration file or variable is wrong           never retried
├── Unavailable    a peer (media plane, broker, store, disk) is down   retried
├── JobFailed      one segment could not be processed                  retried unless permanent
└── Broken         our own bug                                         reported with an incident id

``code`` is wire contract: errors.md, "Answers to requests", and for jobs
"Segments that could not be processed".
"""

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """Error codes of the signaling protocol (errors.md, "Answers to requests")."""

    BAD_REQUEST = "BAD_REQUEST"
    UNKNOWN_ENDPOINT = "UNKNOWN_ENDPOINT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    ROOM_REQUIRED = "ROOM_REQUIRED"
    ROOM_NOT_FOUND = "ROOM_NOT_FOUND"
    ROOM_EXISTS = "ROOM_EXISTS"
    ROOM_ENDED = "ROOM_ENDED"
    NOT_IN_ROOM = "NOT_IN_ROOM"
    PUBLIC_ROOM = "PUBLIC_ROOM"
    PSTN_ROOM = "PSTN_ROOM"
    NOT_ROOM_OWNER = "NOT_ROOM_OWNER"
    NOT_PERMITTED = "NOT_PERMITTED"
    NOT_ESTABLISHED = "NOT_ESTABLISHED"
    ALREADY_RECORDING = "ALREADY_RECORDING"
    NOT_RECORDING = "NOT_RECORDING"
    RECORDING_LIMIT = "RECORDING_LIMIT"
    RECORDING_HELD = "RECORDING_HELD"
    RECORDING_RUNNING = "RECORDING_RUNNING"
    RECORDING_DELETED = "RECORDING_DELETED"
    RECORDING_NOT_FAILED = "RECORDING_NOT_FAILED"
    RAW_FILES_GONE = "RAW_FILES_GONE"
    COUNT_CHANGED = "COUNT_CHANGED"
    FILE_LOST = "FILE_LOST"
    NOT_MOUNTED = "NOT_MOUNTED"
    LINK_INVALID = "LINK_INVALID"
    MEDIA_FAILED = "MEDIA_FAILED"
    RATE_LIMITED = "RATE_LIMITED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"
    NOT_FOUND = "NOT_FOUND"  # HTTP and /media: absent, or hidden from the requester


class Stage(StrEnum):
    """Steps of the processing of a segment, in order."""

    EVENT = "event"
    PREPROCESS = "preprocess"
    COMPOSE = "compose"
    SPLIT = "split"
    ENCRYPT = "encrypt"
    DELIVER = "deliver"


class JobCode(StrEnum):
    """Error codes of failed segments (errors.md, "Segments that could not be processed").

    ``core.job.FAILURES`` has the owner and the permanence of each.
    """

    NOT_A_RECORDING_INFO = "NOT_A_RECORDING_INFO"
    UNSAFE_NAME = "UNSAFE_NAME"
    NO_RESULT = "NO_RESULT"
    MISSING_FILE = "MISSING_FILE"
    UNREADABLE_MJR = "UNREADABLE_MJR"
    UNSUPPORTED_CODEC = "UNSUPPORTED_CODEC"
    ENCRYPTED_MJR = "ENCRYPTED_MJR"
    PICTURE_TOO_LARGE = "PICTURE_TOO_LARGE"
    NO_PREPROCESSOR = "NO_PREPROCESSOR"
    PREPROCESSOR_FAILED = "PREPROCESSOR_FAILED"
    MUX_FAILED = "MUX_FAILED"
    UNREADABLE_INPUT = "UNREADABLE_INPUT"
    MEDIA_ERROR = "MEDIA_ERROR"
    MEDIA_CRASH = "MEDIA_CRASH"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    BAD_RESULT = "BAD_RESULT"
    TIMEOUT = "TIMEOUT"
    NO_SPACE = "NO_SPACE"
    IO_ERROR = "IO_ERROR"
    NAME_TAKEN = "NAME_TAKEN"
    BAD_MANIFEST = "BAD_MANIFEST"
    NO_ENCRYPTION = "NO_ENCRYPTION"
    KEY_UNUSABLE = "KEY_UNUSABLE"
    NO_GPG = "NO_GPG"
    GPG_FAILED = "GPG_FAILED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


ContextValue = str | int | float | bool | None


class RecordingError(Exception):
    """Base class of the tree; only subclasses are raised.

    Attributes:
        detail: one sentence for the reader of the error: what is wrong and what to do.
        context: further facts (ids, limits), for ``details`` on the wire and for logs.
    """

    code: str = "INTERNAL"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, **context: ContextValue) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context


class Refused(RecordingError):
    """The caller may not do this, or not now. Nothing has changed."""

    def __init__(self, code: Code, detail: str, **context: ContextValue) -> None:
        super().__init__(detail, **context)
        self.code = code


class Malformed(RecordingError):
    """The caller sent something unreadable; ``context`` may hold the ``path`` of the field."""

    code = Code.BAD_REQUEST


class Misconfigured(RecordingError):
    """A configuration value is wrong; the detail names file, key, value and what is allowed."""

    code = "MISCONFIGURED"


class Unavailable(RecordingError):
    """A peer (media plane, broker, store, disk) does not answer, or not in time; retry later."""

    code = Code.OVERLOADED
    retryable = True


class JobFailed(RecordingError):
    """The processing of one segment failed.

    Attributes:
        stage: step that failed.
        code: the kind of the failure; stable, upper case.
        permanent: True where a retry cannot succeed.
        file: the input or output file concerned; None where there is none.
    """

    def __init__(
        self, stage: Stage, code: JobCode, detail: str, *, permanent: bool, file: str | None = None
    ) -> None:
        super().__init__(detail)
        self.stage = stage
        self.code = code
        self.permanent = permanent
        self.file = file


class Broken(RecordingError):
    """Bug of our own: an invariant does not hold."""
