"""Fixtures of the embedded queue's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from tests.helpers.brokers import BrokerBench


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queue.db"


@pytest.fixture
async def bench(path: Path) -> AsyncIterator[BrokerBench]:
    bench = BrokerBench(lambda: QueueFile(path))
    yield bench
    await bench.close()
