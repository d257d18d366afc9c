"""Slices for labelling, cut from the registered image of an acquisition."""

import logging
from pathlib import Path

from spherovem_core.parameters import FlowParameters, SliceCuttingParameters
from spherovem_core.segmentation import grid_of, source_level
from spherovem_core.segmentation.fine_tuning import cut_slices, write_slice
from spherovem_core.store import Layout, open_array
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import REGISTERED
from spherovem_core.store.ome import level_spacing
from spherovem_core.store.pyramid import pyramid_factors

logger = logging.getLogger(__name__)


def cut_slices_of(acquisition: Path, out: Path, parameters: SliceCuttingParameters) -> tuple[int, int]:
    """Cut slices from an acquisition into a folder, without those that are already there.

    Their places follow from the parameters alone, so that a second run adds only missing slices.

    Returns
    -------
    written, kept
        Numbers of new and of existing slices.

    Raises
    ------
    IncompleteArtifactError
        If the acquisition has no complete registered image.
    FormatError
        If another version wrote its results.
    """
    check_format(acquisition)
    layout = Layout(acquisition.absolute())
    finest = open_array(layout, REGISTERED)
    spacings = [level_spacing(finest.spacing_nm, factors) for factors in pyramid_factors(finest)]
    level = source_level(spacings, FlowParameters(flow_spacing_nm=parameters.flow_spacing_nm))
    source = open_array(layout, REGISTERED, level)
    written = kept = 0
    for image, origin in cut_slices(source, grid_of(source), layout.folder.name, parameters):
        if (out / f"{origin.name}.tif").exists():
            kept += 1
            continue
        logger.info("wrote %s", write_slice(out, image, origin))
        written += 1
    return written, kept
