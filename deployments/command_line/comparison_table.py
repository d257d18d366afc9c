"""Table of the demo: measurements beside the truth of the phantom."""

from collections.abc import Mapping

from deployments.command_line.text_tables import FigureRow, figure_table

ROWS: tuple[FigureRow, ...] = (
    ("registration residual, slice to slice", "registration_residual_px", "px"),
    ("registration, slow drift", "registration_drift_px", "px"),
    ("cells, true and measured", ("cells_count_true", "cells_count_measured"), ""),
    ("cells: precision", "cells_precision", ""),
    ("cells: recall", "cells_recall", ""),
    ("cells: F1 at IoU 0.5", "cells_f1", ""),
    ("cells: median volume error", "cells_volume_error_median", "%"),
    ("nuclei, true and measured", ("nuclei_count_true", "nuclei_count_measured"), ""),
    ("nuclei: precision", "nuclei_precision", ""),
    ("nuclei: recall", "nuclei_recall", ""),
    ("nuclei: F1 at IoU 0.5", "nuclei_f1", ""),
    ("nuclei: median volume error", "nuclei_volume_error_median", "%"),
    ("nuclei in the right cell", "nucleus_cell_right", "%"),
    ("nanoparticles, true and measured", ("nanoparticles_count_true", "nanoparticles_count_measured"), ""),
    ("nanoparticles: precision", "nanoparticles_precision", ""),
    ("nanoparticles: recall", "nanoparticles_recall", ""),
    ("droplets and others labelled as nanoparticles", "others_as_nanoparticles", ""),
    ("nanoparticles in resin or charging", "nanoparticles_outside_specimen", ""),
    ("nanoparticles: Dice", "nanoparticles_dice", ""),
    ("particles with the right parent cell", "parent_cell_right", "%"),
    ("distance to nucleus: median error", "distance_error_median_um", "µm"),
)


def format_comparison(figures: Mapping[str, float]) -> str:
    """List the figures of a comparison with the truth."""
    return figure_table("measured against the truth", ROWS, figures)
