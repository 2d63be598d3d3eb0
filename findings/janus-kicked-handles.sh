#!/usr/bin/env bash
# Janus 1.1.2 and 1.4.1 (Debian bookworm, forky): a handle after its participant was kicked.
# Guess: the handle is as after "leave", and may join again; AudioBridge and VideoRoom alike.
# Seen: AudioBridge answers the next join with 491 "Already in a room", although the room is empty, and takes it once
#   "leave" was sent, which is answered "left". (1.1.2 alone forgets it by itself within about a second.)
#   VideoRoom answers every later join with 425, and "leave" with 426: such a handle is of no use, a new one is needed.
set -euo pipefail
folder=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_all; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check websockets==15.0.1
cat >"$folder/kicked.py" <<'PYTHON'
import asyncio
import itertools
import json
import sys

import websockets

ids = map(str, itertools.count(1))


class Janus:
    """Session over one WebSocket."""

    def __init__(self, link):
        self.link, self.session = link, {}

    async def ask(self, **body):
        transaction = next(ids)
        await self.link.send(json.dumps({**body, **self.session, "transaction": transaction}))
        while True:
            answer = json.loads(await asyncio.wait_for(self.link.recv(), 10))
            if answer.get("transaction") == transaction and answer["janus"] != "ack":
                return answer

    async def attach(self, plugin):
        return (await self.ask(janus="attach", plugin=f"janus.plugin.{plugin}"))["data"]["id"]

    async def say(self, handle, **body):
        """Return the error code of the answer, or what it says."""
        answer = (await self.ask(janus="message", handle_id=handle, body=body))["plugindata"]["data"]
        return answer.get("error_code") or answer.get("audiobridge") or answer["videoroom"]


async def main():
    link = await websockets.connect(f"ws://127.0.0.1:{sys.argv[1]}", subprotocols=["janus-protocol"])
    janus = Janus(link)
    version = (await janus.ask(janus="info"))["version_string"]
    janus.session = {"session_id": (await janus.ask(janus="create"))["data"]["id"]}
    seen = {}
    for plugin, kick, more in (
        ("audiobridge", {"request": "kick_all"}, {}),
        ("videoroom", {"request": "kick", "id": 7}, {"ptype": "publisher"}),
    ):
        master, member = await janus.attach(plugin), await janus.attach(plugin)
        room = {"room": 1, "secret": "of-the-room"}
        assert await janus.say(master, request="create", **room) == "created"
        assert await janus.say(member, request="join", room=1, id=7, **more) == "joined"
        assert await janus.say(master, **kick, **room) == "success"
        again = {"request": "join", "room": 1, "id": 8, **more}
        seen[plugin] = [
            await janus.say(member, **again),
            await janus.say(member, request="leave"),
            await janus.say(member, **again),
        ]
    print(f"Janus {version}: join, leave, join of a handle whose participant was kicked:", seen)
    expected = {"audiobridge": [491, "left", "joined"], "videoroom": [425, 426, 425]}
    assert seen == expected, f"changed: {expected}"
    await link.close()


asyncio.run(main())
PYTHON
for release in bookworm forky; do
    start_janus "$(debian_root "$release" janus)"
    "$folder/venv/bin/python" "$folder/kicked.py" "$port"
    stop_all
done
