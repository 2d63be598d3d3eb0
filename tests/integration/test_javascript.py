"""The browser's JavaScript under a type checker: ``scripts/check-javascript``."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
CALL_PAGE = TOP / "sfu_wrapper" / "gateway" / "callpage" / "static"
CLIENT = TOP / "sfu_wrapper" / "gateway" / "client" / "static"
MISSING = 3  # exit code where node, npm or the type checker cannot be had

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the check; skip the test where there is no type checker."""
    done = subprocess.run(
        ["scripts/check-javascript", *arguments],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == MISSING:
        pytest.skip(done.stdout.strip())
    return done


def copy_of_the_page(folder: Path, name: str, old: str, new: str) -> Path:
    """Copy the page's scripts, with one of them changed."""
    copied = folder / "static"
    shutil.copytree(CALL_PAGE, copied)
    text = (copied / name).read_text(encoding="utf-8")
    assert old in text
    (copied / name).write_text(text.replace(old, new), encoding="utf-8")
    return copied


def test_the_javascript_of_the_call_page_has_no_type_errors() -> None:
    done = check()

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("main.js", "words.whyNotRecord(", "words.whyRecord(", "'whyRecord' does not exist"),
        ("main.js", "inCall && recording.active);", "inCal && recording.active);", "'inCal'"),
        ("page.js", ".hidden = !text;", ".invisible = !text;", "'invisible' does not exist"),
        (
            "main.js",
            "me, recording, connected, stops",
            "me, connected, stops",
            "'recording' is missing",
        ),
    ],
)
def test_a_slip_is_found(tmp_path: Path, name: str, old: str, new: str, complaint: str) -> None:
    done = check(str(copy_of_the_page(tmp_path, name, old, new)))

    assert done.returncode != 0
    assert complaint in done.stdout


def test_the_declarations_of_the_client_fit_a_program_that_uses_it(tmp_path: Path) -> None:
    check()  # fetches the type checker
    shutil.copy(CLIENT / "sfu-recording.d.ts", tmp_path)
    shutil.copy(Path(__file__).with_name("sfu_recording_types.ts"), tmp_path / "use.ts")
    options = {
        "strict": True,
        "noEmit": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom"],
        "types": [],
    }
    config = {"compilerOptions": options, "include": ["*.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [TOP / ".tools/javascript/node_modules/.bin/tsc", "--project", "tsconfig.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_member_of_the_declarations_is_in_the_module() -> None:
    declared = (CLIENT / "sfu-recording.d.ts").read_text(encoding="utf-8")
    module = (CLIENT / "sfu-recording.js").read_text(encoding="utf-8")
    for name in ("Client", "Room"):
        body = declared.partition(f"export class {name} ")[2].partition("\n}")[0]
        members = set(re.findall(r"^  (?:readonly )?(\w+)[?<(:]", body, re.MULTILINE))
        assert len(members) > 8
        code = module.partition(f"export class {name} ")[2].partition("\n}")[0]
        missing = {each for each in members if not re.search(rf"\b{each}\b", code)}
        assert missing == set(), name
