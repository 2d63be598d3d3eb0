"""``[[webhooks.endpoints]]``: what is read, refused and masked."""

from pathlib import Path

import pytest

from sfu_wrapper.app.parts import configured_endpoints
from sfu_wrapper.config.load import read, rows
from sfu_wrapper.core.webhooks import EventType, new_secret
from sfu_wrapper.model.errors import Misconfigured

OLD, NEW = new_secret(b"o" * 24), new_secret(b"n" * 24)
URL = 'url = "https://receiver.example/hooks"'


def written(folder: Path, *lines: str) -> Path:
    """A configuration with one endpoint of these lines."""
    text = "\n".join(["[[webhooks.endpoints]]", *lines])
    (folder / "sfu-wrapper.toml").write_text(text, encoding="utf-8")
    return folder


def test_an_endpoint_receives_events_of_all_domains(tmp_path: Path) -> None:
    folder = written(tmp_path, URL, f'secret = "{OLD}"', 'types = ["recording.ready"]')
    (made,) = configured_endpoints(read(folder, {}).settings, 5)

    assert (made.domain, made.url, made.secrets) == (
        None,
        "https://receiver.example/hooks",
        (OLD,),
    )
    assert made.types == (EventType.READY,)
    assert made.configured


def test_secrets_in_a_file_replace_each_other_without_loss(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{NEW} {OLD}\n", encoding="utf-8")
    folder = written(tmp_path, URL, f'secretFile = "{secrets}"')
    (made,) = configured_endpoints(read(folder, {}).settings, 5)

    assert made.secrets == (NEW, OLD)


@pytest.mark.parametrize("content", ["", "whsec_short", "not a secret"])
def test_a_file_without_secrets_is_refused(tmp_path: Path, content: str) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(content, encoding="utf-8")
    settings = read(written(tmp_path, URL, f'secretFile = "{secrets}"'), {}).settings

    with pytest.raises(Misconfigured, match="secrets"):
        configured_endpoints(settings, 5)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((URL,), "either secret or secretFile"),
        ((URL, f'secret = "{OLD}"', 'secretFile = "x"'), "either secret or secretFile"),
        ((URL, 'secret = "whsec_x"'), "must be whsec_"),
        (('url = "ftp://receiver.example"', f'secret = "{OLD}"'), "must be http://"),
        ((URL, f'secret = "{OLD}"', 'types = ["recording.gone"]'), "a table with url"),
        (
            (URL, f'secret = "{OLD}"', "[[webhooks.endpoints]]", URL, f'secret = "{NEW}"'),
            "two endpoints have the same url",
        ),
    ],
)
def test_a_wrong_endpoint_is_refused_without_showing_its_secret(
    tmp_path: Path, lines: tuple[str, ...], why: str
) -> None:
    with pytest.raises(Misconfigured, match=why) as caught:
        read(written(tmp_path, *lines), {})

    assert OLD not in str(caught.value)


def test_secrets_are_masked_in_lists(tmp_path: Path) -> None:
    loaded = read(written(tmp_path, URL, f'secret = "{OLD}"'), {})
    (shown,) = [row.value for row in rows(loaded) if row.key.name == "webhooks.endpoints"]

    assert OLD not in str(shown)
    assert "********" in str(shown)
