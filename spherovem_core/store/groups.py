"""Groups of the volume: made where missing, and deleted such that a kill leaves them whole or gone."""

import shutil
import uuid
from pathlib import Path

import zarr

from spherovem_core.store.layout import Layout


def ensure_group(layout: Layout, group: str) -> None:
    """Create the volume and the groups down to `group`, where they are not there yet."""
    layout.ensure_writable()
    folder = layout.volume
    for name in ("", *group.split("/")):
        folder = folder / name
        if not (folder / "zarr.json").exists():
            zarr.open_group(folder, mode="a", zarr_format=3)


def discard(layout: Layout, folder: Path) -> None:
    """Delete a folder such that a kill leaves it whole or gone: renamed out of the way first."""
    if not folder.exists():
        return
    trash = layout.scratch / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    folder.replace(trash / uuid.uuid4().hex)
    shutil.rmtree(trash, ignore_errors=True)
