"""Report of ``doctor`` on the configured Asterisk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sfu_wrapper.app.planes import server_checks
from sfu_wrapper.config.load import load
from sfu_wrapper.observe.findings import Finding, Status
from tests.helpers.ami import SECRET, FakeAsterisk, asterisk

ANSWERS = "Asterisk 16.28.0 answers"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FakeAsterisk]:
    async with asterisk(tmp_path) as fake:
        yield fake


async def report(server: FakeAsterisk, *overrides: str) -> list[Finding]:
    chosen = (
        "media.mixer=asterisk",
        f"asterisk.port={server.port}",
        f"asterisk.secret={SECRET}",
        f"audio_path={server.folder}",
        *overrides,
    )
    return [
        finding async for finding in server_checks()["asterisk"](load(Path("config"), {}, chosen))
    ]


async def test_an_asterisk_set_up_like_the_examples_is_ok(server: FakeAsterisk) -> None:
    found = await report(server)

    assert {finding.status for finding in found} == {Status.OK}
    assert found[0].text.startswith(ANSWERS)
    assert not server.hung_up


async def test_with_another_mixer_nothing_is_reported(server: FakeAsterisk) -> None:
    assert await report(server, "media.mixer=simulated") == []


async def test_an_asterisk_that_does_not_answer_is_an_error(server: FakeAsterisk) -> None:
    await server.kill()
    (found,) = await report(server)

    assert found.status is Status.WRONG
    assert "asterisk.port" in found.advice


async def test_a_wrong_secret_is_distinguished_from_no_answer(server: FakeAsterisk) -> None:
    server.secret = "another"
    (found,) = await report(server)

    assert "Authentication failed" in found.text
    assert SECRET not in found.text
    assert "manager.conf" in found.advice


async def test_each_missing_right_is_named_with_its_remedy(
    server: FakeAsterisk,
) -> None:
    server.denied = {"ConfbridgeStopRecord", "ConfbridgeListRooms", "Hangup"}
    wrong = [one for one in await report(server) if one.status is Status.WRONG]

    assert [one.advice for one in wrong] == [
        "manager.conf: write = system",
        "manager.conf: write = reporting",
        "manager.conf: write = call",
    ]


async def test_a_missing_module_is_reported(server: FakeAsterisk) -> None:
    server.modules.remove("app_mixmonitor")
    found = await report(server)

    assert "app_mixmonitor.so is not loaded" in [one.text for one in found]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_members=5", "record_file_timestamp = yes"),  # which is the default
        ("record_file_timestamp=yes", "record_file_timestamp = yes"),
    ],
)
async def test_a_profile_that_changes_file_names_is_an_error(
    server: FakeAsterisk, line: str, said: str
) -> None:
    server.confbridge["Line-000001-000001"] = line
    found = await report(server)

    assert f"confbridge.conf, default_bridge: {said}" in [one.text for one in found]


async def test_a_profile_that_always_records_is_an_error(server: FakeAsterisk) -> None:
    server.confbridge["Line-000001-000002"] = "record_conference=yes"
    found = await report(server)

    assert "confbridge.conf, default_bridge: record_conference = yes" in [f.text for f in found]


async def test_a_missing_folder_is_an_error(server: FakeAsterisk, tmp_path: Path) -> None:
    found = await report(server, f"audio_path={tmp_path}/nowhere")

    assert found[-1].status is Status.WRONG


async def test_an_unshared_folder_is_a_warning(server: FakeAsterisk) -> None:
    found = await report(server, "asterisk.folderShared=false", "asterisk.audioPath=/mixes")

    assert found[-1].status is Status.WARNING
    assert "/mixes" in found[-1].text
