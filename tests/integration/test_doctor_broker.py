"""``sfu-wrapper doctor`` about the broker: its queues, their bindings, its consumer timeout."""

import asyncio
import base64
import json
import shlex
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import aio_pika
import pytest

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.rabbitmq import management, topology
from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.app.parts import queues
from sfu_wrapper.cli.main import main
from sfu_wrapper.config.load import load
from sfu_wrapper.ports.broker import EXCHANGE, Broker, Message, QueueSpec
from tests.helpers.doctors import Doctor, about, doctor, folder, line
from tests.helpers.processes import free_port
from tests.helpers.provider import provider
from tests.helpers.rabbitmq import RabbitServer
from tests.helpers.wait import until

__all__ = ["doctor", "folder"]


def test_an_embedded_queue_is_looked_at_too(doctor: Doctor, folder: Path) -> None:
    async def use() -> None:
        queue = QueueFile(folder / "state" / "queue.db")
        await queue.open(())
        await queue.close()

    asyncio.run(use())
    assert "intact, schema" in about("broker", doctor()[1])[0]["text"]

    (folder / "state" / "queue.db").write_bytes(b"no database at all" * 100)
    code, report = doctor()
    assert code == 1
    assert "queue.db is damaged" in about("broker", report)[0]["text"]


def test_a_broker_that_is_away_is_wrong_and_its_password_stays_secret(doctor: Doctor) -> None:
    code, report = doctor(RABBITMQ__ADDRESS=f"amqp://us:hush-hush@127.0.0.1:{free_port()}/")

    assert code == 1
    assert about("broker", report)[0]["status"] == "wrong"
    assert "hush-hush" not in json.dumps(report)


@pytest.mark.system
def test_a_password_that_rabbitmq_does_not_take_stays_secret(
    doctor: Doctor, rabbitmq: RabbitServer
) -> None:
    code, report = doctor(RABBITMQ__ADDRESS=rabbitmq.url.replace("guest@", "hush-hush@"))

    assert code == 1
    (found,) = [row for row in report if row["status"] == "wrong"]
    assert found["check"] == "broker"
    assert "ACCESS_REFUSED" in found["text"]
    assert found["advice"] == "correct user and password in rabbitmq.address"
    assert "hush-hush" not in json.dumps(report)


@pytest.mark.system
def test_queues_of_another_type_are_named_and_nothing_is_made(
    doctor: Doctor, rabbitmq: RabbitServer
) -> None:
    settings = {
        "RABBITMQ__ADDRESS": rabbitmq.url,
        "PROCESSING_QUEUE": "doctor.other",
        "PROCESSED_QUEUE": "doctor.classic",
        "FAILURE_QUEUE": "doctor.right",
    }
    asyncio.run(declare(rabbitmq.url))
    for _ in range(2):
        code, report = doctor(**settings)

        assert code == 0
        assert about("broker", report)[0]["text"].startswith("RabbitMQ ")
        classic = line(report, "queue doctor.classic")
        assert classic["status"] == "warning"
        assert "inequivalent arg 'x-queue-type'" in classic["text"]
        assert "x-dead-letter-exchange" in line(report, "queue doctor.other")["text"]
        assert line(report, "queue doctor.right")["text"].endswith(": 0 messages ready")
    _, report = doctor(**settings | {"FAILURE_QUEUE": "doctor.missing"})
    assert line(report, "queue doctor.missing is created at the first start")["status"] == "ok"


@pytest.mark.system
def test_a_user_with_few_rights_is_told_what_was_not_compared(
    doctor: Doctor, rabbitmq: RabbitServer
) -> None:
    asyncio.run(declare(rabbitmq.url))
    rabbitmq.ctl("add_user", "looker", "pass-word")
    rabbitmq.ctl("set_permissions", "looker", "^$", "^$", "^doctor.right$")
    code, report = doctor(
        RABBITMQ__ADDRESS=rabbitmq.url.replace("guest:guest", "looker:pass-word"),
        PROCESSING_QUEUE="doctor.right",
        PROCESSED_QUEUE="doctor.classic",
        FAILURE_QUEUE="doctor.other",
    )

    assert code == 0
    for queue in ("right", "classic", "other"):
        found = line(report, f"queue doctor.{queue}")
        assert found["status"] == "ok"
        assert "ACCESS_REFUSED" in found["text"]
        assert found["text"].endswith("its arguments are not compared")


@pytest.mark.system
def test_an_old_queue_of_results_is_named_where_the_server_drops_what_is_returned(
    doctor: Doctor, rabbitmq: RabbitServer
) -> None:
    """RabbitMQ 4 does; 3 has no such limit, and the queue is as it should be."""
    asyncio.run(declare(rabbitmq.url, as_before="doctor.before"))
    _, report = doctor(RABBITMQ__ADDRESS=rabbitmq.url, FAILURE_QUEUE="doctor.before")
    found = line(report, "queue doctor.before")

    if about("broker", report)[0]["text"].startswith("RabbitMQ 3."):
        assert found["status"] == "ok"
    else:
        assert "x-delivery-limit" in found["text"]
        assert "lost after 21 deliveries" in found["advice"]


async def declare(url: str, as_before: str | None = None) -> None:
    """What another program has left there, or an older version of ours."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue("doctor.classic", durable=True)
        await channel.declare_queue(
            "doctor.other", durable=True, arguments={"x-queue-type": "quorum"}
        )
        limits = topology.limits_returns(*topology.server(connection))
        spec = QueueSpec("doctor.right", ("failed",))
        arguments = topology.arguments(spec, EXCHANGE, limits_returns=limits)
        await channel.declare_queue("doctor.right", durable=True, arguments={**arguments})
        if as_before is not None:
            older = topology.arguments(spec, EXCHANGE, limits_returns=False)
            await channel.declare_queue(as_before, durable=True, arguments={**older})


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ with its management plugin."""
    server = RabbitServer(tmp_path_factory.mktemp("managed"), managed=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def called(server: RabbitServer, method: str, path: str, body: bytes) -> int:
    """Call the management API; return the status of the response."""
    login = {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}"}
    request = Request(server.management_url + path, body, login, method=method)
    with urlopen(request, timeout=10) as response:
        return int(response.status)


@pytest.fixture
def place(managed: RabbitServer) -> str:
    """A virtual host that no other test uses: its address."""
    name = f"calls/{next(_places)}"
    path = quote(name, safe="")
    assert called(managed, "PUT", f"/api/vhosts/{path}", b"{}") == 201
    rights = b'{"configure": ".*", "write": ".*", "read": ".*"}'
    assert called(managed, "PUT", f"/api/permissions/{path}/guest", rights) in {201, 204}
    return managed.url + path


_places = count()
OLD = "results / old"
RENAMED = QueueSpec(OLD, ("processed",))


def unbound(report: list[dict[str, str]], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command that the report advises for the queue; return what it prints."""
    advice = line(report, f"queue {OLD} gets")["advice"]
    command = shlex.split(advice.partition(": ")[2])
    assert command[:3] == ["sfu-wrapper", "queues", "unbind"]
    assert main(command[1:]) == 0
    return capsys.readouterr().out


async def publish_result(broker: Broker, *queues: QueueSpec) -> dict[str, int]:
    """Publish a result; return the lengths of these queues."""
    try:
        await broker.open(queues)
        await broker.publish(Message("processed", "1", b"{}", "room", 0))
        return {spec.name: await broker.depth(spec.name) for spec in queues}
    finally:
        await broker.close()


@pytest.mark.system
def test_a_queue_of_an_old_name_is_found_at_rabbitmq_and_unbound_by_the_command_named(
    doctor: Doctor, managed: RabbitServer, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    now = QueueSpec("results", ("processed",))
    asyncio.run(publish_result(RabbitBroker(place), now, RENAMED))
    settings = {
        "RABBITMQ__ADDRESS": place,
        "RABBITMQ__MANAGEMENT_URL": managed.management_url,
        "PROCESSED_QUEUE": "results",
    }
    code, report = doctor(**settings)
    found = line(report, f"queue {OLD}")
    printed = unbound(report, capsys)
    lengths = asyncio.run(publish_result(RabbitBroker(place), now, QueueSpec(OLD, ())))
    _, after = doctor(**settings)

    assert (code, found["status"]) == (0, "warning")
    assert found["text"].endswith("of key processed, and the configuration does not name that "
                                  "binding; 1 messages ready")  # fmt: skip
    assert printed == f"{OLD} gets no more messages of key processed; 1 stay in it\n"
    assert lengths == {"results": 2, OLD: 1}
    assert OLD not in json.dumps(after)
    bound = sum(len(spec.routing_keys) for spec in queues(load(None, {})))
    assert f"{bound} bindings of sfu_wrapper.events, all of them configured" in json.dumps(after)


@pytest.mark.system
def test_a_queue_whose_name_cannot_be_sent_is_found_and_left_to_its_owner(
    doctor: Doctor, managed: RabbitServer, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(publish_result(RabbitBroker(place)))
    vhost, queue = place.rpartition("/")[2], "alt%C3%BC"
    assert called(managed, "PUT", f"/api/queues/{vhost}/{queue}", b"{}") == 201
    bound = b'{"routing_key": "processed"}'
    at = f"/api/bindings/{vhost}/e/sfu_wrapper.events/q/{queue}"
    assert called(managed, "POST", at, bound) == 201
    code, report = doctor(RABBITMQ__ADDRESS=place, RABBITMQ__MANAGEMENT_URL=managed.management_url)

    assert code == 0
    assert line(report, "queue altü gets")["advice"].endswith("management page of RabbitMQ")
    assert main(["queues", "unbind", "altü", "processed"]) == 1
    assert "altü: not a name that can be sent" in capsys.readouterr().err


@pytest.mark.system
def test_queues_whose_names_were_exchanged_are_found(
    doctor: Doctor, managed: RabbitServer, place: str
) -> None:
    specs = QueueSpec("one", ("processed", "failed")), QueueSpec("other", ("processed", "failed"))
    asyncio.run(publish_result(RabbitBroker(place), *specs))
    _, report = doctor(
        RABBITMQ__ADDRESS=place,
        RABBITMQ__MANAGEMENT_URL=managed.management_url,
        PROCESSED_QUEUE="one",
        FAILURE_QUEUE="other",
    )

    assert line(report, "queue one gets all messages of key failed")["status"] == "warning"
    assert line(report, "queue other gets all messages of key processed")["status"] == "warning"
    assert "queue one gets all messages of key processed" not in json.dumps(report)


@pytest.mark.system
async def test_the_queue_of_a_controllers_notices_is_no_finding(managed: RabbitServer) -> None:
    broker = RabbitBroker(managed.url)
    await broker.open(())
    listener = asyncio.ensure_future(anext(broker.listen(("progress",), 5)))
    await until(lambda: "sfu_wrapper.notices." in managed.ctl("list_queues", "name"))
    listed = await management.bindings(managed.url, managed.management_url, EXCHANGE)
    listener.cancel()
    await asyncio.wait([listener])
    await broker.close()

    assert not [each for each in listed if each.routing_key == "progress"]


@pytest.mark.system
def test_a_user_who_may_not_see_the_bindings_is_told_the_command_that_lists_them(
    doctor: Doctor, managed: RabbitServer
) -> None:
    asyncio.run(publish_result(RabbitBroker(managed.url), RENAMED))
    managed.ctl("add_user", "worker", "hush-hush")
    managed.ctl("set_permissions", "worker", ".*", ".*", ".*")
    code, report = doctor(
        RABBITMQ__ADDRESS=managed.url.replace("guest:guest", "worker:hush-hush"),
        RABBITMQ__MANAGEMENT_URL=managed.management_url,
    )
    found = line(report, "bindings of sfu_wrapper.events are unknown")
    command = shlex.split(found["text"].partition("to see them: ")[2])

    assert (code, found["status"]) == (0, "ok")
    assert "401" in found["text"]
    assert "hush-hush" not in json.dumps(report)
    assert command[:2] == ["rabbitmqctl", "list_bindings"]
    assert "sfu_wrapper.events" in managed.ctl(*command[1:])


@pytest.mark.system
def test_a_server_without_the_plugin_is_no_fault(doctor: Doctor, rabbitmq: RabbitServer) -> None:
    settings = {"RABBITMQ__ADDRESS": rabbitmq.url}
    code, report = doctor(**settings, RABBITMQ__MANAGEMENT_URL=f"http://127.0.0.1:{free_port()}")

    assert code == 0
    assert line(report, "bindings of sfu_wrapper.events are unknown")["status"] == "ok"


@pytest.mark.system
def test_a_consumer_timeout_that_only_the_server_knows_is_named_before_3_12(
    doctor: Doctor, rabbitmq: RabbitServer
) -> None:
    _, report = doctor(RABBITMQ__ADDRESS=rabbitmq.url, WORKER__CONSUMER_TIMEOUT_SECONDS="7200")
    warned = [row for row in report if "consumer timeout" in row["text"]]
    version = about("broker", report)[0]["text"].removeprefix("RabbitMQ ").partition(" ")[0]
    ignores = tuple(int(number) for number in version.split(".")[:2]) < (3, 12)

    assert len(warned) == ignores
    assert all("consumer_timeout = 7200000 in rabbitmq.conf" in row["advice"] for row in warned)
    if ignores:
        assert "consumer_timeout" in rabbitmq.ctl("environment"), "the command shows it"


def test_a_queue_of_an_old_name_is_found_in_the_embedded_broker_too(
    doctor: Doctor, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "state" / "queue.db"
    now = QueueSpec("results", ("processed",))
    asyncio.run(publish_result(QueueFile(file), now, RENAMED))
    code, report = doctor(PROCESSED_QUEUE="results")
    printed = unbound(report, capsys)
    lengths = asyncio.run(publish_result(QueueFile(file), now, QueueSpec(OLD, ())))
    _, after = doctor(PROCESSED_QUEUE="results")

    assert code == 0
    assert line(report, f"queue {OLD}")["text"].endswith("; 1 messages ready")
    assert printed == f"{OLD} gets no more messages of key processed; 1 stay in it\n"
    assert lengths == {"results": 2, OLD: 1}
    assert OLD not in json.dumps(after)


def test_a_binding_of_the_configuration_is_not_removed(
    doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor()

    assert main(["queues", "unbind", "processed_queue", "processed"]) == 1
    assert "the configuration binds it by processed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broker", "configured", "expected"),
    [
        ("amqp://us:word@mq.example/", None, "http://mq.example:15672"),
        ("amqps://mq.example:5671/calls", None, "https://mq.example:15671"),
        ("amqp://us@[::1]:5673/", None, "http://[::1]:15672"),
        ("amqp://mq.example/", "https://admin.example/mq/", "https://admin.example/mq"),
    ],
)
def test_the_address_of_the_management_follows_that_of_the_broker(
    broker: str, configured: str | None, expected: str
) -> None:
    assert management.address(broker, configured) == expected


@pytest.mark.parametrize(
    ("broker", "expected"),
    [("amqp://h/", "/"), ("amqp://h", "/"), ("amqp://h/calls", "calls"), ("amqp://h/%2F", "/")],
)
def test_the_virtual_host_is_that_of_the_brokers_address(broker: str, expected: str) -> None:
    assert management.virtual_host(broker) == expected


@pytest.mark.system
def test_another_server_at_the_address_of_the_management_is_no_list_of_bindings(
    doctor: Doctor, rabbitmq: RabbitServer
) -> None:
    for body in (b'{"keys": []}', b"[1]", b"<html>"):
        with provider(body) as other:
            address = other.url.removesuffix("/keys")
            _, report = doctor(RABBITMQ__ADDRESS=rabbitmq.url, RABBITMQ__MANAGEMENT_URL=address)

        assert "sends no list of bindings" in line(report, "are unknown")["text"]
