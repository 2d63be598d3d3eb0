"""Whose fault a failure is; ``tests/unit/test_docs.py`` holds the table to its page."""

from sfu_wrapper.core.job import FailureOwner, fault_of
from sfu_wrapper.model.errors import JobCode


def test_a_full_disk_is_the_machines_and_a_broken_file_the_recordings() -> None:
    assert fault_of(JobCode.NO_SPACE) is FailureOwner.MACHINE
    assert fault_of(JobCode.UNREADABLE_MJR) is FailureOwner.RECORDING


def test_what_nobody_has_named_is_ours() -> None:
    assert fault_of("SOMETHING_NEW") is FailureOwner.OURS
