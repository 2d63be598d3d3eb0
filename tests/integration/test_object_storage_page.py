"""The page about object storage, as an operator follows it, against a real S3 server."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # of moto
import pytest

from sfu_wrapper.cli.main import main
from tests.helpers.pages import block, section
from tests.helpers.processes import environment
from tests.helpers.s3 import S3Server, s3_server

PAGE = "how-to/object-storage.md"
ENDPOINT = "https://s3.example.com"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


def client(service: str, server: S3Server) -> Any:  # noqa: ANN401  # made at run time
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        aws_access_key_id="tests",
        aws_secret_access_key="tests-secret",
        region_name="us-east-1",
    )


def test_the_configuration_works_with_credentials_in_files(
    server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path("docs") / PAGE).read_text(encoding="utf-8")
    shown = text.partition("```toml\n")[2].partition("```")[0]
    assert tomllib.loads(shown)["storage"]["endpointUrl"] == ENDPOINT
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "sfu-wrapper.toml").write_text(shown.replace(ENDPOINT, server.endpoint))
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (tmp_path / name).write_text("of-a-file\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
        assert f"`{name}`" in section(PAGE, "Credentials")

    assert main(["doctor", "--config", str(folder)]) == 0

    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[1] == "storage"]
    assert line.endswith("s3://recordings/calls: an object was written, read and removed")


def test_the_policy_of_the_key_is_one_for_that_bucket(server: S3Server) -> None:
    policy = block(PAGE, "Rights", "json")

    made = client("iam", server).create_policy(PolicyName="worker", PolicyDocument=policy)

    assert made["Policy"]["Arn"].endswith(":policy/worker")
    resources = [statement["Resource"] for statement in json.loads(policy)["Statement"]]
    assert resources == ["arn:aws:s3:::recordings/calls/*", "arn:aws:s3:::recordings"]


def test_the_rules_of_the_store_are_taken(server: S3Server) -> None:
    rules = json.loads(block(PAGE, "What the store itself removes", "json"))
    s3 = client("s3", server)

    s3.put_bucket_lifecycle_configuration(Bucket="recordings", LifecycleConfiguration=rules)

    taken = s3.get_bucket_lifecycle_configuration(Bucket="recordings")["Rules"]
    assert taken == rules["Rules"]
