"""Slices for labelling, cut from the registered image of an acquisition."""

import logging
from collections.abc import Sequence
from pathlib import Path

from spherovem_core.corrections.state import correction_state, marks_of
from spherovem_core.errors import IncompleteArtifactError, LabelsError
from spherovem_core.parameters import FlowParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid, grid_of, source_level
from spherovem_core.segmentation.fine_tuning import (
    UNCERTAINTY,
    cut_slices,
    cutting_grid,
    labels_on_slice,
    labels_path,
    object_tiles,
    spread_places,
    uncertain_places,
    uncertainty_tiles,
    write_slice,
    write_starting_labels,
)
from spherovem_core.segmentation.fine_tuning.places import Place
from spherovem_core.segmentation.grid import warn_of_thick_sections
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.discarded import find_discarded, load_parts
from spherovem_core.store.format import check_format
from spherovem_core.store.kept_parts import open_shown
from spherovem_core.store.layout import REGISTERED, flows_group, labels_group
from spherovem_core.store.ome import level_spacing
from spherovem_core.store.pyramid import pyramid_factors

logger = logging.getLogger(__name__)


def cut_slices_of(
    acquisition: Path, out: Path, parameters: SliceCuttingParameters, from_corrections: bool = False
) -> tuple[int, int]:
    """Cut slices from an acquisition into a folder, without those that are already there.

    Where the acquisition has labels, those of a slice are written beside it: labelling starts from them. Predicted labels do not
    count for a training before a person has saved them. Labels of an existing slice are never written over.

    Parameters
    ----------
    acquisition
        Results folder.
    out
        Folder for the slices.
    from_corrections
        Cut slices through corrected objects, where the segmentation was most uncertain; their labels count for a training.

    Returns
    -------
    written, kept
        Numbers of new and of existing slices.

    Raises
    ------
    IncompleteArtifactError
        If the acquisition has no complete registered image, or no complete flows where places are chosen by them.
    LabelsError
        If slices of corrections are wanted and nothing was corrected.
    FormatError
        If another version wrote its results.
    """
    check_format(acquisition)
    layout = Layout(acquisition.absolute())
    finest = open_array(layout, REGISTERED)
    spacings = [level_spacing(finest.spacing_nm, factors) for factors in pyramid_factors(finest)]
    flows = FlowParameters(flow_spacing_nm=parameters.flow_spacing_nm, planes=parameters.planes)
    warn_of_thick_sections(finest.spacing_nm, flows)
    level = source_level(spacings, flows)
    source = open_array(layout, REGISTERED, level)
    labels = _labels(layout, parameters)
    grid = cutting_grid(grid_of(finest), parameters)
    places = _places(layout, grid, labels, parameters, from_corrections)
    written = kept = 0
    for image, origin in cut_slices(source, grid_of(source), layout.folder.name, parameters, places, grid):
        path = out / f"{origin.name}.tif"
        if path.exists():
            kept += 1
            continue
        if labels is not None:
            rows, columns = image.shape
            beside = labels_path(path, parameters.kind)
            if not beside.exists():
                start = labels_on_slice(labels, origin, (rows, columns))
                write_starting_labels(beside, start, "corrected" if from_corrections else "predicted")
        # The image last: a slice that is there has its labels.
        logger.info("wrote %s", write_slice(out, image, origin))
        written += 1
    return written, kept


def _labels(layout: Layout, parameters: SliceCuttingParameters) -> StoredArray | None:
    try:
        return open_array(layout, labels_group(parameters.kind))
    except IncompleteArtifactError:
        return None


def _sides(spacing_nm: SpacingNm) -> str:
    return " x ".join(f"{side:g}" for side in spacing_nm)


def _places(
    layout: Layout,
    grid: Grid,
    labels: StoredArray | None,
    parameters: SliceCuttingParameters,
    from_corrections: bool,
) -> Sequence[Place]:
    if parameters.places == "spread" and not from_corrections:
        return spread_places(grid.shape, parameters)
    group = flows_group(parameters.kind)
    field = open_shown(layout, group)
    if grid_of(field) != grid:
        raise LabelsError(
            f"the flows of {layout.folder.name} have voxels of {_sides(field.spacing_nm)} nm, the slices "
            f"{_sides(grid.spacing_nm)} nm; give --flow-spacing-nm {field.spacing_nm[-1]:g} and the planes of the flows"
        )
    kept = load_parts(layout, group).get(UNCERTAINTY) if find_discarded(layout, group) else None
    tiles = uncertainty_tiles(field) if kept is None else kept
    if from_corrections:
        marks = marks_of(correction_state(layout, parameters.kind))
        corrected = marks["corrected"] | marks["accepted"]
        if labels is None or not corrected:
            raise LabelsError(
                f"{parameters.kind} of {layout.folder.name} have no corrections; correct some with `spherovem labels edit`, "
                "or cut slices to label with --places uncertain"
            )
        tiles = tiles * object_tiles(labels, corrected, grid)
    places = uncertain_places(tiles, grid.shape, parameters)
    if not places:
        raise LabelsError(
            f"the flows of {parameters.kind} in {layout.folder.name} are certain everywhere; "
            "cut slices with --places spread"
        )
    return places
