"""Voxel size, databar and slice number in a TIFF, as instruments and image programs write them."""

import xml.etree.ElementTree as ElementTree
from typing import Any

from tifffile import TiffFile, TiffPage

from spherovem_core.ingest import vendor_texts
from spherovem_core.ingest.tiff.ome import ome_root
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.vendor_texts import Statement
from spherovem_core.ingest.voxel_size import VoxelSize

GATAN_UNITS = (65003, 65004, 65005)
GATAN_SCALES = (65009, 65010, 65011)
TESCAN, FIBICS = 50431, 51023
RESOLUTION_UNITS = {2: "inch", 3: "cm"}


def voxel_sizes(tif: TiffFile) -> tuple[VoxelSize, ...]:
    """Collect the voxel sizes that a TIFF states.

    Parameters
    ----------
    tif
        An open file with at least one page.

    Returns
    -------
    tuple of VoxelSize
        The most trusted first: OME, ImageJ, FEI/Thermo, Zeiss, Gatan, TESCAN, Atlas, OpenFIBSEM, Olympus SIS. Those that say
        nothing, or describe an image of another size, are left out. The baseline resolution tags are not among them, since
        most instruments leave the screen's dpi there: see `resolution_voxel_size`.
    """
    page = tif.pages[0]
    texts = [statement.voxel_size for statement in _statements(page)]
    sizes = [_ome(tif), _imagej(tif, page), _fei(tif), _zeiss(tif, page), _gatan(page), *texts, _olympus(tif)]
    return tuple(size for size in sizes if size is not None and size.has_values)


def ome_pixels(tif: TiffFile) -> ElementTree.Element | None:
    """Find the Pixels element of the OME metadata; return None if there is no readable one."""
    root = ome_root(tif)
    return None if root is None else root.find(".//{*}Pixels")


def databar_rows(tif: TiffFile) -> int:
    """Count the rows of the databar below the image by FEI/Thermo or TESCAN metadata; return 0 if they name none."""
    if not tif.is_fei:
        page = tif.pages[0]
        return max((each.databar_rows(page.shape[:2]) for each in _statements(page)), default=0)
    image_rows = (tif.fei_metadata or {}).get("Image", {}).get("ResolutionY")
    rows = int(tif.pages[0].shape[0])
    return rows - image_rows if isinstance(image_rows, int) and 0 < image_rows < rows else 0


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
    metadata = page.tags.valueof("CZ_SEM")
    entry = metadata.get("ap_fib_slice_index") if isinstance(metadata, dict) else None
    return entry[1] if isinstance(entry, tuple) and isinstance(entry[1], int) and entry[1] > 0 else None


def resolution_voxel_size(page: TiffPage) -> VoxelSize:
    """Read the pixel size from the baseline resolution tags."""
    unit = RESOLUTION_UNITS.get(int(page.resolutionunit))
    x, y = (length_nm(_inverse(pixels), unit) for pixels in page.resolution)
    return VoxelSize.from_axes(None, y, x, "resolution tags")


def _ome(tif: TiffFile) -> VoxelSize | None:
    pixels = ome_pixels(tif)
    if pixels is None:
        return None
    z, y, x = (
        length_nm(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    )
    return VoxelSize.from_axes(z, y, x, "OME metadata")


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


def _fei(tif: TiffFile) -> VoxelSize | None:
    if not tif.is_fei:
        return None
    scan = (tif.fei_metadata or {}).get("Scan", {})
    y, x = (length_nm(scan.get(name), "m") for name in ("PixelHeight", "PixelWidth"))
    return VoxelSize.from_axes(None, y, x, "FEI metadata")


def _zeiss(tif: TiffFile, page: TiffPage) -> VoxelSize | None:
    if not tif.is_sem:
        return None
    metadata = tif.sem_metadata or {}
    z = _zeiss_length(metadata, "ap_fib_slice_height")
    pixel = _zeiss_length(metadata, "ap_image_pixel_size")
    if pixel is not None:
        return VoxelSize(z, (pixel, pixel), "Zeiss metadata")
    # Old files hold only ap_pixel_size, which is that of the screen; the field of view is that of the image.
    height, width = _zeiss_length(metadata, "ap_height"), _zeiss_length(metadata, "ap_width")
    rows, columns = page.shape[:2]
    y = None if height is None else height / rows
    x = None if width is None else width / columns
    return VoxelSize.from_axes(z, y, x, "Zeiss metadata (field of view)")


def _zeiss_length(metadata: dict[str, Any], key: str) -> float | None:
    entry = metadata.get(key)
    return length_nm(entry[1], entry[2]) if isinstance(entry, tuple) and len(entry) > 2 else None


def _gatan(page: TiffPage) -> VoxelSize | None:
    if GATAN_SCALES[0] not in page.tags:
        return None
    x, y, z = (
        length_nm(page.tags.valueof(scale), page.tags.valueof(unit))
        for scale, unit in zip(GATAN_SCALES, GATAN_UNITS, strict=True)
    )
    return VoxelSize.from_axes(z, y, x, "Gatan metadata")


def _statements(page: TiffPage) -> list[Statement]:
    """Read the texts of TESCAN, Atlas and OpenFIBSEM, as far as they describe an image of this size."""
    found = [
        vendor_texts.tescan(_text(page, TESCAN)),
        vendor_texts.fibics(_text(page, FIBICS)),
        vendor_texts.open_fibsem(page.description),
    ]
    return [each for each in found if each is not None and each.describes(page.shape[:2])]


def _text(page: TiffPage, tag: int) -> str:
    value = page.tags.valueof(tag)
    if isinstance(value, bytes):
        return vendor_texts.decode(value)
    return value if isinstance(value, str) else ""


def _olympus(tif: TiffFile) -> VoxelSize | None:
    if not tif.is_sis:
        return None
    metadata = tif.sis_metadata or {}
    y, x = (length_nm(metadata.get(name), "m") for name in ("pixelsizey", "pixelsizex"))
    return VoxelSize.from_axes(None, y, x, "Olympus SIS metadata")


def _inverse(pixels: float) -> float | None:
    return 1.0 / pixels if pixels else None
