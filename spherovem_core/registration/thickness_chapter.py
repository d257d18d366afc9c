"""Part of the report chapter on registration about the thickness of the slices."""

import numpy as np
import pandas as pd

from spherovem_core.report.charts import lines
from spherovem_core.report.page import Picture
from spherovem_core.spacing import SpacingNm

UNEVEN = 0.15
"""Spread of the thickness, beyond its uncertainty, that is warned of."""
ODD, ODD_SPREADS = 0.4, 3.0
MEAN_RATIO = 1.5
"""Ratio of the mean thickness to the stated one that is warned of: tissue is isotropic to 10 to 40 % only."""
MOST_NAMED = 8


def thickness_facts(slices: pd.DataFrame, spacing_nm: SpacingNm) -> list[tuple[str, str]]:
    """State how even the slices are and how thick they seem to be."""
    relative, uncertainty = slices["thickness_relative"], slices["thickness_uncertainty"]
    if relative.isna().all():
        return [
            ("Slice thickness", "not known; it takes 12 good slices whose similarity falls with distance")
        ]
    facts = [
        (
            "Spread of the slice thickness",
            f"{uneven_spread(slices):.0%} beyond an uncertainty of {uncertainty.median():.0%} (relative to its slow trend)",
        )
    ]
    mean = mean_thickness_nm(slices, spacing_nm)
    if np.isfinite(mean):
        facts.append(
            (
                "Mean slice thickness, if tissue is alike along all axes",
                f"{mean:.3g} nm (stated {spacing_nm[0]:.3g} nm; estimates differ by "
                f"{slices['thickness_mean_disagreement'].iloc[0]:.0%})",
            )
        )
    return facts


def thickness_warnings(slices: pd.DataFrame, spacing_nm: SpacingNm, resampled: bool = False) -> list[str]:
    """Warn of uneven slices, unless the image was resampled to even steps, and of a mean thickness far from the stated one."""
    relative, uncertainty = slices["thickness_relative"], slices["thickness_uncertainty"]
    if relative.isna().all():
        return []
    found = []
    spread = uneven_spread(slices)
    deviation = (relative - 1.0).abs()
    odd = (deviation > ODD) & (deviation > ODD_SPREADS * uncertainty)
    worst = deviation[odd].sort_values(ascending=False).index[:MOST_NAMED]
    named = ", ".join(f"{slices['z'][row]} ({relative[row]:.2f})" for row in sorted(worst))
    if spread > UNEVEN and not resampled:
        found.append(
            f"slices are cut unevenly: their thickness varies by {spread:.0%}"
            + (f", most in slices {named}" if named else "")
            + "; distances and volumes along z are wrong by that, unless resample_z corrects it"
        )
    elif named:
        found.append(f"slices of unusual thickness, relative to their neighbours: {named}")
    mean, stated = mean_thickness_nm(slices, spacing_nm), spacing_nm[0]
    if np.isfinite(mean) and max(mean / stated, stated / mean) > MEAN_RATIO:
        found.append(
            f"similarity suggests slices {mean:.3g} nm thick, not {stated:.3g} nm: check the stated spacing, unless the tissue "
            "is elongated along one axis"
        )
    return found


def uneven_spread(slices: pd.DataFrame) -> float:
    """Compute the standard deviation of the relative thickness beyond its uncertainty; 0 if it is within."""
    relative, uncertainty = slices["thickness_relative"], slices["thickness_uncertainty"]
    known = relative.notna() & (uncertainty < ODD)
    if not known.any():
        return 0.0
    deviation = relative[known] - relative[known].mean()
    excess = float((deviation**2).mean() - (uncertainty[known] ** 2).mean())
    return float(np.sqrt(max(excess, 0.0)))


def mean_thickness_nm(slices: pd.DataFrame, spacing_nm: SpacingNm) -> float:
    """Compute the mean thickness by the isotropy of the tissue, the geometric mean of both axes; NaN if unknown."""
    along = [
        slices[f"thickness_mean_{axis}_px"].iloc[0] * nm
        for axis, nm in zip("yx", spacing_nm[1:], strict=True)
    ]
    return float(np.sqrt(along[0] * along[1]))


def thickness_picture(slices: pd.DataFrame) -> Picture:
    """Draw the relative thickness over the slices."""
    panels = [
        lines(
            slices["z"].to_numpy(),
            {
                "thickness": slices["thickness_relative"].to_numpy(dtype=float),
                "uncertainty": slices["thickness_uncertainty"].to_numpy(dtype=float),
            },
            "slice",
            "relative to slow trend",
            "Thickness of each slice",
            level=1.0,
        )
    ]
    return Picture(
        panels,
        "Distance of each slice from the one before it, from how similarity falls with distance. Slow changes of thickness and "
        "of tissue look the same and are not shown.",
    )
