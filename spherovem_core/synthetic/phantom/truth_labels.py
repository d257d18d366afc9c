"""Truth of nanoparticles and other bodies: labels, agglomerates and tables."""

from __future__ import annotations

from typing import Any

import cc3d
import fastremap
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.spacing import spacing_um, voxel_volume_um3
from spherovem_core.synthetic.phantom.balls import Balls, Place, volumes_inside
from spherovem_core.synthetic.phantom.sample import PAINTED, Sample

Labels = NDArray[np.uint32]


def renumber(owners: Labels) -> tuple[Labels, NDArray[np.int64]]:
    """Make labels contiguous, in the order of their numbers, and return the number (from 0) of each label."""
    numbers = fastremap.unique(owners)
    numbers = numbers[numbers > 0].astype(np.int64)
    lookup = np.zeros(int(numbers.max(initial=0)) + 1, np.uint32)
    lookup[numbers] = np.arange(1, numbers.size + 1)
    return lookup[owners], numbers - 1


def label_particles(
    sample: Sample, owners: Labels, label_of_cell: Labels
) -> tuple[Labels, Labels, pd.DataFrame]:
    """Label the nanoparticles and their agglomerates, and list them.

    Parameters
    ----------
    owners : (Z, Y, X) ndarray of uint32
        Number of the ball that owns each voxel plus 1; 0: none.
    label_of_cell : (S,) ndarray of uint32
        Label of each cell of the tissue; 0 if it is not visible.

    Returns
    -------
    labels, agglomerates, table
        As described by `Phantom`.
    """
    labels, numbers = renumber(owners)
    agglomerates = cc3d.connected_components(labels > 0, connectivity=26, out_dtype=np.uint32)
    seen = labels > 0
    first = np.unique(labels[seen], return_index=True)[1]
    particles = sample.particles.take(numbers)
    table = pd.DataFrame(
        {
            **_ball_columns(sample, particles, label_of_cell),
            "population": particles.kinds,
            "agglomerate": agglomerates[seen][first].astype(np.int64),
            "place": np.array([Place(place).name.lower() for place in particles.places], dtype="U9"),
        }
    )
    return labels, agglomerates, table


def label_others(sample: Sample, owners: Labels, label_of_cell: Labels) -> tuple[Labels, pd.DataFrame]:
    """Label the bodies that are no nanoparticles: first the balls, then the connected components of painted ones."""
    names = np.array([body.name for body in sample.body_kinds], dtype="U32")
    if not sample.body_kinds and not sample.painters:
        return owners, _other_table(_ball_columns(sample, Balls.none(), label_of_cell), names)
    painted = [owners == PAINTED + number for number in range(len(sample.painters))]
    labels, numbers = renumber(np.where(owners < PAINTED, owners, 0).astype(np.uint32))
    bodies = sample.bodies.take(numbers)
    tables = [_other_table(_ball_columns(sample, bodies, label_of_cell), names[bodies.kinds])]
    for painter, mask in zip(sample.painters, painted, strict=True):
        components = cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32)
        labels[mask] = components[mask] + np.uint32(labels.max(initial=0))
        columns = _component_columns(sample, components, painter.grey, offset=int(sum(map(len, tables))))
        tables.append(_other_table(columns, np.full(len(columns["label"]), painter.name)))
    return labels, pd.concat(tables, ignore_index=True)


def _ball_columns(sample: Sample, balls: Balls, label_of_cell: Labels) -> dict[str, NDArray[Any]]:
    step = np.array(spacing_um(sample.parameters.spacing_nm))
    inside = volumes_inside(balls, -0.5 * step, (np.array(sample.parameters.shape) - 0.5) * step)
    return {
        "label": np.arange(1, len(balls) + 1),
        "diameter_nm": 2000 * balls.radii_um,
        "grey": balls.intensities,
        "volume_um3": inside,
        "parent_cell": np.where(balls.cells >= 0, label_of_cell[balls.cells], 0).astype(np.int64),
        **{f"centre_{axis}_nm": 1000 * balls.centres_um[:, n] for n, axis in enumerate("zyx")},
    }


def _component_columns(
    sample: Sample, components: Labels, grey: float, offset: int
) -> dict[str, NDArray[Any]]:
    statistics = cc3d.statistics(components, no_slice_conversion=True)
    volumes = statistics["voxel_counts"][1:] * voxel_volume_um3(sample.parameters.spacing_nm)
    centres = statistics["centroids"][1:] * np.array(sample.parameters.spacing_nm)
    return {
        "label": offset + np.arange(1, len(volumes) + 1),
        "diameter_nm": 1000 * (6 / np.pi * volumes) ** (1 / 3),
        "grey": np.full(len(volumes), grey),
        "volume_um3": volumes,
        "parent_cell": np.zeros(len(volumes), np.int64),
        **{f"centre_{axis}_nm": centres[:, n] for n, axis in enumerate("zyx")},
    }


def _other_table(columns: dict[str, NDArray[Any]], kinds: NDArray[np.str_]) -> pd.DataFrame:
    return pd.DataFrame({**columns, "kind": kinds[: len(columns["label"])]})
