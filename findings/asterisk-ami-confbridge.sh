#!/usr/bin/env bash
# Asterisk 16.28.0 and 22.10.1 (Debian bullseye, forky): ConfBridge over AMI.
# Guess: a login succeeds once the actions of the modules are there, or FullyBooted says when; "Success" of
#   ConfbridgeStartRecord means that a file is written; a recording that somebody else ends is reported by
#   ConfbridgeStopRecord, and the conference can be recorded again.
# Seen: after the first login that succeeds ConfbridgeListRooms is an unknown command (for 28 to 285 ms, more with more
#   modules), and FullyBooted is not sent to a user with read = call,user.
#   "Success" and ConfbridgeRecord come too where the file cannot be made (its folder is a file).
#   Once the MixMonitor of the recording was stopped no event comes, and the next start is refused with "Conference is
#   already being recorded." until ConfbridgeStopRecord was sent.
set -euo pipefail
folder=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_all; rm -rf "$folder"' EXIT
cat >"$folder/recording.py" <<'PYTHON'
import itertools
import pathlib
import socket
import sys
import time

SILENT_S = 5.0
ids = map(str, itertools.count(1))
etc, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])


class Manager:
    """Login at the manager interface; ``events`` has the names of events since the last wait."""

    def __init__(self):
        for _ in range(300):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
                break
            except OSError:
                time.sleep(0.01)
        self.blocks = self.socket.makefile("r", newline="\r\n")
        self.events, self.every = [], set()
        self.banner = self.blocks.readline()

    def read(self):
        """Return the next block as a dictionary, with the lines of a repeated key joined."""
        block = {}
        while (line := self.blocks.readline()) != "\r\n":
            assert line, "Asterisk closed the connection"
            key, _, value = line.strip().partition(": ")
            block[key] = f"{block[key]}\n{value}" if key in block else value
        if "Event" in block:
            self.events.append(block["Event"])
            self.every.add(block["Event"])
        return block

    def send(self, action, **fields):
        """Return the answer to an action."""
        number = next(ids)
        lines = (f"{key}: {value}\r\n" for key, value in {"Action": action, "ActionID": number, **fields}.items())
        self.socket.sendall("".join((*lines, "\r\n")).encode())
        while "Response" not in (block := self.read()) or block.get("ActionID") != number:
            pass
        return block

    def wait(self, event, within_s):
        """Return True if the event comes in that time, or has come since the last call."""
        until_s = time.monotonic() + within_s
        while event not in self.events and time.monotonic() < until_s:
            time.sleep(0.1)
            self.send("Ping")
        came, self.events = event in self.events, []
        return came


def start(manager, file):
    return manager.send("ConfbridgeStartRecord", Conference="room", RecordFile=etc / file)["Message"]


manager = Manager()
assert manager.send("Login", Username="finding", Secret="finding")["Response"] == "Success"
began_s, early = time.monotonic(), manager.send("ConfbridgeListRooms")["Message"]
for _ in range(3000):
    if "ConfbridgeStartRecord" in manager.send("ListCommands"):
        break
    time.sleep(0.01)
late_ms = round(1000 * (time.monotonic() - began_s))
manager.send("Command", Command="core waitfullybooted")
version = manager.send("CoreSettings")["AsteriskVersion"]
manager.send("Originate", Channel="Local/1@talk/n", Context="talk", Exten="2", Priority="1", Async="true")
assert manager.wait("ConfbridgeJoin", 20)

(etc / "file").touch()
unwritable = start(manager, "file/never.wav"), manager.wait("ConfbridgeRecord", 5)
manager.send("ConfbridgeStopRecord", Conference="room")
assert manager.wait("ConfbridgeStopRecord", 5)

assert start(manager, "one.wav") == "Conference Recording Started."
assert manager.wait("ConfbridgeRecord", 5)
time.sleep(1)
channels = manager.send("Command", Command="core show channels concise")["Output"]
recorder = next(line.split("!")[0] for line in channels.split("\n") if line.startswith("CBRec/room"))
manager.send("Command", Command=f"mixmonitor stop {recorder}")
ended = manager.wait("ConfbridgeStopRecord", SILENT_S)
refused = start(manager, "two.wav")
manager.send("ConfbridgeStopRecord", Conference="room")
again = start(manager, "three.wav")

print(f"Asterisk {version}: right after a login: {early!r}, for {late_ms} ms;")
print(f"  a file that cannot be made: {unwritable};")
print(f"  MixMonitor ended elsewhere: event {ended}, next start: {refused!r}, after a stop: {again!r}")
assert early.startswith("Invalid/unknown command"), "changed, or the login came late"
assert "FullyBooted" not in manager.every, "changed"
assert unwritable == ("Conference Recording Started.", True), "changed"
assert (ended, refused) == (False, "Conference is already being recorded."), "changed"
assert again == "Conference Recording Started.", "changed"
PYTHON
for release in bullseye forky; do
    start_asterisk "$(debian_root "$release" asterisk)"
    python3 "$folder/recording.py" "$etc" "$port" || { tail "$etc/log" >&2; exit 1; }
    stop_all
done
