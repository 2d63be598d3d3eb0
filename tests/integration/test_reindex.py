"""``sfu-wrapper recordings reindex``: the index again, from rooms and from what workers keep."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.adapters.storage.local import HIDDEN
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.model.segment import Failed, Processed, SegmentInfo
from sfu_wrapper.ports.broker import Message
from sfu_wrapper.ports.store import Commit, PartRow
from sfu_wrapper.service.recordings import reindexing
from sfu_wrapper.wire.deletion_messages import encode_request
from sfu_wrapper.wire.job_messages import encode_failed
from sfu_wrapper.wire.recording_info import parse_event
from sfu_wrapper.wire.room_state import result_part
from tests.helpers.calls import call
from tests.helpers.deletions import Scene, order
from tests.helpers.indexed import ALICE, failed, key
from tests.helpers.live import live
from tests.helpers.processor_place import INFO
from tests.helpers.wait import until

Run = Callable[..., tuple[int, list[str]]]
SAMPLE = Path(__file__).parents[1] / "samples" / "store-0.1.0.db"
NO_MANIFEST = "not a manifest of a finished segment"
OWNED = replace(INFO, domain=ALICE.domain, owner=ALICE.user)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A worker and its folders, which are the configured ones."""
    made = Scene(tmp_path, clean=False)
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{tmp_path}/store.db")
    for name, path in (
        ("DESTINATION_PATH", made.place.out),
        ("RECORDINGS_PATH", made.place.raw),
        ("AUDIO_PATH", made.place.raw),
        ("LOGS_PATH", made.logs),
    ):
        monkeypatch.setenv(f"SFU_WRAPPER__{name}", str(path))
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """One reindex: (exit code, lines of the output and of the errors)."""

    def inner(*argv: str) -> tuple[int, list[str]]:
        whole = ["recordings", "reindex", *argv, "--config", str(tmp_path)]
        with ThreadPoolExecutor(1) as apart:  # it has a loop of its own
            code = apart.submit(main, whole).result()
        captured = capsys.readouterr()
        return code, (captured.out + captured.err).splitlines()

    return inner


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    path = tmp_path / "store.db"
    SqliteStore(path).close()
    return path


def stored(path: Path) -> list[Recording]:
    with closing(SqliteStore(path)) as opened:
        return sorted(opened.index.all(), key=lambda each: (each.key.uuid, each.key.segment))


def emptied(path: Path, *also: str) -> None:
    """Lose the index, and further tables."""
    with closing(sqlite3.connect(path)) as connection:
        for table in ("recordings", "stays", *also):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 constants of ours
        connection.commit()


async def worked(scene: Scene, info: SegmentInfo) -> Message:
    """Let the worker process a segment; the ``processed`` message."""
    for file in (*info.video, *info.audio):
        raw = scene.place.raw / file.filename.lstrip("/")
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_text("media")
    await scene.process(info)
    return [one for one in scene.broker.published if one.routing_key == "processed"][-1]


async def recorded_call(scene: Scene, path: Path) -> list[Recording]:
    """A call that was recorded and processed; the index after it."""
    with closing(SqliteStore(path)) as opened:
        async with live(store=opened) as controller:
            made = await call(controller)
            await made.started()
            await made.stopped()

            def events() -> list[bytes]:
                sent = controller.broker.published
                return [one.body for one in sent if one.routing_key == "recordingInfo"]

            await until(lambda: bool(events()))
            message = await worked(scene, parse_event(events()[0]))
            await controller.broker.publish(message)
            states = (RecordingState.READY,)
            await until(lambda: tuple(one.state for one in opened.index.all()) == states)
    return stored(path)


def same(found: list[Recording], before: list[Recording]) -> bool:
    return [replace(one, version=0) for one in found] == [replace(one, version=0) for one in before]


async def test_an_empty_index_is_as_it_was(scene: Scene, run: Run, store: Path) -> None:
    before = await recorded_call(scene, store)
    emptied(store)

    code, lines = run()

    (address,) = (str(one.key) for one in before)
    assert (code, lines) == (0, [f"{address}: added, ready", "1 added"])
    assert before[0].facts.stays
    assert before[0].facts.decision is not None
    assert same(stored(store), before)


async def test_without_its_room_files_state_times_and_people_are_as_they_were(
    scene: Scene, run: Run, store: Path
) -> None:
    (before,) = await recorded_call(scene, store)
    emptied(store, "rooms", "parts")

    assert run()[0] == 0

    (found,) = stored(store)
    assert (found.state, found.outcome, found.outcome_ms) == (
        before.state,
        before.outcome,
        before.outcome_ms,
    )
    known, facts = before.facts, found.facts
    for name in ("key", "room", "domain", "owner", "type", "started_ms", "stopped_ms", "stays"):
        assert getattr(facts, name) == getattr(known, name)


async def test_a_second_run_changes_nothing(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, OWNED)
    assert run() == (0, ["uuid/1: added, ready", "1 added"])
    before = stored(store)

    assert run() == (0, ["1 known"])
    assert stored(store) == before


async def test_a_result_whose_message_was_lost_is_read_from_its_manifest(
    scene: Scene, run: Run, store: Path
) -> None:
    (before,) = await recorded_call(scene, store)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE recordings SET state = 'queued', rest = '{}', due_ms = NULL")
        connection.commit()

    code, lines = run()

    assert (code, lines) == (
        0,
        [f"{before.key}: updated: its result was missing, ready", "1 known, 1 updated"],
    )
    (after,) = stored(store)
    assert (after.state, after.outcome) == (before.state, before.outcome)
    assert run() == (0, ["1 known"])


async def test_a_result_without_its_files_leaves_the_recording_as_it_is(
    scene: Scene, run: Run, store: Path
) -> None:
    await recorded_call(scene, store)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE recordings SET state = 'queued', rest = '{}', due_ms = NULL")
        connection.commit()
    for file in scene.place.out.glob("*.webm"):
        file.unlink()

    assert run() == (0, ["1 known"])
    (after,) = stored(store)
    assert after.outcome is None


async def test_it_works_next_to_a_running_controller(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, OWNED)
    with closing(SqliteStore(store)) as opened:
        assert run()[0] == 0
        (found,) = opened.index.all()
    assert found.state is RecordingState.READY


async def test_a_deleted_recording_stays_deleted(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, OWNED)
    manifest = next((scene.place.out / HIDDEN / "manifests").iterdir())
    kept = manifest.read_bytes()
    await scene.delete()
    manifest.write_bytes(kept)  # as if the worker had died before it removed it

    assert run() == (0, ["uuid/1: added, deleted", "1 added"])

    (found,) = stored(store)
    assert found.state is RecordingState.DELETED
    assert found.deletion is not None
    assert found.bytes == 0


async def test_a_deletion_of_a_recorded_room_leaves_a_tombstone(
    scene: Scene, run: Run, store: Path
) -> None:
    (before,) = await recorded_call(scene, store)
    mark = scene.marks / f"{before.key.uuid}%3A{before.key.segment}.mark"
    await scene.publish(
        Message(
            "deletionRequested",
            "d",
            encode_request(replace(order(), key=before.key)),
            "room",
        )
    )
    await scene.worker().run_once()
    assert mark.exists()
    emptied(store)

    assert run()[0] == 0
    (found,) = stored(store)
    assert found.state is RecordingState.DELETED
    assert found.facts.owner == before.facts.owner


async def test_a_requested_deletion_stays_requested(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, OWNED)
    await scene.removal.put_order("uuid:1", encode_request(order()))

    assert run()[0] == 0
    (found,) = stored(store)
    assert found.deletion is not None
    assert found.deletion_pending_ms == order().requested_ms


async def test_a_lost_file_is_named_and_not_indexed(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, OWNED)
    (scene.place.out / "rec-uuid-bridge-1.webm").unlink()

    code, lines = run()

    text = "uuid/1: left out: missing in destination_path: rec-uuid-bridge-1.webm"
    assert (code, lines) == (0, [text, "1 lost"])
    assert stored(store) == []


async def test_a_lost_file_of_a_known_room_is_named_once(
    scene: Scene, run: Run, store: Path
) -> None:
    (before,) = await recorded_call(scene, store)
    emptied(store)
    for file in scene.place.out.glob("*.webm"):
        file.write_bytes(b"")

    code, lines = run("--json")

    first, last = map(json.loads, lines)
    assert code == 0
    assert (first["recording"], first["finding"]) == (str(before.key), "lost")
    assert [name.endswith(".webm") for name in first["files"]] == [True]
    assert (last["lost"], last["added"], last["known"]) == (1, 0, 0)
    assert stored(store) == []


async def test_an_old_manifest_needs_a_domain(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, OWNED)
    (manifest,) = (scene.place.out / HIDDEN / "manifests").iterdir()
    content = json.loads(manifest.read_text())
    del content["event"]  # as 0.2.0 wrote it
    manifest.write_text(json.dumps(content))

    code, lines = run()
    assert code == 1
    assert "names no domain; add --domain D" in lines[0]
    assert stored(store) == []
    assert run("--owner", "bob")[0] == 1

    assert run("--domain", "here", "--owner", "bob")[0] == 0
    (found,) = stored(store)
    assert (found.facts.domain, found.facts.owner) == ("here", "bob")
    assert found.facts.started_ms == INFO.started_ms
    assert isinstance(found.outcome, Processed)


async def test_a_deleted_one_of_no_domain_is_left_out(scene: Scene, run: Run, store: Path) -> None:
    await worked(scene, INFO)
    (manifest,) = (scene.place.out / HIDDEN / "manifests").iterdir()
    kept = manifest.read_bytes()
    await scene.delete()
    manifest.write_bytes(kept)

    assert run() == (0, ["uuid/1: deleted, and of no known domain: left out", "1 deleted"])
    assert stored(store) == []


async def test_what_is_damaged_is_named_and_keeps_nothing_else_out(
    scene: Scene, run: Run, store: Path
) -> None:
    await worked(scene, OWNED)
    folder = scene.place.out / HIDDEN / "manifests"
    (folder / "other%3A1.manifest").write_text("{")
    no_result = {"version": 1, "message": encode_failed(failed(event=None)).decode()}
    (folder / "failed%3A1.manifest").write_text(json.dumps(no_result))

    code, lines = run()

    assert code == 1
    assert lines[-1] == "1 added, 2 damaged"
    assert {line.partition(":")[0] for line in lines[:-1]} == {
        "uuid/1", "other%3A1.manifest", "failed%3A1.manifest"
    }  # fmt: skip


async def test_a_damaged_mark_of_a_known_room_is_named_once(
    scene: Scene, run: Run, store: Path
) -> None:
    (before,) = await recorded_call(scene, store)
    emptied(store)
    scene.marks.mkdir()
    (scene.marks / f"{before.key.uuid}%3A{before.key.segment}.mark").write_text("{}")

    code, lines = run()

    assert (code, lines[1:]) == (1, ["1 damaged"])
    assert stored(store) == []


async def test_a_damaged_manifest_of_a_known_room_is_named_once(
    scene: Scene, run: Run, store: Path
) -> None:
    await recorded_call(scene, store)
    emptied(store)
    (manifest,) = (scene.place.out / HIDDEN / "manifests").iterdir()
    manifest.write_text("{}")

    code, lines = run()

    assert code == 1
    assert lines == [f"{manifest.name}: left out: damaged: {NO_MANIFEST}", "1 damaged"]
    assert stored(store) == []


@pytest.mark.parametrize("place", ["deleted/uuid%3A1.mark", "deleting/uuid%3A1.order"])
async def test_a_damaged_mark_brings_nothing_back(
    scene: Scene, run: Run, store: Path, place: str
) -> None:
    await worked(scene, OWNED)
    file = scene.place.out / HIDDEN / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")

    code, lines = run()

    assert (code, lines[-1]) == (1, "1 damaged")
    assert stored(store) == []


def test_a_store_of_0_1_0_gives_its_recordings(scene: Scene, run: Run, store: Path) -> None:
    shutil.copy(SAMPLE, store)
    scene.place.out.mkdir(exist_ok=True)

    code, lines = run()

    assert code == 0
    assert sorted(lines[:-1]) == ["meeting/1: added, queued", "over/1: added, queued"]
    meeting, over = (one.facts for one in stored(store))
    assert (meeting.owner, meeting.by, meeting.duration_ms) == ("alice", "alice", 464)
    assert (over.kind, over.reason, over.stopped_ms) == ("direct", "requested", 1_796_055_706_273)
    assert over.decision is not None
    assert over.decision.reason == "AT_START_OFF"


async def test_the_result_that_a_room_holds_counts_without_a_manifest(
    scene: Scene, run: Run, store: Path
) -> None:
    shutil.copy(SAMPLE, store)
    of = replace(key(), uuid=RoomUuid("over"))
    kept = scene.place.out / HIDDEN / "work" / "over%3A1" / "recordingInfo.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    with closing(SqliteStore(store)) as opened:
        part = PartRow(of.uuid, result_part(of.segment), encode_failed(failed(of, event=None)))
        await opened.commit(Commit(parts=(part,)), 1)

    assert run()[0] == 0
    over = stored(store)[1]
    assert over.state is RecordingState.FAILED
    assert isinstance(over.outcome, Failed)
    assert over.outcome.kept == (str(kept),)


def test_a_damaged_room_is_named(scene: Scene, run: Run, store: Path) -> None:
    shutil.copy(SAMPLE, store)
    scene.place.out.mkdir(exist_ok=True)
    SqliteStore(store).close()
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE rooms SET state = ? WHERE id = 'over'", (b"9 {}",))
        connection.commit()

    code, lines = run()

    assert code == 1
    assert lines[-1] == "1 added, 1 damaged"
    assert any(line.startswith("over: left out: damaged: ") for line in lines)


def test_nothing_is_lost_where_the_destination_is_not_mounted(
    scene: Scene, run: Run, store: Path
) -> None:
    code, lines = run()
    assert code == 1
    assert "NOT_MOUNTED" in lines[0]


async def test_batches_that_others_write_into_are_written_one_by_one(
    scene: Scene, run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("1", "2", "3"):
        await worked(scene, replace(OWNED, uuid=RoomUuid(f"u{number}")))
    monkeypatch.setattr(reindexing, "BATCH", 2)
    folder = scene.place.out / HIDDEN / "manifests"
    # Two manifests of one address, as senders without numbers have left them.
    shutil.copy(folder / "u1%3A1.manifest", folder / "u1%3At5.manifest")

    code, lines = run()

    assert code == 0
    assert len(stored(store)) == 3
    assert lines[-1] == "3 added, 1 known"


async def test_a_terminal_shows_progress(
    scene: Scene, run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worked(scene, OWNED)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    code, lines = run()

    assert code == 0
    assert any("reindex" in line and "100 %" in line for line in lines)
