"""``sfu-wrapper audit``, on the configured store, beside a controller or without one."""

import asyncio
import itertools
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sfu_wrapper.adapters.signing import load_signer
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.service.recordings.audit import Audit
from tests.helpers.clocks import StandingClock

OURS, THEIRS = DomainId("example"), DomainId("other")
COUNT = 60


@dataclass(frozen=True, slots=True)
class Here:
    """A store with a chain of 60 entries and one of 3, and the command."""

    path: Path
    folder: Path
    command: Callable[..., tuple[int, str, str]]

    def json(self, *argv: str) -> list[dict[str, object]]:
        """What the command prints as JSON."""
        return [json.loads(line) for line in self.command(*argv, "--json")[1].splitlines()]

    def change(self, sql: str, *values: object) -> None:
        """Do what nobody should, behind the back of the product."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(sql, values)

    def key(self) -> Path:
        """A new private key, as operators make one."""
        private = Ed25519PrivateKey.generate()
        file = self.folder / "audit.pem"
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(pem)
        return file

    def save(self, text: str) -> str:
        """A file with that."""
        file = self.folder / "heads"
        file.write_text(text)
        return str(file)


def entry(domain: DomainId, n: int) -> AuditEntry:
    key = f"uuid-{n % 4}/1"
    return AuditEntry(domain, 1_600_000_000_000 + n, UserId("bob"), "file.read", key, "done")


async def fill(path: Path) -> None:
    store = SqliteStore(path)
    entries = (*(entry(OURS, n) for n in range(COUNT)), *(entry(THEIRS, n) for n in range(3)))
    await store.commit(Commit(audit=entries), 1)
    store.close()


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    path = tmp_path / "data" / "store.db"
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{path}")
    asyncio.run(fill(path))

    def command(*argv: str) -> tuple[int, str, str]:
        code = main(["audit", *argv, "--config", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return Here(path, tmp_path, command)


def test_whole_chains_are_listed_with_their_heads_and_the_speed(here: Here) -> None:
    code, text, _ = here.command("verify")
    found = here.json("verify")

    assert code == 0
    assert [line.split(" ")[0] for line in text.splitlines()] == ["example:", "other:"]
    assert "60 entries" in text
    assert [(each["domain"], each["number"], each["whole"]) for each in found] == [
        ("example", 60, True),
        ("other", 3, True),
    ]
    assert all(int(str(each["entriesPerSecond"])) > 0 for each in found)


def test_one_changed_byte_is_found_at_its_entry(here: Here) -> None:
    here.change(
        "UPDATE audit SET entry = CAST(replace(CAST(entry AS TEXT), 'bob', 'bub') AS BLOB)"
        " WHERE domain = 'example' AND number = 37"
    )
    code, text, _ = here.command("verify")

    assert code == 1
    assert "example: 36 entries" in text
    assert "entry 37 was changed" in text
    assert "other: 3 entries" in text, "the other chain is whole"


def test_a_removed_middle_entry_is_found(here: Here) -> None:
    here.change("DELETE FROM audit WHERE domain = 'example' AND number = 20")
    (found, _) = here.json("verify")

    assert (found["fault"], found["first"], found["last"]) == ("gap", 20, 20)
    assert here.command("verify")[0] == 1


@pytest.mark.parametrize("form", ["line", "list", "pretty"])
def test_a_cut_tail_is_found_against_a_saved_head(here: Here, form: str) -> None:
    heads = here.json("verify")
    texts = {
        "line": "\n".join(json.dumps(head) for head in heads),
        "list": json.dumps(heads),
        "pretty": json.dumps(heads[0], indent=2),
    }
    saved = here.save(texts[form])
    assert here.command("verify", "--head", saved)[0] == 0
    here.change("DELETE FROM audit WHERE domain = 'example' AND number > 50")

    assert here.command("verify")[0] == 0, "nothing shows without it"
    code, text, _ = here.command("verify", "--head", saved)
    assert code == 1
    assert "entries 51 to 60 are missing" in text


def test_a_removed_chain_is_found_against_a_saved_head(here: Here) -> None:
    saved = here.save("\n".join(json.dumps(head) for head in here.json("verify")))
    here.change("DELETE FROM audit WHERE domain = 'other'")
    code, text, _ = here.command("verify", "--head", saved)

    assert code == 1
    assert "other: 0 entries" in text
    assert "entries 1 to 3 are missing" in text


def signed_head(here: Here, key: Path) -> str:
    """A head as ``GET /audit/head`` returns it."""
    with closing(SqliteStore(here.path)) as store:
        audit = Audit(store, StandingClock(), signer=load_signer(key))
        return str(audit._shown(store.audit.head(OURS))["signed"])


def test_signed_heads_count_only_with_the_key_that_signed_them(here: Here) -> None:
    key = here.key()
    public = here.folder / "public.pem"
    public.write_bytes(load_signer(key).public_pem)
    saved = here.save(signed_head(here, key))
    assert here.command("verify", "--head", saved)[0] == 0
    assert here.command("verify", "--head", saved, "--key", str(public))[0] == 0
    here.change("DELETE FROM audit WHERE domain = 'example' AND number > 50")

    assert here.command("verify", "--head", saved, "--key", str(public))[0] == 1
    other = str(here.key())
    code, _, errors = here.command("verify", "--head", saved, "--key", other)
    assert code == 1
    assert "the signature does not verify with this key" in errors
    unsigned = here.save(json.dumps({"domain": "example", "number": 1, "hash": "00" * 32}))
    assert "a head is not signed" in here.command("verify", "--head", unsigned, "--key", other)[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "a.b",
        "a.!.c",
        "[1]",
        "{",
        "e30.WzFd.c2ln",
        "e30.e30.c2ln",
        "{}\n{",
        "{}",
        '{"domain":"x","number":1,"hash":"z"}',
    ],
)
def test_what_is_no_saved_head_is_refused(here: Here, text: str) -> None:
    code, _, errors = here.command("verify", "--head", here.save(text))
    assert (code, "--head" in errors) == ((0, False) if text == "" else (1, True))


def test_a_file_of_heads_that_is_not_there_is_named(here: Here) -> None:
    code, _, errors = here.command("verify", "--head", str(here.folder / "none"))
    assert code == 1
    assert "none: cannot be read" in errors


def test_the_latest_entries_are_shown_as_lines_and_as_json(here: Here) -> None:
    code, text, _ = here.command("show", "--domain", "example", "--last", "2")
    assert code == 0
    assert text.splitlines()[-1] == (
        "example 60 2020-09-13T12:26:40.059Z bob file.read uuid-3/1 done"
    )
    assert [each["number"] for each in here.json("show", "--domain", "other")] == [1, 2, 3]
    about = here.json("show", "--object", "uuid-1/1", "--last", "3")
    assert [each["number"] for each in about] == [50, 54, 58, 2]


def test_an_export_holds_every_entry_and_can_be_verified(here: Here) -> None:
    lines = [json.loads(line) for line in here.command("export")[1].splitlines()]
    assert len(lines) == COUNT + 3
    ours = [line for line in lines if line["domain"] == "example"]
    assert [line["number"] for line in ours] == list(range(1, COUNT + 1))
    assert all(late["previous"] == early["hash"] for early, late in itertools.pairwise(ours))


async def test_it_works_next_to_a_running_controller(here: Here) -> None:
    store = SqliteStore(here.path)
    await store.commit(Commit(audit=(entry(OURS, COUNT),)), 1)
    (found, _) = here.json("verify")
    store.close()

    assert found["number"] == COUNT + 1


def test_without_a_store_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    for url in (f"sqlite:{path}", "postgresql://somewhere/db"):
        monkeypatch.setenv("SFU_WRAPPER__STORE__URL", url)
        assert main(["audit", "verify", "--config", str(tmp_path)]) == 1
        assert "MISCONFIGURED" in capsys.readouterr().err
    assert not path.exists()
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{path}")
    sqlite3.connect(path).close()
    assert main(["audit", "verify", "--config", str(tmp_path)]) == 1
    assert "start the controller once" in capsys.readouterr().err
