"""A server that speaks S3, on this machine, with buckets of its own."""

from __future__ import annotations

import json
import logging
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "canary-of-a-key", "AWS_SECRET_ACCESS_KEY": "canary-9c4d"}


@dataclass(frozen=True, slots=True)
class S3:
    """A running server."""

    url: str

    def client(self, key: str = "admin", secret: str = "admin"):
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def bucket(self) -> str:
        """A fresh one."""
        name = f"b-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def names(self, bucket: str) -> list[str]:
        """Of all that lies there."""
        found = self.client().list_objects_v2(Bucket=bucket).get("Contents", [])
        return [one["Key"] for one in found]

    def ask_for_rights(self, *, asked: bool) -> None:
        """From now on only who has rights may do anything; or everybody may again."""
        count = 0 if asked else 2**31
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth",
            data=str(count).encode(),
            method="POST",
            headers={"content-type": "text/plain"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200, json.load(answer)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """One server for all tests."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_of = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        yield S3("http://{}:{}".format(*server.get_host_and_port()))
    finally:
        server.stop()


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[str]:
    """A fresh bucket, its server known to this process as it would be to any other."""
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    s3.ask_for_rights(asked=False)
    yield s3.bucket()
    s3.ask_for_rights(asked=False)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
