"""``sfu-wrapper queues``: an operator sees how much waits, and empties the queues of results."""

import asyncio
import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.app.parts import queues
from sfu_wrapper.cli.main import main
from sfu_wrapper.config.load import load
from sfu_wrapper.observe.logs import ROOT
from sfu_wrapper.ports.broker import Broker, Message
from tests.helpers.rabbitmq import RabbitServer

NAMES = ("processing_queue", "processed_queue", "failure_queue", "deletion_queue")
EMPTY = "".join(f"{name} 0\n" for name in (*NAMES, "sfu_wrapper.index"))


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, with the built-in defaults and a log of errors alone."""
    logger = logging.getLogger(ROOT)
    level = logger.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFU_WRAPPER__LOG__LEVEL", "error")
    (tmp_path / "config").mkdir()
    yield
    logger.setLevel(level)  # or later tests of this process would miss warnings


async def publish(broker: Broker, *messages: Message) -> None:
    """Declare our queues and publish the messages."""
    try:
        await broker.open(queues(load(None, {})))
        for message in messages:
            await broker.publish(message)
    finally:
        await broker.close()


def failed(number: int, body: bytes | None = None) -> Message:
    """Return a message for the queue of failures."""
    text = json.dumps({"uuid": "61408347", "segment": number, "status": "failed"})
    return Message(
        "failed", f"61408347:{number}:failed", body or text.encode(), "room", 0, mandatory=True
    )


def taken(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the printed messages."""
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def put(*messages: Message) -> None:
    """Publish to the embedded queue of the configured store."""
    Path("data").mkdir(exist_ok=True)
    asyncio.run(publish(QueueFile(Path("data/queue.db")), *messages))


def test_the_lengths_of_the_queues_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    put(failed(1), failed(2))

    assert main(["queues", "show"]) == 0
    shown = EMPTY.replace("failure_queue 0", "failure_queue 2").replace("index 0", "index 2")
    assert capfd.readouterr().out == shown
    assert main(["queues", "show", "--json"]) == 0
    assert taken(capfd)[2] == {"queue": "failure_queue", "messages": 2}


def test_a_queue_is_emptied_and_its_messages_printed(capfd: pytest.CaptureFixture[str]) -> None:
    put(failed(1), failed(2))

    assert main(["queues", "take", "failure_queue"]) == 0
    first, second = taken(capfd)
    assert first["messageId"] == "61408347:1:failed"
    assert second["body"] == {"uuid": "61408347", "segment": 2, "status": "failed"}
    assert main(["queues", "show"]) == 0
    assert capfd.readouterr().out == EMPTY.replace("index 0", "index 2")
    assert main(["queues", "take", "failure_queue"]) == 0
    assert taken(capfd) == []


def test_a_limit_leaves_the_rest(capfd: pytest.CaptureFixture[str]) -> None:
    put(*(failed(number) for number in range(1, 6)))

    assert main(["queues", "take", "failure_queue", "--limit", "2"]) == 0
    assert [each["body"]["segment"] for each in taken(capfd)] == [1, 2]
    assert main(["queues", "take", "failure_queue"]) == 0
    assert [each["body"]["segment"] for each in taken(capfd)] == [3, 4, 5]


def test_a_message_that_is_no_json_is_printed_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    put(failed(1, b"\xff no json"))

    assert main(["queues", "take", "failure_queue"]) == 0
    assert taken(capfd)[0]["body"] == "\ufffd no json"


def test_the_segments_of_the_workers_are_not_taken(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["queues", "take", "processing_queue"]) == 1
    assert capfd.readouterr().err == (
        "sfu-wrapper: BAD_REQUEST: processing_queue: not a queue of results; "
        "use processed_queue or failure_queue\n"
    )


def test_a_message_that_is_not_on_disk_yet_stays_in_the_queue(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(failed(1))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert main(["queues", "take", "failure_queue"]) == 75
    assert "standard output: No space left on device" in capfd.readouterr().err
    assert main(["queues", "take", "failure_queue"]) == 0
    assert [each["body"]["segment"] for each in taken(capfd)] == [1]


@pytest.mark.parametrize("limit", ["0", "-3", "some"])
def test_a_limit_is_a_positive_number(limit: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["queues", "take", "failure_queue", "--limit", limit])
    assert "is not a number of messages" in capfd.readouterr().err


@pytest.mark.system
def test_a_queue_of_rabbitmq_is_emptied_too(
    rabbitmq: RabbitServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        f"SFU_WRAPPER__{key}": f"{key.lower()}_of_cli"
        for key in ("PROCESSING_QUEUE", "PROCESSED_QUEUE", "FAILURE_QUEUE")
    }
    for name, queue in names.items():
        monkeypatch.setenv(name, queue)
    monkeypatch.setenv("SFU_WRAPPER__RABBITMQ__ADDRESS", rabbitmq.url)

    async def fill() -> None:
        broker = RabbitBroker(rabbitmq.url)
        try:
            await broker.open(queues(load(None, names)))
            for number in range(1, 41):
                await broker.publish(failed(number))
        finally:
            await broker.close()

    asyncio.run(fill())
    assert main(["queues", "take", "failure_queue_of_cli"]) == 0
    assert [each["body"]["segment"] for each in taken(capfd)] == list(range(1, 41))
    assert main(["queues", "show"]) == 0
    assert "failure_queue_of_cli 0\n" in capfd.readouterr().out
