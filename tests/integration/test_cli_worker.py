"""``sfu-wrapper worker`` as an operator meets it: what it waits for, and how it ends."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.cli import worker
from sfu_wrapper.cli.main import main
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.service.worker import WorkerSettings
from tests.helpers.processes import free_port


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
        return replace(real(settings), patience_s=0.1)

    monkeypatch.setattr(worker, "worker_settings", impatient)
    address = f"amqp://guest:pass-word@127.0.0.1:{free_port()}/"
    monkeypatch.setenv("SFU_WRAPPER__RABBITMQ__ADDRESS", address)

    assert main(["worker", "--once"]) == os.EX_TEMPFAIL
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("sfu-wrapper: OVERLOADED: no broker for 0.1 s: connecting to the broker")
    assert "pass-word" not in last


def test_once_ends_with_0_where_there_is_nothing_to_do() -> None:
    assert main(["worker", "--once"]) == 0
