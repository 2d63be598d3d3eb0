"""The tutorials as a reader runs them: their blocks, one after the other, in one shell."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.helpers.chromium import browser
from tests.helpers.live import SECRET, live
from tests.helpers.pages import blocks
from tests.helpers.shells import TOP, Shell, clone, shell_blocks


@pytest.mark.timeout(180)
def test_the_first_recorded_call_ends_with_a_file(tmp_path: Path) -> None:
    titles = (
        "2. Start a controller and a worker",
        "3. Be alice",
        "4. Open the file",
    )
    shell = Shell(tmp_path)
    try:
        start, call, file = shell_blocks("tutorials/first-recorded-call.md", *titles)
        shell.run(start)
        answers = "\n".join(shell.run(call))
        shell.run(file)
    finally:
        shell.close()

    assert '"allowed":true' in answers
    assert '"event":"roomRecordingStarted"' in answers
    assert re.search(r'"endpoint":"stopRoomRecording".*"status":"ok"', answers)
    (made,) = (tmp_path / "data" / "postprocessed").glob("*.webm")
    assert made.stat().st_size > 50_000


@pytest.mark.system
@pytest.mark.timeout(180)
async def test_a_web_client_is_integrated(tmp_path: Path) -> None:
    page = "tutorials/web-client.md"
    shell = Shell(tmp_path)
    try:
        for text in shell_blocks(
            page,
            "1. Start a controller",
            "2. Let alice record",
            "3. Create a room from your server",
        ):
            answers = shell.run(text)
        assert '"owner":"alice"' in "\n".join(answers)
        shell.run(shell_blocks(page, "4. Give each user a token")[0])
        serve, end = shell_blocks(page, "5. Join from the page")
        printed = shell.run(serve)
        alice, bob = (line for line in printed if line.startswith("http://"))
        async with browser() as chromium:
            owner = await chromium.open(alice)
            await owner.until("!document.querySelector('#record').disabled")
            guest = await chromium.open(bob)
            await guest.until(
                "document.querySelector('#note').textContent === 'only alice may record'"
            )
            await owner.run("document.querySelector('#record').click()")
            await guest.until(
                "document.querySelector('#sign').textContent.startsWith('recorded since')"
            )
        shell.run(end)
    finally:
        shell.close()


async def test_the_token_of_the_tutorial_is_accepted() -> None:
    (source,) = blocks("tutorials/web-client.md", "4. Give each user a token", "python")
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102  # what the reader pastes
    headers = {"Authorization": f"Bearer {names['token']('alice', SECRET)}"}

    async with (
        live() as controller,
        connect(f"{controller.url}/client", additional_headers=headers, proxy=None) as client,
    ):
        ping = {"endpoint": "ping", "payload": {}, "id": "1"}
        await client.send(json.dumps({"type": "request", "payload": ping}))
        answer = json.loads(await client.recv())
    assert answer["payload"]["status"] == "ok"


def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    clone(tmp_path)
    (tmp_path / "tests").symlink_to(TOP / "tests")
    explain, process = blocks("../README.md", "Start here")
    for script, wanted in ((explain, "NO_PERMISSION"), (process, "61408347 segment 1: merged")):
        run = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert wanted in run.stdout
