"""Janus that names open recordings otherwise: ``recordings_tmp_ext`` and ``record_tmp_ext``."""

from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest

from sfu_wrapper.core.media_plane import CaptureLost
from sfu_wrapper.model.media import Medium
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.publishers import Camera
from tests.helpers.wait import until
from tests.integration.test_janus_rooms import RED, recorded_room

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    folder = tmp_path_factory.mktemp("janus") / "server"
    with running_janus(folder, open_extension="part") as server:
        yield server


async def test_recordings_are_found_while_open_and_reported_by_their_final_names(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with recorded_room(janus, tmp_path) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        captures = [await recorded.start(medium) for medium in Medium]
        open_names = names(tmp_path, ".part")
        files = [file for each in captures for file in (await recorded.stop(each)).files]

    assert len(open_names) == 2, "this Janus does what it was configured to"
    assert len(files) == 2
    assert {PurePath(file.filename).name for file in files} == names(tmp_path, ".mjr", ".wav")
    assert all(file.stopped_ms is not None for file in files)


async def test_what_a_killed_janus_left_open_is_reported_under_its_final_name(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with recorded_room(janus, tmp_path) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        capture = await recorded.start(Medium.VIDEO)
        await until(lambda: any(each.stat().st_size > 20_000 for each in tmp_path.rglob("*.part")))
        janus.kill()
        janus.start()
        lost = await recorded.bench.until(CaptureLost, capture)

    (file,) = lost.files
    assert file.filename.endswith(".mjr")
    assert names(tmp_path, ".mjr", ".part") == {PurePath(file.filename).name}


def names(folder: Path, *suffixes: str) -> set[str]:
    """Return the names of all files with one of the suffixes."""
    return {path.name for path in folder.rglob("*") if path.suffix in suffixes}
