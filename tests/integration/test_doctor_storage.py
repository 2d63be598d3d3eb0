"""``sfu-wrapper doctor`` about the object store: an object goes in, and out again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.doctors import Doctor, about, doctor, folder
from tests.helpers.processes import free_port
from tests.helpers.s3 import S3Server, s3_server

__all__ = ["doctor", "folder"]

SEE = "docs/how-to/object-storage.md"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


def test_files_that_stay_on_the_disk_are_in_order(doctor: Doctor) -> None:
    (finding,) = about("storage", doctor()[1])

    assert finding["status"] == "ok"
    assert "stay local" in finding["text"]


def test_a_store_that_works_is_in_order_and_is_left_empty(doctor: Doctor, server: S3Server) -> None:
    url = "s3://recordings/calls"
    code, report = doctor(STORAGE__URL=url, STORAGE__ENDPOINT_URL=server.endpoint)

    assert code == 0
    (finding,) = about("storage", report)
    assert finding["text"] == f"{url}: an object was written, read and removed"
    assert b"<Key>" not in server.request("GET", "/recordings")


def test_a_bucket_that_is_missing_is_wrong(doctor: Doctor, server: S3Server) -> None:
    code, report = doctor(STORAGE__URL="s3://nowhere", STORAGE__ENDPOINT_URL=server.endpoint)

    assert code == 1
    (finding,) = about("storage", report)
    assert "s3://nowhere: the bucket is not there" in finding["text"]
    assert "storage.url" in finding["advice"]
    assert SEE in finding["advice"]


def test_a_store_that_does_not_answer_is_wrong(doctor: Doctor) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    code, report = doctor(STORAGE__URL="s3://recordings", STORAGE__ENDPOINT_URL=endpoint)

    assert code == 1
    (finding,) = about("storage", report)
    assert endpoint in finding["text"]
    assert "hush-hush" not in str(report)


def test_a_store_that_hangs_is_wrong_before_the_check_is_given_up(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu_wrapper.cli.doctor.services._OBJECT_STORE_S", 0.0)
    endpoint = f"http://127.0.0.1:{free_port()}"
    _, report = doctor(STORAGE__URL="s3://recordings", STORAGE__ENDPOINT_URL=endpoint)

    assert "s3://recordings: no answer within" in about("storage", report)[0]["text"]


def test_credentials_that_are_missing_are_named(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # Without them the library asks the machine of the cloud that it would run on.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")

    code, report = doctor(STORAGE__URL="s3://recordings")

    assert code == 1
    (finding,) = about("storage", report)
    assert "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in finding["advice"]


def test_a_file_of_credentials_that_cannot_be_read_is_wrong(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY_FILE", str(tmp_path / "missing"))

    code, report = doctor(STORAGE__URL="s3://recordings")

    assert code == 1
    (finding,) = about("storage", report)
    assert "$AWS_SECRET_ACCESS_KEY_FILE" in finding["text"]
    assert "workers do not start" in finding["advice"]
