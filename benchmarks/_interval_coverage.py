"""Coverage of the intervals of objects, particles, doses and totals on the rows of `_interval_rows`."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _interval_fit import distance_errors, matched, right_objects
from numpy.typing import NDArray

from spherovem_core.output.dose_intervals import particle_totals, with_dose_intervals
from spherovem_core.output.object_intervals import AREA_ERROR, area_interval
from spherovem_core.output.particle_error_weights import COMMON_SIZE_SD
from spherovem_core.output.particle_intervals import NORMAL, volume_errors
from spherovem_core.review.boundary_shift import shift_interval_um

Floats = NDArray[np.float64]


def report(name: str, truth: Floats, value: Floats, low: Floats, high: Floats) -> str:
    """Describe how often intervals hold the truth, lie above and below it, and how wide they are relative to the truth."""
    known = np.isfinite(low) & np.isfinite(truth)
    truth, value, low, high = (np.asarray(each, float)[known] for each in (truth, value, low, high))
    above, below = low > truth * (1 + 1e-9) + 1e-12, high < truth * (1 - 1e-9) - 1e-12
    middle = max(float(np.median(truth)), 1e-12)
    return (
        f"{name:42s} {len(truth):5d}  {np.mean(~above & ~below):.3f}  {above.mean():.3f}  {below.mean():.3f}  "
        f"{np.median(value - truth) / middle:+.3f}  {np.median(high - low) / middle:.3f}"
    )


def object_coverage(objects: pd.DataFrame) -> Iterator[str]:
    """Yield a line per kind of object, quantity and kind of phantom."""
    for kind in ("cells", "nuclei"):
        own = right_objects(objects, kind)
        low, high = np.array(
            [
                shift_interval_um(kind, slope, labels, flows)
                for slope, labels, flows in zip(
                    own["slope"], own["label_spacing"], own["flow_spacing"], strict=True
                )
            ]
        ).T
        area, curvature = own["area"].to_numpy(), own["hmean"].to_numpy()
        volume = own["v"].to_numpy()
        areas = area_interval(area, curvature, low, high, AREA_ERROR[kind])
        groups = {"all": np.ones(len(own), bool)}
        groups |= {case: (own["case"] == case).to_numpy() for case in sorted(own["case"].unique())}
        groups["whole"] = (own["trunc"] == 0).to_numpy()
        for name, chosen in groups.items():
            volumes = (own["vt"], volume, np.maximum(volume - area * high, 0), volume - area * low)
            yield report(f"volume of {kind}, {name}", *(np.asarray(each)[chosen] for each in volumes))
        yield report(f"area of {kind}, all", own["at"].to_numpy(), area, *areas)


def particle_coverage(particles: pd.DataFrame) -> Iterator[str]:
    """Yield a line per quantity of particles, doses and totals."""
    own = matched(particles)
    errors = np.concatenate(
        [
            volume_errors(rows, rows["spacing"].iloc[0], rows["noise"].iloc[0])
            for _, rows in own.groupby("seed", sort=False)
        ]
    )
    own = pd.concat([rows for _, rows in own.groupby("seed", sort=False)])
    reach = NORMAL * np.hypot(errors, COMMON_SIZE_SD)
    volume = own["volume_um3"].to_numpy()
    truth = own["v_exact"].to_numpy()
    yield report("volume of a particle, all", truth, volume, volume * np.exp(-reach), volume * np.exp(reach))
    for case in sorted(own["case"].unique()):
        here = (own["case"] == case).to_numpy()
        ends = (volume * np.exp(-reach), volume * np.exp(reach))
        yield report(f"volume of a particle, {case}", truth[here], volume[here], *(end[here] for end in ends))
    rows = [row for _, phantom in particles.groupby("seed") for row in _totals(phantom)]
    frame = pd.DataFrame(rows, columns=["quantity", "truth", "value", "low", "high"])
    for quantity, group in frame.groupby("quantity", sort=False):
        yield report(
            str(quantity), *(group[name].to_numpy(float) for name in ("truth", "value", "low", "high"))
        )


def distance_coverage(particles: pd.DataFrame, objects: pd.DataFrame) -> Iterator[str]:
    """Yield a line on the distances to the nucleus of particles in the right cell."""
    from spherovem_core.output.particle_error_weights import DISTANCE_ERROR

    nuclei = right_objects(objects, "nuclei")
    shifts = [
        shift_interval_um("nuclei", slope, labels, flows)
        for slope, labels, flows in zip(
            nuclei["slope"], nuclei["label_spacing"], nuclei["flow_spacing"], strict=True
        )
    ]
    # The nucleus of each particle is not in the rows: the usual shift of the phantom's nuclei stands for it.
    usual = pd.DataFrame(shifts, columns=["low", "high"]).assign(seed=nuclei["seed"].to_numpy())
    usual = usual.groupby("seed").median()
    own = distance_errors(particles)
    own = own[own["seed"].isin(usual.index)]
    low, high = (usual[name].reindex(own["seed"]).to_numpy() for name in ("low", "high"))
    value, voxel = own["distance"].to_numpy(), own["voxel_max"].to_numpy()
    ends = (
        np.maximum(value - np.hypot(low, DISTANCE_ERROR[0] * voxel), 0),
        value + np.hypot(high, DISTANCE_ERROR[1] * voxel),
    )
    yield report("distance to the nucleus, all", own["true_distance"].to_numpy(), value, *ends)
    for case in sorted(own["case"].unique()):
        here = (own["case"] == case).to_numpy()
        yield report(
            f"distance to the nucleus, {case}",
            own["true_distance"].to_numpy()[here],
            value[here],
            *(end[here] for end in ends),
        )


def _totals(rows: pd.DataFrame) -> Iterator[tuple[str, float, float, float, float]]:
    """Compare number and volume of all particles, and those of each cell that was found, with the truth."""
    spacing, noise = rows["spacing"].iloc[0], rows["noise"].dropna().iloc[0]
    found = rows[rows["label"].notna()].assign(corrected=False, excluded=False)
    found["parent_cell"] = found["cell"].fillna(0).astype(np.int64)
    true = rows[rows["true"] > 0].drop_duplicates("true")
    table = particle_totals(found, spacing, noise).set_index("quantity")
    for name, truth in (
        ("nanoparticle_count", float(len(true))),
        ("nanoparticle_volume", float(true["v_exact"].sum())),
    ):
        yield (f"total, {name}", truth, *table.loc[name, ["found", "low", "high"]])
    pairs = found[found["parent_match"] > 0][["parent_cell", "parent_match"]].drop_duplicates()
    pairs = pairs[~pairs["parent_match"].duplicated(keep=False)]
    if pairs.empty:
        return
    volumes = found.groupby("parent_cell")["volume_um3"].sum().reindex(pairs["parent_cell"]).to_numpy()
    cells = pd.DataFrame(
        {
            "label": pairs["parent_cell"].to_numpy(),
            "volume_um3": 1.0,
            "volume_low_um3": 1.0,
            "volume_high_um3": 1.0,
            "nanoparticle_volume_um3": volumes,
        }
    )
    doses = with_dose_intervals(cells, found, spacing, noise)
    counted = (
        true.groupby("true_cell")["v_exact"].agg(["size", "sum"]).reindex(pairs["parent_match"]).fillna(0)
    )
    counts = found.groupby("parent_cell").size().reindex(pairs["parent_cell"]).to_numpy()
    for number, dose in enumerate(doses.itertuples()):
        size, volume = counted.iloc[number]
        yield (
            "a cell, nanoparticle_count", float(size), float(counts[number]),
            dose.nanoparticle_count_low, dose.nanoparticle_count_high,
        )  # fmt: skip
        yield (
            "a cell, nanoparticle_volume", float(volume), float(volumes[number]),
            dose.nanoparticle_volume_low_um3, dose.nanoparticle_volume_high_um3,
        )  # fmt: skip
