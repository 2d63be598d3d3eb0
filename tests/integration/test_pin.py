"""``scripts/pin`` and what it writes: packages by hash, images that are fetched by digest."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FILES = (
    "constraints.txt",
    "constraints-run.txt",
    "constraints-mutation.txt",
    "constraints-vcon.txt",
)
DIGEST = "sha256:" + "0123456789abcdef" * 4
NAME = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def packages(file: str) -> dict[str, str]:
    """Versions by name."""
    pinned = NAME.findall((TOP / file).read_text())
    return {normal(name): version for name, version in pinned}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(*groups: str) -> set[str]:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for group in groups:
        wanted += project["dependency-groups"][group]
    return {normal(re.split(r"[\[<>=!~ ;]", one, maxsplit=1)[0]) for one in wanted}


@pytest.mark.parametrize("file", FILES)
def test_every_package_has_one_version_and_the_hashes_of_its_files(file: str) -> None:
    text = (TOP / file).read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())

    for block in blocks:
        assert NAME.match(block), block
        hashes = re.findall(r"--hash=(\S+)", block)
        assert hashes, block
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.parametrize("name", ["numpy", "pydantic-core", "av", "cryptography"])
def test_packages_with_machine_code_have_hashes_for_other_machines_and_pythons(name: str) -> None:
    (block,) = [
        one
        for one in re.split(r"\n(?=\S)", (TOP / "constraints-run.txt").read_text())
        if normal(one).startswith(f"{name}==")
    ]

    assert block.count("--hash=") >= 10  # a file for each machine, and most for each Python


def test_what_the_project_needs_is_written_down_with_the_same_versions_everywhere() -> None:
    everything = packages("constraints.txt")

    assert required("dev", "build") <= everything.keys()
    assert required("build") <= packages("constraints-run.txt").keys()
    assert required("mutation", "build") <= packages("constraints-mutation.txt").keys()
    assert packages("constraints-run.txt").items() <= everything.items()
    reader = packages("constraints-vcon.txt")
    assert required("vcon") <= reader.keys()
    assert all(everything.get(name, version) == version for name, version in reader.items())


def pin_images(folder: Path, docker: str) -> str:
    """Run it on a copy, with a program of that text in the place of docker."""
    (folder / "deploy").mkdir(parents=True)
    shutil.copytree(TOP / "scripts", folder / "scripts")
    shutil.copy(TOP / "deploy" / ".env.example", folder / "deploy")
    tools = folder / "bin"
    tools.mkdir()
    (tools / "docker").write_text(f"#!/bin/sh\n{docker}\n")
    (tools / "docker").chmod(0o755)
    subprocess.run(
        ["bash", "scripts/pin", "--images"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        timeout=50,
    )
    return (folder / "deploy" / ".env.example").read_text()


def test_images_get_the_digests_that_a_registry_tells_and_lose_older_ones(tmp_path: Path) -> None:
    text = pin_images(tmp_path / "one", f"echo {DIGEST}")
    images = re.findall(r"^[A-Z]+_IMAGE=(.*)$", text, re.MULTILINE)
    assert len(images) == 5
    assert all(re.fullmatch(rf"[a-z]+:[a-z0-9.-]+@{DIGEST}", image) for image in images)


@pytest.mark.parametrize("docker", ["exit 1", "echo not a digest"])
def test_images_stay_as_they_are_where_no_registry_tells(tmp_path: Path, docker: str) -> None:
    before = (TOP / "deploy" / ".env.example").read_text()

    assert pin_images(tmp_path / "one", docker) == before
