"""The console's page and files as an HTTP client gets them, and the rules for its texts."""

import asyncio
import hashlib
import re
from importlib import resources
from pathlib import Path
from urllib.request import urlopen

import pytest

from sfu_wrapper.app.objects import media_source
from sfu_wrapper.config.load import load
from sfu_wrapper.core.policy import Reason, Source
from sfu_wrapper.core.webhooks import EventType
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import Kind, RecordingProfile, RecordingType, StopReason
from sfu_wrapper.model.webhook import DeliveryState
from tests.helpers.http import world
from tests.helpers.live import live

DOCS = Path(__file__).parents[2] / "docs"

STATIC = Path(str(resources.files("sfu_wrapper.gateway.console").joinpath("static")))
OURS = sorted(each for each in STATIC.rglob("*.js") if "vendor" not in each.parts)
CATALOGUE = (STATIC / "texts/en.js").read_text(encoding="utf-8")
KEYS = set(re.findall(r'^  (?:"([\w.]+)"|(\w+)):', CATALOGUE, re.MULTILINE))
TEXTS = {quoted or plain for quoted, plain in KEYS}
_USED = re.compile(r'\bt\("([\w.]+)"')
_QUOTED = re.compile(r'"([\w.]+)"')
_FAMILY = re.compile(r'\b(?:coded|t)\((?:`([\w.]+)\.\$\{|"([\w.]+)", )')


async def test_the_page_may_run_nothing_but_its_own_files() -> None:
    async with world() as here:
        answer = await here.ask("GET", "/")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "connect-src 'self' ws://test:8765/client;" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "camera=()" in answer.headers["permissions-policy"]
    assert b"style=" not in answer.body
    assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    ("storage", "source"),
    [
        ((), None),
        (("storage.url=s3://recordings",), "https:"),
        (
            ("storage.url=s3://recordings", "storage.endpointUrl=https://s3.example:9000/base"),
            "https://s3.example:9000",
        ),
    ],
    ids=["local", "provider", "endpoint"],
)
def test_the_player_may_get_files_from_the_object_store(
    storage: tuple[str, ...], source: str | None
) -> None:
    assert media_source(load(Path("config"), {}, storage).storage) == source


async def test_the_policy_names_where_files_come_from() -> None:
    where = ("storage.url=s3://recordings", "storage.endpointUrl=http://127.0.0.1:9")
    async with live(*where) as here:
        answer = await asyncio.to_thread(urlopen, f"{here.http_url}/")

    policy = answer.headers["content-security-policy"]
    assert "media-src 'self' http://127.0.0.1:9;" in policy
    assert "img-src 'self' http://127.0.0.1:9 data:;" in policy


async def test_every_module_that_is_imported_is_there() -> None:
    async with world() as here:
        for file in OURS:
            name = file.relative_to(STATIC)
            text = (await here.ask("GET", f"/assets/console/{name}")).body.decode()
            for imported in re.findall(r'(?:from|import\() ?"([./][^"]+)"', text):
                found = _resolved(f"/assets/console/{name}", imported)
                assert (await here.ask("GET", found)).status == 200, (name, imported)
        refused = [
            (await here.ask("GET", f"/assets/console/{name}")).status
            for name in ("index.html", "page.py", "../page.py", "views", "views/", "%2e%2e/page.py")
        ]

    assert set(refused) <= {400, 404}


def _resolved(base: str, relative: str) -> str:
    parts = base.split("/")[:-1]
    for part in relative.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def test_every_text_that_a_module_names_is_in_the_catalogue() -> None:
    groups = {key.rpartition(".")[0] for key in TEXTS} - {""}
    for file in OURS:
        text = file.read_text(encoding="utf-8")
        quoted = {
            each
            for each in _QUOTED.findall(text)
            if each.rpartition(".")[0] in groups and f"event.{each}" not in TEXTS
        }
        assert quoted | set(_USED.findall(text)) <= TEXTS, file.name


def test_every_text_of_the_catalogue_is_used() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in OURS if "texts" not in file.parts)
    families = {a or b for a, b in _FAMILY.findall(text)} - {""}
    unused = TEXTS - set(_QUOTED.findall(text))
    prefixes = tuple(f"{family}." for family in families)
    assert {key for key in unused if not key.startswith(prefixes)} == set()


def test_every_code_state_and_action_of_the_server_has_a_text() -> None:
    audited = (DOCS / "reference/audit.md").read_text(encoding="utf-8")
    actions = re.findall(
        r"`([a-z]+\.[a-zA-Z]+)`(?=[,:.])", audited.partition("## What is recorded")[2]
    )
    wanted = {
        *(f"error.{code}" for code in Code),
        *(f"reason.{reason}" for reason in Reason),
        *(f"source.{source}" for source in Source),
        *(f"stopped.{reason}" for reason in StopReason),
        *(f"kind.{kind}" for kind in Kind),
        *(f"type.{type_}" for type_ in RecordingType),
        *(f"profile.{profile}" for profile in RecordingProfile),
        *(f"event.{type_}" for type_ in EventType),
        *(f"delivery.{state}" for state in DeliveryState),
        *(f"action.{action}" for action in actions if action != "audit.head"),
    }
    assert len(actions) > 20
    assert wanted - TEXTS == set()


def test_no_text_for_people_is_outside_the_catalogue() -> None:
    said = re.compile(r">\s*([A-Z][a-z]+[^<>{}`$]*)<")
    for file in OURS:
        code = re.sub(r"/\*[\s\S]*?\*/|//.*", "", file.read_text(encoding="utf-8"))
        found = said.findall(code)
        assert found == [], file.name


def test_the_vendored_libraries_are_those_of_npm_unchanged() -> None:
    lines = (STATIC / "vendor/SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {line.split()[1].removeprefix("./"): line.split()[0] for line in lines}
    files = {each.name for each in (STATIC / "vendor").iterdir()} - {"SHA256SUMS"}

    assert set(sums) == files
    for name, digest in sums.items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest
