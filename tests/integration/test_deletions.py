"""Deletion by a worker: all files of a recording go, and nothing of another one."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.storage.removal import LocalRemoval
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.service.worker.deleting import DELETIONS
from sfu_wrapper.service.worker.processor import job_of
from tests.helpers.deletions import Scene, other
from tests.helpers.processor_place import INFO
from tests.helpers.wait import until
from tests.helpers.worker_bench import event, running


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


class Objects:
    """An object store that notes what is removed, and may be away."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.away = False

    async def remove(self, names: Sequence[str], urls: Sequence[str]) -> None:
        """See ``ObjectRemoval``."""
        if self.away:
            raise JobFailed(Stage.DELIVER, JobCode.IO_ERROR, "no answer", permanent=False)
        self.removed += (*names, *urls)


# what goes


@pytest.mark.parametrize("clean", [True, False])
async def test_everything_of_a_recording_goes_raw_files_and_log_included(
    tmp_path: Path, clean: bool
) -> None:
    scene = Scene(tmp_path, clean=clean)
    await scene.process()
    assert len(scene.left()) >= 4
    assert clean or any(name.endswith(".mjr") for name in scene.left())

    await scene.delete()

    assert scene.left() == set()
    (message,) = scene.deleted()
    assert (message.message_id, message.correlation_id) == ("uuid:1:deleted", "room")
    assert message.persistent
    assert json.loads(message.body)["status"] == "deleted"
    assert await scene.broker.depth("deletion_queue") == 0


async def test_nothing_of_another_recording_is_touched(tmp_path: Path) -> None:
    scene = Scene(tmp_path, clean=False)
    for file in (*other().video, *other().audio):
        (scene.place.raw / file.filename).write_text(file.filename)
    await scene.process()
    first = scene.left()
    await scene.process(other())
    second = scene.left() - first

    await scene.delete(1)

    assert scene.left() >= {name for name in second if "1" not in name}
    assert {name for name in scene.left() if name.startswith(("out/rec", "raw/", "logs/"))} == {
        name for name in second | first if "-2." in name or name.startswith("raw/2-")
    }


async def test_a_file_of_another_recording_stays_whatever_the_request_names(scene: Scene) -> None:
    await scene.process()
    before = scene.left()
    (name,) = (each for each in before if each.endswith(".webm"))

    await scene.delete(2, files=(str(scene.place.raw.parent / name), "../raw/a.mjr", "/etc/hosts"))

    assert scene.left() == before
    assert [one.message_id for one in scene.deleted()] == ["uuid:2:deleted"]


async def test_files_that_only_the_index_knows_go_too(scene: Scene) -> None:
    lost = scene.place.out / "folder" / "rec-1.webm"
    lost.parent.mkdir(parents=True)
    lost.write_text("its manifest is lost")

    await scene.delete(files=(str(lost),))

    assert not lost.parent.exists()
    assert scene.place.out.exists()


async def test_no_link_is_followed_on_the_way(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere" / "rec.webm"
    secret.write_text("not ours")
    scene.place.out.mkdir()
    (scene.place.out / "folder").symlink_to(tmp_path / "elsewhere")
    (scene.place.out / "link.webm").symlink_to(secret)

    await scene.request(files=(f"{scene.place.out}/folder/rec.webm", "link.webm"))
    async with running(scene.worker()):
        await until(lambda: DELETIONS in scene.monitor.parts)

    assert secret.read_text() == "not ours"
    assert not (scene.place.out / "link.webm").is_symlink(), "the link itself goes"
    assert scene.deleted() == [], "a file that cannot be reached may still be there"


async def test_objects_go_before_the_files_that_name_them(scene: Scene) -> None:
    scene.objects = objects = Objects()
    objects.away = True
    await scene.process()
    before = scene.left()

    await scene.delete()
    assert scene.left() >= before
    assert scene.deleted() == []

    objects.away = False
    await scene.worker().run_once()
    assert [Path(name).suffix for name in objects.removed] == [".webm", ".jpg"]
    assert scene.left() == set()
    assert len(scene.deleted()) == 1


# what comes again


async def test_a_redelivered_event_of_a_deleted_recording_brings_nothing_back(
    scene: Scene,
) -> None:
    await scene.process()
    await scene.delete()
    for name in ("a.mjr", "b.mjr", "mix.wav"):
        (scene.place.raw / name).write_text(name)

    await scene.publish(event(INFO))
    await scene.worker().run_once()

    assert len(scene.processed()) == 1, "the one before the deletion"
    assert await scene.broker.depth("processing_queue") == 0
    assert scene.left() == set(), "raw files that came back are removed as well"


async def test_a_repeated_request_is_answered_with_the_same_message(scene: Scene) -> None:
    await scene.process()
    await scene.delete()
    scene.clock.forward(1000)
    await scene.delete()

    first, second = scene.deleted()
    assert (first.message_id, first.body) == (second.message_id, second.body)


async def test_a_request_before_the_event_is_completed_by_it(scene: Scene) -> None:
    now_ms = scene.clock.now().wall_ms
    await scene.delete(awaits_event=True, requested_ms=now_ms)
    assert scene.deleted() == []

    await scene.publish(event(INFO))
    await scene.worker().run_once()

    assert (scene.processed(), scene.left()) == ([], set())
    assert len(scene.deleted()) == 1


async def test_an_event_that_never_comes_is_awaited_for_a_day(scene: Scene) -> None:
    now_ms = scene.clock.now().wall_ms
    await scene.delete(awaits_event=True, requested_ms=now_ms)
    scene.clock.forward(86_399)
    await scene.worker().run_once()
    assert scene.deleted() == []

    scene.clock.forward(2)
    await scene.worker().run_once()
    assert len(scene.deleted()) == 1


async def test_a_deletion_during_the_processing_follows_it(scene: Scene) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()
    preprocess = scene.place.tools.preprocess

    async def slow(source: Path, target_dir: Path, *, timeout_s: float) -> object:
        arrived.set()
        await go.wait()
        return await preprocess(source, target_dir, timeout_s=timeout_s)

    scene.place.tools.preprocess = slow  # type: ignore[method-assign,assignment]
    await scene.publish(event(INFO))
    async with running(scene.worker()):
        await arrived.wait()
        await scene.request()

        async def accepted() -> bool:
            return await scene.removal.order("uuid:1") is not None

        await until(accepted)
        go.set()
        await until(lambda: bool(scene.deleted()))

    keys = [one.routing_key for one in scene.broker.published if one.routing_key != "progress"]
    assert keys == ["recordingInfo", "deletionRequested", "processed", "deleted"]
    assert scene.left() == set()


# failed segments


async def fail(scene: Scene) -> None:
    scene.place.tools.broken = Stage.PREPROCESS
    await scene.process()
    scene.place.tools.broken = None
    assert any(name.endswith("recordingInfo.json") for name in scene.left())


async def test_a_failed_recording_goes_with_its_raw_files(scene: Scene) -> None:
    await fail(scene)
    await scene.delete()

    assert scene.left() == set()
    assert len(scene.deleted()) == 1


async def test_raw_files_alone_go_without_a_message(scene: Scene) -> None:
    await fail(scene)
    await scene.delete(raw_only=True)

    assert scene.left() == {"logs/uuid-1.log"}
    assert scene.deleted() == []
    assert await scene.removal.orders(10) == ()


async def test_raw_files_of_a_segment_that_was_processed_after_all_stay(tmp_path: Path) -> None:
    scene = Scene(tmp_path, clean=False)
    await scene.process()
    before = scene.left()
    await scene.delete(raw_only=True)

    assert scene.left() == before
    assert await scene.removal.orders(10) == ()


# what cannot be deleted


async def test_a_file_that_cannot_be_deleted_is_reported_and_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.process()
    unlink = os.unlink

    def refusing(path: str, *, dir_fd: int | None = None) -> None:
        if str(path).endswith(".webm"):
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    await scene.delete()
    (left,) = (name for name in scene.left() if name.startswith("out/rec"))
    assert left.endswith(".webm"), "the others went all the same"
    assert scene.deleted() == []
    there, detail = scene.monitor.parts[DELETIONS]
    assert not there
    assert detail.endswith("rec-uuid-bridge-1.webm: Operation not permitted")
    assert "deletion.failed" in caplog.text
    assert await scene.broker.depth("deletion_queue") == 0, "the order on disk goes on"

    monkeypatch.undo()
    await scene.worker().run_once()
    assert scene.left() == set()
    assert len(scene.deleted()) == 1


async def test_a_running_worker_tries_again_by_itself(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.process()
    remove_log = LocalRemoval.remove_log
    tries: list[str] = []

    async def twice_refused(self: LocalRemoval, name: str) -> None:
        tries.append(name)
        if len(tries) < 3:
            raise JobFailed(Stage.DELIVER, JobCode.IO_ERROR, "not now", permanent=False)
        await remove_log(self, name)

    monkeypatch.setattr(LocalRemoval, "remove_log", twice_refused)
    await scene.request()
    async with running(scene.worker(retry_s=0.01)):
        await until(lambda: scene.monitor.parts.get(DELETIONS) == (True, ""))

    assert len(scene.deleted()) == 1
    assert scene.left() == set()


async def test_what_is_no_request_is_dropped_with_a_line(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.process()
    before = scene.left()
    await scene.request()
    (message,) = (m for m in scene.broker.published if m.routing_key == "deletionRequested")
    await scene.publish(replace(message, body=b'{"uuid": "uuid"}'))
    scene.broker.published.clear()
    await scene.worker().run_once()

    assert "deletion.malformed" in caplog.text
    assert scene.left() < before, "the good one was carried out"
    assert await scene.broker.depth("deletion_queue") == 0


async def test_a_recording_of_an_older_sender_is_found_by_its_file(scene: Scene) -> None:
    older = replace(INFO, segment=None)
    await scene.process(older)
    (scene.logs / "uuid-None.log").rename(scene.logs / f"{job_of(older).replace(':', '-')}.log")
    (name,) = (each for each in scene.left() if each.endswith(".webm"))

    await scene.delete(files=(str(scene.place.raw.parent / name),))
    await scene.publish(event(older))
    await scene.worker().run_once()

    assert scene.left() == set()
    assert len(scene.processed()) == 1


# what is too old


async def test_old_logs_and_marks_go_by_themselves(scene: Scene) -> None:
    await scene.process()
    await scene.delete()
    log = scene.logs / "another-1.log"
    log.write_text("a line")
    (scene.logs / "notes.txt").write_text("not ours")
    ten_days_ago = scene.clock.now().wall_ms / 1000 - 10 * 86_400
    for file in (log, scene.logs / "notes.txt", *scene.marks.iterdir()):
        os.utime(file, (ten_days_ago, ten_days_ago))
    young = scene.logs / "young-1.log"
    young.write_text("a line")

    assert await scene.removal.sweep(None, None) == 0
    assert await scene.removal.sweep(None, round((ten_days_ago - 1) * 1000)) == 0
    async with running(scene.worker(log_days=9, mark_days=9)):
        await until(lambda: not log.exists() and not list(scene.marks.iterdir()))
    assert young.exists()
    assert (scene.logs / "notes.txt").exists()
