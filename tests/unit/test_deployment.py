"""``deploy/``: what the compose file says is understood, and fits together."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # brings no types of its own

from sfu_wrapper.config.load import load
from sfu_wrapper.config.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
CONFIG = DEPLOY.parent / "config"
GIVEN = {"SITE": "calls.example.com", "PUBLIC_IP": "192.0.2.1"}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::[?-]([^}]*))?\}")
OURS = ("controller", "worker")


def filled(text: str) -> str:
    """With every variable given, as an operator does."""
    return VARIABLE.sub(lambda found: GIVEN.get(found[1], "0123456789abcdef" * 2), text)


def settings_of(service: str, tmp_path: Path, **more: str) -> Settings:
    """What the command makes of the environment that a container has."""
    environment = {
        key: filled(value) for key, value in COMPOSE["services"][service]["environment"].items()
    }
    return load(tmp_path, environment | more, ())


def mounts(service: str) -> dict[str, str]:
    """Volumes by where they are."""
    pairs = (each.split(":")[:2] for each in COMPOSE["services"][service].get("volumes", ()))
    return {target: source for source, target in pairs}


@pytest.mark.parametrize("mixer", ["audiobridge", "asterisk"])
def test_the_environment_of_the_containers_is_understood(mixer: str, tmp_path: Path) -> None:
    controller = settings_of("controller", tmp_path, SFU_WRAPPER__MEDIA__MIXER=mixer)
    worker = settings_of("worker", tmp_path)

    assert (controller.media.sfu, controller.media.mixer) == ("janus", mixer)
    assert controller.http.public_websocket_url == "wss://calls.example.com"
    assert controller.websocket.allowed_origins == ("https://calls.example.com",)
    assert controller.rabbitmq.address == worker.rabbitmq.address


def test_services_that_share_a_folder_name_the_same_one(tmp_path: Path) -> None:
    recording = settings_of("worker", tmp_path).recording
    raw, audio = str(recording.recordings_path), str(recording.audio_path)

    for service in ("controller", "worker", "janus"):
        assert mounts(service)[raw] == "raw-files"
        assert mounts(service)[audio] == "raw-audio"
    assert mounts("asterisk")[audio] == "raw-audio"
    assert mounts("worker")[str(recording.destination_path)] == "finished"
    assert mounts("worker")[str(recording.logs_path)] == "logs"


def test_every_volume_and_file_that_is_named_is_there() -> None:
    for service in COMPOSE["services"]:
        for source in mounts(service).values():
            known = source in COMPOSE["volumes"] or (DEPLOY / source).exists()
            assert known or source == "./asterisk"  # the operator's own copy
        if "build" in (described := COMPOSE["services"][service]):
            assert (
                DEPLOY / described["build"]["context"] / described["build"]["dockerfile"]
            ).is_file()


def test_every_variable_stands_in_the_example() -> None:
    named = set(re.findall(r"^#? ?([A-Z_]+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    used = {found[0] for found in VARIABLE.findall((DEPLOY / "compose.yaml").read_text())}

    assert used == named


def test_no_secret_stands_on_a_command_line() -> None:
    for service in COMPOSE["services"].values():
        words = str([service.get(key) for key in ("command", "entrypoint", "healthcheck")])
        named = [name for name, _ in VARIABLE.findall(words)]
        assert not [name for name in named if "SECRET" in name or "PASSWORD" in name]


def test_no_secret_is_shipped() -> None:
    """What has the place of one says that it has to be changed, or is empty."""
    given = re.compile(r"^[^#;\n]*(?:secret|password|admin_key)\w* *= *\"?([^\"\s#]*)", re.I | re.M)
    files = [path for path in CONFIG.rglob("*") if path.is_file()]

    for path in (*files, DEPLOY / ".env.example"):
        for value in given.findall(path.read_text(encoding="utf-8")):
            assert value == "" or value.startswith("change-me"), path


def test_only_the_proxy_and_media_are_reached_from_outside() -> None:
    services: dict[str, Any] = COMPOSE["services"]
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}

    assert published == {"proxy": ["80:80", "443:443"], "janus": ["21000-21999:21000-21999/udp"]}
    assert "--rtp-port-range=21000-21999" in services["janus"]["command"]


def test_images_that_are_fetched_are_named_in_one_place() -> None:
    example = (DEPLOY / ".env.example").read_text()
    images = set(re.findall(r"^([A-Z]+_IMAGE)=\S+$", example, re.MULTILINE))
    used: set[str] = set()
    for service in COMPOSE["services"].values():
        if "build" in service:
            args: dict[str, str] = service["build"]["args"]
            dockerfile = (DEPLOY / ".." / service["build"]["dockerfile"]).read_text()
            bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
            assert {base.strip("${}") for base in bases} == args.keys()
            used |= {VARIABLE.findall(value)[0][0] for value in args.values()}
        else:
            used.add(VARIABLE.findall(service["image"])[0][0])

    assert used == images
