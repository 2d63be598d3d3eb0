"""Each recording's own log: its lines alone, for our eyes alone, never too long or in the way."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sfu_wrapper.observe.logs import RecordingLogs, of_recording, recording_logs

PLAIN = logging.Formatter("%(levelname)s %(message)s")
log = logging.getLogger("sfu_wrapper.test")


@pytest.fixture(autouse=True)
def everything_is_logged() -> None:
    logging.getLogger("sfu_wrapper").setLevel(logging.DEBUG)


def test_the_lines_of_a_recording_and_no_others_stand_in_its_log(tmp_path: Path) -> None:
    with recording_logs(tmp_path / "logs", PLAIN):
        log.info("of nobody")
        with of_recording("call-1"):
            log.debug("Recording started")
            log.info("Processing video: %s.", "a.mjr")
        log.info("of nobody again")
    with of_recording("call-1"):
        log.info("after the end")

    (file,) = (tmp_path / "logs").iterdir()
    assert file.name == "call-1.log"
    assert file.read_text() == "DEBUG Recording started\nINFO Processing video: a.mjr.\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_side_by_side_nothing_is_mixed_up(tmp_path: Path) -> None:
    async def job(name: str) -> None:
        with of_recording(name):
            for _ in range(3):
                log.info("line of %s", name)
                await asyncio.to_thread(log.info, "thread of %s", name)

    with recording_logs(tmp_path, PLAIN):
        await asyncio.gather(*(job(f"call-{n}") for n in range(5)))

    for n in range(5):
        lines = (tmp_path / f"call-{n}.log").read_text().splitlines()
        assert lines == [f"INFO line of call-{n}", f"INFO thread of call-{n}"] * 3


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "/abs", "a/b", ".", "..", "x\0y", "l" * 500]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "deep" / "logs"
    with recording_logs(folder, PLAIN), of_recording(name):
        log.info("here")

    (file,) = folder.iterdir()
    assert file.read_text() == "INFO here\n"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {file}


def test_a_later_job_of_that_name_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        with recording_logs(tmp_path, PLAIN), of_recording("call"):
            log.info("again")

    assert (tmp_path / "call.log").read_text() == "INFO again\n" * 2


def test_a_log_never_grows_beyond_its_limit_and_says_so(tmp_path: Path) -> None:
    handler = RecordingLogs(tmp_path, PLAIN, max_bytes=400)
    with of_recording("call"):
        for number in range(100):
            handler.emit(logging.makeLogRecord({"msg": f"line {number} ü", "levelname": "INFO"}))
    handler.close()

    text = (tmp_path / "call.log").read_text()
    assert len(text.encode()) <= 400
    assert text.startswith("INFO line 0 ü\nINFO line 1 ü\n")
    assert text.endswith("\n... log truncated: it has reached its maximum size\n")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "call.log").symlink_to(outside)
    with recording_logs(tmp_path / "logs", PLAIN), of_recording("call"):
        log.info("here")

    assert outside.read_text() == ""


@pytest.mark.parametrize("make", [lambda link: os.link(link.parent / "outside", link), os.mkfifo])
def test_neither_another_name_of_a_file_nor_a_pipe_is_written_to(
    tmp_path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outside").write_text("")
    make(tmp_path / "call.log")
    with recording_logs(tmp_path, PLAIN), of_recording("call"):
        log.info("here")

    assert (tmp_path / "outside").read_text() == ""
    assert caplog.records[-1].message == "log.notWritten"


def test_a_log_that_cannot_be_written_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("in the way")
    with recording_logs(tmp_path / "logs", PLAIN), of_recording("call"):
        log.info("here")

    assert [record.message for record in caplog.records] == ["here", "log.notWritten"]


def test_a_disk_that_hangs_holds_up_nobody_who_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here, hangs, answers = threading.current_thread(), threading.Event(), threading.Event()
    real = os.open

    def hanging(path: str, flags: int, mode: int) -> int:
        assert threading.current_thread() is not here, "the caller would wait for the disk"
        hangs.set()
        answers.wait(30)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", hanging)
    handler = RecordingLogs(tmp_path, PLAIN, max_waiting=3)
    with of_recording("call"):
        for number in range(20):
            handler.emit(logging.makeLogRecord({"msg": f"line {number}", "levelname": "INFO"}))
            assert hangs.wait(30)
    answers.set()
    handler.close()

    lines = (tmp_path / "call.log").read_text().splitlines()
    assert lines == [f"INFO line {number}" for number in range(4)]
    assert [record.message for record in caplog.records] == ["log.notWritten"]
