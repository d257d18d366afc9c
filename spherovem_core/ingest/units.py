"""Lengths in the units that instruments and image programs write."""

import math
import unicodedata
from typing import Any

NM = {
    "m": 1e9,
    "meter": 1e9,
    "metre": 1e9,
    "cm": 1e7,
    "centimeter": 1e7,
    "centimetre": 1e7,
    "inch": 2.54e7,
    "in": 2.54e7,
    '"': 2.54e7,
    "mm": 1e6,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "um": 1e3,
    "\u03bcm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "\u00e5": 0.1,
    "angstrom": 0.1,
    "pm": 1e-3,
    "fm": 1e-6,
}


def length_nm(value: Any, unit: Any) -> float | None:
    r"""Convert a length to nm.

    Parameters
    ----------
    value
        A number, or text that holds one.
    unit
        As written by OME, ImageJ, Zeiss or Gatan. ImageJ escapes the micro sign (``\u00B5m``), others write it as
        U+00B5 or U+03BC.

    Returns
    -------
    float or None
        None if the value is no positive finite number, or the unit no length (pixel, second, none).
    """
    factor = NM.get(_plain(str(unit)))
    try:
        length = float(value)
    except (TypeError, ValueError):
        return None
    if factor is None or not math.isfinite(length) or length <= 0:
        return None
    return length * factor


def _plain(unit: str) -> str:
    if "\\u" in unit:
        unit = unit.encode("latin-1", "ignore").decode("unicode_escape", "replace")
    unit = unicodedata.normalize("NFKC", unit).strip().strip("\x00").lower()
    return unit if unit in NM else unit.removesuffix("s")
