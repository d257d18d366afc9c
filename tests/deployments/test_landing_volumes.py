"""Volumes in a landing folder: every chunk counts for the settle time, links out of the folder are not followed."""

from pathlib import Path

import pytest
from ingest_samples import SPACING_NM, textured
from landing_scenes import SETTLE_S, SMALL, Scene
from volume_samples import write_ome_zarr


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("place", ["spheroid.zarr", "spheroid/volume.zarr"])
def test_a_volume_that_is_copied_chunk_by_chunk_waits_for_the_last(scene: Scene, place: str) -> None:
    source = scene.landing / place
    write_ome_zarr(source, textured(SMALL), SPACING_NM, chunks=(1, 12, 16))
    chunk = source / "0/c/2/0/0"
    content = chunk.read_bytes()
    chunk.unlink()
    scene.scan()
    chunk.write_bytes(content[:40])
    assert scene.scan(SETTLE_S).waiting == 1
    chunk.write_bytes(content)
    assert scene.scan(SETTLE_S).waiting == 1
    assert scene.scan(SETTLE_S).handed_over == ["spheroid"]


def test_an_incomplete_volume_is_rejected_and_processed_when_it_is_complete(scene: Scene) -> None:
    source = scene.landing / "spheroid.zarr"
    write_ome_zarr(source, textured(SMALL), SPACING_NM, chunks=(1, 12, 16))
    content = (source / "0/c/2/0/0").read_bytes()
    (source / "0/c/2/0/0").unlink()
    scene.settle()
    assert "none of its 1 chunks is there" in scene.rejected("spheroid")["message"]
    (source / "0/c/2/0/0").write_bytes(content)
    assert scene.settle().handed_over == ["spheroid"]


def test_a_link_out_of_the_landing_folder_is_not_followed(scene: Scene, tmp_path: Path) -> None:
    source = scene.landing / "spheroid.zarr"
    write_ome_zarr(source, textured(SMALL), SPACING_NM, chunks=(1, 12, 16))
    (source / "0/c/2/0/0").rename(tmp_path / "elsewhere")
    (source / "0/c/2/0/0").symlink_to(tmp_path / "elsewhere")
    scene.settle()
    assert "is a symbolic link that leads out of the landing folder" in scene.rejected("spheroid")["message"]
