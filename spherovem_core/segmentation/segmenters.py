"""Registry of the segmenters: a new one is a module and a line."""

from spherovem_core.errors import ParameterError
from spherovem_core.segmentation.cellpose_segmenter import CellposeSegmenter
from spherovem_core.segmentation.imported_segmenter import ImportedSegmenter, NoSegmenter
from spherovem_core.segmentation.segmenter import Segmenter

SEGMENTERS: dict[str, Segmenter] = {
    "cellpose": CellposeSegmenter(),
    "imported": ImportedSegmenter(),
    "none": NoSegmenter(),
}


def segmenter_named(name: str) -> Segmenter:
    """Return the segmenter of a name.

    Raises
    ------
    ParameterError
        If there is none of that name; the message lists the known names.

    Examples
    --------
    >>> segmenter_named("cellpose").channels
    ('dz', 'dy', 'dx', 'logit')
    """
    if name not in SEGMENTERS:
        raise ParameterError(f"segmenter {name!r} is unknown; choose one of {', '.join(sorted(SEGMENTERS))}")
    return SEGMENTERS[name]
