"""Small DM3 and DM4 files, written tag by tag: no library writes them. ncempy and rosettasciio read them alike."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORT, LONG, USHORT, ULONG, FLOAT, OCTET = 2, 3, 4, 5, 6, 8
TYPES = {
    "int16": (1, SHORT),
    "float32": (2, FLOAT),
    "complex64": (3, FLOAT),
    "uint8": (6, OCTET),
    "uint16": (10, USHORT),
    "uint32": (11, ULONG),
}
Tag = tuple[str, Any]


def write_dm(
    path: Path,
    values: NDArray[Any],
    spacing_nm: tuple[float, ...] | None = None,
    *,
    unit: str = "nm",
    thumbnail: bool = False,
) -> None:
    """Write one image (Y, X) or volume (Z, Y, X); the suffix says whether it is DM3 or DM4.

    Parameters
    ----------
    path, values
        File and pixels.
    spacing_nm
        Scale of each axis, z first, in `unit`; None writes a scale of 1 without unit.
    unit
        Unit of the scales.
    thumbnail
        Add a small colour image before it, as DigitalMicrograph does.
    """
    images = [image_tags(values, spacing_nm, unit)]
    if thumbnail:
        images.insert(0, image_tags(np.zeros((4, 4), np.uint32), None, "", kind=23))
    write_images(path, images)


def write_images(path: Path, images: list[list[Tag]]) -> None:
    """Write a file with a list of images."""
    dm4 = path.suffix.lower() == ".dm4"
    root = _group([("ImageList", [("", tags) for tags in images])], dm4)
    head = struct.pack(">IQI" if dm4 else ">III", 4 if dm4 else 3, len(root), 1)
    path.write_bytes(head + root + b"\0" * 8)


def image_tags(
    values: NDArray[Any], spacing: tuple[float, ...] | None, unit: str, kind: int | None = None
) -> list[Tag]:
    """Return the tags of one image."""
    number = TYPES[values.dtype.name][0]
    scales = spacing[-values.ndim :] if spacing else (1.0,) * values.ndim
    dimensions = [
        ("", [("Origin", (FLOAT, 0.0)), ("Scale", (FLOAT, scale)), ("Units", unit if spacing else "")])
        for scale in scales[::-1]
    ]
    # The file holds a complex number as two floats.
    stored = values.view(np.float32) if np.iscomplexobj(values) else values
    data = [
        ("Calibrations", [("Dimension", dimensions)]),
        ("Data", stored.astype(stored.dtype.newbyteorder("<"))),
        ("DataType", (ULONG, number if kind is None else kind)),
        ("Dimensions", [("", (ULONG, side)) for side in values.shape[::-1]]),
        ("PixelDepth", (ULONG, values.itemsize)),
    ]
    return [("ImageData", data), ("ImageTags", []), ("Name", "slices"), ("UniqueID", [("", (ULONG, 1))])]


def _group(tags: list[Tag], dm4: bool) -> bytes:
    return (
        b"\1\0"
        + struct.pack(">Q" if dm4 else ">I", len(tags))
        + b"".join(_entry(name, value, dm4) for name, value in tags)
    )


def _entry(name: str, value: Any, dm4: bool) -> bytes:
    label = name.encode()
    body = _group(value, dm4) if isinstance(value, list) else _value(value, dm4)
    size = struct.pack(">Q", len(body)) if dm4 else b""
    return struct.pack(">BH", 20 if isinstance(value, list) else 21, len(label)) + label + size + body


def _value(value: Any, dm4: bool) -> bytes:
    if isinstance(value, tuple):
        kind, number = value
        return _info([kind], dm4) + struct.pack("<" + {ULONG: "I", FLOAT: "f"}[kind], number)
    if isinstance(value, str):
        value = np.frombuffer(value.encode("utf-16-le"), "<u2")
    element = TYPES[value.dtype.newbyteorder("=").name][1]
    return _info([20, element, value.size], dm4) + value.tobytes()


def _info(numbers: list[int], dm4: bool) -> bytes:
    return b"%%%%" + struct.pack(f">{len(numbers) + 1}{'Q' if dm4 else 'I'}", len(numbers), *numbers)
