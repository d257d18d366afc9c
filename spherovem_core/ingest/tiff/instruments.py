"""Voxel size and databar that instruments write into the directory of a TIFF page."""

from typing import Any

from tifffile import TiffPage

from spherovem_core.ingest import vendor_texts
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.vendor_texts import Statement
from spherovem_core.ingest.voxel_size import VoxelSize

GATAN_UNITS = (65003, 65004, 65005)
GATAN_SCALES = (65009, 65010, 65011)
FEI, ZEISS, TESCAN, FIBICS = (34680, 34682), 34118, 50431, 51023


def statements(page: TiffPage) -> list[Statement]:
    """Read what FEI/Thermo, Zeiss, Gatan, TESCAN, Atlas and OpenFIBSEM wrote into a page, the most trusted first.

    Those about an image of another size are among them: see `Statement.describes`.
    """
    found = [
        _fei(page),
        _zeiss(page),
        _gatan(page),
        vendor_texts.tescan(_text(page, TESCAN)),
        vendor_texts.fibics(_text(page, FIBICS)),
        vendor_texts.open_fibsem(page.description),
    ]
    return [each for each in found if each is not None]


def _fei(page: TiffPage) -> Statement | None:
    if not page.is_fei:
        return None
    sections: dict[str, Any] = {}
    for tag in FEI:
        value = page.tags.valueof(tag)
        sections.update(value if isinstance(value, dict) else {})
    scan, image = (_section(sections.get(name)) for name in ("Scan", "Image"))
    y, x = (length_nm(scan.get(name), "m") for name in ("PixelHeight", "PixelWidth"))
    rows, columns = (image.get(f"Resolution{axis}") for axis in "YX")
    below = page.shape[0] - rows if isinstance(rows, int) and rows > 0 else 0
    return Statement(
        VoxelSize.from_axes(None, y, x, "FEI metadata"),
        image_columns=columns if isinstance(columns, int) and columns > 0 else None,
        strip_rows=max(0, below),
    )


def _zeiss(page: TiffPage) -> Statement | None:
    metadata = _section(page.tags.valueof(ZEISS))
    if not metadata:
        return None
    z = _zeiss_length(metadata, "ap_fib_slice_height")
    pixel = _zeiss_length(metadata, "ap_image_pixel_size")
    if pixel is not None:
        stored = metadata.get("dp_image_store")
        sides = (
            vendor_texts.read_sides(str(stored[1])) if isinstance(stored, tuple) and len(stored) > 1 else None
        )
        return Statement(VoxelSize(z, (pixel, pixel), "Zeiss metadata"), image_columns=sides and sides[0])
    # Old files hold only ap_pixel_size, which is that of the screen; the field of view is that of the image.
    height, width = _zeiss_length(metadata, "ap_height"), _zeiss_length(metadata, "ap_width")
    rows, columns = page.shape[:2]
    y = None if height is None else height / rows
    x = None if width is None else width / columns
    return Statement(VoxelSize.from_axes(z, y, x, "Zeiss metadata (field of view)"))


def _zeiss_length(metadata: dict[str, Any], key: str) -> float | None:
    entry = metadata.get(key)
    return length_nm(entry[1], entry[2]) if isinstance(entry, tuple) and len(entry) > 2 else None


def _gatan(page: TiffPage) -> Statement | None:
    if GATAN_SCALES[0] not in page.tags:
        return None
    x, y, z = (
        length_nm(page.tags.valueof(scale), page.tags.valueof(unit))
        for scale, unit in zip(GATAN_SCALES, GATAN_UNITS, strict=True)
    )
    return Statement(VoxelSize.from_axes(z, y, x, "Gatan metadata"))


def _section(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(page: TiffPage, tag: int) -> str:
    value = page.tags.valueof(tag)
    if isinstance(value, bytes):
        return vendor_texts.decode(value)
    return value if isinstance(value, str) else ""
