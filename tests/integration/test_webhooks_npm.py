"""Our webhooks as receivers in JavaScript verify them: with the package ``standardwebhooks``."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sfu_wrapper.core.webhooks import new_secret, request_body, signed_headers

TOP = Path(__file__).parents[2]
MISSING = 3  # exit code where node, npm or the packages cannot be had

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

OLD, NEW = new_secret(b"o" * 24), new_secret(b"n" * 32)
RECEIVER = """
import { Webhook } from "standardwebhooks";
const { secret, body, headers } = JSON.parse(process.argv[1]);
try {
  console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
} catch (error) {
  console.log(error.constructor.name);
}
"""


@pytest.fixture(scope="module")
def packages() -> Path:
    """Return the folder in which node finds the package."""
    done = subprocess.run(
        ["scripts/check-javascript"], cwd=TOP, capture_output=True, text=True, check=False
    )
    if done.returncode == MISSING:
        pytest.skip(done.stdout.strip())
    return TOP / ".tools" / "javascript"


def verified(packages: Path, secret: str, body: bytes, headers: dict[str, str]) -> object:
    """Return the event as the receiver reads it, or the name of its error."""
    node = shutil.which("node")
    assert node is not None
    given = json.dumps({"secret": secret, "body": body.decode(), "headers": headers})
    done = subprocess.run(
        [node, "--input-type=module", "--eval", RECEIVER, given],
        cwd=packages,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.strip()
    return json.loads(said) if said.startswith("{") else said


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["old", "new"])
def test_a_receiver_in_javascript_verifies_with_either_secret(packages: Path, secret: str) -> None:
    now = datetime.now(UTC)
    body = request_body("recording.ready", int(now.timestamp() * 1000), '{"room": "Büro"}'.encode())
    headers = signed_headers((NEW, OLD), "msg_1", int(now.timestamp()), body)

    assert verified(packages, secret, body, headers) == json.loads(body)


def test_a_receiver_in_javascript_refuses_another_body_secret_or_time(packages: Path) -> None:
    now_s = int(datetime.now(UTC).timestamp())
    body = request_body("recording.ready", now_s * 1000, b"{}")
    headers = signed_headers((OLD,), "msg_1", now_s, body)
    late = signed_headers((OLD,), "msg_1", now_s - 3600, body)

    refused = "WebhookVerificationError"
    assert verified(packages, OLD, body.replace(b"ready", b"stale"), headers) == refused
    assert verified(packages, NEW, body, headers) == refused
    assert verified(packages, OLD, body, late) == refused
