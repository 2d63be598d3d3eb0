"""``sfu-wrapper webhooks`` on the store, with and without a controller."""

import asyncio
import json
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli import webhooks as command
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.webhook import DeliveryState
from tests.helpers.dispatching import dispatching, emit, endpoint, event, put
from tests.helpers.receivers import receiver, status


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{tmp_path}/store.db")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_endpoints_and_deliveries_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await put(
        store,
        endpoint("ours", "https://a.example/"),
        endpoint("all", "https://b.example/", domain=None),
    )
    await emit(store, event("r/1"), event("r/2"))
    store.close()

    assert await asyncio.to_thread(main, ["webhooks", "list", "--json"]) == 0
    shown = lines(capsys)
    assert {(each["id"], each["domain"]) for each in shown} == {("ours", "example"), ("all", None)}
    assert "whsec_" not in json.dumps(shown)
    assert await asyncio.to_thread(main, ["webhooks", "list", "--domain", "example"]) == 0
    table = capsys.readouterr().out
    assert "https://a.example/" in table
    assert "https://b.example/" not in table
    assert (
        await asyncio.to_thread(main, ["webhooks", "deliveries", "ours", "--last", "1", "--json"])
        == 0
    )
    assert [each["subject"] for each in lines(capsys)] == ["r/2"]
    assert await asyncio.to_thread(main, ["webhooks", "deliveries", "none"]) == 1
    assert "webhook none not found" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "exit_code"), [(204, 0), (500, 1)])
async def test_a_test_waits_for_the_controller_and_shows_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int, exit_code: int
) -> None:
    store = SqliteStore(tmp_path / "store.db")
    async with receiver(status(code)) as there:
        await put(store, endpoint("ours", there))
        async with dispatching(store, SystemClock()):
            done = await asyncio.to_thread(main, ["webhooks", "test", "ours", "--json"])
            (shown,) = lines(capsys)
            again = ["webhooks", "retry", "ours", str(shown["id"]), "--json"]
            repeated = await asyncio.to_thread(main, again)
        rows = store.audit.entries(DomainId("example"), 0, 10)
    store.close()

    assert (done, repeated) == (exit_code, exit_code)
    assert (shown["type"], shown["status"]) == ("webhook.test", code)
    assert {each.id for each in there.requests} == {shown["id"]}
    assert len(there.requests) == 2
    actions = [json.loads(row.entry)["action"] for row in rows]
    assert actions == ["webhook.test", "webhook.retry"]


async def test_without_a_controller_the_test_waits_in_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_WAIT_S", 0.3)
    store = SqliteStore(tmp_path / "store.db")
    await put(store, endpoint("ours", "https://a.example/"))
    store.close()

    assert await asyncio.to_thread(main, ["webhooks", "test", "ours"]) == 75
    assert "not sent yet" in capsys.readouterr().out
    store = SqliteStore(tmp_path / "store.db")
    assert len(store.webhooks.deliveries("ours", DeliveryState.PENDING)) == 1
    store.close()
