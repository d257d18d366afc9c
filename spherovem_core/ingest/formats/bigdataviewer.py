"""Voxel size in the XML file that BigDataViewer keeps beside an HDF5 or N5 container."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from spherovem_core.ingest import locations
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize

_LARGEST_XML = 2**26


def bdv_voxel_size(container: Path, setup: int) -> VoxelSize:
    """Read the voxel size of a setup; it is empty if no XML file beside the container states one.

    Parameters
    ----------
    container
        The HDF5 file or N5 folder. The XML file has its name, or refers to it.
    setup
        Number of the view setup.
    """
    for path in _candidates(container):
        if locations.size_of(path) > _LARGEST_XML:
            continue
        content = locations.read_range(path, 0, _LARGEST_XML)
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError:
            continue
        loaders = [(each.text or "").strip() for each in root.findall(".//ImageLoader/*")]
        if root.tag != "SpimData" or not any(name.rpartition("/")[2] == container.name for name in loaders):
            continue
        for view in root.findall(".//ViewSetup"):
            if (view.findtext("id") or "").strip() == str(setup):
                return _size(view)
    return VoxelSize(None, None, "")


def _candidates(container: Path) -> Iterator[Path]:
    own = container.with_suffix(".xml")
    if locations.is_file(own):
        yield own
    if not locations.is_remote(container):
        yield from (path for path in sorted(container.parent.glob("*.xml")) if path != own)


def _size(view: ElementTree.Element) -> VoxelSize:
    unit = view.findtext("voxelSize/unit")
    sides = (view.findtext("voxelSize/size") or "").split()
    if len(sides) != 3:
        return VoxelSize(None, None, "")
    x, y, z = (length_nm(side, unit) for side in sides)
    return VoxelSize.from_axes(z, y, x, "BigDataViewer XML")
