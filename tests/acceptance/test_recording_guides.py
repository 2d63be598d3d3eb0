"""How-to guides of recordings as a reader runs them, on recordings of a running installation."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.helpers.pages import blocks
from tests.helpers.shells import Shell, shell_blocks

pytestmark = pytest.mark.timeout(180)

ERASE, PROVE = "how-to/erase-a-person.md", "how-to/prove-a-recording.md"
SHARE, START = "how-to/share-a-recording.md", "tutorials/first-recorded-call.md"
NAME = "rec-20261201-093000-61408347-conf-1.webm"  # in the example of the page
NUMBERS = itertools.count()

Json = dict[str, Any]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A reader's shell with a controller, which has a key for signatures, and a worker."""
    shell = Shell(tmp_path)
    try:
        shell.run(*shell_blocks(PROVE, "Once: a key"))
        shell.run(*shell_blocks(START, "2. Start a controller and a worker"))
        yield shell
    finally:
        shell.close()


async def ask(client: ClientConnection, endpoint: str, **payload: object) -> Json:
    """Send a request and return the payload of its answer."""
    asked = {"endpoint": endpoint, "payload": payload, "id": f"r{next(NUMBERS)}"}
    await client.send(json.dumps({"type": "request", "payload": asked}))
    while True:
        answer: Json = json.loads(await client.recv())["payload"]
        if answer.get("id") == asked["id"]:
            assert answer["status"] == "ok", answer
            return dict(answer["payload"])


async def record(shell: Shell, owner: str, *guests: str, segments: int = 1) -> str:
    """Record a meeting; return the uuid of its room."""
    clients = []
    for user in (owner, *guests):
        token = shell.run(f"sfu-wrapper token --sub {user} --domain example")[0]
        url = f"ws://127.0.0.1:{shell.ports['8765']}/client"
        headers = {"Authorization": f"Bearer {token}"}
        clients.append(await connect(url, additional_headers=headers, proxy=None))
    room = f"room-{next(NUMBERS)}"
    made = await ask(clients[0], "createRoom", id=room, kind="meeting")
    for client in clients:
        await ask(client, "joinRoom", room=room, media={"audio": True, "video": True})
    for _ in range(segments):
        await ask(clients[0], "startRoomRecording", room=room)
        await asyncio.sleep(0.5)
        await ask(clients[0], "stopRoomRecording", room=room)
    for client in clients:
        await client.close()
    return str(made["uuid"])


def wait_for(shell: Shell, state: str, count: int) -> None:
    """Return once so many recordings have a state."""
    limit_s = time.monotonic() + 60
    while len(found := shell.run(f"sfu-wrapper recordings list --state {state} --json")) <= count:
        assert time.monotonic() < limit_s, found
        time.sleep(0.2)


def run(shell: Shell, page: str, title: str, **names: str) -> str:
    """Run the blocks below a heading; ``names``: what stands for the names of the example."""
    script = "\n".join(blocks(page, title, "sh"))
    for example, real in names.items():
        script = script.replace(example, real)
    return "\n".join(shell.run(script))


async def test_a_person_is_erased_but_for_a_recording_on_hold(shell: Shell) -> None:
    bobs = await record(shell, "bob", segments=2)
    attended = await record(shell, "alice", "bob")
    own = await record(shell, "alice")
    wait_for(shell, "ready", 4)
    names = {"61408347": bobs, "7d12b0aa": attended}

    listed = run(shell, ERASE, "Find the person's recordings")
    assert all(address in listed for address in (f"{bobs}/1", f"{bobs}/2", f"{attended}/1"))
    assert '"by":"adam"' in run(shell, ERASE, "Hold what must be kept", **names)
    preview = json.loads(run(shell, ERASE, "Look at what would be erased"))
    assert (preview["count"], preview["held"]) == (2, [f"{bobs}/2"])
    done = json.loads(run(shell, ERASE, "Erase"))
    assert done["recordings"] == preview["recordings"]
    assert {each["recording"]: each["owned"] for each in done["recordings"]} == {
        f"{bobs}/1": True,
        f"{attended}/1": False,
    }

    wait_for(shell, "deleted", 2)
    shown = run(shell, ERASE, "See that it is done")
    page = json.loads(shown.partition("}example ")[0] + "}")
    states = {each["recording"]: each["state"] for each in page["recordings"]}
    assert states == {f"{bobs}/1": "deleted", f"{bobs}/2": "ready", f"{attended}/1": "deleted"}
    assert shown.count("recording.deleted") == 2
    left = "\n".join(shell.run("ls data/postprocessed"))
    assert own in left
    assert f"{bobs}" in left
    assert attended not in left


async def test_a_recording_is_proved_unchanged_and_a_changed_file_is_named(
    shell: Shell, tmp_path: Path
) -> None:
    uuid = await record(shell, "alice")
    wait_for(shell, "ready", 1)

    for title in ("Each day: save the heads", "The document and its files"):
        run(shell, PROVE, title, **{"61408347": uuid})
    document, chain = shell_blocks(PROVE, "Verify")
    proved = f"{document.strip()} && echo proved"
    checked = shell.run(proved)
    assert "signature: ok" in checked
    assert sum(line.endswith(": ok") for line in checked) >= 5
    assert "proved" in checked
    assert "whole, it has the saved head" in "\n".join(shell.run(chain))

    (video,) = (tmp_path / "proof").glob("*.webm")
    video.write_bytes(video.read_bytes()[:-1] + b"x")
    assert "proved" not in shell.run(proved)


async def test_a_link_is_made_and_works_without_a_token(shell: Shell, tmp_path: Path) -> None:
    uuid = await record(shell, "alice")
    wait_for(shell, "ready", 1)

    shown = run(shell, SHARE, "Find it, and the name of its file", **{"61408347": uuid})
    (name,) = (line.split()[1] for line in shown.splitlines() if ".webm" in line)
    names = {NAME: name, "61408347": uuid}
    url = json.loads(run(shell, SHARE, "Get a link", **names))["url"]
    head = shell.run(f"curl -s -D - -o file.webm '{url}'")
    assert "content-type: video/webm" in [line.strip() for line in head]
    assert (tmp_path / "file.webm").read_bytes()[:4] == b"\x1a\x45\xdf\xa3"  # EBML
