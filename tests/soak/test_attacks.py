"""Every attack of ``scripts/attack``, with its limits of time: the table is in the log."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.attacks.catalogue import ATTACKS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_others_hardly_notice(name: str, record_property: Callable[[str, object], None]) -> None:
    run = subprocess.run(
        (sys.executable, "-m", "scripts.attacks", "--json", "--only", name),
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    for what in ("quiet", "strike"):
        record_property(f"p99 ms, {what}", round(found["times"][what]["p99_ms"], 1))
    record_property("MiB", found["memoryMiB"])

    assert found["broken"] == []
