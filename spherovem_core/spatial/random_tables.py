"""Tables of the comparison with random places: clustering, enrichment, and their tests."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.spatial.cluster_scale import fit_cluster_radius
from spherovem_core.spatial.random_comparison import OPEN
from spherovem_core.spatial.random_envelopes import LEVEL, Envelope, envelope_of
from spherovem_core.spatial.random_summary import (
    LEAST_CELLS,
    Curves,
    Floats,
    Summary,
    ratio_interval,
    ratio_samples,
)

FEW_CELLS = f"no interval: fewer than {LEAST_CELLS} cells"
ALL_EQUAL = "all random patterns are equal"
NO_RADIUS = "no cluster radius: the best fit is the smallest or largest that was tried"


def clustering_tables(
    summary: Summary, radii_um: Floats, space: str, seed: int
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Compare pairs and nearest neighbours with those of random places.

    The ratio of the measured number of pairs to the mean number at random places (the estimator DD/RR [1]_) corrects for the
    shape of the cells, their loads, the border and the size of the particles at once: K is the volume of a ball times the ratio
    of pairs within its radius, and the pair correlation the ratio of pairs between two radii. Pairs in different cells do not
    count.

    Returns
    -------
    DataFrame
        One row per radius.
    list of dict
        Rows of the table of tests.

    References
    ----------
    .. [1] P. J. E. Peebles, M. G. Hauser, "Statistical analysis of catalogs of extragalactic objects. III. The Shane-Wirtanen
       and Zwicky catalogs", Astrophysical Journal Supplement 28, 19-36 (1974).
    """
    pairs = summary.pairs
    shells = _differences(pairs)
    within, between = envelope_of(pairs.sums), envelope_of(shells.sums)
    nearest = envelope_of(summary.nearest.sums)
    ball = 4 / 3 * np.pi * radii_um**3
    ratio, shell_ratio = _over(pairs.sums[0], within.mean), _over(shells.sums[0], between.mean)
    low, high = ratio_interval(pairs.measured, pairs.random)
    shell_low, shell_high = ratio_interval(shells.measured, shells.random)
    count = summary.neighbour_count or np.nan

    def excess(value: Floats) -> Floats:
        return np.asarray(radii_um * (np.cbrt(value) - 1))

    table = pd.DataFrame(
        {
            "radius_um": radii_um,
            "pair_count": pairs.sums[0].astype(np.int64),
            "random_pair_count": _known(within.mean, summary.neighbour_cells),
            "ripley_k_um3": ball * ratio,
            "ripley_l_um": radii_um * np.cbrt(ratio),
            "ripley_l_excess_um": excess(ratio),
            "ripley_l_excess_low_um": excess(low),
            "ripley_l_excess_high_um": excess(high),
            **_bounds("ripley_l_excess", within, lambda value: excess(_over(value, within.mean)), "_um"),
            "pair_correlation": shell_ratio,
            "pair_correlation_low": shell_low,
            "pair_correlation_high": shell_high,
            **_bounds("pair_correlation", between, lambda value: _over(value, between.mean)),
            "neighbour_fraction": summary.nearest.sums[0] / count,
            **_bounds("neighbour_fraction", nearest, lambda value: value / count),
        }
    )
    reason = "" if summary.neighbour_cells else "no cell holds two particles that can be compared"
    rows = []
    for statistic, envelope, curves, transform in (
        ("ripley_l", within, pairs, excess),
        ("pair_correlation", between, shells, np.asarray),
        ("nearest_neighbour", nearest, summary.nearest, np.asarray),
    ):
        row = _test(statistic, space, envelope, curves, radii_um, reason, transform)
        row |= {"particle_count": summary.neighbour_count, "cell_count": summary.neighbour_cells}
        if statistic == "pair_correlation" and row["finding"] in ("above", "above and below"):
            fit = fit_cluster_radius(shells, radii_um, ratio_samples(shells, seed))
            unknown = np.isnan(fit["cluster_radius_um"])
            row |= fit | {"reason": "; ".join(filter(None, (row["reason"], NO_RADIUS if unknown else "")))}
        rows.append(row)
    return table, rows


def enrichment_tables(
    summary: Summary, bin_um: float, space: str
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Compare the particle volume by distance to the nucleus with that at random places.

    Returns
    -------
    DataFrame
        One row per bin of distance in the cytoplasm.
    list of dict
        Rows of the table of tests: enrichment, and mean rank.
    """
    curves = Curves(*(values[:, 1:] for values in vars(summary.volumes).values()))
    envelope = envelope_of(curves.sums)
    bins = curves.sums.shape[1]
    ratio = _over(curves.sums[0], envelope.mean)
    low, high = ratio_interval(curves.measured, curves.random)
    upper = np.arange(1, bins + 1) * bin_um
    total, random_total = curves.sums[0].sum(), envelope.mean.sum()
    table = pd.DataFrame(
        {
            "distance_low_um": upper - bin_um,
            "distance_high_um": upper,
            "pattern_volume_um3": curves.sums[0],
            "random_volume_um3": envelope.mean,
            "pattern_fraction": curves.sums[0] / (total or np.nan),
            "random_fraction": envelope.mean / (random_total or np.nan),
            "enrichment": ratio,
            "enrichment_low": low,
            "enrichment_high": high,
            **_bounds("enrichment", envelope, lambda value: _over(value, envelope.mean)),
        }
    )
    reason = ""
    if space == OPEN:
        reason = "places in the volume have no distance to a nucleus"
    elif not total > 0:
        reason = "no particle that can be compared lies in the cytoplasm of a cell with a nucleus"
    elif (envelope.mean > 0).sum() < 2:
        reason = (
            f"all places lie in one bin of distance: radial_bin_um = {bin_um:g} is too wide for the cells"
        )
    row = _test("enrichment", space, envelope, curves, upper, reason, np.asarray)
    cells = len(summary.by_cell)
    rows = [row | {"particle_count": summary.particle_count, "cell_count": cells}]
    ranks = _rank_test(summary, space, reason)
    return table, [*rows, ranks | {"particle_count": summary.particle_count, "cell_count": cells}]


def radial_columns(radial: pd.DataFrame, summary: Summary, bin_um: float) -> pd.DataFrame:
    """Add to the table of cells and bins the volumes that are compared, and the enrichment of each cell."""
    names = ("pattern_volume_um3", "random_volume_um3", "low", "high")
    found = {name: np.zeros(len(radial)) for name in names}
    bins = np.rint(radial["distance_high_um"].to_numpy(np.float64) / bin_um).astype(np.int64)
    for cell, rows in radial.groupby("cell").indices.items():
        own = summary.by_cell.get(int(cell))  # type: ignore[call-overload]
        if own is None:
            continue
        for name, values in zip(names, (own.measured, own.random, own.low, own.high), strict=True):
            inside = bins[rows] < len(values)
            found[name][rows[inside]] = values[bins[rows][inside]]
    random = found["random_volume_um3"]
    return radial.assign(
        pattern_volume_um3=found["pattern_volume_um3"],
        random_volume_um3=random,
        enrichment=_over(found["pattern_volume_um3"], random),
        enrichment_random_low=_over(found["low"], random),
        enrichment_random_high=_over(found["high"], random),
    )


def rank_columns(labels: NDArray[np.uint32], summary: Summary) -> pd.DataFrame:
    """Return the mean rank of the particles of each cell, with the range of random places; NaN without one."""
    cells = [summary.by_cell.get(int(label)) for label in labels]
    columns = {
        "nanoparticle_radial_rank": "rank",
        "nanoparticle_radial_rank_random_low": "rank_low",
        "nanoparticle_radial_rank_random_high": "rank_high",
    }
    return pd.DataFrame(
        {"label": labels}
        | {
            name: np.array([np.nan if cell is None else getattr(cell, part) for cell in cells], np.float64)
            for name, part in columns.items()
        }
    )


def _differences(curves: Curves) -> Curves:
    """Turn counts within radii into counts between them."""
    return Curves(*(np.diff(values, axis=1, prepend=0.0) for values in vars(curves).values()))


def _known(values: Floats, count: int) -> Floats:
    return values if count else np.full_like(values, np.nan)


def _over(values: Floats, mean: Floats) -> Floats:
    return np.asarray(values / np.where(mean > 0, mean, np.nan))


def _bounds(name: str, envelope: Envelope, transform: Any, unit: str = "") -> dict[str, Floats]:
    parts = {
        "random_low": envelope.low,
        "random_high": envelope.high,
        "global_low": envelope.global_low,
        "global_high": envelope.global_high,
    }
    return {f"{name}_{part}{unit}": transform(values) for part, values in parts.items()}


def _test(
    statistic: str,
    space: str,
    envelope: Envelope,
    curves: Curves,
    places_um: Floats,
    reason: str,
    transform: Any,
) -> dict[str, Any]:
    """Describe a curve: p value, where it leaves the global envelope, and its largest deviation as a ratio or excess."""
    row: dict[str, Any] = _empty_row(statistic, space, len(curves.sums) - 1)
    if reason or np.isnan(envelope.p_value):
        return row | {"reason": reason or ALL_EQUAL}
    measured = curves.sums[0]
    row["p_value"] = envelope.p_value
    above, below = measured > envelope.global_high, measured < envelope.global_low
    if envelope.p_value <= LEVEL:
        row["finding"] = " and ".join(
            name for name, found in (("above", above), ("below", below)) if found.any()
        )
        outside = above if above.any() else below
        if outside.any():
            row |= {"from_um": places_um[outside].min(), "to_um": places_um[outside].max()}
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.where(
            measured >= envelope.mean, envelope.high - envelope.mean, envelope.mean - envelope.low
        )
        deviation = np.abs(measured - envelope.mean) / np.where(half > 0, half, np.nan)
    if not np.isfinite(deviation).any():
        return row
    at = int(np.nanargmax(deviation))
    ratio = _over(measured, envelope.mean)
    low, high = ratio_interval(curves.measured, curves.random)
    # L minus the radius needs its radius; ratios do not.
    values = {
        name: float(transform(bound)[at])
        for name, bound in (
            ("effect", ratio),
            ("effect_low", low),
            ("effect_high", high),
            ("random_low", _over(envelope.low, envelope.mean)),
            ("random_high", _over(envelope.high, envelope.mean)),
        )
    }
    row |= values | {"at_um": places_um[at]}
    return row if np.isfinite(values["effect_low"]) else row | {"reason": FEW_CELLS}


def _rank_test(summary: Summary, space: str, reason: str) -> dict[str, Any]:
    row = _empty_row("radial_rank", space, len(summary.ranks) - 1)
    totals = summary.ranks[:, 1]
    if reason or not (totals > 0).all():
        return row | {"reason": reason or "no particle in the cytoplasm of some random patterns"}
    mean = summary.ranks[:, 0] / totals
    envelope = envelope_of(mean[:, None])
    if np.isnan(envelope.p_value):
        return row | {"reason": ALL_EQUAL}
    row |= {
        "p_value": envelope.p_value,
        "effect": float(mean[0]),
        "random_low": float(envelope.low[0]),
        "random_high": float(envelope.high[0]),
    }
    if envelope.p_value <= LEVEL:
        row["finding"] = "above" if mean[0] > envelope.mean[0] else "below"
    low, high = ratio_interval(summary.cell_ranks[:, :1], summary.cell_ranks[:, 1:])
    if np.isnan(low[0]):
        return row | {"reason": FEW_CELLS}
    return row | {"effect_low": float(low[0]), "effect_high": float(high[0])}


def _empty_row(statistic: str, space: str, simulations: int) -> dict[str, Any]:
    numbers = (
        "p_value at_um effect effect_low effect_high random_low random_high from_um to_um "
        "cluster_radius_um cluster_radius_low_um cluster_radius_high_um"
    )
    return {
        "statistic": statistic,
        "null_space": space,
        "particle_count": 0,
        "cell_count": 0,
        "simulation_count": simulations,
        "finding": "",
        **dict.fromkeys(numbers.split(), np.nan),
        "reason": "",
    }
