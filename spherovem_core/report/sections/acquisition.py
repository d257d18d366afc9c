"""Ingest: three orthogonal views, intensity over z, bad slices."""

from spherovem_core.report.figures import lines_over_z, new_figure, picture, show_view
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.store import open_array
from spherovem_core.store.layout import RAW

FLAGS = ("missing", "blank", "truncated", "saturated", "outlier")


def acquisition_section(inputs: ReportInputs) -> Section:
    """Show what was acquired and which slices are not to be trusted."""
    raw = open_array(inputs.layout, RAW)
    slices = inputs.tables["slices"]
    flags = [flag for flag in FLAGS if flag in slices]
    bad = slices[slices[flags].any(axis=1)]
    depth, height, width = raw.shape
    facts = [
        ("Slices", f"{depth} of {height} × {width} voxels, {raw.dtype}"),
        ("Voxel size (z, y, x)", " × ".join(f"{s:g}" for s in raw.spacing_nm) + " nm"),
        ("Voxel size taken from", str(raw.details.get("spacing_origin", "unknown"))),
        ("Slices with a flag", f"{len(bad)} of {depth}"),
    ]
    tables = [("Flagged slices", bad[["z", "file", *flags]].head(50))] if len(bad) else []
    return Section(
        "ingest",
        "Acquisition",
        facts,
        [_views(inputs), _intensity(inputs)],
        tables,
        acquisition_warnings(inputs),
    )


def acquisition_warnings(inputs: ReportInputs) -> list[str]:
    """Say how many slices are not what the microscope saw."""
    slices = inputs.tables["slices"]
    filled = int(slices[[flag for flag in FLAGS if flag in slices and flag != "outlier"]].any(axis=1).sum())
    if not filled:
        return []
    return [
        f"{filled} of {len(slices)} slices were missing or unusable and were filled from their neighbours"
    ]


def _views(inputs: ReportInputs) -> Picture:
    stored = fitting_level(inputs.layout, RAW, inputs.image_px)
    views = [cut(stored, axis) for axis in (0, 1, 2)]
    limits = contrast_limits([view.values for view in views])
    figure, axes = new_figure(1, 3, 10, 3.8)
    for ax, view in zip(axes[0], views, strict=True):
        show_view(ax, view, limits)
        ax.set_title(f"{view.plane} at {view.position_um:.2f} µm", fontsize=9)
    return picture(figure, "The acquisition as written by the microscope: middle planes across z, y and x.")


def _intensity(inputs: ReportInputs) -> Picture:
    slices = inputs.tables["slices"]
    lines = {
        "1 %": slices["intensity_p1"].to_numpy(),
        "mean": slices["intensity_mean"].to_numpy(),
        "99 %": slices["intensity_p99"].to_numpy(),
    }
    return lines_over_z(
        [("intensity", lines)],
        slices["z"].to_numpy(),
        "Intensity of each acquired slice: jumps are contrast changes.",
    )
