"""Values that override defaults, and validation errors of such values in one line."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

Overrides = dict[str, Any]


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> Overrides:
    """Replace values of `base` by those of `override`; nested mappings are merged."""
    merged = dict(base)
    for name, value in override.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Write the problem of each value in one line, with a suggestion for an unknown name."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"] if not isinstance(part, int))
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown parameter {where}{_suggestion(item['loc'], model)}")
        elif item["type"] == "missing":
            problems.append(f"{where} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            text = f"{message[0].lower()}{message[1:]}"
            # The input of a group that does not fit together is all of its parameters.
            found = "" if isinstance(item["input"], Mapping | BaseModel) else f", got {item['input']!r}"
            problems.append(f"{where}: {text}{found}" if where else text)
    return "; ".join(problems)


RENAMED_PARAMETERS: Mapping[str, str] = {
    "blank_share": "blank_fraction",
    "merge_contact_share": "merge_contact_fraction",
    "min_parent_share": "min_parent_fraction",
    "held_out_share": "held_out_fraction",
    "min_piece_share": "min_piece_fraction",
}
"""Parameters of version 0.1 whose name alone changed."""

RENAMED: Mapping[str, str] = {
    **RENAMED_PARAMETERS,
    "cells": "segmentation.cells",
    "nuclei": "segmentation.nuclei",
    "space": "spatial",
    "denoise": "denoising",
    "register": "registration",
    "block_voxels": "the setting SPHEROVEM_BLOCK_VOXELS",
    "block_halo_voxels": "the setting SPHEROVEM_BLOCK_HALO_VOXELS",
}
"""Names of version 0.1 and the names that replaced them."""

REMOVED: Mapping[str, str] = {
    "nanoparticles.candidate_size_nm": "the sizes of candidates follow from expected_diameter_nm and max_diameter_nm",
    "nanoparticles.min_excess": "use false_candidates_per_million",
    "nanoparticles.background_halo_nm": "the surroundings are measured around each object",
    "nanoparticles.max_overlap": "objects are judged one by one; use min_confidence",
    "nanoparticles.prior_strength": "objects are judged one by one; use min_confidence",
    "nanoparticles.max_iterations": "no mixture is fitted to the histogram",
    "nanoparticles.tolerance": "no mixture is fitted to the histogram",
    "nanoparticles.evidence_spacing_nm": "the image keeps its resolution; use smoothing_nm",
    "nanoparticles.posterior_threshold": "use min_confidence",
    "nanoparticles.core_posterior": "use min_confidence",
    "nanoparticles.edge_reach_nm": "outlines follow from the measured blur",
    "nanoparticles.edge_fraction": "outlines follow from the measured blur",
    "nanoparticles.edge_share": "outlines follow from the measured blur",
    "nanoparticles.surroundings_nm": "the surroundings are measured around each object",
    "nanoparticles.closing_nm": "gaps are not closed; use expected_diameter_nm",
    "nanoparticles.split_depth_nm": "use expected_diameter_nm, by which touching particles are split",
}
"""Parameters that version 0.2 removed, with the reason or what to use instead."""


def in_todays_names(values: Mapping[str, Any], group: str = "") -> Overrides:
    """Return parameters that an earlier version recorded under today's names, without those that were removed.

    Parameters
    ----------
    values
        Parameters of a whole run, or of one group.
    group
        Name of the group, such as ``segmentation.cells``; empty for a whole run.
    """
    renamed: Overrides = {}
    for name, value in values.items():
        path = f"{group}.{name}" if group else name
        if path in REMOVED:
            continue
        # The names of further kinds of objects are the user's.
        nested = isinstance(value, Mapping) and path != "segmentation.others"
        renamed[RENAMED_PARAMETERS.get(name, name)] = in_todays_names(value, path) if nested else value
    return renamed


def _suggestion(location: Sequence[int | str], model: type[BaseModel]) -> str:
    parent: Any = model
    for part in location[:-1]:
        parent = parent.model_fields[part].annotation
    if str(location[-1]) in RENAMED:
        return f" (since version 0.2 {RENAMED[str(location[-1])]})"
    removed = REMOVED.get(".".join(map(str, location)))
    if removed is not None:
        return f" (removed in version 0.2: {removed})"
    names = list(parent.model_fields)
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(names)})"
