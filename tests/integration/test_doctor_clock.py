"""``sfu-wrapper doctor`` where the clock is wrong, or a key of the configuration is none."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from tests.helpers.doctors import Doctor, about, doctor, folder
from tests.helpers.provider import Provider, key_set, provider

__all__ = ["doctor", "folder"]

HOUR_S = 3600


@pytest.fixture
def identity_provider() -> Iterator[Provider]:
    with provider(key_set(one=ec.generate_private_key(ec.SECP256R1()))) as running:
        yield running


def wrong(report: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in report if row["status"] == "wrong"]


def test_a_clock_behind_the_files_of_the_store_is_named_until_it_is_set(
    doctor: Doctor, folder: Path
) -> None:
    file = folder / "state" / "store.db"
    SqliteStore(file).close()
    os.utime(file, (time.time() + HOUR_S,) * 2)  # as a store looks once the clock went back
    code, report = doctor()

    (found,) = wrong(report)
    assert (code, found["check"]) == (1, "clock")
    assert f"s behind: {file} was written at 20" in found["text"]
    assert "NTP" in found["advice"]

    os.utime(file)
    code, report = doctor()
    assert (code, wrong(report)) == (0, [])


@pytest.mark.parametrize(("ahead_s", "how"), [(HOUR_S, "behind"), (-HOUR_S, "ahead of")])
def test_a_clock_that_differs_from_the_identity_providers_is_named(
    doctor: Doctor, identity_provider: Provider, ahead_s: int, how: str
) -> None:
    identity_provider.ahead_s = ahead_s
    code, report = doctor(AUTH__SECRET=None, AUTH__JWKS_URL=identity_provider.url)

    (found,) = wrong(report)
    assert (code, found["check"]) == (1, "clock")
    assert f"s {how} that of {identity_provider.url}" in found["text"]

    identity_provider.ahead_s = 0
    code, report = doctor(AUTH__SECRET=None, AUTH__JWKS_URL=identity_provider.url)
    assert (code, wrong(report)) == (0, [])


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_provider_that_tells_no_time_is_no_witness(
    doctor: Doctor, identity_provider: Provider, date: str
) -> None:
    identity_provider.date = date
    code, report = doctor(AUTH__SECRET=None, AUTH__JWKS_URL=identity_provider.url)

    assert code == 0
    assert about("clock", report)[0]["text"].startswith("20")


def test_a_provider_that_is_away_is_the_business_of_the_tokens(doctor: Doctor) -> None:
    code, report = doctor(AUTH__SECRET=None, AUTH__JWKS_URL="http://127.0.0.1:9/keys")

    assert code == 1
    assert [row["check"] for row in wrong(report)] == ["tokens"]


def test_an_unknown_key_is_named_with_the_nearest_known_one(doctor: Doctor, folder: Path) -> None:
    file = folder / "config" / "sfu-wrapper.toml"
    file.write_text("recordRecordingAtStrat = true\n")
    code, report = doctor()

    (found,) = report
    assert (code, found["status"]) == (1, "wrong")
    assert "recordRecordingAtStrat" in found["text"]
    assert "recordRecordingAtStart" in found["text"]

    file.write_text("recordRecordingAtStart = true\n")
    assert doctor()[0] == 0
