"""The time at which each page of a TIFF was acquired, as instruments write it."""

import re
from collections.abc import Sequence
from datetime import datetime

from tifffile import TiffPage

_DATE_TIME = 306
_ZEISS = "CZ_SEM"
_FORM = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")


def acquisition_times(pages: Sequence[TiffPage]) -> tuple[str, ...]:
    """Return the time of each page as text that sorts; empty if not all have one, or all the same."""
    times = [_zeiss_time(page) or _tag_time(page) for page in pages]
    return tuple(times) if all(times) else ()


def _tag_time(page: TiffPage) -> str:
    value = page.tags.valueof(_DATE_TIME)
    return value if isinstance(value, str) and _FORM.fullmatch(value) else ""


def _zeiss_time(page: TiffPage) -> str:
    metadata = page.tags.valueof(_ZEISS) if _ZEISS in page.tags else None
    if not isinstance(metadata, dict):
        return ""
    entries = [metadata.get(name) for name in ("ap_date", "ap_time")]
    texts = [str(entry[1]) for entry in entries if isinstance(entry, tuple) and len(entry) > 1]
    try:
        return datetime.strptime(" ".join(texts), "%d %b %Y %H:%M:%S").strftime("%Y:%m:%d %H:%M:%S")
    except ValueError:
        return ""
