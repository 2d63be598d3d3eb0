"""``[asterisk]``: what would be misread by Asterisk, or break out of a line, is no value."""

from pathlib import Path

import pytest

from sfu_wrapper.config.load import Loaded, inspect


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("asterisk.audioPath=mixes", "an absolute path without commas and without .."),
        ("asterisk.audioPath=/mixes,,touch x", "an absolute path without commas and without .."),
        ("asterisk.audioPath=/mixes/../etc", "an absolute path without commas and without .."),
        ("asterisk.user=a\r\nAction: Command", "one line"),
        ("asterisk.trunkContext=a\nb", "one line"),
        ("asterisk.trunkDomain=not a domain", "asterisk.trunkDomain"),
        ("asterisk.port=0", "asterisk.port"),
    ],
)
def test_a_value_that_asterisk_would_misread_is_refused(
    tmp_path: Path, override: str, allowed: str
) -> None:
    found = inspect(tmp_path, {}, [override])

    assert not isinstance(found, Loaded)
    assert allowed in str(found[0])
