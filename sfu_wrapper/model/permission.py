"""What may be stored about who may record (policy.md, "Permissions")."""

from dataclasses import dataclass
from enum import StrEnum


class RecordingType(StrEnum):
    """Which media streams may be recorded."""

    ALL = "all"
    AUDIO = "audio"
    VIDEO = "video"
    NONE = "none"


class RecordingProfile(StrEnum):
    """The policy; only ALWAYS lets a call be recorded."""

    ALWAYS = "always"
    OPTIONAL = "optional"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class RecordingPermissions:
    """One stored permission, of a user or of a domain; both fields are always given."""

    recording_type: RecordingType
    recording_profile: RecordingProfile


@dataclass(frozen=True, slots=True)
class OwnerPermissions:
    """What is stored for a room's owner at one moment: its own, and its domain's."""

    user: RecordingPermissions | None = None
    domain: RecordingPermissions | None = None
