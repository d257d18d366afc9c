"""Coverage of the intervals of objects, particles, doses and totals on the rows of `_interval_rows`."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _interval_fit import LEAST_IOU, distance_errors, matched, right_objects
from _interval_rows import IntervalRows
from numpy.typing import NDArray

from spherovem_core.output.counting_evidence import counting_evidence
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
    """Yield a line on the volumes of particles, of all and by kind of phantom."""
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


def dose_coverage(rows: IntervalRows) -> Iterator[str]:
    """Yield a line per count and volume: of the acquisition, of those in cells, and of each cell."""
    tables = [
        _doses(IntervalRows(*(part[part["seed"] == seed] for part in astuple_of(rows))))
        for seed in rows.particles["seed"].unique()
    ]
    frame = pd.concat(tables, ignore_index=True)
    for quantity, group in frame.groupby("quantity", sort=False):
        columns = (group[name].to_numpy(float) for name in ("truth", "value", "low", "high"))
        yield report(str(quantity), *columns)


def astuple_of(rows: IntervalRows) -> tuple[pd.DataFrame, ...]:
    """Return the tables of rows in the order of their fields."""
    return rows.objects, rows.particles, rows.cells, rows.others


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


def found_and_true(particles: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide the rows of a phantom's particles into those of found ones, as the final table has them, and of true ones."""
    found = particles[particles["label"].notna()].assign(corrected=False, excluded=False)
    found["parent_cell"] = found["parent_cell"].astype(np.int64)
    true = particles[particles["true"] > 0].drop_duplicates("true")
    return found, true


def _doses(rows: IntervalRows) -> pd.DataFrame:
    """Compare number and volume of all particles, and those of each cell that was found, with the truth."""
    spacing, noise = rows.particles["spacing"].iloc[0], rows.particles["noise"].dropna().iloc[0]
    found, true = found_and_true(rows.particles)
    limit = float(rows.others["detection_limit_nm"].max()) if len(rows.others) else 0.0
    evidence = counting_evidence(
        rows.others,
        found,
        spacing,
        rows.particles["shape"].iloc[0],
        limit,
        lambda others: others["parent_cell"].to_numpy(),
    )
    table = particle_totals(found, spacing, noise, evidence).set_index("quantity")
    inside = true[true["true_parent"] > 0]
    lines = []
    for name, own in (("", true), ("_in_cells", inside)):
        for quantity, truth in (("count", float(len(own))), ("volume", float(own["v_exact"].sum()))):
            ends = table.loc[f"nanoparticle_{quantity}{name}", ["found", "low", "high"]]
            lines.append((f"total, {quantity}{name}", truth, *ends))
    held = found.groupby("parent_cell")["volume_um3"].agg(["size", "sum"])
    cells = rows.cells.merge(
        held.rename(columns={"size": "found", "sum": "nanoparticle_volume_um3"}),
        left_on="label",
        right_index=True,
        how="left",
    ).fillna({"found": 0, "nanoparticle_volume_um3": 0.0})
    area = cells["surface_area_um2"]
    # As with_object_intervals.
    for end, other in (("low", "high"), ("high", "low")):
        cells[f"volume_{end}_um3"] = cells["volume_um3"] - area * cells[f"boundary_shift_{other}_um"]
    doses = with_dose_intervals(cells, found, spacing, noise, evidence=evidence)
    known = doses["true"].notna()
    truth = true.groupby("true_parent")["v_exact"].agg(["size", "sum"]).reindex(doses["true"]).fillna(0.0)
    groups = {
        "a cell": known,
        "a cell with particles": known & (doses["found"] > 0),
        "a right cell": known & (doses["iou"] > LEAST_IOU),
    }
    for group, chosen in groups.items():
        for name, right, value, unit in (
            ("count", truth["size"], doses["found"], ""),
            ("volume", truth["sum"], doses["nanoparticle_volume_um3"], "_um3"),
        ):
            ends = [doses[f"nanoparticle_{name}_{end}{unit}"] for end in ("low", "high")]
            values = [np.asarray(each, float)[chosen.to_numpy()] for each in (right, value, *ends)]
            lines += [(f"{group}, {name}", *each) for each in zip(*values, strict=True)]
    return pd.DataFrame(lines, columns=["quantity", "truth", "value", "low", "high"])
