"""Texts that instruments write into their files or beside them: voxel size, size of the image, height of the databar.

Each function takes a text and returns what it states, or None if the text is none of its kind. Sources of the formats are
named in ``docs/stages/ingest.md``.
"""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize

TILT = re.compile(r"^TiltAngle *= *(\S+)", re.MULTILINE)
LENGTH = re.compile(r"([-+.\deE]+)\s*([^\s\d]+)")


@dataclass(frozen=True)
class Statement:
    """Content of a text, as far as ingest uses it.

    Attributes
    ----------
    voxel_size
        Voxel size with the name of the text.
    image_shape
        (rows, columns) of the image that the text describes; None if it does not say.
    image_columns
        Columns of that image, where its rows may have been cut off; None if it does not say.
    databar_below
        True if further rows of the file are a databar. Otherwise a file of another shape is not the image that the text
        describes.
    strip_rows
        Height of the databar; None if the text does not say.
    tilts
        Tilt of the stage in degrees at each image that the text describes.
    """

    voxel_size: VoxelSize
    image_shape: tuple[int, int] | None = None
    image_columns: int | None = None
    databar_below: bool = False
    strip_rows: int | None = None
    tilts: tuple[float, ...] = ()

    def describes(self, shape: tuple[int, int]) -> bool:
        """Return whether the text describes a file of (rows, columns), and not one of another size."""
        if self.image_shape is None:
            return self.image_columns in (None, shape[1])
        rows, columns = self.image_shape
        return columns == shape[1] and (rows <= shape[0] if self.databar_below else rows == shape[0])

    def told_of_another(self, shape: tuple[int, int]) -> str:
        """Write of which image the text speaks, and which (rows, columns) the file has instead."""
        rows, columns = self.image_shape or (None, self.image_columns)
        described = f"{columns} columns" if rows is None else f"{rows} × {columns} pixels"
        return (
            f"{self.voxel_size.origin} speak of an image of {described}, the file has {shape[0]} × {shape[1]}"
        )

    def databar_rows(self, shape: tuple[int, int]) -> int:
        """Count the rows of the databar in a file of (rows, columns); return 0 if the text states none that fits."""
        rows = self.strip_rows
        if rows is None and self.image_shape is not None and self.databar_below and self.describes(shape):
            rows = shape[0] - self.image_shape[0]
        return rows if rows is not None and 0 < rows < shape[0] else 0


def tescan(text: str) -> Statement | None:
    """Read the INI text of TESCAN, from tag 50431 or a ``.hdr`` file; lengths are in metres."""
    entries = _entries(text)
    if "PixelSizeX" not in entries:
        return None
    y, x = (length_nm(entries.get(name), "m") for name in ("PixelSizeY", "PixelSizeX"))
    # Only texts of a tomography hold the distance of slices; elsewhere PixelSizeZ repeats the pixel size.
    z = length_nm(entries.get("PixelSizeZ"), "m") if "[3DTomo]" in text else None
    size = VoxelSize.from_axes(z, y, x, "TESCAN metadata")
    return Statement(size, strip_rows=_count(entries.get("ImageStripSize")))


def jeol(text: str) -> Statement | None:
    """Read the text file of JEOL: the scale bar in pixels and its length, and the size of the image without the databar."""
    lines = (line.strip().partition(" ") for line in text.splitlines() if line.startswith("$"))
    entries = {name: value.strip() for name, _, value in lines}
    if not any(name in entries for name in ("$CM_FORMAT", "$CM_MAG", "$CM_FULL_SIZE", "$$SM_MICRON_BAR")):
        return None
    marker = LENGTH.match(entries.get("$$SM_MICRON_MARKER", ""))
    length = length_nm(*marker.groups()) if marker else None
    pixels = _number(entries.get("$$SM_MICRON_BAR"))
    pixel = length_nm(length / pixels, "nm") if length and pixels and pixels > 0 else None
    shape = _shape(entries.get("$CM_FULL_SIZE") or entries.get("$CM_IMAGE_SIZE"))
    return Statement(VoxelSize.from_axes(None, pixel, pixel, "JEOL text"), shape, databar_below=True)


def hitachi(text: str) -> Statement | None:
    """Read the text file of Hitachi; ``PixelSize`` is in nm."""
    if "[SemImageFile]" not in text:
        return None
    entries = _entries(text)
    pixel = length_nm(entries.get("PixelSize"), "nm")
    size = VoxelSize.from_axes(None, pixel, pixel, "Hitachi text")
    return Statement(size, _shape(entries.get("DataSize")), databar_below=True)


def mdoc(text: str) -> Statement | None:
    """Read the ``.mdoc`` of SerialEM: the first ``PixelSpacing``, of all images or else of the first, in Å; and all tilts."""
    entries = _entries(text)
    if "PixelSpacing" not in entries:
        return None
    pixel = length_nm(entries["PixelSpacing"], "angstrom")
    # The pieces of a montage have this size, the stitched one is larger.
    shape = None if "Montage" in entries else _shape(entries.get("ImageSize"))
    tilts = tuple(tilt for text in TILT.findall(text) if (tilt := _number(text)) is not None)
    return Statement(VoxelSize.from_axes(None, pixel, pixel, "SerialEM mdoc"), shape, tilts=tilts)


def open_fibsem(text: str) -> Statement | None:
    """Read the JSON of OpenFIBSEM in the image description; lengths are in metres."""
    if not text.lstrip().startswith("{") or '"pixel_size"' not in text:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    pixel = content.get("pixel_size")
    if not isinstance(pixel, dict) or not {"microscope_state", "image", "hfw"} & set(content):
        return None
    y, x = (length_nm(pixel.get(axis), "m") for axis in "yx")
    image = content.get("image")
    settings = image if isinstance(image, dict) else {}
    sides = settings.get("resolution")
    # Of a reduced area the file holds fewer pixels than the resolution of the field.
    whole = isinstance(sides, list) and len(sides) == 2 and not settings.get("reduced_area")
    columns = sides[0] if isinstance(sides, list) and whole and isinstance(sides[0], int) else None
    return Statement(VoxelSize.from_axes(None, y, x, "OpenFIBSEM metadata"), image_columns=columns)


def fibics(text: str) -> Statement | None:
    """Read the XML of Zeiss Atlas (Fibics) in tag 51023: the steps of the scan along a row and from row to row, in µm.

    Their components belong to the axes of the stage, so that the pixel size is the length of a step.
    """
    root = _xml(text, "Fibics")
    if root is None:
        return None
    ux, uy, vx, vy, field_x, field_y = (
        _number(root.findtext(f"Scan/{name}")) for name in ("Ux", "Uy", "Vx", "Vy", "FOV_X", "FOV_Y")
    )
    rows, columns = (_count(root.findtext(f"Image/{name}")) for name in ("Height", "Width"))
    x = None if ux is None or uy is None else math.hypot(ux, uy)
    y = None if vx is None or vy is None else math.hypot(vx, vy)
    if x is None and field_x and columns:
        x = field_x / columns
    if y is None and field_y and rows:
        y = field_y / rows
    size = VoxelSize.from_axes(None, length_nm(y, "um"), length_nm(x, "um"), "Atlas metadata")
    return Statement(size, (rows, columns) if rows and columns else None)


def atlas_setup(text: str) -> Statement | None:
    """Read the setup of an Atlas 3D run (``.a3d-setup``): the thickness of the slices in µm."""
    roots = [root for name in ("ATLAS3D-Setup", "ATLAS3D-Job") if (root := _xml(text, name)) is not None]
    imaging = next((found for root in roots if (found := root.find(".//Settings/Imaging")) is not None), None)
    if imaging is None:
        return None
    for place in ("DefaultAcquisition/Interval/Distance/Interval", "Interval"):
        thickness = length_nm(imaging.findtext(place), "um")
        if thickness is not None:
            return Statement(VoxelSize(thickness, None, "Atlas 3D setup"))
    return None


def slice_and_view_project(text: str, folder: str | None = None) -> Statement | None:
    """Read the project of Auto Slice & View (``EMproject.emxml``): the thickness of the slices in metres.

    Parameters
    ----------
    folder
        Name of the folder of images, which must be that of a data set of the project; None takes any.
    """
    root = _xml(text, "EMProject")
    if root is None:
        return None
    names = {element.text for element in root.iterfind(".//{*}Dataset/{*}Name")}
    paths = {re.split(r"[\\/]", element.text or "")[-1] for element in root.iterfind(".//{*}ImagesPath")}
    if folder is not None and folder not in names | paths:
        return None
    thickness = length_nm(root.findtext("{*}ZCutSpacing"), "m")
    return None if thickness is None else Statement(VoxelSize(thickness, None, "Auto Slice & View project"))


def decode(content: bytes) -> str:
    """Decode a text of an instrument: UTF-16 with a mark, UTF-8, else Latin-1."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _entries(text: str) -> dict[str, str]:
    """Return the entries of an INI text; of entries with one name the first counts."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("["):
            entries.setdefault(name.strip(), value.strip(" \t\x00"))
    return entries


def _xml(text: str, root_name: str) -> ElementTree.Element | None:
    if f"<{root_name}" not in text:
        return None
    try:
        # A text that names its own encoding was decoded already.
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).strip("\x00 \r\n\t"))
    except (ElementTree.ParseError, ValueError):
        return None
    return root if root.tag.rpartition("}")[2] == root_name else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _count(text: str | None) -> int | None:
    value = _number(text)
    return int(value) if value is not None and value >= 0 and value == int(value) else None


def read_sides(text: str) -> tuple[int, int] | None:
    """Read (columns, rows) from ``1280x960``, ``1280 * 960`` or ``1280 960``; return None if the text is none of these."""
    sides = re.fullmatch(r"(\d{1,9})\s*[xX×*, ]\s*(\d{1,9})", text.strip())
    return (int(sides[1]), int(sides[2])) if sides else None


def _shape(text: str | None) -> tuple[int, int] | None:
    sides = read_sides(text or "")
    return sides and (sides[1], sides[0])
