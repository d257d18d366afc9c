"""Ranking of nanoparticles that are probably wrong, from their table alone."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.review.oddities import FAR, oddity_weight, robust_distances
from spherovem_core.review.suspects import LEAST_SCORE, SEED_COLUMNS, sentence, suspect_table
from spherovem_core.spacing import SpacingNm, spacing_um

ELONGATED = 1.45
"""Longest side of the bounding box, less half a voxel, over the equivalent diameter, from which a particle may be two: 1 for a
ball, 1.6 for two equal balls that touch."""

RAGGED = 0.45
"""Volume over that of the ellipsoid in the bounding box below which a particle is no compact body."""

CERTAIN = 0.999
"""Largest confidence that counts."""

FEWEST_VOXELS = 20
"""Voxels below which the shape of a particle says nothing."""

UNLIKELY = 0.5
"""Confidence below which a particle had better be deleted."""


def find_particle_suspects(
    table: pd.DataFrame, spacing_nm: SpacingNm, shape: Sequence[int], accepted: Sequence[int] = ()
) -> pd.DataFrame:
    """Rank nanoparticles that are probably wrong, by posterior, size, contrast and shape.

    Parameters
    ----------
    table
        Table of the nanoparticles; ``confidence``, ``population`` and ``contrast`` count where they are there.
    spacing_nm
        Voxel size of the bounding boxes.
    shape
        Voxels of the volume along z, y, x. The shape of a particle that its border cuts is not judged.
    accepted
        Labels found right by a person.

    Returns
    -------
    DataFrame
        As `spherovem_core.review.find_suspects`. The score starts with the odds of the posterior. A particle that is elongated
        or large for its population is to be split, between two points on its longest axis; one with a confidence below 0.5 is
        to be deleted.
    """
    table = table[~table["label"].isin(list(accepted))]
    if table.empty:
        return suspect_table([])
    odd = _Oddities(table, spacing_nm, shape)
    rows = [odd.row(n) for n in range(len(table))]
    chosen = [row for row in rows if row is not None and row["score"] >= LEAST_SCORE]
    return suspect_table(sorted(chosen, key=lambda row: (-row["score"], row["label"])))


class _Oddities:
    """Figures of all particles, relative to those of the same population."""

    def __init__(self, table: pd.DataFrame, spacing_nm: SpacingNm, shape: Sequence[int]) -> None:
        self.table = table.reset_index(drop=True)
        count = len(table)
        boxes = self.table[list(BOX_COLUMNS)].to_numpy(float)
        self.sides = (boxes[:, 3:] - boxes[:, :3]) * np.array(spacing_um(spacing_nm))
        half = np.array(spacing_um(spacing_nm)) / 2
        self.length = (self.sides - half).max(axis=1)
        self.at_border = ((boxes[:, :3] == 0) | (boxes[:, 3:] == np.array(shape))).any(axis=1)
        self.volume = self.table["volume_um3"].to_numpy(float)
        self.confidence = self._column("confidence", np.full(count, math.nan))
        population = self._column("population", np.zeros(count))
        self.size = self._distances(np.log(self.volume), population)
        self.contrast = self._distances(self._column("contrast", np.full(count, math.nan)), population)

    def _column(self, name: str, default: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.table[name].to_numpy(float) if name in self.table else default

    @staticmethod
    def _distances(values: NDArray[np.float64], population: NDArray[np.float64]) -> NDArray[np.float64]:
        distances = np.zeros(len(values))
        for group in np.unique(population):
            members = population == group
            distances[members] = robust_distances(values[members].tolist())
        return distances

    def measurable(self, n: int) -> bool:
        """Return whether the shape of a particle says anything."""
        large = "voxel_count" not in self.table or int(self.table["voxel_count"][n]) >= FEWEST_VOXELS
        return large and not bool(self.at_border[n])

    def row(self, n: int) -> dict[str, Any] | None:
        """Return the row of a particle of which anything is odd."""
        score, reasons, figures, operation = LEAST_SCORE, [], [], "look"
        if math.isfinite(self.confidence[n]):
            known = min(max(float(self.confidence[n]), 1 - CERTAIN), CERTAIN)
            score = math.log((1 - known) / known)
            if known < 0.9:
                reasons.append("low posterior")
                figures.append(f"probability of a nanoparticle {self.confidence[n]:.2f}")
            if known < UNLIKELY:
                operation = "delete"
        aspect = float(self.length[n] / np.cbrt(6 / np.pi * self.volume[n]))
        compact = float(self.volume[n] / (np.pi / 6 * np.prod(self.sides[n])))
        measurable = self.measurable(n)
        if abs(self.size[n]) > FAR and not self.at_border[n]:
            score += oddity_weight(abs(self.size[n]))
            reasons.append("large for its population" if self.size[n] > 0 else "small for its population")
            figures.append(f"volume {self.volume[n]:.3g} µm³, {self.size[n]:+.1f} standard deviations")
        if self.contrast[n] < -FAR:
            score += oddity_weight(-self.contrast[n])
            reasons.append("faint")
            figures.append(f"contrast {self.contrast[n]:+.1f} standard deviations")
        if measurable and aspect > ELONGATED:
            score += 2 * min(aspect - ELONGATED, 1.0) + 0.5
            reasons.append("elongated")
            figures.append(f"it is {aspect:.1f} times as long as the ball of its volume")
        if measurable and compact < RAGGED:
            score += 4 * (RAGGED - compact) + 0.5
            reasons.append("ragged")
            figures.append(f"it fills {100 * compact:.0f} % of the ellipsoid in its bounding box")
        if not reasons:
            return None
        two = "elongated" in reasons or "large for its population" in reasons
        if operation == "look" and two:
            operation = "split"
        row: dict[str, Any] = {
            "label": int(self.table["label"][n]),
            "other_label": 0,
            "operation": operation,
            "reason": ", ".join(reasons),
            "explanation": sentence(figures),
            "score": score,
        }
        row |= {name: self.table[name][n] for name in (*CENTROID_COLUMNS, *BOX_COLUMNS)}
        centre = self.table.loc[n, list(CENTROID_COLUMNS)].to_numpy(float)
        ends = np.full((2, 3), math.nan)
        if operation == "split":
            ends = np.stack([centre, centre])
            axis = int(self.sides[n].argmax())
            ends[:, axis] += np.array([-0.25, 0.25]) * self.sides[n, axis]
        return row | dict(zip(SEED_COLUMNS, ends.ravel().tolist(), strict=True))
