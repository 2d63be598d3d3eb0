"""A worker that moves finished files into an object store, and deletes them there."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.objects import MemoryObjectStore
from sfu_wrapper.adapters.storage.local import HIDDEN
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.service.worker.deleting import DELETIONS
from sfu_wrapper.service.worker.uploading import STORAGE
from tests.helpers.deletions import Scene, other
from tests.helpers.processor_place import INFO, MERGED, RULES
from tests.helpers.wait import until
from tests.helpers.worker_bench import event, running

URL = "memory://recordings"


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore(URL)


@pytest.fixture
def scene(tmp_path: Path, store: MemoryObjectStore) -> Scene:
    scene = Scene(tmp_path)
    scene.store = store
    scene.settings = replace(scene.settings, outage_limit_s=0)
    return scene


def manifests(scene: Scene, folder: str = "manifests") -> set[str]:
    return {path.name for path in (scene.place.out / HIDDEN / folder).glob("*.manifest")}


async def test_finished_files_are_objects_and_leave_the_local_disk(
    scene: Scene, store: MemoryObjectStore
) -> None:
    await scene.process()

    assert store.objects.keys() == MERGED
    assert store.objects["rec-uuid-bridge-1.webm"] == b"merged"
    assert scene.place.delivered() == set()
    (message,) = scene.processed()
    assert [file["url"] for file in message["files"]] == [
        f"{URL}/rec-uuid-bridge-1.webm",
        f"{URL}/rec-uuid-bridge-1.jpg",
    ]
    assert manifests(scene) == {"uuid%3A1.manifest"}
    assert manifests(scene, "uploading") == set()


async def test_split_files_are_objects_in_their_folder(
    scene: Scene, store: MemoryObjectStore
) -> None:
    scene.rules = replace(RULES, split=True)

    await scene.process()

    assert {name.partition("/")[0] for name in store.objects} == {"uuid-bridge"}
    assert len(store.objects) == 4
    assert not (scene.place.out / "uuid-bridge").exists(), "an empty folder goes too"


async def test_encrypted_files_are_objects_and_nothing_plain_is(
    scene: Scene, store: MemoryObjectStore
) -> None:
    scene.rules = replace(RULES, encrypt=True)

    await scene.process()

    assert store.objects
    assert all(name.endswith(".gpg") for name in store.objects)
    assert all(content.startswith(b"encrypted") for content in store.objects.values())


async def test_while_the_store_is_away_files_wait_and_others_are_processed(
    scene: Scene, store: MemoryObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store.outage = "no answer"
    for name in ("a.mjr", "b.mjr", "mix.wav"):
        (scene.place.raw / f"2-{name}").write_text(name)
    await scene.publish(event(INFO))
    await scene.publish(event(other(2)))

    async with running(scene.worker()):
        await until(lambda: len(manifests(scene, "uploading")) == 2)
        await until(lambda: scene.monitor.parts.get(STORAGE) == (False, "no answer"))
        assert scene.processed() == [], "nothing is announced before it is stored"
        assert len(scene.place.delivered()) == 4
        store.outage = ""
        await until(lambda: len(scene.processed()) == 2)

    assert len(store.objects) == 4
    assert len(scene.place.tools.plans) == 2, "nothing was composed twice"
    assert scene.monitor.parts[STORAGE] == (True, "")
    assert caplog.messages.count("worker.storageAway") == 1
    assert caplog.messages.count("worker.storageRecovered") == 1


async def test_an_upload_that_a_death_cut_short_goes_on_without_processing(
    scene: Scene, store: MemoryObjectStore
) -> None:
    store.outage = "no answer"
    await scene.publish(event(INFO))
    with pytest.raises(Unavailable, match="no answer"):
        await scene.worker().run_once()
    store.outage = ""

    await scene.worker().run_once()

    assert store.objects.keys() == MERGED
    assert len(scene.place.tools.plans) == 1
    assert len(scene.processed()) == 1
    assert scene.place.delivered() == set()


async def test_a_file_that_vanished_before_its_upload_is_made_again(
    scene: Scene, store: MemoryObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.outage = "no answer"
    await scene.publish(event(INFO))
    with pytest.raises(Unavailable):
        await scene.worker().run_once()
    store.outage = ""
    (scene.place.out / "rec-uuid-bridge-1.webm").unlink()

    await scene.worker().run_once()

    assert store.objects["rec-uuid-bridge-1.webm"] == b"merged"
    assert len(scene.place.tools.plans) == 2
    assert "job.resultLost" in caplog.messages


@pytest.mark.parametrize("new_url", [None, "memory://elsewhere"])
async def test_files_that_were_made_for_another_store_are_made_again(
    scene: Scene, store: MemoryObjectStore, new_url: str | None
) -> None:
    store.outage = "no answer"
    await scene.publish(event(INFO))
    with pytest.raises(Unavailable):
        await scene.worker().run_once()
    scene.store = None if new_url is None else MemoryObjectStore(new_url)

    await scene.worker().run_once()

    (message,) = scene.processed()
    urls = [file.get("url") for file in message["files"]]
    assert urls == [
        None if new_url is None else f"{new_url}/{name}" for name in sorted(MERGED, reverse=True)
    ]
    assert scene.place.delivered() == (MERGED if new_url is None else set())


async def test_a_deleted_recording_leaves_no_object(scene: Scene, store: MemoryObjectStore) -> None:
    await scene.process()
    store.objects["of-another.webm"] = b"stays"

    await scene.delete()

    assert store.objects == {"of-another.webm": b"stays"}
    assert len(scene.deleted()) == 1
    assert scene.left() == set()


async def test_while_the_store_is_away_a_deletion_stays_open(
    scene: Scene, store: MemoryObjectStore
) -> None:
    await scene.process()
    store.outage = "no answer"

    await scene.delete()
    assert scene.deleted() == []
    assert scene.monitor.parts[DELETIONS] == (False, "uuid:1: no answer")

    store.outage = ""
    await scene.worker().run_once()
    assert store.objects == {}
    assert len(scene.deleted()) == 1


async def test_a_recording_in_another_store_is_not_reported_as_deleted(
    scene: Scene, store: MemoryObjectStore
) -> None:
    await scene.process()

    for elsewhere in (None, MemoryObjectStore("memory://elsewhere")):
        scene.store = elsewhere
        await scene.delete()
        assert scene.deleted() == []
        assert (
            f"{URL}/rec-uuid-bridge-1.webm is in another store" in scene.monitor.parts[DELETIONS][1]
        )

    scene.store = store
    await scene.worker().run_once()
    assert store.objects == {}
    assert len(scene.deleted()) == 1


async def test_a_recording_is_deleted_that_was_never_uploaded(
    scene: Scene, store: MemoryObjectStore
) -> None:
    store.outage = "no answer"
    await scene.publish(event(INFO))
    with pytest.raises(Unavailable):
        await scene.worker().run_once()
    store.outage = ""

    await scene.delete()

    assert store.objects == {}
    assert scene.place.delivered() == set()
    assert manifests(scene, "uploading") == set()


async def test_a_manifest_names_the_objects(scene: Scene) -> None:
    await scene.process()

    (name,) = manifests(scene)
    stored = json.loads((scene.place.out / HIDDEN / "manifests" / name).read_text())
    assert [file["url"] for file in json.loads(stored["message"])["files"]]
