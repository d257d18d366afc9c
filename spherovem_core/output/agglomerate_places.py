"""Places of agglomerates: the cell that holds them, their distance to its nucleus, and their part of the specimen."""

from typing import Any

import numpy as np
import pandas as pd

MOST = 0.5
"""Fraction of the volume of an agglomerate that a cell must hold to be its parent."""


def with_agglomerate_places(agglomerates: pd.DataFrame, particles: pd.DataFrame) -> pd.DataFrame:
    """Add to each agglomerate where its particles lie.

    Parameters
    ----------
    agglomerates
        Table with ``label``.
    particles
        Table of its particles with ``agglomerate``, ``volume_um3``, ``parent_cell``, ``distance_to_nucleus_um``,
        ``distance_to_nucleus_min_um``, ``in_nucleus``, ``place``, and the columns of `with_particle_places`.

    Returns
    -------
    DataFrame
        The table with: ``parent_cell``, the cell that holds at least half of its volume (each particle counts to its own
        parent), 0 for none; ``parent_fraction``, the fraction of its volume in the cell that holds most; ``cell_count``, the
        number of cells that hold some of its particles; ``distance_to_nucleus_um`` and ``distance_to_nucleus_min_um``, mean by
        volume and minimum over its particles in the parent, NaN without a parent or nucleus; ``in_nucleus``, more than half of
        its volume is in nuclei; ``at_membrane`` and ``perinuclear``, true for one of its particles in the parent; ``place``, that
        of most of its volume; ``mass_pg``.
    """
    labels = agglomerates["label"]
    volume = particles["volume_um3"]
    agglomerate = particles["agglomerate"].astype(np.int64)
    total = volume.groupby(agglomerate).sum()
    held = _volumes(volume, agglomerate, particles["parent_cell"].astype(np.int64).rename("cell"))
    held = held[held["cell"] > 0]
    most = _first(held, ["volume", "cell"], [False, True])
    fraction = (most["volume"] / total).reindex(labels).fillna(0.0)
    parent = most["cell"].reindex(labels).where(fraction >= MOST, 0).fillna(0).astype(np.uint32)
    inside = particles[particles["parent_cell"].to_numpy() == parent.reindex(agglomerate).to_numpy()]
    inside = inside[inside["parent_cell"] > 0]
    measured = inside[inside["distance_to_nucleus_um"].notna()]
    weighted = (
        (measured["distance_to_nucleus_um"] * measured["volume_um3"]).groupby(measured["agglomerate"]).sum()
    )
    places = _volumes(volume, agglomerate, particles["place"])
    columns: dict[str, Any] = {
        "parent_cell": parent,
        "parent_fraction": fraction,
        "cell_count": held.groupby("agglomerate").size().reindex(labels).fillna(0).astype(np.int64),
        "distance_to_nucleus_um": weighted / measured["volume_um3"].groupby(measured["agglomerate"]).sum(),
        "distance_to_nucleus_min_um": measured.groupby("agglomerate")["distance_to_nucleus_min_um"].min(),
        "in_nucleus": 2 * (volume * particles["in_nucleus"]).groupby(agglomerate).sum() > total,
        **{
            name: inside.groupby("agglomerate")[name].any().reindex(labels).eq(True)
            for name in ("at_membrane", "perinuclear")
        },
        "place": _first(places, ["volume", "place"], [False, True])["place"],
        "mass_pg": particles["mass_pg"].groupby(agglomerate).sum(min_count=1),
    }
    return agglomerates.assign(
        **{name: values.reindex(labels).to_numpy() for name, values in columns.items()}
    )


def _volumes(volume: "pd.Series[Any]", agglomerate: "pd.Series[Any]", part: "pd.Series[Any]") -> pd.DataFrame:
    """Sum the volume of each agglomerate in each of its parts."""
    parts = pd.DataFrame({"agglomerate": agglomerate, part.name: part, "volume": volume})
    return parts.groupby(["agglomerate", str(part.name)], as_index=False).sum()


def _first(table: pd.DataFrame, columns: list[str], ascending: list[bool]) -> pd.DataFrame:
    """Take the first row of each agglomerate in an order."""
    ordered = table.sort_values(["agglomerate", *columns], ascending=[True, *ascending], kind="stable")
    return ordered.drop_duplicates("agglomerate").set_index("agglomerate")
