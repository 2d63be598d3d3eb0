"""What doctor says of the way in for browsers."""

from pathlib import Path

import pytest

from sfu_wrapper.cli.doctor.settings import check_browser_access
from sfu_wrapper.config.load import load
from sfu_wrapper.observe.findings import Status

JANUS = ("media.sfu=janus", "janus.roomSecret=sixteen characters")
ORIGIN = "websocket.allowedOrigins=https://calls.test"


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ([], []),
        ([*JANUS, ORIGIN], ["ok: this machine only"]),
        ([*JANUS, ORIGIN, "http.publicWebsocketUrl=wss://calls.test"], ["ok: wss://calls.test"]),
        ([*JANUS, ORIGIN, "http.host=0.0.0.0"], ["warning: https"]),
        ([*JANUS, ORIGIN, "http.publicWebsocketUrl=ws://calls.test"], ["warning: unencrypted"]),
        ([*JANUS], ["ok: this machine", "warning: allowedOrigins is empty"]),
    ],
)
async def test_the_way_in_for_browsers_is_looked_at(
    chosen: list[str], found: list[str], tmp_path: Path
) -> None:
    findings = [each async for each in check_browser_access(load(tmp_path, {}, chosen))]

    assert [str(each.status) for each in findings] == [each.partition(": ")[0] for each in found]
    for finding, words in zip(findings, found, strict=True):
        assert words.partition(": ")[2] in finding.text
        assert (finding.advice == "") == (finding.status is Status.OK)
