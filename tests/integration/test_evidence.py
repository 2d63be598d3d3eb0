"""Evidence as other programs read it (the package vcon), and ``recordings verify``."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.signing import (
    Ed25519Signer,
    load_signer,
    load_verifier,
    unverified_payload,
)
from sfu_wrapper.cli.main import main
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.retention import RetentionRules
from sfu_wrapper.model.errors import Malformed, Misconfigured
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import RecordingKey, RecordingState
from sfu_wrapper.model.segment import FileKind
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.recordings.evidence import RecordingEvidence
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.wire.evidence import EVIDENCE_TYPE, evidence, signed
from sfu_wrapper.wire.evidence_check import (
    NamedFile,
    check_audit,
    check_file,
    named_files,
    read_document,
)
from sfu_wrapper.wire.strict_json import dump
from tests.helpers.evidence import (
    START_MS,
    address,
    audit_rows,
    download,
    failed,
    processed,
    recording,
)
from tests.helpers.http import pass_for, world
from tests.helpers.recordings import put_ready

# Read as by any other program; its import warns of a package that it uses.
READER = """
import base64, json, logging, sys
logging.disable(logging.CRITICAL)
from vcon import Vcon
text, key = sys.stdin.read(), open(sys.argv[1], "rb").read()
outer = Vcon.build_from_json(text)
payload = json.loads(text)["payload"]
inner = Vcon.build_from_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
strict = Vcon.build_from_json(inner.to_json(), property_handling="strict")
print(json.dumps({
    "verified": outer.verify(key), "valid": inner.is_valid(),
    "parties": [party.name for party in inner.get_party_objects()],
    "dialog": [each["filename"] for each in inner.find_dialogs_by_type("recording")],
    "sync": Vcon.decoded_body(inner.find_analysis_by_type("sync")),
    "audit": Vcon.decoded_body(inner.find_attachment_by_purpose("audit")),
    "kept": strict.to_dict() == inner.to_dict(),
}))
"""


def key_file(folder: Path, name: str = "audit") -> Path:
    """A new private key; its public one is beside it."""
    private = Ed25519PrivateKey.generate()
    file = folder / f"{name}.pem"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / f"{name}.pub").write_bytes(Ed25519Signer(private).public_pem)
    return file


def signed_document(signer: Ed25519Signer, found: object = None) -> Any:  # noqa: ANN401 - JSON
    which = recording(processed()) if found is None else found
    document = evidence(which, audit_rows(), address, "0.0", START_MS)  # type: ignore[arg-type]
    return signed(signer.sign(dump(document), EVIDENCE_TYPE), document)


def read_by_vcon(document: object, key: Path) -> dict[str, Any]:
    argv = [sys.executable, "-W", "ignore", "-c", READER, str(key)]
    text = json.dumps(document)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_package_vcon_verifies_and_reads_it(tmp_path: Path) -> None:
    signer = load_signer(key_file(tmp_path))
    found = read_by_vcon(signed_document(signer), tmp_path / "audit.pub")

    assert found["verified"]
    assert found["valid"] == [True, []]
    assert found["kept"], "no property is unknown to it"
    assert found["parties"] == ["alice", "bob"]
    assert found["dialog"] == ["call.webm"]
    assert found["sync"]["warnings"] == ["a camera froze"]
    assert [entry["number"] for entry in found["audit"]] == [1, 2, 3]


def test_the_package_vcon_reads_recordings_without_and_with_encrypted_files(
    tmp_path: Path,
) -> None:
    signer = load_signer(key_file(tmp_path))
    encrypted = processed({"call.mp4.gpg": FileKind.MERGED}, encrypted=True)
    for each in (recording(failed(), RecordingState.FAILED), recording(encrypted), recording()):
        found = read_by_vcon(signed_document(signer, each), tmp_path / "audit.pub")
        assert found["valid"] == [True, []]


def test_the_package_vcon_notices_another_key(tmp_path: Path) -> None:
    document = signed_document(load_signer(key_file(tmp_path)))
    key_file(tmp_path, "other")

    assert not read_by_vcon(document, tmp_path / "other.pub")["verified"]


# recordings verify


@dataclass(frozen=True, slots=True)
class Here:
    """A signed document with its files, and the command on it."""

    folder: Path
    document: Any
    command: Callable[..., tuple[int, str, str]]

    def verify(self, *argv: str) -> tuple[int, str, str]:
        """Write the document, and verify it with its files."""
        file = self.folder / "call.vcon.json"
        file.write_text(json.dumps(self.document))
        return self.command(str(file), "--files", str(self.folder), *argv)

    @property
    def key(self) -> str:
        """The public key."""
        return str(self.folder / "audit.pub")


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    download(tmp_path)

    def command(*argv: str) -> tuple[int, str, str]:
        code = main(["recordings", "verify", *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return Here(tmp_path, signed_document(load_signer(key_file(tmp_path))), command)


def test_sound_evidence_is_confirmed_line_by_line(here: Here) -> None:
    code, text, _ = here.verify("--key", here.key)

    assert code == 0
    assert text.splitlines() == [
        "signature: ok",
        "file call.webm: ok",
        "file call.jpg: ok",
        "audit entry 1: ok",
        "audit entry 2: ok",
        "audit entry 3: ok",
    ]


def test_without_a_key_it_says_that_the_signature_was_not_checked(here: Here) -> None:
    code, text, _ = here.verify()
    assert code == 0
    assert text.startswith("signature: not checked without --key\n")
    lines = [json.loads(line) for line in here.verify("--json")[1].splitlines()]
    assert [line["ok"] for line in lines] == [None] + [True] * 5


def test_a_changed_file_and_a_missing_one_are_named(here: Here) -> None:
    (here.folder / "call.webm").write_bytes(b"changed")
    (here.folder / "call.jpg").unlink()
    code, text, _ = here.verify("--key", here.key)

    assert code == 1
    assert "file call.webm: its content was changed" in text
    assert "file call.jpg: not found" in text


def test_a_changed_document_is_noticed(here: Here) -> None:
    forger = load_signer(key_file(here.folder, "other"))
    here.document["payload"] = signed_document(forger, recording(failed()))["payload"]
    code, text, _ = here.verify("--key", here.key)
    assert code == 1
    assert "signature: the signature does not verify with this key" in text


def test_files_are_searched_in_the_folder_of_the_document(here: Here) -> None:
    assert here.verify()[0] == 0
    assert here.command(str(here.folder / "call.vcon.json"))[0] == 0


def test_what_cannot_be_read_is_named(here: Here) -> None:
    code, _, errors = here.command(str(here.folder / "none.vcon.json"))
    assert code == 1
    assert "none.vcon.json: cannot be read" in errors
    assert here.command(str(here.folder / "call.webm"))[0] == 1


# Keys


@pytest.mark.parametrize("text", ["nonsense", ""])
def test_a_key_that_is_none_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    for load in (load_signer, load_verifier):
        with pytest.raises(Misconfigured, match="cannot be read"):
            load(file)
    file.write_text(text)
    for load in (load_signer, load_verifier):
        with pytest.raises(Misconfigured, match="in PEM"):
            load(file)


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for algorithm in ("ed25519", "x25519"):
        argv = ["openssl", "genpkey", "-algorithm", algorithm, "-out", f"{algorithm}.pem"]
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
        argv = ["openssl", "pkey", "-in", f"{algorithm}.pem", "-pubout", "-out", f"{algorithm}.pub"]
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(Misconfigured, match="openssl genpkey"):
        load_signer(tmp_path / "x25519.pem")
    with pytest.raises(Misconfigured, match="not an Ed25519 key"):
        load_verifier(tmp_path / "x25519.pub")

    signer = load_signer(tmp_path / "ed25519.pem")
    for name in ("ed25519.pub", "ed25519.pem"):
        assert load_verifier(tmp_path / name).payload(signer.sign(b"{}", "x")) == b"{}"
    with pytest.raises(Malformed):
        load_verifier(tmp_path / "ed25519.pub").payload("a.b.c")


# Over HTTP


async def test_evidence_over_http_is_verified_with_the_files_over_http(tmp_path: Path) -> None:
    name = "rec-1.webm"
    files = tmp_path / "downloaded"
    files.mkdir()
    async with world(folder=tmp_path / "worker") as here:
        await put_ready(here.store, tmp_path / "worker", {name: b"video"})
        path, alice = "/recordings/uuid-1/1", pass_for("alice")
        file = await here.ask("GET", f"{path}/files/{name}", alice)
        answer = await here.ask("GET", f"{path}/vcon", alice)
        later = await here.ask("GET", f"{path}/vcon", alice)
    (files / name).write_bytes(file.body)
    document, _ = read_document(answer.body, None, unverified_payload)
    (named,) = named_files(document)

    assert answer.json["dialog"][0]["url"] == f"http://test{path}/files/{name}"
    assert isinstance(named, NamedFile)
    assert (
        check_file(named, hashlib.sha256((files / name).read_bytes()).hexdigest()).problem is None
    )
    assert not [each for each in check_audit(later.json) if each.problem]
    actions = [entry["action"] for entry in later.json["attachments"][-1]["body"]]
    assert actions == ["file.read", "evidence.read"], "reading it is in the log as well"


async def test_evidence_is_signed_where_there_is_a_key(tmp_path: Path) -> None:
    signer = load_signer(key_file(tmp_path))
    store = MemoryStore()
    await put_ready(store, tmp_path / "worker", {"rec-1.webm": b"video"})
    clock = SystemClock()
    audit = Audit(store, clock, signer=signer)
    service = RecordingEvidence(RecordingQueries(store.index, RetentionRules(), clock), audit)
    key = RecordingKey(RoomUuid("uuid-1"), SegmentNo(1))
    by = Requester(UserKey(DomainId("example"), UserId("alice")))
    document = await service.of(by, key, address)

    found = read_by_vcon(json.loads(dump(document)), tmp_path / "audit.pub")
    assert found["verified"]
    assert found["valid"] == [True, []]


async def test_no_evidence_is_given_that_the_log_does_not_have(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {"rec-1.webm": b"video"})
        here.store.failing = True
        answer = await here.ask("GET", "/recordings/uuid-1/1/vcon", pass_for("alice"))

    assert answer.status == 503
