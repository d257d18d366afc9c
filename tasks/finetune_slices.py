"""Slices for labelling, cut from the registered image of a processed acquisition."""

import logging
from pathlib import Path

from spherovem_core.parameters import SegmentationParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid, source_level
from spherovem_core.segmentation.fine_tuning import cut_slices, write_slice
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import REGISTERED
from spherovem_core.store.ome import level_spacing
from tasks.segmentation import pyramid

logger = logging.getLogger("spherovem_core.finetune")


def cut_slices_of(acquisition: Path, out: Path, parameters: SliceCuttingParameters) -> tuple[int, int]:
    """Cut slices from an acquisition into a folder; a slice that is there already is left as it is.

    Where slices lie follows from the parameters alone, so that a second run only adds what is missing.

    Returns
    -------
    written, kept
        Numbers of slices.

    Raises
    ------
    IncompleteArtifactError
        If the acquisition has no complete registered image.
    """
    layout = Layout(acquisition.absolute())
    finest = open_array(layout, REGISTERED)
    spacings = [level_spacing(finest.spacing_nm, factors) for factors in pyramid(finest)]
    level = source_level(spacings, SegmentationParameters(flow_spacing_nm=parameters.flow_spacing_nm))
    source = open_array(layout, REGISTERED, level)
    depth, rows, columns = source.shape
    grid = Grid((depth, rows, columns), source.spacing_nm, source.origin_nm)
    written = kept = 0
    for image, origin in cut_slices(source, grid, layout.folder.name, parameters):
        if (out / f"{origin.name}.tif").exists():
            kept += 1
            continue
        logger.info("wrote %s", write_slice(out, image, origin))
        written += 1
    return written, kept
