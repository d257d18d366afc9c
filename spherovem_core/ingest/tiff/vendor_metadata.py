"""Voxel size, databar and slice number in a TIFF, as instruments and image programs write them."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence

from tifffile import TiffFile, TiffPage

from spherovem_core.ingest import vendor_texts
from spherovem_core.ingest.tiff.instruments import FIBICS, GATAN_SCALES, TESCAN, ZEISS, statements
from spherovem_core.ingest.tiff.ome import ome_root
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.vendor_texts import Statement
from spherovem_core.ingest.voxel_size import VoxelSize, differs

RESOLUTION_UNITS = {2: "inch", 3: "cm"}


def voxel_sizes(tif: TiffFile, page: TiffPage) -> tuple[VoxelSize, ...]:
    """Collect the voxel sizes that a TIFF states.

    Parameters
    ----------
    tif
        An open file.
    page
        Its first slice.

    Returns
    -------
    tuple of VoxelSize
        The most trusted first: OME, ImageJ, FEI/Thermo, Zeiss, Gatan, TESCAN, Atlas, OpenFIBSEM, Olympus SIS. Those that say
        nothing, or describe an image of another size, are left out. The baseline resolution tags are not among them, since
        most instruments leave the screen's dpi there: see `resolution_voxel_size`.
    """
    shape = page.shape[:2]
    sizes = (each.voxel_size for each in _statements(tif, page) if each.describes(shape))
    return tuple(size for size in sizes if size.has_values)


def left_out(tif: TiffFile, page: TiffPage) -> tuple[str, ...]:
    """Name the metadata that state a voxel size for an image of another size than those of the file."""
    shape = page.shape[:2]
    return tuple(
        each.told_of_another(shape)
        for each in _statements(tif, page)
        if each.voxel_size.has_values and not each.describes(shape)
    )


def changed_voxel_sizes(pages: Sequence[TiffPage]) -> Iterator[tuple[int, VoxelSize]]:
    """Find the pages in which an instrument wrote another voxel size than in the first one."""
    first = _of_instrument(pages[0])
    if first is None:
        return
    for place, page in enumerate(pages[1:], 1):
        own = _of_instrument(page)
        if own is not None and differs(own, first):
            yield place, own


def _of_instrument(page: TiffPage) -> VoxelSize | None:
    fitting = [each.voxel_size for each in statements(page) if each.describes(page.shape[:2])]
    return next((size for size in fitting if size.has_values), None)


def ome_pixels(tif: TiffFile) -> ElementTree.Element | None:
    """Find the Pixels element of the OME metadata; return None if there is no readable one."""
    root = ome_root(tif)
    return None if root is None else root.find(".//{*}Pixels")


def databar_rows(page: TiffPage) -> int:
    """Count the rows of the databar below the image by FEI/Thermo or TESCAN metadata; return 0 if they name none."""
    fitting = [each for each in statements(page) if each.describes(page.shape[:2])]
    return max((each.databar_rows(page.shape[:2]) for each in fitting), default=0)


def vendors(tif: TiffFile) -> list[str]:
    """Name the instruments and programs whose metadata a TIFF holds."""
    page = tif.pages[0]
    present = {
        "FEI/Thermo": tif.is_fei,
        "Zeiss": tif.is_sem,
        "OME": tif.is_ome,
        "ImageJ": tif.is_imagej,
        "Gatan": GATAN_SCALES[0] in page.tags,
        "TESCAN": TESCAN in page.tags,
        "Atlas": FIBICS in page.tags,
        "Olympus SIS": tif.is_sis,
    }
    return [name for name, is_there in present.items() if is_there]


def slice_index(page: TiffPage) -> int | None:
    """Read the number that a Zeiss microscope gave the slice while milling; return None if there is none."""
    metadata = page.tags.valueof(ZEISS)
    entry = metadata.get("ap_fib_slice_index") if isinstance(metadata, dict) else None
    return entry[1] if isinstance(entry, tuple) and isinstance(entry[1], int) and entry[1] > 0 else None


def resolution_voxel_size(page: TiffPage) -> VoxelSize:
    """Read the pixel size from the baseline resolution tags."""
    unit = RESOLUTION_UNITS.get(int(page.resolutionunit))
    x, y = (length_nm(_inverse(pixels), unit) for pixels in page.resolution)
    return VoxelSize.from_axes(None, y, x, "resolution tags")


def _statements(tif: TiffFile, page: TiffPage) -> list[Statement]:
    """Read all that a file states, also about an image of another size; the most trusted first."""
    found = [_ome(tif), _of_file(_imagej(tif, page)), *statements(page), _of_file(_olympus(tif))]
    return [each for each in found if each is not None]


def _of_file(size: VoxelSize | None) -> Statement | None:
    return None if size is None else Statement(size)


def _ome(tif: TiffFile) -> Statement | None:
    pixels = ome_pixels(tif)
    if pixels is None:
        return None
    z, y, x = (
        length_nm(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    )
    sides = vendor_texts.read_sides(f"{pixels.get('SizeX')} x {pixels.get('SizeY')}")
    return Statement(VoxelSize.from_axes(z, y, x, "OME metadata"), sides and (sides[1], sides[0]))


def _imagej(tif: TiffFile, page: TiffPage) -> VoxelSize | None:
    if not tif.is_imagej:
        return None
    metadata = tif.imagej_metadata or {}
    unit = metadata.get("unit")
    spacing = metadata.get("spacing")
    # ImageJ writes a negative spacing for stacks that are numbered from the far end.
    z = length_nm(abs(spacing), metadata.get("zunit", unit)) if isinstance(spacing, int | float) else None
    x, y = (_inverse(pixels) for pixels in page.resolution)
    return VoxelSize.from_axes(
        z, length_nm(y, metadata.get("yunit", unit)), length_nm(x, unit), "ImageJ metadata"
    )


def _olympus(tif: TiffFile) -> VoxelSize | None:
    if not tif.is_sis:
        return None
    metadata = tif.sis_metadata or {}
    y, x = (length_nm(metadata.get(name), "m") for name in ("pixelsizey", "pixelsizex"))
    return VoxelSize.from_axes(None, y, x, "Olympus SIS metadata")


def _inverse(pixels: float) -> float | None:
    return 1.0 / pixels if pixels else None
