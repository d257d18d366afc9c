"""Findings of the comparison with random places, as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

SPACES = {
    "cytoplasm": "in the cytoplasm of their cells",
    "cells": "in their cells",
    "volume": "in the volume",
}


def findings(tests: pd.DataFrame) -> dict[str, str]:
    """State whether particles cluster, and whether they are enriched at some distance from the nucleus.

    Parameters
    ----------
    tests
        Table of the stage spatial, one row per statistic.

    Returns
    -------
    dict of str
        Texts by title. Particles are said to cluster, to keep apart or to gather only where p is 0.05 or less.
    """
    rows = {str(row["statistic"]): row for row in tests.to_dict("records")}
    if not {"ripley_l", "pair_correlation", "enrichment", "radial_rank"} <= set(rows):
        return {}
    return {
        "clustering": _clustering(rows["ripley_l"], rows["pair_correlation"]),
        "enrichment": _enrichment(rows["enrichment"], rows["radial_rank"]),
    }


def random_places(tests: pd.DataFrame) -> str:
    """Name the null: which places particles are compared with, and how many patterns."""
    if tests.empty:
        return "random places"
    row = tests.iloc[0]
    return f"{row['simulation_count']} patterns of random places for the same particles {SPACES[row['null_space']]}"


def _clustering(test: Mapping[Any, Any], pairs: Mapping[Any, Any]) -> str:
    if pd.isna(test["p_value"]):
        return f"not tested: {test['reason']}"
    p_value = f"p = {test['p_value']:.2g}"
    if not test["finding"]:
        return f"as at random places ({p_value})"
    words = {"above": "particles cluster", "below": "particles keep apart"}
    said = words.get(test["finding"], "particles cluster at some radii and keep apart at others")
    # L sums up all pairs within its radius; pairs between two radii show where they are.
    source = pairs if pairs["finding"] else test
    text = f"{said} at {source['from_um']:.3g} to {source['to_um']:.3g} µm ({p_value})"
    if pd.notna(pairs["cluster_radius_um"]) and "above" in test["finding"]:
        text += f"; radius of gyration of clusters {_value(pairs, 'cluster_radius', '_um')} µm"
    return text


def _enrichment(test: Mapping[Any, Any], rank: Mapping[Any, Any]) -> str:
    if pd.isna(test["p_value"]):
        return f"not tested: {test['reason']}"
    p_value = f"p = {test['p_value']:.2g}"
    if not test["finding"]:
        return f"by distance to the nucleus as at random places ({p_value})"
    times = f"{_value(test, 'effect')} times in the bin up to {test['at_um']:.3g} µm"
    text = f"by distance to the nucleus not as at random places ({p_value}): {times}"
    if rank["finding"]:
        side = "farther from the nucleus" if rank["finding"] == "above" else "nearer to the nucleus"
        text += f"; particles lie {side}, mean rank {_value(rank, 'effect')} (0.5 at random)"
    return text


def _value(row: Mapping[Any, Any], name: str, unit: str = "") -> str:
    """Format a value with its interval, if it has one."""
    value, low, high = (row[f"{name}{part}{unit}"] for part in ("", "_low", "_high"))
    return f"{value:.3g}" + (f" [{low:.3g}, {high:.3g}]" if pd.notna(low) else "")


def left_out(particles: pd.DataFrame) -> Sequence[tuple[str, int]]:
    """Count the particles that are not compared, by reason, the most frequent first."""
    notes = particles.loc[particles["pattern_note"] != "", "pattern_note"]
    return [(str(reason), int(count)) for reason, count in notes.value_counts(sort=True).items()]
