"""Labels of other programs as inputs of steps: digest, memory of it, and the levels that they may lie on."""

import logging
from collections.abc import Sequence
from typing import Any

from spherovem_core.errors import LabelsError
from spherovem_core.references import Acquisition
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.store import Layout, StoredArray, discard
from spherovem_core.store.label_files import Level, describe_labels, label_digest
from spherovem_core.store.ome import level_origin, level_spacing
from spherovem_core.store.pyramid import level_shape, pyramid_factors
from spherovem_core.workflow import ArrayOutput, Quality, RunRequest
from spherovem_core.workflow.run import StepRun

logger = logging.getLogger(__name__)

NO_OBJECTS = "none"
"""Segmenter, and method of the stage nanoparticles, that leaves a kind of object out."""


def imported_digest(acquisition: Acquisition, name: str) -> tuple[str, dict[str, Any]]:
    """Return the digest of a label file, known from an earlier run or taken now, and all known digests.

    A file that is gone has the digest that it had: its labels were copied.

    Raises
    ------
    LabelsError
        If the file is not there and was never imported, or lies in the results folder.
    """
    from spherovem_core.store import read_json
    from spherovem_core.store.label_files import split_name

    folder = acquisition.folder.resolve()
    if split_name(name)[0].resolve().is_relative_to(folder):
        raise LabelsError(
            f"{name} lies in the results folder that the labels are imported into, where they would be replaced; copy them to "
            "another place first"
        )
    known = read_json(Layout(acquisition.folder).label_files) or {}
    return label_digest(name, known), known


def refuse_region(request: RunRequest) -> None:
    """Refuse labels for a region of an acquisition: they lie on the grid of all of it.

    Raises
    ------
    LabelsError
    """
    if not request.region.is_whole:
        raise LabelsError(
            "labels are imported for a whole acquisition, not for a region of interest; leave the region out, or cut slices and "
            "labels to it first"
        )


def remember_imported(acquisition: Acquisition, name: str) -> None:
    """Check the header of a label file, and keep its digest in the results folder, which exists by now."""
    from spherovem_core.store import write_json
    from spherovem_core.store.label_files import split_name

    _, known = imported_digest(acquisition, name)
    write_json(Layout(acquisition.folder).label_files, known)
    if split_name(name)[0].exists():
        describe_labels(name)


def check_imported(run: StepRun[Any], name: str, digest: str, output: ArrayOutput) -> None:
    """Refuse a label file that was changed after the run had looked at it; what was read of it is discarded.

    Raises
    ------
    LabelsError
        If the file is not the one that the digest speaks of.
    """
    if imported_digest(run.plan.acquisition, name)[0] != digest:
        discard(run.layout, run.layout.path(output.path).parent)
        raise LabelsError(
            f"{name} was changed while it was read; run the acquisition again when nothing writes to it"
        )


def copy_onto_masks(
    run: StepRun[Any], kind: str, name: str, digest: str, output: ArrayOutput, mask_spacing_nm: float
) -> Quality:
    """Copy the labels of another program onto the grid of the masks; the nearest voxel is taken.

    Parameters
    ----------
    kind
        Name of the objects.
    name, digest
        The file, and the digest of its content.
    mask_spacing_nm
        Chooses the level of the registered image.
    """
    from spherovem_core.segmentation import Grid, copy_labels
    from spherovem_core.store import nearest_level

    finest = run.open(REGISTERED)
    grids = level_grids(finest)
    level = grids[nearest_level(pyramid_factors(finest), finest.spacing_nm, mask_spacing_nm)]
    shape, spacing, origin = level
    ledger = run.ledger_of_blocks(output)
    labels = run.writer(output, shape, "uint32", spacing, origin_nm=origin, block=run.execution.block_voxels)
    count = copy_labels(name, Grid(*level), grids, labels, run.execution, ledger)
    check_imported(run, name, digest, output)
    own = describe_labels(name).shape
    if own != shape:
        logger.warning(
            "%s: labels of %s voxels were brought to those of the masks, %s; mask_spacing_nm chooses their size",
            kind,
            _by(own),
            _by(shape),
        )
    run.finish(labels, count=count, imported={"origin": name, "sha256": digest, "shape": list(own)})
    figures = {
        kind: count,
        "imported from": name,
        "voxels z, y, x of the file": _by(own),
        "voxels z, y, x": _by(shape),
        "voxel size z, y, x (nm)": str(spacing),
    }
    return Quality(f"Imported {kind}", figures, output, f"{kind} in the middle slice".capitalize())


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def level_grids(image: StoredArray) -> list[Level]:
    """Return the grid of each level of an image."""
    return [
        (
            level_shape(image.shape, factors),
            level_spacing(image.spacing_nm, factors),
            level_origin(image.spacing_nm, image.origin_nm, factors),
        )
        for factors in pyramid_factors(image)
    ]
