#!/usr/bin/env bash
# standardwebhooks 1.1.0 (PyPI): verify() takes a body of bytes, sign() of the same bytes signs something else.
# Guess: sign() and verify() treat bytes alike, as HTTP servers and clients hold bodies in bytes.
# Seen: verify() accepts str and bytes. sign() formats bytes into the text that it signs, quotes and prefix included,
# without an error: verify() refuses that signature for the bytes and for the str.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
from base64 import b64encode
from datetime import datetime, timezone
from importlib.metadata import version

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook("whsec_" + b64encode(bytes(range(32))).decode())
now = datetime.now(timezone.utc)
text = '{"type":"recording.ready","timestamp":"2026-01-01T00:00:00Z","data":{}}'


def accepted(body, signed):
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign("msg_1", now, signed),
    }
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


seen = {
    (type(body).__name__, f"signed as {type(signed).__name__}"): accepted(body, signed)
    for body in (text, text.encode())
    for signed in (text, text.encode())
}
print(f"standardwebhooks {version('standardwebhooks')}: accepted: {seen}")
assert seen == {
    ("str", "signed as str"): True,
    ("str", "signed as bytes"): False,
    ("bytes", "signed as str"): True,
    ("bytes", "signed as bytes"): False,
}, "changed"
PYTHON
