"""A bucket as landing folder: settling by sizes and ETags, sentinels, rejections, copies; credentials are written nowhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ingest_samples import SPACING_NM
from landing_scenes import SETTLE_S, Scene, write_acquisition, write_truncated
from object_servers import access, bucket_server
from volume_samples import write_ome_zarr

from deployments.settings import Settings, split_folders
from spherovem_core.ingest import remote


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with bucket_server() as endpoint, pytest.MonkeyPatch.context() as environment:
        for name, value in access(endpoint).items():
            environment.setenv(name, value)
        remote.forget_connections()
        import s3fs

        yield s3fs.S3FileSystem(skip_instance_cache=True)
        remote.forget_connections()


class Bucket:
    """A new bucket as landing folder, and the scene that watches it."""

    def __init__(self, client: Any, name: str, folder: Path) -> None:
        client.mkdir(name)
        self.client = client
        self.name = name
        self.folder = folder
        self.scene = Scene(folder, landing_folders=(f"s3://{name}/landing",))

    def put(self, source: Path) -> None:
        self.client.put(str(source), f"{self.name}/landing/{source.name}", recursive=True)


@pytest.fixture
def bucket(client: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(client, f"bucket-{abs(hash(request.node.name)) % 10**8}", tmp_path)


def test_objects_unchanged_for_the_settle_time_are_handed_over_once(bucket: Bucket) -> None:
    scene, folder = bucket.scene, write_acquisition(bucket.folder / "a")
    last = folder / "slice_0002.tif"
    content = last.read_bytes()
    last.unlink()
    bucket.put(folder)
    assert scene.scan().waiting == 1
    bucket.client.pipe(f"{bucket.name}/landing/a/slice_0002.tif", content)
    assert scene.scan(SETTLE_S).waiting == 1
    assert scene.scan(SETTLE_S).handed_over == ["a"]
    for _ in range(2):
        scene.restart()
        assert scene.scan(SETTLE_S).handed_over == []
    (landed,) = scene.server.runs.values()
    assert landed.source == f"s3://{bucket.name}/landing/a"
    bucket.client.pipe(f"{bucket.name}/landing/a/slice_0002.tif", content[:-1] + b"\1")
    scene.scan()
    assert scene.scan(SETTLE_S).handed_over == ["a"]
    written = "".join(path.read_text() for path in scene.results_root.rglob("*.json"))
    assert "testing-secret" not in written


def test_a_sentinel_object_and_a_volume(bucket: Bucket) -> None:
    write_ome_zarr(bucket.folder / "spheroid.zarr", _volume(), SPACING_NM)
    bucket.put(bucket.folder / "spheroid.zarr")
    bucket.client.pipe(f"{bucket.name}/landing/spheroid.zarr/COMPLETE", b"")
    bucket.scene.scan()
    assert bucket.scene.scan(5).handed_over == ["spheroid"]


def test_a_bad_acquisition_is_rejected_and_a_copy_is_not_processed_again(bucket: Bucket) -> None:
    write_truncated(bucket.folder / "bad")
    bucket.put(bucket.folder / "bad")
    bucket.scene.settle()
    assert "slice_0001.tif: truncated" in bucket.scene.rejected("bad")["message"]


def test_a_bucket_that_cannot_be_read_ends_no_scan(client: Any, tmp_path: Path) -> None:
    scene = Scene(tmp_path, landing_folders=(tmp_path / "landing", "s3://no-such-bucket/landing"))
    write_acquisition(tmp_path / "landing" / "a")
    scene.scan()
    assert scene.scan(SETTLE_S).handed_over == ["a"]


def test_lists_of_folders_may_hold_urls() -> None:
    assert list(split_folders("/data/a:s3://bucket/landing:/data/b")) == [
        "/data/a",
        "s3://bucket/landing",
        "/data/b",
    ]
    assert list(split_folders("s3:/bucket:https://host/a:")) == ["s3:/bucket", "https://host/a"]
    settings = Settings.model_validate({"landing_folders": json.dumps(["s3://bucket/landing", "/data/a"])})
    assert settings.landing_folders == (Path("s3://bucket/landing"), Path("/data/a"))


def _volume() -> Any:
    from ingest_samples import textured

    return textured((3, 12, 16))
