#!/usr/bin/env bash
# pamqp 4.0.1 (under aiormq and aio-pika): refuses queue names that AMQP 0-9-1 and RabbitMQ allow.
# Guess: a queue name is a short string of UTF-8 (AMQP 0-9-1, 1.7.2.1), so that any letters are valid.
# Seen: ValueError "Invalid value for queue" for names with letters beyond ASCII or with parentheses, before anything is
# sent to the broker; spaces, colons and slashes pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pamqp==4.0.1
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from pamqp import commands


def taken(name):
    try:
        commands.Queue.Declare(queue=name).marshal()
    except ValueError as error:
        return str(error)
    return "taken"


names = ("processing_queue", "a b", "q:1", "a/b", "grabación", "録画", "videos(new)")
seen = {name: taken(name) for name in names}
print(f"pamqp {version('pamqp')}:", seen)
assert [seen[name] for name in names] == ["taken"] * 4 + ["Invalid value for queue"] * 3, "changed"
PYTHON
