"""Fit of the errors of objects and particles to the rows of `_interval_rows`."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize

from spherovem_core.output.object_intervals import area_interval
from spherovem_core.review.boundary_shift import boundary_unit_um, coarseness

Floats = NDArray[np.float64]
LEAST_IOU = 0.75
"""Intersection over union from which an object is right, as for its confidence."""

TAIL = 0.025
RANGE = (0.01, 0.99)
"""Quantiles of the width of boundaries between which the fit holds."""


def right_objects(objects: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the right objects of a kind, with the shift of their surface and the width of their boundary in boundary units."""
    own = objects[(objects["kind"] == kind) & (objects["iou"] > LEAST_IOU)].copy()
    own = own[np.isfinite(own["area"]) & (own["area"] > 0) & np.isfinite(own["slope"])]
    own["unit"] = [
        boundary_unit_um(a, b) for a, b in zip(own["label_spacing"], own["flow_spacing"], strict=True)
    ]
    own["coarse"] = [coarseness(a, b) for a, b in zip(own["label_spacing"], own["flow_spacing"], strict=True)]
    own["width"] = 1 / (own["slope"] * own["unit"])
    own["shift"] = (own["v"] - own["vt"]) / own["area"] / own["unit"]
    return own


def fit_objects(objects: pd.DataFrame) -> None:
    """Print the constants of `boundary_shift_weights` and `object_intervals`."""
    for kind in ("cells", "nuclei"):
        own = right_objects(objects, kind)
        bounds = own["width"].quantile(RANGE).to_numpy()
        width = own["width"].clip(*bounds).to_numpy()
        design = np.column_stack([np.ones(len(own)), width, own["coarse"]])
        # Of n objects, a plane through three leaves about 3 / n fewer beyond it than new ones will be.
        tail = TAIL - design.shape[1] / (2 * len(own))
        ends = [quantile_plane(design, own["shift"].to_numpy(), level) for level in (tail, 1 - tail)]
        print(f"# {kind}: {len(own)} right objects")
        print(f'WIDTHS["{kind}"] = ({bounds[0]:.3f}, {bounds[1]:.3f})')
        for name, (intercept, gain, coarse) in zip(("LOW", "HIGH"), ends, strict=True):
            print(f'{name}["{kind}"] = ({intercept:.3f}, {gain:.3f}, {coarse:.3f})')
        low, high = (own["unit"] * (design @ each) for each in ends)
        low, high = np.minimum(low, 0).to_numpy(), np.maximum(high, 0).to_numpy()
        found = own["at"].to_numpy() / own["area"].to_numpy() - 1
        known = np.isfinite(found)
        one = np.ones(len(own))
        by_shift = area_interval(one, own["hmean"].to_numpy(), low, high, (0.0, 0.0))
        below, above = 1 - by_shift[0], by_shift[1] - 1
        needed = (
            np.sqrt(np.maximum(np.maximum(-found, 0) ** 2 - below**2, 0)),
            np.sqrt(np.maximum(np.maximum(found, 0) ** 2 - above**2, 0)),
        )
        error = [float(np.quantile(each[known], 1 - TAIL)) for each in needed]
        print(f'AREA_ERROR["{kind}"] = ({-error[0]:.3f}, {error[1]:.3f})')


def quantile_plane(design: Floats, y: Floats, level: float) -> Floats:
    """Fit a quantile as a linear function of the columns of a design, by linear programming (Koenker and Bassett 1978)."""
    n, k = design.shape
    costs = np.concatenate([np.zeros(2 * k), np.full(n, level), np.full(n, 1 - level)])
    equations = np.hstack([design, -design, np.eye(n), -np.eye(n)])
    found = linprog(costs, A_eq=equations, b_eq=y, bounds=(0, None), method="highs").x
    return np.asarray(found[:k] - found[k : 2 * k])


def matched(particles: pd.DataFrame) -> pd.DataFrame:
    """Return particles of one found and one true object that the border does not cut, with the error of their volume."""
    own = particles[particles["label"].notna() & (particles["true"] > 0)].copy()
    own = own[~own.duplicated(["seed", "true"], keep=False)]
    own["error"] = np.log(own["volume_um3"] / own["v_exact"])
    own["voxel"] = [float(np.cbrt(np.prod(spacing))) / 1000 for spacing in own["spacing"]]
    return own[np.isfinite(own["error"])]


def fit_particles(particles: pd.DataFrame) -> None:
    """Print the constants of `particle_error_weights`."""
    own = matched(particles)
    middle = own.groupby("seed")["error"].transform("median")
    rest = (own["error"] - middle).to_numpy()
    width = np.maximum(own["equivalent_diameter_um"] / own["voxel"], 0.5).to_numpy()
    noise = (own["noise"] / own["contrast"]).to_numpy() / np.sqrt(
        np.maximum(own["voxel_count"], 1).to_numpy()
    )

    def loss(values: Floats) -> float:
        variance = values[0] ** 2 + (values[1] / width) ** 2 + (values[2] * noise) ** 2 + 1e-6
        # Student's t with 5 degrees of freedom: few particles are far off.
        return float((0.5 * np.log(variance) + 3 * np.log1p(rest**2 / (3 * variance))).sum())

    # What these few sizes and one noise do not tell apart: the theory of sums of independent voxels bounds the part of the noise.
    bounds = [(0.03, 1.0), (0.0, 5.0), (1.0, 3.0)]
    floor, by_width, by_noise = minimize(loss, [0.1, 0.3, 1.5], bounds=bounds, method="L-BFGS-B").x
    spread = np.sqrt(floor**2 + (by_width / width) ** 2 + (by_noise * noise) ** 2)
    # Scaled such that the normal limits hold 95 % of them.
    scale = float(np.quantile(np.abs(rest) / spread, 0.95)) / 1.959964
    print(f"# {len(own)} particles of {own['seed'].nunique()} phantoms")
    print(
        f"SIZE_FLOOR = {scale * floor:.3f}\nSIZE_BY_WIDTH = {scale * by_width:.3f}\nSIZE_BY_NOISE = {scale * by_noise:.3f}"
    )
    medians = own.groupby("seed")["error"].median()
    print(f"COMMON_SIZE_SD = {np.sqrt((medians**2).mean()):.3f}  # mean {medians.mean():.3f}")
    by_seed = [totals(rows) for _, rows in particles.groupby("seed")]
    _, hit, _, expected, variance, missed, size = (
        np.array(each, float) for each in zip(*by_seed, strict=True)
    )
    print(f"MISSED_SIZE = {np.nanmean(missed / size):.2f}")
    odds = ((hit - expected) ** 2 - variance) / variance**2
    print(
        f"ODDS_SD = {np.sqrt(max(float(np.median(odds)), 0.0)):.2f}  # mean {np.sqrt(max(float(odds.mean()), 0)):.2f}"
    )
    errors = distance_errors(particles)
    needed = [
        np.quantile(np.maximum(sign * errors["error"] / errors["voxel_max"], 0), 1 - TAIL) for sign in (1, -1)
    ]
    print(f"DISTANCE_ERROR = ({needed[0]:.2f}, {needed[1]:.2f})  # {len(errors)} distances")


def totals(rows: pd.DataFrame) -> tuple[float, ...]:
    """Count true, right and found particles of a phantom, and sum what their confidences expect; sizes of missed and of found."""
    found = rows[rows["label"].notna()]
    true = rows[rows["true"] > 0].drop_duplicates("true")
    hit = found[found["true"] > 0]["true"].nunique()
    chance = found["confidence"].clip(1e-3, 1 - 1e-3)
    missed = rows[rows["label"].isna()]["v_exact"].mean()
    return (
        len(true),
        hit,
        len(found),
        chance.sum(),
        max((chance * (1 - chance)).sum(), 0.05),
        missed,
        found["volume_um3"].mean(),
    )


def distance_errors(particles: pd.DataFrame) -> pd.DataFrame:
    """Return measured minus true distances to the nucleus, of particles in the right cell, in µm."""
    own = matched(particles)
    own = own[np.isfinite(own["distance"]) & np.isfinite(own["true_distance"])]
    own = own[own["parent_match"] == own["true_cell"]].copy()
    own["error"] = own["distance"] - own["true_distance"]
    own["voxel_max"] = [max(spacing) / 1000 for spacing in own["spacing"]]
    return own
