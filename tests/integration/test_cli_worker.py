"""``sfu-wrapper worker`` as an operator meets it: what it waits for, and how it ends."""

import asyncio
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite.leases import SqliteLeases
from sfu_wrapper.cli import worker
from sfu_wrapper.cli.main import main
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.service.worker.scheduling import WorkerSettings
from tests.helpers.processes import free_port

SAMPLES = Path(__file__).parents[1] / "samples"
EVENT = SAMPLES / "seg-2" / "recordingInfo.json"


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, with the defaults that need no privileges."""
    monkeypatch.chdir(tmp_path)
    for key in ("RECORDINGS_PATH", "AUDIO_PATH", "DESTINATION_PATH", "LOGS_PATH"):
        monkeypatch.setenv(f"SFU_WRAPPER__{key}", str(tmp_path / key.lower()))
    (tmp_path / "config").mkdir()


def test_once_ends_with_75_and_says_why_where_there_is_no_broker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = worker.worker_settings

    def impatient(settings: Settings) -> WorkerSettings:
        return replace(real(settings), outage_limit_s=0.1)

    monkeypatch.setattr(worker, "worker_settings", impatient)
    address = f"amqp://guest:pass-word@127.0.0.1:{free_port()}/"
    monkeypatch.setenv("SFU_WRAPPER__RABBITMQ__ADDRESS", address)

    assert main(["worker", "--once"]) == os.EX_TEMPFAIL
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("sfu-wrapper: OVERLOADED: no broker for 0.1 s: connecting to the broker")
    assert "pass-word" not in last


def test_once_ends_with_0_where_there_is_nothing_to_do() -> None:
    assert main(["worker", "--once"]) == 0


def test_a_segment_that_failed_is_put_into_the_queue_again_once_that_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFU_WRAPPER__WORKER__ATTEMPTS", "1")
    monkeypatch.setenv("SFU_WRAPPER__CLEAN_TEMPORARY_FILES", "false")
    assert main(["process", str(EVENT), "--queue"]) == 0
    assert capsys.readouterr().out == "61408347 segment 2: put into processing_queue\n"
    assert main(["worker", "--once"]) == 0
    out = tmp_path / "destination_path"
    (kept,) = out.rglob("recordingInfo.json")

    shutil.copytree(SAMPLES, tmp_path / "recordings_path", dirs_exist_ok=True)
    assert main(["process", str(kept), "--queue"]) == 0
    assert main(["worker", "--once"]) == 0

    assert [file.name for file in out.glob("*.webm")] == [
        "rec-20261124-014805-61408347-conf-1-2.webm"
    ]
    assert not kept.exists()


def test_process_keeps_its_hands_off_what_a_worker_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SAMPLES, tmp_path / "recordings_path")
    (tmp_path / "data").mkdir()
    leases = SqliteLeases(tmp_path / "data" / "sfu-wrapper.db")
    assert asyncio.run(leases.acquire("61408347:2", "a worker", 1000))
    assert main(["process", str(EVENT)]) == os.EX_TEMPFAIL
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("sfu-wrapper: OVERLOADED: a worker has 61408347:2")
    assert not (tmp_path / "destination_path").exists()

    asyncio.run(leases.release("61408347:2", "a worker"))
    assert main(["process", str(EVENT)]) == 0
    assert asyncio.run(leases.acquire("61408347:2", "a worker", 1000)), "it was given back"
    leases.close()


def test_process_says_so_where_the_store_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(self: SqliteLeases, job: str, holder: str, ttl_s: float) -> bool:
        raise Unavailable("the store is away")

    (tmp_path / "data").mkdir()
    SqliteLeases(tmp_path / "data" / "sfu-wrapper.db").close()
    monkeypatch.setattr(SqliteLeases, "acquire", away)
    assert main(["process", str(EVENT)]) == os.EX_TEMPFAIL
    assert capsys.readouterr().err.endswith("sfu-wrapper: OVERLOADED: the store is away\n")


def test_process_makes_no_store_where_there_is_none(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "recordings_path")
    assert main(["process", str(EVENT)]) == 0
    assert not (tmp_path / "data").exists()


def test_on_a_terminal_a_bar_shows_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    folders = ["--recordings", str(SAMPLES), "--audio", str(SAMPLES)]

    assert main(["process", str(EVENT), *folders]) == 0
    drawn = capsys.readouterr().err.split("\r\033[K")
    bars = [part for part in drawn if part.startswith(("preprocess", "compose"))]
    assert bars[0].startswith("preprocess")
    assert bars[-1].startswith("compose")
    assert not drawn[-1].startswith("compose")
    percents = [int(bar.partition("]")[2].split()[0]) for bar in bars]
    assert percents == sorted(percents)


def test_what_an_event_says_moves_no_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = tmp_path / "event.json"
    nothing = {"uuid": "u", "confbridgeId": "c", "completed": "2026-11-24T01:48:00.000Z"}
    missing = {"1": {"filename": "\x1b[2Jx.wav", "startTime": "2026-11-24T01:47:59.000Z"}}
    info = nothing | {"audio": {"asterisk": {"sipcall": missing}}, "video": {}}
    event.write_text(json.dumps({"conferenceId": "c", "recordingInfo": info}))

    assert main(["process", str(event)]) == 0
    told = capsys.readouterr()
    assert "note: no audio from \\u001b[2Jx.wav: \\u001b[2Jx.wav does not exist" in told.out
    assert "\x1b" not in told.out + told.err


def test_the_workers_folders_are_not_those_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["process", "event.json", "--queue", "--out", "elsewhere"]) == 1
    assert "--queue" in capsys.readouterr().err


def test_no_segment_is_taken_that_could_not_be_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SFU_WRAPPER__DESTINATION_PATH", str(tmp_path / "file" / "out"))

    for command in (["worker", "--once"], ["process", str(EVENT)]):
        assert main(command) == os.EX_TEMPFAIL
        said = f"destination_path {tmp_path}/file/out: {tmp_path}/file is no folder"
        assert said in capsys.readouterr().err


def test_nor_one_whose_files_this_user_may_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere

    assert main(["process", str(EVENT), "--out", str(tmp_path / "out")]) == os.EX_TEMPFAIL
    assert f"{tmp_path} cannot be written to by this user" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_with_encryption_the_folder_of_raw_files_is_written_to_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SFU_WRAPPER__SHOULD_ENCRYPT", "true")
    monkeypatch.setenv("SFU_WRAPPER__ENCRYPTION_MAIL", "rec@example.org")
    monkeypatch.setenv("SFU_WRAPPER__RECORDINGS_PATH", str(tmp_path / "file" / "raw"))

    assert main(["worker", "--once"]) == os.EX_TEMPFAIL
    assert "recordings_path" in capsys.readouterr().err
