"""Permissions that decide on recording, as stored (policy.md, "Permissions")."""

from dataclasses import dataclass
from enum import StrEnum


class RecordingType(StrEnum):
    """Media streams that may be recorded."""

    ALL = "all"
    AUDIO = "audio"
    VIDEO = "video"
    NONE = "none"


class RecordingProfile(StrEnum):
    """Policy of a permission; only ALWAYS lets a call be recorded."""

    ALWAYS = "always"
    OPTIONAL = "optional"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class RecordingPermissions:
    """Stored permission of a user or of a domain; both fields are always set."""

    recording_type: RecordingType
    recording_profile: RecordingProfile


@dataclass(frozen=True, slots=True)
class OwnerPermissions:
    """Permissions stored for the owner of a room.

    Attributes:
        user: the owner's own permission; None: not set.
        domain: the permission of the owner's domain; None: not set.
    """

    user: RecordingPermissions | None = None
    domain: RecordingPermissions | None = None
