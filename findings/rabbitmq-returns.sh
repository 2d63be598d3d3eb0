#!/usr/bin/env bash
# RabbitMQ 3.10.8, 4.0.5 and 4.3.6 (Debian bookworm, trixie, forky): which returns of a message count, and what -1 means.
# Guess: basic.nack and basic.reject with requeue count alike; -1 as x-delivery-limit is "no limit", or refused.
# Seen: a quorum queue without x-delivery-limit drops a message after 21 deliveries from 4.0 on, without any trace;
#   basic.nack is not counted by 4.3.6 (a message with limit 3 comes back for ever), basic.reject is by all;
#   -1 is accepted by 3.10.8, where it means one delivery.
set -euo pipefail
folder=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_all; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pika==1.3.2
cat >"$folder/returns.py" <<'PYTHON'
import sys
import time

import pika

connection = pika.BlockingConnection(pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}/"))
version = connection._impl.server_properties["version"]
version = version.decode() if isinstance(version, bytes) else version
channel = connection.channel()
MOST = 30


def deliveries(name, back, arguments):
    """Return how often a message is delivered that is always returned, at most MOST times."""
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"} | arguments)
    channel.basic_publish("", name, b"x")
    for count in range(MOST):
        for _ in range(20):
            frame, _, _ = channel.basic_get(name)
            if frame is not None:
                break
            time.sleep(0.05)
        else:
            return count
        back(frame.delivery_tag, requeue=True)
    return MOST


def nack(tag, requeue):
    channel.basic_nack(tag, requeue=requeue)


seen = (
    deliveries("none", channel.basic_reject, {}),
    deliveries("reject", channel.basic_reject, {"x-delivery-limit": 3}),
    deliveries("nack", nack, {"x-delivery-limit": 3}),
    deliveries("minus", channel.basic_reject, {"x-delivery-limit": -1}),
)
expected = {"3.10.8": (MOST, 4, 4, 1), "4.0.5": (21, 4, 4, MOST), "4.3.6": (21, 4, MOST, MOST)}
print(f"RabbitMQ {version}: deliveries without limit, with 3 by reject, with 3 by nack, with -1:", seen)
assert seen == expected.get(version), f"changed, or a version that was not tried: {expected}"
PYTHON
for release in bookworm trixie forky; do
    start_rabbitmq "$(debian_root "$release" rabbitmq-server)"
    "$folder/venv/bin/python" "$folder/returns.py" "$port"
    stop_all
done
