"""Whose fault a failed segment is: who has to do something before another try can help. Pure."""

from collections.abc import Mapping
from enum import StrEnum


class Fault(StrEnum):
    """Who has to mend it.

    sender: of the event. recording: the raw files are what they are. setup: configuration, keys,
    programs. machine: disk, memory, load, peers. ours: a bug.
    """

    SENDER = "sender"
    RECORDING = "recording"
    SETUP = "setup"
    MACHINE = "machine"
    OURS = "ours"


FAULTS: Mapping[str, Fault] = {
    "NOT_A_RECORDING_INFO": Fault.SENDER,
    "UNSAFE_NAME": Fault.SENDER,
    "MISSING_FILE": Fault.RECORDING,
    "UNREADABLE_MJR": Fault.RECORDING,
    "UNSUPPORTED_CODEC": Fault.RECORDING,
    "ENCRYPTED_MJR": Fault.RECORDING,
    "PICTURE_TOO_LARGE": Fault.RECORDING,
    "UNREADABLE_INPUT": Fault.RECORDING,
    "MEDIA_ERROR": Fault.RECORDING,
    "LIMIT_EXCEEDED": Fault.RECORDING,
    "NO_PREPROCESSOR": Fault.SETUP,
    "PREPROCESSOR_FAILED": Fault.SETUP,
    "NAME_TAKEN": Fault.SETUP,
    "NO_ENCRYPTION": Fault.SETUP,
    "KEY_UNUSABLE": Fault.SETUP,
    "NO_GPG": Fault.SETUP,
    "GPG_FAILED": Fault.SETUP,
    "MUX_FAILED": Fault.MACHINE,
    "MEDIA_CRASH": Fault.MACHINE,
    "BAD_RESULT": Fault.MACHINE,
    "TIMEOUT": Fault.MACHINE,
    "NO_SPACE": Fault.MACHINE,
    "IO_ERROR": Fault.MACHINE,
    "BAD_MANIFEST": Fault.MACHINE,
    "UNAVAILABLE": Fault.MACHINE,
    "NO_RESULT": Fault.OURS,
    "INTERNAL": Fault.OURS,
}


def fault_of(code: str) -> Fault:
    """Whose fault a code of a failed segment stands for; one that nobody has named is ours."""
    return FAULTS.get(code, Fault.OURS)
