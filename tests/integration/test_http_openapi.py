"""The description of the HTTP interface, and whether it is true."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.webhook import Endpoint
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import PutEndpoint, SendTest
from sfu_wrapper.wire.recording_info import encode_event
from tests.helpers.builders import segment_info
from tests.helpers.http import SKIP, Answer, World, pass_for, world
from tests.helpers.recordings import (
    START_MS,
    facts,
    failure,
    finished,
    put,
    put_ready,
    write_files,
)

pytestmark = pytest.mark.timeout(120)

VIDEO = RawFile("seg/a.mjr", Stream.CAMERA, START_MS, None, user=UserId("alice"))
FAILED = segment_info(uuid="uuid-2", video=(VIDEO,))
DONE = ("200", "201", "202", "204")
HTTP_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
# So that the tool comes to what lies behind the addresses, and not only to 404.
CONFIG = """
[[operations]]
include-path-regex = "^/permissions/domain/"
parameters = { "path.id" = "example" }

[[operations]]
include-path-regex = "^/rooms/"
parameters = { "path.id" = "m" }

[[operations]]
include-path-regex = "^/(recordings|links)/"
exclude-method = "DELETE"
parameters = { "path.uuid" = "uuid-1", "path.segment" = 1, "path.name" = "a.webm" }

[[operations]]
include-path-regex = "^/recordings/.*/retry"
parameters = { "path.uuid" = "uuid-2", "path.segment" = 1 }

[[operations]]
include-path-regex = "^/recordings/"
include-method = "DELETE"
parameters = { "path.uuid" = "uuid-1", "path.segment" = 2 }

[[operations]]
include-path-regex = "^/webhooks/"
exclude-method = "DELETE"
parameters = { "path.id" = "ours", "path.delivery" = "msg_ours" }
"""


def references(node: object) -> Iterator[str]:
    """Every ``$ref``."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def whole_numbers(node: object) -> Iterator[dict[str, object]]:
    """Every schema of a whole number."""
    if isinstance(node, dict) and node.get("type") == "integer":
        yield node
    inner = node.values() if isinstance(node, dict) else node
    for value in inner if not isinstance(inner, str) and isinstance(inner, Iterable) else ():
        yield from whole_numbers(value)


async def described() -> Answer:
    """The description."""
    async with world() as here:
        return await here.ask("GET", "/openapi.json")


async def test_it_is_openapi_3_1_without_a_token() -> None:
    answer = await described()

    assert answer.status == 200
    assert answer.json["openapi"].startswith("3.1.")
    assert answer.headers["content-type"] == "application/json"


async def test_every_reference_leads_somewhere_and_nothing_lies_about() -> None:
    document = (await described()).json
    schemas = document["components"]["schemas"]
    found = {each.removeprefix("#/components/schemas/") for each in references(document)}

    assert found == set(schemas)


async def test_every_operation_says_what_may_go_wrong() -> None:
    document = (await described()).json
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            wrong = {status for status in answers if status >= "400"}

            assert "422" not in answers
            if "security" in operation:
                assert {"400", "401", "429", "500", "503"} <= wrong, (method, path)
                answer = next(answers[code] for code in DONE if code in answers)
                is_json = "application/json" in answer.get("content", {})
                assert "406" in wrong or not (is_json or "204" in answers), (method, path)
                for status in wrong:
                    assert list(answers[status]["content"]) == ["application/problem+json"]
            if method == "put":
                assert operation["requestBody"]["required"]
                assert {"408", "413", "415"} <= set(answers)
                if path.startswith("/permissions"):  # which has conditions
                    assert {"201", "412"} <= set(answers)


async def test_every_operation_names_its_answer() -> None:
    document = (await described()).json
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            answer = next(responses[code] for code in DONE if code in responses)
            body = answer.get("content", {}).get("application/json")

            assert body is None or "$ref" in body["schema"], (method, path)


async def test_every_whole_number_of_a_request_has_limits() -> None:
    document = (await described()).json
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            asked = (operation.get("parameters"), operation.get("requestBody"))
            for schema in whole_numbers(asked):
                assert {"minimum", "maximum"} <= schema.keys(), (method, path, schema)


async def test_every_path_is_described_in_the_reference() -> None:
    page = HTTP_PAGE.read_text(encoding="utf-8")

    for path in (await described()).json["paths"]:
        assert f"{path}`" in page, f"{path} is missing in docs/reference/http.md"


async def peopled(here: World, folder: Path) -> None:
    """Something to be found."""
    await put_ready(here.store, folder, {"a.webm": b"webm"})
    write_files(folder / "logs", {"uuid-1-1.log": b"a line"})
    await put_ready(here.store, folder, {"b.webm": b"webm"}, facts(number=2))
    about = facts("uuid-2")
    await put(here.store, finished(about, failure(about, event=encode_event(FAILED))))
    write_files(folder / "raw_files", {"seg/a.mjr": b"raw"})
    webhook = Endpoint("ours", DomainId("example"), "https://a.example/", ("whsec_",), (), 1)
    test = SendTest("ours", "msg_ours", DomainId("example"), 1, b"{}")
    await here.store.commit(Commit(webhooks=(PutEndpoint(webhook), test)), 1)
    alice = here.peer("alice")
    await here.do(alice, "createRoom", id="m", kind="meeting")
    await here.do(alice, "joinRoom", room="m")
    await here.ask("PUT", "/permissions/domain/example", pass_for("root", "domain-admin"), SKIP)


@pytest.mark.parametrize(
    "role",
    [
        "domain-admin",  # has the most behind the addresses
        pytest.param("user", marks=pytest.mark.slow),
        pytest.param("service", marks=pytest.mark.slow),
    ],
)
async def test_schemathesis_finds_nothing(role: str, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    async with world(folder=tmp_path) as here:
        await peopled(here, tmp_path)
        tool = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            "--no-color",
            f"--config-file={config}",
            "run",
            f"{here.server.url}/openapi.json",
            f"--header=Authorization: Bearer {pass_for('alice', role)}",
            "--max-examples=10",
            "--seed=1",
            "--continue-on-failure",
            "--generation-database=none",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await tool.communicate()

    assert tool.returncode == 0, output.decode()
