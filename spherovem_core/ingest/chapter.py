"""Ingest: three orthogonal views, intensity over z, bad slices."""

from typing import Any

import pandas as pd

from spherovem_core.report.charts import WIDE, lines
from spherovem_core.report.images import plane, thumbnail
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section, Table
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store.columns import FILLED_FLAGS
from spherovem_core.store.layout import RAW

FLAGS = ("missing", "blank", "truncated", "saturated", "outlier")
MOST_ROWS = 200
MOST_THUMBNAILS = 6
THUMBNAIL_PX = 320
LONGEST_VALUE = 200


def acquisition_section(inputs: ReportInputs) -> Section:
    """Show what was acquired and which slices are not to be trusted."""
    raw = inputs.open_level(RAW)
    slices = inputs.tables["slices"]
    bad = slices[_any(slices, FLAGS)]
    depth, height, width = raw.shape
    size_um = [n * step / 1000 for n, step in zip(raw.shape, raw.spacing_nm, strict=True)]
    facts = [
        ("Slices", f"{depth} of {height} × {width} voxels, {raw.dtype}"),
        ("Voxel size (z, y, x)", " × ".join(f"{s:g}" for s in raw.spacing_nm) + " nm"),
        ("Volume (z, y, x)", " × ".join(f"{s:.4g}" for s in size_um) + " µm"),
        ("Voxel size taken from", str(raw.details.get("spacing_origin", "unknown"))),
        ("Slices with a flag", f"{len(bad)} of {depth}"),
    ]
    flags = [flag for flag in FLAGS if flag in slices]
    columns = ["z", "file", *(name for name in ("intensity_mean", "intensity_std") if name in bad), *flags]
    tables = [Table("Flagged slices", _said(bad[columns].head(MOST_ROWS), flags))] if len(bad) else []
    tables += _metadata(raw.details.get("source", {}))
    pictures = [_views(inputs), _intensity(slices, bad), *_flagged(inputs, bad, flags)]
    return Section("ingest", "Acquisition", facts, pictures, tables, acquisition_warnings(inputs))


def acquisition_warnings(inputs: ReportInputs) -> list[str]:
    """Say how many slices are not what the microscope saw."""
    slices = inputs.tables["slices"]
    filled, outliers = int(_any(slices, FILLED_FLAGS).sum()), int(_any(slices, ("outlier",)).sum())
    warnings = []
    if filled:
        warnings.append(
            f"{filled} of {len(slices)} slices were missing or unusable and were filled from their neighbours"
        )
    if outliers > 0.05 * len(slices):
        warnings.append(
            f"the intensity of {outliers} of {len(slices)} slices is unlike that of their neighbours"
        )
    return warnings


def _any(slices: pd.DataFrame, flags: tuple[str, ...]) -> "pd.Series[bool]":
    found: pd.Series[bool] = slices[[flag for flag in flags if flag in slices]].any(axis=1)
    return found


def _said(frame: pd.DataFrame, flags: list[str]) -> pd.DataFrame:
    return frame.assign(**{flag: frame[flag].map({True: "yes", False: ""}) for flag in flags})


def _metadata(source: dict[str, Any]) -> list[Table]:
    """What the source says of itself, as far as it is short."""
    rows = [
        (name.replace("_", " "), str(value))
        for name, value in source.items()
        if isinstance(value, (str, int, float)) and str(value) and len(str(value)) <= LONGEST_VALUE
    ]
    return (
        [Table("What the source says", pd.DataFrame(rows, columns=["entry", "value"]), folded=True)]
        if rows
        else []
    )


def _views(inputs: ReportInputs) -> Picture:
    views = [cut(fitting_level(inputs.open_level, RAW, inputs.image_px, axis), axis) for axis in (0, 1, 2)]
    limits = contrast_limits([view.values for view in views])
    return Picture(
        [plane(view, limits) for view in views],
        "The acquisition as written by the microscope: middle planes across z, y and x.",
    )


def _flagged(inputs: ReportInputs, bad: pd.DataFrame, flags: list[str]) -> list[Picture]:
    """The first flagged slices as they stand in the volume."""
    if bad.empty:
        return []
    raw = fitting_level(inputs.open_level, RAW, THUMBNAIL_PX, across=0)
    step = inputs.open_level(RAW).spacing_nm[0] / NM_PER_UM
    shown = bad.head(MOST_THUMBNAILS)
    views = [cut(raw, 0, z * step) for z in shown["z"].tolist()]
    limits = contrast_limits([view.values for view in views])
    panels = [
        thumbnail(view, limits, f"slice {z}: {', '.join(flag for flag in flags if row[flag])}")
        for view, z, (_, row) in zip(views, shown["z"].tolist(), shown.iterrows(), strict=True)
    ]
    some = f"The first {len(panels)} of {len(bad)} flagged" if len(bad) > len(panels) else "The flagged"
    said = f"{some} slices, as they stand in the volume: all but outliers were filled from their neighbours."
    return [Picture(panels, said)]


def _intensity(slices: pd.DataFrame, bad: pd.DataFrame) -> Picture:
    curves = {
        "1 %": slices["intensity_p1"],
        "mean": slices["intensity_mean"],
        "99 %": slices["intensity_p99"],
    }
    panel = lines(
        slices["z"].to_numpy(),
        curves,
        "slice",
        "intensity",
        "Intensity over z",
        bad["z"].tolist(),
        "flagged",
        WIDE,
    )
    return Picture(
        [panel], "Intensity of each acquired slice, mean and percentiles: jumps are changes of contrast."
    )
