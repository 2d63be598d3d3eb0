"""Signed links: they work without a token, for one file, until they end or their key does."""

import stat
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sfu_wrapper.app.recordings import link_keys
from sfu_wrapper.config.load import load
from sfu_wrapper.core.links import link_key
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.recording import Deletion, DeletionReason
from tests.helpers.http import Answer, World, pass_for, world
from tests.helpers.recordings import SECRET, START_MS, facts, put, put_ready, user

CONTENT = bytes(range(256)) * 10
NAME = "rec-1 ü.webm"
LINKS = "/recordings/uuid-1/1/links"
ALICE = pass_for("alice")
OTHER = "another secret of links that only tests have"


async def link(here: World, seconds: int = 60, token: str = ALICE) -> str:
    """Return path and query of a new link to alice's file."""
    answer = await here.ask("POST", LINKS, token, {"name": NAME, "seconds": seconds})
    assert answer.status == 200, answer.body
    address = urlsplit(answer.json["url"])
    assert (address.scheme, address.netloc) == ("http", "test")
    return f"{address.path}?{address.query}"


async def test_a_link_plays_without_a_token_and_with_ranges(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        path = await link(here)
        whole = await here.ask("GET", path)
        part = await here.ask("GET", path, headers={"Range": "bytes=10-19"})
        head = await here.ask("HEAD", path)
        rows = [row.entry.decode() for row in here.store.audit.entries(facts().domain, 0, 10)]

    assert (whole.status, whole.body) == (200, CONTENT)
    assert (part.status, part.body) == (206, CONTENT[10:20])
    assert (head.status, head.body) == (200, b"")
    created, read = rows  # a further range belongs to the same read
    assert '"action":"link.create"' in created
    assert '"actor":"alice"' in created
    assert '"action":"link.read"' in read
    assert '"actor":null' in read


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (ALICE, 200),
        (pass_for("root", "domain-admin"), 200),
        (pass_for("rooms", "service"), 200),
        (pass_for("bob"), 404),
        (pass_for("root", "domain-admin", domain="other"), 404),
        (None, 401),
    ],
)
async def test_who_may_read_may_share(tmp_path: Path, token: str | None, status: int) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT}, facts(guests=(user("bob"),)))
        answer = await here.ask("POST", LINKS, token, {"name": NAME, "seconds": 1})

    assert answer.status == status


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.replace("expires=", "expires=1"),
        lambda path: path.replace("/uuid-1/1/", "/uuid-1/2/"),
        lambda path: path.replace("/uuid-1/", "/uuid-2/"),
        lambda path: path.replace("rec-1", "rec-2"),
        lambda path: path.replace("signature=", "signature=A")[:-1],
        lambda path: path.replace("key=", "key=0").replace(path[-50:], path[-50:])[:],
    ],
)
async def test_a_changed_link_opens_nothing(tmp_path: Path, change: object) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT, "rec-2 ü.webm": CONTENT})
        await put_ready(here.store, tmp_path, {NAME: CONTENT}, facts(number=2))
        path = await link(here)
        answer = await here.ask("GET", change(path))  # type: ignore[operator]

    assert answer.status in (400, 403)
    assert answer.code in ("LINK_INVALID", "BAD_REQUEST")


async def given(tmp_path: Path, path: str, *secrets: str) -> Answer:
    """Return the answer to a link at a server with these keys."""
    async with world(folder=tmp_path, recordings={"secrets": secrets}) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        return await here.ask("GET", path)


async def test_links_outlive_a_new_key_until_their_own_is_removed(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        path = await link(here)

    rotated = await given(tmp_path, path, OTHER, SECRET)
    removed = await given(tmp_path, path, OTHER)
    assert (rotated.status, rotated.body) == (200, CONTENT)
    assert (removed.status, removed.code) == (403, "LINK_INVALID")


@pytest.mark.parametrize(
    "body",
    [
        {"name": NAME, "seconds": 0},
        {"name": NAME, "seconds": 86_401},
        {"name": NAME},
        {"seconds": 1},
        {"name": NAME, "seconds": 1, "more": 1},
        b"{",
        {"name": NAME, "seconds": True},
    ],
)
async def test_a_wrong_wish_is_refused(tmp_path: Path, body: object) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        answer = await here.ask("POST", LINKS, ALICE, body)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


async def test_a_link_to_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        answer = await here.ask("POST", LINKS, ALICE, {"name": "x.webm", "seconds": 1})
        host = await here.ask(
            "POST", LINKS, ALICE, {"name": NAME, "seconds": 1}, headers={"Host": "a b"}
        )

    assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert host.status == 400


async def test_a_link_that_outlives_its_recording_is_refused_and_noted(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        ready = await put_ready(here.store, tmp_path, {NAME: CONTENT})
        path = await link(here)
        asked = Deletion(DeletionReason.REQUESTED, START_MS)
        known = here.store.index.recording(ready.key)
        assert known is not None
        await put(here.store, replace(known, deletion=asked))
        answer = await here.ask("GET", path)
        noted = here.store.audit.entries(ready.facts.domain, 0, 10)[-1].entry.decode()

    assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert '"action":"link.read"' in noted
    assert '"outcome":"NOT_FOUND"' in noted


def test_a_key_is_made_once_and_kept_for_ourselves(tmp_path: Path) -> None:
    settings = load(None, {}, [f"store.url=sqlite:{tmp_path}/new/store.db"])
    first, again = link_keys(settings)(), link_keys(settings)()

    file = tmp_path / "new" / "links.key"
    assert first == again
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) >= 32


def test_a_key_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "links.key").mkdir()
    settings = load(None, {}, [f"store.url=sqlite:{tmp_path}/store.db"])

    with pytest.raises(Unavailable, match=r"links\.key"):
        link_keys(settings)()


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 5])
def test_a_kept_key_that_was_emptied_or_cut_signs_and_opens_nothing(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "links.key").write_bytes(content)
    settings = load(None, {}, [f"store.url=sqlite:{tmp_path}/store.db"])

    with pytest.raises(Unavailable, match="remove it to get a new one"):
        link_keys(settings)()


def test_configured_keys_come_from_a_file_with_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{OTHER.replace(' ', '-')}\n{SECRET.replace(' ', '-')}\n")
    settings = load(None, {"SFU_WRAPPER__LINKS__KEYS_FILE": str(file)})

    expected = [link_key(each.replace(" ", "-")) for each in (OTHER, SECRET)]
    assert list(link_keys(settings)()) == expected
