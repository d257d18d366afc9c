"""Report chapter of a further kind of objects, such as mitochondria: outlines, sizes, place in the cells."""

import pandas as pd

from spherovem_core.report.charts import distribution
from spherovem_core.report.figures import OUTLINE_COLOURS
from spherovem_core.report.images import LARGE, plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section, Table
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.store.layout import REGISTERED, named_labels_group

MEASURES = {
    "volume_um3": "volume (µm³)",
    "surface_area_um2": "surface area (µm²)",
    "sphericity": "sphericity",
    "distance_to_nucleus_um": "distance to the nucleus (µm)",
    "distance_to_cell_surface_um": "distance to the surface of the cell (µm)",
    "nearest_neighbour_um": "distance to the nearest other one (µm)",
}
SHOWN = ("volume_um3", "sphericity", "distance_to_nucleus_um")


def named_kind_section(name: str, inputs: ReportInputs) -> Section:
    """Show the objects of a kind that was given by name."""
    table, title = inputs.tables[name], name.replace("_", " ").capitalize()
    stored = inputs.open_level(named_labels_group(name))
    facts = [
        ("Objects", str(len(table))),
        ("Origin", f"imported from {stored.details['imported']['origin']}"),
        ("In a cell", _count(inputs, table["parent_cell"] > 0, "cells")),
        ("In a nucleus", _count(inputs, table["in_nucleus"], "nuclei")),
    ]
    columns = [column for column in SHOWN if table[column].notna().any()]
    sizes = [
        distribution({title: table[column]}, MEASURES[column], count_label="objects") for column in columns
    ]
    pictures = [_outlines(name, inputs)]
    if sizes:
        pictures.append(Picture(sizes, "Sizes, shapes and places."))
    return Section(name, title, facts, pictures, [Table("Median and quartiles", _quartiles(table))])


def _count(inputs: ReportInputs, found: "pd.Series[bool]", kind: str) -> str:
    return f"no {kind} given" if inputs.is_absent(kind) else f"{int(found.sum())} of {len(found)}"


def _outlines(name: str, inputs: ReportInputs) -> Picture:
    image, labels = (
        cut(fitting_level(inputs.open_level, group, inputs.image_px, 0), 0)
        for group in (REGISTERED, named_labels_group(name))
    )
    limits = contrast_limits([image.values])
    panel = plane(image, limits, [(labels, OUTLINE_COLOURS["nanoparticles"])], width=LARGE)
    return Picture([panel], f"Outlines of {name.replace('_', ' ')} (red) over the registered image.")


def _quartiles(table: pd.DataFrame) -> pd.DataFrame:
    quartiles = (("25 %", 0.25), ("median", 0.5), ("75 %", 0.75))
    return pd.DataFrame(
        {
            "measure": title,
            "count": int(table[column].notna().sum()),
            **{label: float(table[column].quantile(q)) for label, q in quartiles},
        }
        for column, title in MEASURES.items()
    )
