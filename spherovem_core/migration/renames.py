"""Names of format 1 (spherovem 0.1) and their names today: steps, parameters, files and columns."""

from collections.abc import Mapping
from typing import Any

from spherovem_core.overrides import in_todays_names

STEPS: Mapping[str, str] = {
    "ingest": "ingest",
    "denoise": "denoising",
    "register": "registration",
    "predict_flows": "flows_{kind}",
    "segment_masks": "masks_{kind}",
    "segment_nanoparticles": "nanoparticles",
    "measure_shape": "shape_{kind}",
    "measure_space": "spatial",
    "write_output": "output",
}
ARTIFACTS: Mapping[str, str] = {
    "denoise": "denoising",
    "register": "registration",
    "cells": "masks_cells",
    "nuclei": "masks_nuclei",
    "space": "spatial",
}
"""Keys of ``artifacts`` in ``provenance.json`` that changed."""

DROPPED = frozenset({"block_voxels", "block_halo_voxels"})
"""Parameters that became settings, since they change no result."""
AUTOMATIC_WHEN_ZERO = frozenset({"smoothing_nm", "ripley_max_um"})
"""Parameters of shape and spatial whose 0 meant "automatic", which is None today."""

TABLES: Mapping[str, str] = {
    f"tables/stages/space-{name}.parquet": f"tables/stages/spatial-{name}.parquet"
    for name in ("cells", "nuclei", "nanoparticles", "radial", "ripley")
}
COLUMNS: Mapping[str, str] = {"parent_share": "parent_fraction", "clipped_share": "clipped_fraction"}


def step_name(stage: str, parameters: Mapping[str, Any]) -> str:
    """Return today's name of the step that wrote a history entry."""
    return STEPS[stage].format(kind=parameters.get("kind", ""))


def rename_parameters(values: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Return the parameters of one group under today's names, without those that were removed."""
    renamed = in_todays_names({name: value for name, value in values.items() if name not in DROPPED}, stage)
    if stage in ("shape", "spatial"):
        for name in AUTOMATIC_WHEN_ZERO & set(renamed):
            renamed[name] = renamed[name] or None
    return renamed


def rename_groups(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a whole run in today's groups."""
    groups = {name: rename_parameters(group, name) for name, group in values.items()}
    segmentation = {kind: groups.pop(kind) for kind in ("cells", "nuclei") if kind in groups}
    return {**groups, "segmentation": segmentation} if segmentation else groups
