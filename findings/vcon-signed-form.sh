#!/usr/bin/env bash
# vcon 0.10.0 (PyPI): reading a signed vCon, the general JWS JSON serialization of draft-ietf-vcon-vcon-core.
# Guess: the package, whose metadata ask for Python 3.12, needs it; is_valid() of a signed vCon looks at what was signed.
# Seen: it works with Python 3.11 (pip install --ignore-requires-python). verify() of a signed vCon is True, with EdDSA
#   too although its sign() makes RS256 only; is_valid() is False ("Missing required field: uuid") and parties are
#   missing, since the payload is not decoded. A reader decodes the payload and builds a second object of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --ignore-requires-python \
    vcon==0.10.0 pyjwt==2.15.1 cryptography==50.0.2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import base64
import json
import logging

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.api_jws import PyJWS
from vcon import Vcon

logging.disable(logging.CRITICAL)
key = Ed25519PrivateKey.generate()
pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
plain = Vcon.build_new()
compact = PyJWS().encode(plain.to_json().encode(), key, algorithm="EdDSA")
protected, payload, signature = compact.split(".")
signed = {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}
outer = Vcon.build_from_json(json.dumps(signed))
inner = Vcon.build_from_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
print("verify", outer.verify(pem), "is_valid", outer.is_valid(), "payload", inner.is_valid())
assert outer.verify(pem)
assert outer.is_valid() == (False, ["Missing required field: uuid"])
assert inner.is_valid() == (True, [])
PYTHON
