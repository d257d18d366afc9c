"""The report's chapter on ingest: three orthogonal views, intensity over z, flagged slices."""

from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.ingest.grey_scale import GreyScale
from spherovem_core.report.charts import WIDE, lines
from spherovem_core.report.images import plane, thumbnail
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section, Table
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store.columns import EXCLUDED, FILLED_FLAGS, is_flagged
from spherovem_core.store.layout import RAW

FLAGS = (*FILLED_FLAGS, "outlier")
MAX_ROWS = 200
MAX_THUMBNAILS = 6
THUMBNAIL_PX = 320
MAX_VALUE_LENGTH = 200
MAX_REPEATED = 6
INTENSITIES = ("intensity_mean", "intensity_std", "intensity_p1", "intensity_p50", "intensity_p99")


def acquisition_section(inputs: ReportInputs) -> Section:
    """Show size, voxel size and views of the acquisition, and the flagged slices."""
    raw = inputs.open_level(RAW)
    slices = inputs.tables["slices"]
    flagged = slices[is_flagged(slices, FLAGS)]
    depth, height, width = raw.shape
    size_um = [n * step / 1000 for n, step in zip(raw.shape, raw.spacing_nm, strict=True)]
    facts = [
        ("Slices", f"{depth} of {height} × {width} voxels, {raw.dtype}"),
        ("Voxel size (z, y, x)", " × ".join(f"{s:g}" for s in raw.spacing_nm) + " nm"),
        ("Volume (z, y, x)", " × ".join(f"{s:.4g}" for s in size_um) + " µm"),
        ("Voxel size taken from", str(raw.details.get("spacing_origin", "unknown"))),
        ("Databar", _databar(raw.details.get("source", {}))),
        *_conversion(raw.details.get("source", {})),
        ("Slices with a flag", f"{len(flagged)} of {depth}"),
        *_cut_off(raw.details.get("source", {})),
    ]
    flags = [flag for flag in FLAGS if flag in slices]
    columns = [
        "z",
        "file",
        *(name for name in ("intensity_mean", "intensity_std") if name in flagged),
        *flags,
    ]
    shown = flagged[columns].head(MAX_ROWS)
    tables = [Table("Flagged slices", _flags_as_text(shown, flags))] if len(flagged) else []
    tables += _excluded(raw.details.get("source", {}))
    tables += _metadata(raw.details.get("source", {}))
    pictures = [_views(inputs), _intensity(slices, flagged), *_thumbnails(inputs, flagged, flags)]
    return Section("ingest", "Acquisition", facts, pictures, tables, acquisition_warnings(inputs))


def _databar(source: dict[str, Any]) -> str:
    rows, top = source.get("databar_rows", 0), source.get("databar_top_rows", 0)
    found = (
        "; they are lettering and the same in all slices" if source.get("databar_origin") == "pixels" else ""
    )
    lowest = [f"the lowest {rows} rows of each slice, cut off{found}"] if rows else []
    highest = [f"the highest {top} rows of each slice, cut off"] if top else []
    return "; ".join([*lowest, *highest]) or "none"


def _conversion(source: dict[str, Any]) -> list[tuple[str, str]]:
    """State how values of the source are stored, where they are not stored as they are."""
    if "grey_scale" not in source:
        return []
    stated = source["grey_scale"]
    scale = GreyScale(stated["scale"], stated["offset"], np.dtype(stated["source_dtype"]))
    chosen = "; the range was chosen" if stated.get("chosen") else ""
    return [("Values of the source", f"{scale.rule}{chosen}; the intensities below are in these values")]


def _cut_off(source: dict[str, Any]) -> list[tuple[str, str]]:
    found = source.get("slices_cut_off")
    return [("Excluded at the ends, cut off", f"slice numbers {found}")] if found else []


def _excluded(source: dict[str, Any]) -> list[Table]:
    """Tabulate the slices that the user excluded, with the reasons."""
    entries = source.get("excluded", [])
    rows = [(str(entry["slices"]), str(entry["reason"]), str(entry["origin"])) for entry in entries]
    table = pd.DataFrame(rows, columns=["slices", "reason", "given by"])
    return [Table("Slices excluded by the user", table)] if rows else []


def acquisition_warnings(inputs: ReportInputs) -> list[str]:
    """Warn of filled slices, of many slices with an unusual intensity, and of slices that repeat others."""
    slices = inputs.tables["slices"]
    excluded = int(is_flagged(slices, (EXCLUDED,)).sum())
    filled = int(is_flagged(slices).sum()) - excluded
    outliers = int(is_flagged(slices, ("outlier",)).sum())
    warnings = []
    if filled:
        warnings.append(
            f"{filled} of {len(slices)} slices were missing or unusable and were filled from their neighbours"
        )
    if excluded:
        warnings.append(
            f"{excluded} of {len(slices)} slices were excluded by the user and were filled from their neighbours"
        )
    if outliers > 0.05 * len(slices):
        warnings.append(
            f"the intensity of {outliers} of {len(slices)} slices differs from that of their neighbours"
        )
    repeated = repeated_slices(slices)
    if repeated:
        listed = "; ".join(f"{again} as {first}" for first, again in repeated[:MAX_REPEATED])
        more = f" and {len(repeated) - MAX_REPEATED} more" if len(repeated) > MAX_REPEATED else ""
        warnings.append(
            f"slices have exactly the intensities of another one ({listed}{more}): they are copies, which noise never gives; "
            "acquire them again or exclude them"
        )
    return warnings


def repeated_slices(slices: pd.DataFrame) -> list[tuple[int, int]]:
    """List the slices, by z, that have the same mean, standard deviation and percentiles as an earlier one; first the earlier.

    Slices that were filled are not judged: as acquired they are absent, blank or saturated. Two images of a million noisy pixels
    agree in mean and standard deviation by chance once in far more stacks than there are.
    """
    known = [name for name in INTENSITIES if name in slices]
    if len(known) < len(INTENSITIES):
        return []
    judged = slices[~is_flagged(slices)].dropna(subset=known)
    found: list[tuple[int, int]] = []
    for _, same in judged.groupby(known, sort=False)["z"]:
        first, *others = (int(z) for z in same)
        found += [(first, z) for z in others]
    return sorted(found, key=lambda pair: pair[1])


def _flags_as_text(frame: pd.DataFrame, flags: list[str]) -> pd.DataFrame:
    return frame.assign(**{flag: frame[flag].map({True: "yes", False: ""}) for flag in flags})


def _metadata(source: dict[str, Any]) -> list[Table]:
    """Tabulate the metadata of the source; long values are left out."""
    rows = [
        (name.replace("_", " "), str(value))
        for name, value in source.items()
        if isinstance(value, (str, int, float)) and str(value) and len(str(value)) <= MAX_VALUE_LENGTH
    ]
    return (
        [Table("Metadata of the source", pd.DataFrame(rows, columns=["entry", "value"]), folded=True)]
        if rows
        else []
    )


def _views(inputs: ReportInputs) -> Picture:
    views = [cut(fitting_level(inputs.open_level, RAW, inputs.image_px, axis), axis) for axis in (0, 1, 2)]
    limits = contrast_limits([view.values for view in views])
    return Picture(
        [plane(view, limits) for view in views],
        "The acquisition as the microscope wrote it: middle planes across z, y and x.",
    )


def _thumbnails(inputs: ReportInputs, flagged: pd.DataFrame, flags: list[str]) -> list[Picture]:
    """Show the first flagged slices as they are in the volume."""
    if flagged.empty:
        return []
    raw = fitting_level(inputs.open_level, RAW, THUMBNAIL_PX, across=0)
    step = inputs.open_level(RAW).spacing_nm[0] / NM_PER_UM
    shown = flagged.head(MAX_THUMBNAILS)
    views = [cut(raw, 0, z * step) for z in shown["z"].tolist()]
    limits = contrast_limits([view.values for view in views])
    panels = [
        thumbnail(view, limits, f"slice {z}: {', '.join(flag for flag in flags if row[flag])}")
        for view, z, (_, row) in zip(views, shown["z"].tolist(), shown.iterrows(), strict=True)
    ]
    some = (
        f"The first {len(panels)} of {len(flagged)} flagged" if len(flagged) > len(panels) else "The flagged"
    )
    caption = f"{some} slices, as they are in the volume: all but outliers were filled from their neighbours."
    return [Picture(panels, caption)]


def _intensity(slices: pd.DataFrame, flagged: pd.DataFrame) -> Picture:
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
        flagged["z"].tolist(),
        "flagged",
        WIDE,
    )
    return Picture(
        [panel], "Intensity of each slice as acquired, mean and percentiles: jumps are changes of contrast."
    )
