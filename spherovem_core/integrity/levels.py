"""Coarser levels of an array, built again from its finest."""

from typing import Any

import numpy as np
import zarr

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.execution import Execution
from spherovem_core.store import ArraySpec, Layout
from spherovem_core.store.adoptions import ADOPTED
from spherovem_core.store.arrays import complete_array
from spherovem_core.store.codecs import Codec
from spherovem_core.store.layout import array_path
from spherovem_core.store.nodes import marker_of, read_node
from spherovem_core.store.pyramid import build_levels
from spherovem_core.workflow import ArrayOutput
from spherovem_core.workflow.artifacts import open_pyramid


def spec_of(output: ArrayOutput, marker: dict[str, Any]) -> ArraySpec:
    """Return the specification of a finished array."""
    return ArraySpec(
        output.group,
        output.content,
        tuple(marker["shape"]),
        np.dtype(marker["dtype"]),
        tuple(marker["chunks"]),
        tuple(marker["shards"]),
        tuple(marker["spacing_nm"]),
        tuple(marker["origin_nm"]),
        Codec.of_name(marker["codec"]) if "codec" in marker else None,
        float(marker.get("resolution", 0.0)),
    )


def build_from_finest(layout: Layout, output: ArrayOutput, marker: dict[str, Any]) -> list[str]:
    """Build all coarser levels from the finest, whatever they hold; return their content digests.

    Parameters
    ----------
    marker
        Marker of the finest level; an adoption in it is passed on.
    """
    finest = zarr.open_array(layout.path(output.path), mode="r", zarr_format=3)
    factors = [(int(z), int(y), int(x)) for z, y, x in marker.get("level_factors", [[1, 1, 1]])]
    details = {ADOPTED: marker[ADOPTED]} if ADOPTED in marker else {}
    return build_levels(
        layout, spec_of(output, marker), marker["fingerprint"], finest, factors, Execution(), **details
    )


def rebuild_levels(layout: Layout, output: ArrayOutput) -> bool:
    """Build the coarser levels again if one was changed or lost; return whether there was anything to do."""
    try:
        open_pyramid(layout, output.group)
    except (ChangedArtifactError, IncompleteArtifactError):
        place = layout.path(array_path(output.group))
        marker = marker_of(read_node(place)) or {}
        marker["levels"] = build_from_finest(layout, output, marker)
        complete_array(place, marker)
        return True
    return False
