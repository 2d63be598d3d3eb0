"""A short run of ``scripts/attack``: what does not depend on how busy the machine is.

Waiting times are judged by the whole run alone (``tests/soak/test_attacks.py``).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[2]
# A frame that is dear to read, sockets that say nothing, a flood behind a gateway, what a token
# may make, a broker that is away, and what answers give away.
CHOSEN = (
    "big-frames",
    "silent-sockets",
    "thousand-clients",
    "start-stop-without-broker",
    "no-oracle",
)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_others_are_served_and_nothing_is_lost_under_attack() -> None:
    run = subprocess.run(
        (
            *(sys.executable, "-m", "scripts.attacks", "--json", "--untimed"),
            *("--only", ",".join(CHOSEN), "--quiet", "1", "--seconds", "2", "--after", "0.5"),
        ),
        cwd=TOP,
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    found: list[dict[str, Any]] = [json.loads(line) for line in run.stdout.splitlines()]

    assert {each["attack"]: each["broken"] for each in found} == {name: [] for name in CHOSEN}, run
    assert run.returncode == 0, run.stderr
    assert all(each["recorded"] for each in found)
