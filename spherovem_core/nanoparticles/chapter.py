"""Nanoparticles chapter of the report: objects by size and contrast, populations, other objects, and a zoomed view."""

import pandas as pd

from spherovem_core.nanoparticles.chapter_views import zoomed_view
from spherovem_core.report.charts import WIDE, distribution, scatter
from spherovem_core.report.figures import PALETTE, SOFT
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section, Table
from spherovem_core.spacing import NM_PER_UM

MOST_REASONS = 4
"""Reasons with a colour of their own; the legend has no room for more."""

LEAST_NM = 10.0
"""Specks of noise may have a volume near 0, which would stretch a logarithmic axis."""
NOT_MEASURED = (
    "contrast, confidence and population come from the detection and are not known of imported particles; "
    "volumes count voxels"
)


def nanoparticles_section(inputs: ReportInputs) -> Section:
    """Show the populations, the other objects and the labelled particles."""
    if _is_older(inputs):
        facts = [("Particles", str(len(inputs.tables["nanoparticles"])))]
        return Section("nanoparticles", "Nanoparticles", facts, warnings=nanoparticles_warnings(inputs))
    if inputs.parameters.nanoparticles.method != "detect":
        return _given_section(inputs)
    particles, others = inputs.tables["nanoparticles"], inputs.tables["other_objects"]
    pictures = [_objects(particles, others)]
    if len(others):
        pictures.append(_other_objects(others))
    pictures.append(zoomed_view(inputs, others))
    tables = [
        Table("Populations", population_table(inputs)) if inputs.mixture["populations"] else None,
        Table("Other objects by reason", reason_table(others)) if len(others) else None,
        Table("Particles: median and quartiles", _quartiles(particles)) if len(particles) else None,
    ]
    return Section(
        "nanoparticles",
        "Nanoparticles",
        _facts(inputs, particles, others),
        pictures,
        [table for table in tables if table is not None],
        nanoparticles_warnings(inputs),
    )


def nanoparticles_warnings(inputs: ReportInputs) -> list[str]:
    """List why no particles were labelled, and what looks wrong in the result."""
    if _is_older(inputs):
        return [
            "an older version found the nanoparticles and knew neither populations nor other objects: run the acquisition again"
        ]
    warnings = [str(warning) for warning in inputs.mixture["warnings"]]
    if not inputs.mixture["detected"] and not inputs.is_absent("nanoparticles"):
        warnings.insert(0, f"no nanoparticles were labelled: {inputs.mixture['reason']}")
    return warnings


def _given_section(inputs: ReportInputs) -> Section:
    """Show particles of another program, or say that none were given."""
    if inputs.is_absent("nanoparticles"):
        return Section("nanoparticles", "Nanoparticles", [("Nanoparticles", "none given")])
    particles, mixture = inputs.tables["nanoparticles"], inputs.mixture
    facts = [
        ("Particles", str(len(particles))),
        ("Origin", str(mixture["reason"])),
        ("Agglomerates of two or more particles", str(_clump_count(inputs))),
        ("Fraction of the volume", f"{100 * mixture['fraction']:.3g} %"),
        ("In a cell", f"{int((particles['parent_cell'] > 0).sum())}"),
        ("In a nucleus", f"{int(particles['in_nucleus'].sum())}"),
        ("Not in tissue, by the specimen mask", f"{int((particles['place'] != 'specimen').sum())}"),
        ("Not measured", NOT_MEASURED),
    ]
    sizes = distribution(
        {"particles": NM_PER_UM * particles["equivalent_diameter_um"]},
        "equivalent diameter (nm)",
        "Sizes",
        "particles",
    )
    pictures = [Picture([sizes], "Sizes of the imported particles."), zoomed_view(inputs, particles.iloc[:0])]
    tables = [Table("Particles: median and quartiles", _quartiles(particles))]
    return Section("nanoparticles", "Nanoparticles", facts, pictures, tables, nanoparticles_warnings(inputs))


def population_table(inputs: ReportInputs) -> pd.DataFrame:
    """Make one row per population, with mean and standard deviation of contrast and diameter."""
    return pd.DataFrame(
        {
            "population": entry["number"],
            "particles": entry["count"],
            "fraction": float(entry["fraction"]),
            "contrast (grey values)": f"{entry['contrast']:.1f} ± {entry['contrast_sd']:.1f}",
            "intensity (grey values)": float(entry["intensity"]),
            "diameter (nm)": f"{entry['diameter_nm']:.0f} ± {entry['diameter_sd_nm']:.0f}",
            "separation (SD)": entry["separation"],
        }
        for entry in inputs.mixture["populations"]
    )


def reason_table(others: pd.DataFrame) -> pd.DataFrame:
    """Make one row per reason why objects are no nanoparticles, the most frequent first."""
    rows = [
        {
            "reason": reason,
            "objects": len(group),
            "median diameter (nm)": float(NM_PER_UM * group["equivalent_diameter_um"].median()),
            "median contrast (grey values)": float(group["contrast"].median()),
        }
        for reason, group in others.groupby("reason")
    ]
    return pd.DataFrame(rows).sort_values(["objects", "reason"], ascending=[False, True])


def _is_older(inputs: ReportInputs) -> bool:
    """Return whether the result is one of version 0.1, whose mixture has no populations."""
    return "populations" not in inputs.mixture or "other_objects" not in inputs.tables


def _facts(inputs: ReportInputs, particles: pd.DataFrame, others: pd.DataFrame) -> list[tuple[str, str]]:
    mixture = inputs.mixture
    limit, single = mixture["detection_limit_nm"], mixture["expected_diameter_nm"]
    facts = [
        ("Particles", str(len(particles))),
        ("Populations", str(len(mixture["populations"]))),
        ("Agglomerates of two or more particles", str(_clump_count(inputs))),
        ("Other objects", str(len(others))),
        ("Fraction of the volume", f"{100 * mixture['fraction']:.3g} %"),
        ("In a cell", f"{int((particles['parent_cell'] > 0).sum())}"),
        ("In a nucleus", f"{int(particles['in_nucleus'].sum())}"),
        ("Not in tissue, by the specimen mask", f"{int((particles['place'] != 'specimen').sum())}"),
        ("Detection limit: found with a probability of 90 %", "–" if limit is None else f"{limit:.0f} nm"),
        ("Noise", f"{mixture['noise']:.3g} grey values"),
        ("Contrast of the faintest candidates", f"{mixture['min_contrast']:.3g} grey values"),
        ("Blur in the plane", f"{mixture['blur_nm']:.0f} nm ({_source_of_blur(mixture['blur_objects'])})"),
        ("Depth of the signal", f"{mixture['depth_nm']:.0f} nm"),
    ]
    if single is not None:
        facts.append(("Touching particles are split at", f"{single[0]:.0f} to {single[1]:.0f} nm"))
    return [*facts, ("Why", str(mixture["reason"]))]


def _source_of_blur(count: int) -> str:
    return f"measured on {count} objects" if count else "assumed"


def _clump_count(inputs: ReportInputs) -> int:
    return int((inputs.tables["agglomerates"]["particle_count"] > 1).sum())


def _by_population(particles: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {f"population {number}": group for number, group in particles.groupby("population")}


def _place(objects: pd.DataFrame) -> tuple["pd.Series[float]", "pd.Series[float]"]:
    return (NM_PER_UM * objects["equivalent_diameter_um"]).clip(lower=LEAST_NM), objects["contrast"]


def _objects(particles: pd.DataFrame, others: pd.DataFrame) -> Picture:
    """Draw objects by diameter and contrast, and the sizes of each population."""
    groups = _by_population(particles)
    places = {"other": _place(others)} if len(others) else {}
    places |= {name: _place(group) for name, group in groups.items()}
    panels = [
        scatter(
            places,
            "equivalent diameter (nm)",
            "contrast (grey values)",
            "Objects",
            log_x=True,
            colours=[*([SOFT] if len(others) else []), *PALETTE],
        ),
        distribution(
            {name: NM_PER_UM * group["equivalent_diameter_um"] for name, group in groups.items()},
            "equivalent diameter (nm)",
            "Sizes",
            "particles",
        ),
    ]
    return Picture(
        panels,
        "Diameter and contrast of all that stands out from the tissue, and the sizes of the particles. Populations should be "
        "separate clouds; a cloud of two colours shows a wrong limit.",
    )


def _other_objects(others: pd.DataFrame) -> Picture:
    """Draw other objects in one colour per reason."""
    counts = others["reason"].value_counts()
    named = list(counts.index[:MOST_REASONS])
    groups = {reason: _place(others[others["reason"] == reason]) for reason in named}
    rest = others[~others["reason"].isin(named)]
    if len(rest):
        groups["further reasons"] = _place(rest)
    panel = scatter(
        groups,
        "equivalent diameter (nm)",
        "contrast (grey values)",
        "Other objects by reason" if len(groups) > 1 else f"Other objects: {named[0]}",
        log_x=True,
        width=WIDE,
    )
    return Picture(
        [panel],
        "Objects that are no nanoparticles, by the first reason found. If particles are among them, set expected_diameter_nm.",
    )


def _quartiles(particles: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "equivalent_diameter_um": "equivalent diameter (µm)",
        "volume_um3": "volume (µm³)",
        "contrast": "contrast (grey values)",
        "confidence": "confidence",
        "nearest_neighbour_um": "distance to the nearest other particle (µm)",
        "distance_to_nucleus_um": "distance to the nucleus (µm)",
    }
    quartiles = (("25 %", 0.25), ("median", 0.5), ("75 %", 0.75))
    return pd.DataFrame(
        {
            "measure": title,
            "count": int(particles[name].notna().sum()),
            **{label: float(particles[name].quantile(q)) for label, q in quartiles},
        }
        for name, title in columns.items()
        if name in particles and (particles[name].notna().any() or particles.empty)
    )
