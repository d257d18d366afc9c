"""Groups of a volume: creation, size, and deletion that a kill cannot leave half done."""

import shutil
import uuid
from pathlib import Path

import zarr

from spherovem_core.store.files import bytes_in
from spherovem_core.store.layout import Layout


def ensure_group(layout: Layout, group: str) -> None:
    """Create the volume and the groups down to `group`, unless they exist."""
    layout.ensure_writable()
    folder = layout.volume
    for name in ("", *group.split("/")):
        folder = folder / name
        if not (folder / "zarr.json").exists():
            zarr.open_group(folder, mode="a", zarr_format=3)


def move_group(layout: Layout, group: str, to: str) -> None:
    """Give a group another name, in place of a group that has it; a kill leaves it under either name."""
    move_folder(layout, layout.volume / group, layout.volume / to)


def move_folder(layout: Layout, folder: Path, target: Path) -> None:
    """Move a folder of the results, in place of another one; a kill leaves it in either place."""
    discard(layout, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(target)


def discard(layout: Layout, folder: Path) -> None:
    """Delete a folder or a file; it is renamed first, so that a kill leaves it whole or gone."""
    if not folder.exists():
        return
    trash = layout.scratch / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    folder.replace(trash / uuid.uuid4().hex)
    empty_trash(layout)


def empty_trash(layout: Layout) -> None:
    """Delete what a kill left of discarded folders."""
    shutil.rmtree(layout.scratch / "trash", ignore_errors=True)


def bytes_of_levels(group: Path) -> int:
    """Count the bytes of all levels of a group, without the labels that lie below it; 0 where it is not there."""
    return sum(bytes_in(level) for level in group.glob("*") if level.name.isdecimal())
