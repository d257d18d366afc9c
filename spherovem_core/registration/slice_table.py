"""Table of the positions of all slices."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix, centre_shift, rotation_degrees
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.jumps import Jumps
from spherovem_core.registration.misfit import misfit_columns
from spherovem_core.registration.pairs import PairResult
from spherovem_core.registration.placement_jobs import PlacementMeasurement
from spherovem_core.registration.thickness_columns import thickness_columns

KEPT_WEIGHT = 0.25
ELEMENTS = ("map_yy", "map_yx", "map_y_px", "map_xy", "map_xx", "map_x_px")


def make_slice_table(
    transforms: Matrix,
    drift_px: NDArray[np.float64],
    jumps: Jumps,
    results: Mapping[tuple[int, int], PairResult],
    weights: Mapping[tuple[int, int], float],
    position_uncertainty_px: NDArray[np.float64],
    good: Sequence[int],
    crop: Rectangle,
    shape: tuple[int, int],
    placed: PlacementMeasurement,
    trend_slices: int,
    fixed_pattern_grey: float,
) -> pd.DataFrame:
    """Make the table of `Alignment`, with one row per slice.

    Parameters
    ----------
    transforms : (Z, 2, 3) ndarray
        Final maps, reference to slice coordinates.
    drift_px : (Z, 2) ndarray
        Slow trend of the shift of each slice.
    jumps : Jumps
    results
        Results of all registered pairs.
    weights
        Final weight of each trusted pair in the solution, 0 to 1.
    position_uncertainty_px : (Z,) ndarray
        Uncertainty of the place of each slice.
    good
        Good slices in rising order.
    crop : Rectangle
        Crop of all slices; the same in every row.
    shape : (Y, X)
        Shape of a slice.
    placed
        Measurements on the slices as placed.
    trend_slices
        Window of the slow trend of the misfit, in slices.
    fixed_pattern_grey
        Standard deviation of the pattern that was subtracted from all slices.
    """
    numbers = range(len(transforms))
    neighbours = {b: (a, b) for a, b in itertools.pairwise(good)}
    pairs = [results[neighbours[z]] if z in neighbours else None for z in numbers]
    shift = centre_shift(transforms, shape)
    return pd.DataFrame(
        {
            "z": numbers,
            "shift_y_px": shift[:, 0],
            "shift_x_px": shift[:, 1],
            "rotation_deg": rotation_degrees(transforms),
            "similarity_before": [pair.initial_similarity if pair else np.nan for pair in pairs],
            "pair_similarity": [pair.similarity if pair else np.nan for pair in pairs],
            "uncertainty_px": [pair.uncertainty_px if pair else np.nan for pair in pairs],
            "position_uncertainty_px": position_uncertainty_px,
            "fixed_fraction": [pair.fixed_fraction if pair else np.nan for pair in pairs],
            "featureless_fraction": [pair.featureless_fraction if pair else np.nan for pair in pairs],
            "fixed_pattern_grey": fixed_pattern_grey,
            "trusted": [pair.trusted if pair else z in good for z, pair in enumerate(pairs)],
            "reason": [pair.reason if pair else "" for pair in pairs],
            "bridged": [z in neighbours and weights.get(neighbours[z], 0.0) < KEPT_WEIGHT for z in numbers],
            "used": [z in good for z in numbers],
            "drift_y_px": drift_px[:, 0],
            "drift_x_px": drift_px[:, 1],
            **jumps.columns(),
            **misfit_columns(placed.pairs, good, len(transforms), trend_slices, shape),
            **thickness_columns(placed.depth, good, len(transforms)),
            **dict(zip(ELEMENTS, transforms.reshape(-1, 6).T, strict=True)),
            **{f"crop_{name}_px": value for name, value in crop._asdict().items()},
        }
    )
