"""The columns of all tables, with type and meaning; the unit follows from the name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spherovem_core.store.tables import column_unit

if TYPE_CHECKING:
    import pandas as pd

ColumnType = Literal["uint32", "int64", "float64", "bool", "string"]


@dataclass(frozen=True)
class Column:
    """Column of a table."""

    name: str
    type: ColumnType
    meaning: str

    @property
    def unit(self) -> str:
        """Unit as in the metadata of the Parquet field; empty for a pure number."""
        return column_unit(self.name)


def typed_rows(frame: "pd.DataFrame", columns: Sequence[Column]) -> "pd.DataFrame":
    """Give the columns of a table without rows their types, which pandas takes from values, of which there are none."""
    if len(frame):
        return frame
    return frame.astype(
        {own.name: "str" if own.type == "string" else own.type for own in columns if own.name in frame}
    )


EXCLUDED = "excluded"
"""Flag of slices that the user excludes."""
FILLED_FLAGS = ("missing", "blank", "truncated", "saturated", EXCLUDED)
"""Flags of slices that are filled from their neighbours; at most one is set per slice. Tables of version 0.2.0 lack the last."""


def is_flagged(slices: "pd.DataFrame", flags: Sequence[str] = FILLED_FLAGS) -> "pd.Series[bool]":
    """Return, for each row of the table of slices, whether one of some flags is set; by default, whether the slice was filled."""
    found: pd.Series[bool] = slices[[flag for flag in flags if flag in slices]].any(axis=1)
    return found


def filled_positions(slices: "pd.DataFrame") -> list[int]:
    """Return the positions of the slices that were filled from their neighbours, by the table of slices."""
    filled: list[int] = slices.loc[is_flagged(slices), "z"].tolist()
    return filled


BOUNDING_BOX = tuple(
    Column(f"bbox_{axis}{end}", "int64", f"Bounding box along {axis}: {meaning}.")
    for end, meaning in ((0, "first voxel"), (1, "voxel after the last"))
    for axis in "zyx"
)
CENTROID = tuple(
    Column(f"centroid_{axis}_um", "float64", f"Centroid along {axis}, in the frame of the registered image.")
    for axis in "zyx"
)
SIZE = (
    Column("voxel_count", "int64", "Number of voxels of the label."),
    Column("volume_um3", "float64", "Volume: number of voxels times the volume of one."),
    Column("equivalent_diameter_um", "float64", "Diameter of the ball of the same volume."),
)
PARENT = (
    Column(
        "parent_cell",
        "uint32",
        "Cell that holds most of it; 0 if none holds at least min_parent_fraction of it.",
    ),
    Column(
        "parent_fraction",
        "float64",
        "Fraction of its voxels in the cell that holds most of it, also if that is too small for a parent.",
    ),
)
SHAPE = (
    Column("label", "uint32", "Number of the object in the label array."),
    *BOUNDING_BOX,
    *CENTROID,
    *SIZE,
    Column("surface_area_um2", "float64", "Area of the surface, without the part on the volume's border."),
    Column(
        "sphericity",
        "float64",
        "Area of the ball of the same volume divided by the area of the closed body; 1 for a ball.",
    ),
    Column(
        "mean_curvature_mean_per_um",
        "float64",
        "Mean curvature, averaged over the surface; positive where convex.",
    ),
    Column(
        "mean_curvature_std_per_um",
        "float64",
        "Standard deviation of it over the surface, without smoothing; NaN where voxels do not resolve it.",
    ),
    Column("gaussian_curvature_mean_per_um2", "float64", "Gaussian curvature, averaged over the surface."),
    Column("gaussian_curvature_std_per_um2", "float64", "Standard deviation of it over the surface."),
    Column(
        "shape_index_mean",
        "float64",
        "Shape index, averaged: -1 cup, -0.5 rut, 0 saddle, 0.5 ridge, 1 cap (outward bump).",
    ),
    Column("shape_index_std", "float64", "Standard deviation of it over the surface."),
    Column(
        "curvedness_mean_per_um",
        "float64",
        "Curvedness, averaged: strength of the bend, independent of its shape.",
    ),
    Column("curvedness_std_per_um", "float64", "Standard deviation of it over the surface."),
    Column(
        "curvature_scale_low_um",
        "float64",
        "Least smoothing at which noise of voxels leaves the columns that end in at_scale right.",
    ),
    Column("curvature_scale_high_um", "float64", "Greatest smoothing at which the object keeps its shape."),
    Column(
        "surface_area_at_scale_um2",
        "float64",
        "Area of the surface smoothed with a Gaussian of curvature_scale_um; NaN outside of the two limits.",
    ),
    Column(
        "mean_curvature_std_at_scale_per_um",
        "float64",
        "Standard deviation of the mean curvature of that surface: what comparisons between objects need.",
    ),
    Column("curvedness_mean_at_scale_per_um", "float64", "Curvedness of that surface, averaged."),
    Column("shape_index_mean_at_scale", "float64", "Shape index of that surface, averaged."),
    Column(
        "solidity",
        "float64",
        "Volume over that of the convex hull; 1 for a convex body. NaN where the volume's border cuts the object.",
    ),
    *(
        Column(
            f"harmonic_power_{degree}",
            "float64",
            f"Power of the outline's radius in spherical harmonics of degree {degree}, over that of degree 0; 0 for a ball.",
        )
        for degree in range(1, 9)
    ),
    Column(
        "fractal_dimension",
        "float64",
        "Minkowski-Bouligand dimension of the surface; 2 smooth, towards 3 space-filling.",
    ),
    Column(
        "fractal_r2",
        "float64",
        "Coefficient of determination of the line whose slope gives the fractal dimension.",
    ),
    Column("fractal_low_um", "float64", "Smallest tube radius of that line."),
    Column("fractal_high_um", "float64", "Largest tube radius of that line."),
    Column(
        "truncated_fraction",
        "float64",
        "Fraction of the closed body's surface that lies on the volume's border.",
    ),
    Column("inertia_1_um2", "float64", "Largest principal moment of inertia per unit of mass."),
    Column("inertia_2_um2", "float64", "Middle principal moment of inertia per unit of mass."),
    Column("inertia_3_um2", "float64", "Smallest principal moment of inertia per unit of mass."),
    Column(
        "shape_note", "string", "Reasons why surface columns are NaN or less sure; empty if there are none."
    ),
)
CORRECTIONS = (
    Column("corrected", "bool", "True if a correction by hand made or changed it."),
    Column("excluded", "bool", "True if it was excluded by hand from statistics, figures and the report."),
)
DEPTH = (
    Column(
        "depth_um",
        "float64",
        "Distance from its centroid to the nearest surface of the specimen in the field; negative outside the specimen, NaN if "
        "the field holds no surface.",
    ),
    Column(
        "depth_at_least_um",
        "float64",
        "Depth that is certain: that one, or the distance to the field's border where that is less.",
    ),
    Column(
        "depth_note",
        "string",
        "Reason why the depth is NaN or may be less than stated; empty if it is certain.",
    ),
)
CONFIDENCE = (
    Column(
        "confidence",
        "float64",
        "Probability that it is right: that a true object and this one share more than 3/4 of what both fill; calibrated on "
        "phantoms. NaN where confidence_note says why.",
    ),
    Column("confidence_note", "string", "Reason why the confidence is unknown; empty if it is known."),
)
SIZE_INTERVALS = (
    *(
        Column(
            f"boundary_shift_{end}_um",
            "float64",
            f"{name} end of the 95 % interval of the mean distance by which its surface lies outside of the true one, from how "
            "sharply the probability falls there. NaN where confidence_note says why.",
        )
        for end, name in (("low", "Lower"), ("high", "Upper"))
    ),
    *(
        Column(
            f"{name}_{end}_{unit}",
            "float64",
            f"{title} end of the 95 % interval of {name}_{unit}, from that shift.",
        )
        for end, title in (("low", "Lower"), ("high", "Upper"))
        for name, unit in (("volume", "um3"), ("equivalent_diameter", "um"), ("surface_area", "um2"))
    ),
)
DOSE_INTERVALS = tuple(
    Column(
        f"{name}_{end}{unit}",
        "float64",
        f"{title} end of the 95 % interval of {name}{unit}: false and missed particles, errors of volumes, "
        "and a wrong cell; NaN for imported particles, and, of all but the count, where no particle was found that shows "
        "how large missed ones are.",
    )
    for end, title in (("low", "Lower"), ("high", "Upper"))
    for name, unit in (
        ("nanoparticle_count", ""),
        ("nanoparticle_volume", "_um3"),
        ("nanoparticle_volume_fraction", ""),
        ("nanoparticle_mass", "_pg"),
    )
)
PARTICLE_INTERVALS = (
    *(
        Column(
            f"{name}_{end}_{unit}",
            "float64",
            f"{title} end of the 95 % interval of {name}_{unit}; NaN for imported particles.",
        )
        for end, title in (("low", "Lower"), ("high", "Upper"))
        for name, unit in (("volume", "um3"), ("equivalent_diameter", "um"))
    ),
    *(
        Column(
            f"{name}_{end}_um",
            "float64",
            f"{title} end of the 95 % interval of {name}_um, from the surface of the nucleus; NaN where that has none.",
        )
        for name in ("distance_to_nucleus", "distance_to_nucleus_min")
        for end, title in (("low", "Lower"), ("high", "Upper"))
    ),
)
CELL_COLUMNS = (
    *SHAPE,
    Column("nucleus_count", "int64", "Number of nuclei with this parent cell, without excluded ones."),
    Column(
        "nanoparticle_count", "int64", "Number of nanoparticles with this parent cell, without excluded ones."
    ),
    Column("nanoparticle_volume_um3", "float64", "Total volume of these nanoparticles."),
    Column(
        "nanoparticle_density_per_um3",
        "float64",
        "Number of these nanoparticles divided by the volume of the cell.",
    ),
    Column(
        "nanoparticle_radial_rank",
        "float64",
        "Mean rank of the particle volume by distance to the nucleus, among random places for the same particles: 0.5 on "
        "average at random, less if they gather at the nucleus; NaN without a particle that is compared, or with no nucleus.",
    ),
    *(
        Column(
            f"nanoparticle_radial_rank_random_{end}",
            "float64",
            f"{name} end of the range that holds 95 % of the ranks of random places.",
        )
        for end, name in (("low", "Lower"), ("high", "Upper"))
    ),
    Column(
        "neighbour_count",
        "int64",
        "Number of cells in contact with it (contacts.parquet), without excluded ones.",
    ),
    Column("contact_area_um2", "float64", "Area of its contacts with these cells."),
    *DEPTH,
    Column("depth_min_um", "float64", "Depth of its shallowest voxel, like depth_um."),
    Column("depth_min_at_least_um", "float64", "Least certain depth of its voxels, like depth_at_least_um."),
    Column(
        "nuclear_volume_um3",
        "float64",
        "Total volume of its nuclei, without excluded ones; NaN without a nucleus.",
    ),
    Column("nucleus_to_cytoplasm_ratio", "float64", "That volume divided by the rest of the cell's."),
    Column(
        "nucleus_offset_um",
        "float64",
        "Distance from the cell's centroid to the centroid of its nuclei together.",
    ),
    Column(
        "contact_fraction",
        "float64",
        "Contact area divided by surface_area_um2; errors of both can make it a little more than 1.",
    ),
    Column(
        "nanoparticle_volume_fraction", "float64", "Volume of its nanoparticles divided by that of the cell."
    ),
    Column(
        "nanoparticle_mass_pg",
        "float64",
        "Mass of its nanoparticles: their volume times particle_density_g_cm3; NaN without that.",
    ),
    Column(
        "nanoparticle_concentration_pg_per_um3",
        "float64",
        "That mass divided by the volume of the cell.",
    ),
    Column(
        "nanoparticle_membrane_fraction",
        "float64",
        "Fraction of its nanoparticles at its membrane (at_membrane), of those with a known distance; NaN with none.",
    ),
    Column(
        "nanoparticle_perinuclear_fraction",
        "float64",
        "Fraction of its nanoparticles near its nucleus (perinuclear), of those with a known distance outside nuclei.",
    ),
    Column(
        "agglomerate_count",
        "int64",
        "Agglomerates of which it holds two or more nanoparticles.",
    ),
    Column(
        "agglomerated_fraction",
        "float64",
        "Fraction of its nanoparticles in these; NaN without nanoparticles.",
    ),
    *CONFIDENCE,
    *SIZE_INTERVALS,
    *DOSE_INTERVALS,
    *CORRECTIONS,
)
NUCLEUS_COLUMNS = (*SHAPE, *PARENT, *CONFIDENCE, *SIZE_INTERVALS, *CORRECTIONS)
OBJECT = (
    *BOUNDING_BOX,
    *CENTROID,
    Column("voxel_count", "int64", "Number of voxels."),
    Column(
        "volume_um3",
        "float64",
        "Volume from the signal above the surroundings, not rounded to voxels; that of the voxels for imported particles.",
    ),
    Column("equivalent_diameter_um", "float64", "Diameter of the ball of the same volume."),
    Column(
        "mean_intensity",
        "float64",
        "Intensity in grey values on the scale of the stack; complemented for dark particles.",
    ),
    Column(
        "contrast",
        "float64",
        "Intensity above that of the surroundings, in grey values; NaN for imported particles.",
    ),
)
PLACE = Column(
    "place",
    "string",
    "Part of the specimen mask that holds its centroid: specimen, lumen, outside or charging.",
)
IN_CELL = (
    *PARENT,
    Column(
        "distance_to_nucleus_um",
        "float64",
        "Distance to the nucleus of the parent cell, averaged over the voxels in that cell; NaN with no parent or no nucleus.",
    ),
    Column("distance_to_nucleus_min_um", "float64", "Smallest of these distances."),
    Column("in_nucleus", "bool", "True if more than half of it lies in nuclei, of any cell."),
    Column("distance_to_nucleus_centroid_um", "float64", "This distance at its centroid."),
    Column(
        "distance_to_cell_surface_um",
        "float64",
        "Distance from its centroid to the surface of the parent cell; the volume's border is no surface.",
    ),
    Column(
        "nearest_neighbour_um",
        "float64",
        "Distance from its centroid to that of the nearest other one that is not excluded.",
    ),
)
MASS = Column("mass_pg", "float64", "Volume times particle_density_g_cm3; NaN without that.")
NAMED_KIND_COLUMNS = (*SHAPE, *IN_CELL)
NANOPARTICLE_COLUMNS = (
    Column("label", "uint32", "Number of the particle in the label array."),
    *OBJECT,
    Column("kind", "string", "Always nanoparticle."),
    Column(
        "population",
        "int64",
        "Population of particles alike in contrast and size, the brightest is 1; 0 for imported particles.",
    ),
    Column("confidence", "float64", "Probability that it is a nanoparticle; NaN for imported particles."),
    Column("agglomerate", "int64", "Label of its agglomerate of touching particles."),
    PLACE,
    *IN_CELL,
    Column(
        "cut_by_border", "bool", "True if it reaches the first or last voxel of the volume, which may cut it."
    ),
    Column(
        "pattern_note",
        "string",
        "Reason why it is not compared with random places; empty if it is.",
    ),
    Column(
        "membrane_gap_um",
        "float64",
        "Distance from its surface, as a ball of its volume, to the surface of the parent cell; negative if the ball crosses it.",
    ),
    *DEPTH,
    MASS,
    Column("at_membrane", "bool", "True if membrane_gap_um is at most membrane_distance_nm."),
    Column(
        "perinuclear",
        "bool",
        "True if distance_to_nucleus_min_um is at most perinuclear_distance_nm and it is not in a nucleus.",
    ),
    *PARTICLE_INTERVALS,
    *CORRECTIONS,
)
OTHER_OBJECT_COLUMNS = (
    Column("label", "uint32", "Number of the object; the label array does not show it."),
    *OBJECT,
    Column("kind", "string", "Always other."),
    Column("reason", "string", "Reason why it is no nanoparticle."),
    Column(
        "confidence",
        "float64",
        "Probability that it is a nanoparticle, by shape and similar objects; 0 where its own shape excludes it.",
    ),
    PLACE,
)
AGGLOMERATE_COLUMNS = (
    Column("label", "uint32", "Number of the agglomerate; the column agglomerate of its particles."),
    *BOUNDING_BOX,
    *CENTROID,
    Column("particle_count", "int64", "Number of its particles."),
    Column("volume_um3", "float64", "Volume of all its particles."),
    Column("equivalent_diameter_um", "float64", "Diameter of the ball of the same volume."),
    Column("extent_um", "float64", "Largest distance between two points on its particles, taken as balls."),
    Column(
        "radius_of_gyration_um",
        "float64",
        "Root mean square distance of its volume from its centroid; 0.39 diameters for a single ball.",
    ),
    Column("parent_cell", "uint32", "Cell that holds at least half of its volume; 0 for none."),
    Column(
        "parent_fraction",
        "float64",
        "Fraction of its volume in the cell that holds most of it; each particle counts to its own parent.",
    ),
    Column("cell_count", "int64", "Number of cells that are the parent of some of its particles."),
    Column(
        "distance_to_nucleus_um",
        "float64",
        "Mean distance, by volume, of its particles in the parent cell to its nucleus; NaN with no parent or no nucleus.",
    ),
    Column("distance_to_nucleus_min_um", "float64", "Smallest distance of these particles."),
    Column("in_nucleus", "bool", "True if more than half of its volume is of particles in nuclei."),
    Column("at_membrane", "bool", "True if one of its particles in the parent cell is at the membrane."),
    Column("perinuclear", "bool", "True if one of these particles is perinuclear."),
    Column("place", "string", "Part of the specimen mask that holds most of its volume."),
    MASS,
)
CONTACT_COLUMNS = (
    Column("label", "uint32", "One of the two cells, the smaller number."),
    Column("other_label", "uint32", "The other one."),
    Column("contact_area_um2", "float64", "Area of the surface at which they meet, half-way across gaps."),
    Column("gap_um", "float64", "Gap between the two cells, averaged over that area; 0 where voxels touch."),
    Column("gap_min_um", "float64", "Smallest gap."),
    Column("centroid_distance_um", "float64", "Distance between the centroids of the two cells."),
    *CENTROID,
    Column(
        "cut_by_border",
        "bool",
        "True if the contact reaches the first or last voxels of the volume, which may cut it.",
    ),
    Column("excluded", "bool", "True if one of the cells was excluded by hand from statistics."),
)
UPTAKE_COLUMNS = (
    Column("measure", "string", "Column of cells.parquet that measures the uptake."),
    Column("against", "string", "Column of cells.parquet that it is compared with: size or depth."),
    Column(
        "cell_count",
        "int64",
        "Cells that are compared: against the size those that no border cuts, against the depth those in the specimen.",
    ),
    Column(
        "uncertain_count",
        "int64",
        "Of these, cells whose nearest surface may lie outside of the field.",
    ),
    Column("spearman_rho", "float64", "Spearman's rank correlation over these cells; -1 to 1."),
    Column(
        "spearman_rho_low",
        "float64",
        "Lower end of its 95 % interval by the scatter of cells (bootstrap); NaN for fewer than 10, and where all but 4 or "
        "fewer have the same value.",
    ),
    Column("spearman_rho_high", "float64", "Upper end."),
    Column("reason", "string", "Why they are NaN; empty if they are not."),
)
MEAN_COLUMNS = (
    Column("kind", "string", "Kind of object: cells, nuclei or nanoparticles."),
    Column("quantity", "string", "Column of the table of that kind which is averaged."),
    Column("unit", "string", "Unit of the mean; empty for a pure number."),
    Column(
        "whole_objects",
        "int64",
        "Objects with a value that the border of the volume does not cut; the mean is over them.",
    ),
    Column("cut_objects", "int64", "Objects that touch the border of the volume; they are left out."),
    Column(
        "mean",
        "float64",
        "Mean; each object counts by the inverse of the probability that one of its bounding box is whole in the volume.",
    ),
    Column(
        "mean_low",
        "float64",
        "Lower end of the 95 % interval, by a studentised bootstrap over objects; NaN for fewer than 5, and where most "
        "have the same value and fewer than 5 another. It accounts for sampling alone.",
    ),
    Column("mean_high", "float64", "Upper end of that interval."),
    Column("note", "string", "Reason why the interval is unknown or too narrow; empty if there is none."),
    Column("method", "string", "Method of mean and interval."),
)
TOTAL_COLUMNS = (
    Column(
        "quantity",
        "string",
        "Number (nanoparticle_count) or volume (nanoparticle_volume) of the particles, of all or of those in cells.",
    ),
    Column("unit", "string", "Unit of the total; empty for a number."),
    Column("found", "float64", "Total of the rows of nanoparticles.parquet that are not excluded."),
    Column(
        "low",
        "float64",
        "Lower end of the 95 % interval of the true total; it allows for false and missed particles, and errors of volumes.",
    ),
    Column("high", "float64", "Upper end of that interval."),
    Column("note", "string", "Reason why the interval is unknown; empty if there is none."),
    Column("method", "string", "Method of the interval."),
)
SUSPECT_COLUMNS = (
    Column("rank", "int64", "Rank, 1 for the most probable error."),
    Column("label", "uint32", "Number of the suspect in the label array."),
    Column("other_label", "uint32", "Neighbour that it may belong to; 0 for none."),
    Column("operation", "string", "Suggested correction: merge, split, delete, or look if none is clear."),
    Column("reason", "string", "Kinds of evidence, the strongest first."),
    Column("explanation", "string", "The figures of the evidence, in a sentence."),
    Column("score", "float64", "Natural logarithm of the odds that it is wrong; 0 is one in two."),
    *(
        Column(
            f"centroid_{axis}_um",
            "float64",
            f"Position along {axis} at which to look: within the object, on the contact, or on the cut.",
        )
        for axis in "zyx"
    ),
    *BOUNDING_BOX,
    *(
        Column(
            f"seed_{n}_{axis}_um",
            "float64",
            f"Position along {axis} of a point within the {part} part or object; NaN with neither merge nor split.",
        )
        for n, part in ((1, "first"), (2, "second"))
        for axis in "zyx"
    ),
)
FAULTS = (
    Column("missing", "bool", "No file holds the slice; filled from its neighbours."),
    Column(
        "blank", "bool", "Nearly all pixels have one value, not the brightest; filled from its neighbours."
    ),
    Column("truncated", "bool", "The file ends too early or cannot be decoded; filled from its neighbours."),
    Column("saturated", "bool", "Nearly all pixels have the brightest value; filled from its neighbours."),
    Column("excluded", "bool", "Excluded by the user, with a reason; filled from its neighbours."),
    Column("outlier", "bool", "The intensities differ from those of its neighbours; kept as it is."),
)
INTENSITIES = (
    Column(
        "intensity_mean",
        "float64",
        "Mean value in the source; NaN if the slice could not be read or is excluded.",
    ),
    Column("intensity_std", "float64", "Standard deviation of its values."),
    *(
        Column(f"intensity_p{percent}", "float64", f"Value that {percent} % of the pixels do not exceed.")
        for percent in (1, 50, 99)
    ),
)
DENOISING = (
    Column("residual_mean", "float64", "Mean of noisy minus denoised, in grey values as acquired."),
    Column(
        "residual_std", "float64", "Standard deviation of noisy minus denoised, in grey values as acquired."
    ),
    Column(
        "clipped_fraction", "float64", "Fraction of its pixels beyond the grey values that became 0 and 255."
    ),
)
REGISTRATION = (
    Column("shift_y_px", "float64", "Shift of the slice's centre along y."),
    Column("shift_x_px", "float64", "Shift of the slice's centre along x."),
    Column("rotation_deg", "float64", "Rotation of the slice."),
    Column(
        "similarity_before",
        "float64",
        "Correlation with the slice before it, as acquired; NaN if there is no such pair.",
    ),
    Column(
        "pair_similarity",
        "float64",
        "Correlation with the slice before it at the motion that their pair found.",
    ),
    Column(
        "uncertainty_px",
        "float64",
        "Uncertainty of the displacement by the pair, root mean square over the slice.",
    ),
    Column(
        "position_uncertainty_px",
        "float64",
        "Uncertainty of the slice's place against the mean of its neighbours' by all pairs, root mean square over the slice; "
        "infinite where no trusted pairs hold it.",
    ),
    Column(
        "fixed_fraction",
        "float64",
        "Fraction of the slice that stays in the frame while the specimen moves, and had no weight.",
    ),
    Column(
        "featureless_fraction",
        "float64",
        "Fraction of the slice without features in common with the slice before it, which had no weight.",
    ),
    Column(
        "fixed_pattern_grey",
        "float64",
        "Standard deviation in grey values of the pattern fixed to the frame that all slices have in common; 0: none found.",
    ),
    Column("trusted", "bool", "True if the pair with the slice before it was good enough to count."),
    Column("reason", "string", "Reason why the pair did not count; empty if it did."),
    Column(
        "bridged",
        "bool",
        "True if pairs across a gap determine the slice's position, instead of the pair with the slice before it.",
    ),
    Column("used", "bool", "True if the slice took part in the registration; filled slices do not."),
    Column("drift_y_px", "float64", "Slow drift along y, by the pairs, without jumps."),
    Column("drift_x_px", "float64", "Slow drift along x, by the pairs, without jumps."),
    Column("jump_y_px", "float64", "Jump along y from the slice before it, corrected in full; 0 if none."),
    Column("jump_x_px", "float64", "Jump along x from the slice before it, corrected in full; 0 if none."),
    Column(
        "jump_rotation_deg", "float64", "Turn that lasts from this slice on, corrected in full; 0 if none."
    ),
    Column(
        "jump_scale",
        "float64",
        "Relative change of the magnification from this slice on, corrected; 0 if none.",
    ),
    Column(
        "jump_shear",
        "float64",
        "Ratio of the largest to the smallest stretch from this slice on, less 1, corrected; 0 if none.",
    ),
    Column(
        "relative_scale",
        "float64",
        "Magnification as acquired, relative to that of the slices to which the voxel size applies; jitter left out.",
    ),
    Column(
        "similarity_after",
        "float64",
        "Correlation with the good slice before it, as both are placed by their maps.",
    ),
    *(
        Column(
            f"misfit_{axis}_px",
            "float64",
            f"Misfit along {axis} as placed by the maps: shift of its content at the centre against the slice compared with.",
        )
        for axis in "yx"
    ),
    Column("misfit_px", "float64", "Displacement by the misfit, root mean square over the slice."),
    Column("misfit_uncertainty_px", "float64", "Uncertainty of that displacement."),
    Column(
        "misfit_steps",
        "float64",
        "Number of slices back to the slice it was compared with; NaN if it could be compared with none.",
    ),
    *(
        Column(
            f"lean_{axis}_px",
            "float64",
            f"Slow trend of the misfit along {axis} for one slice: lean of the tissue, or drift that was left.",
        )
        for axis in "yx"
    ),
    Column(
        "misfit_deviation_px",
        "float64",
        "Misfit without its slow trend, root mean square over the slice.",
    ),
    Column(
        "thickness_relative",
        "float64",
        "Distance from the good slice before it, relative to its slow trend, by the fall of similarity; NaN if unknown.",
    ),
    Column("thickness_uncertainty", "float64", "Standard deviation of the relative thickness."),
    *(
        Column(
            f"thickness_mean_{axis}_px",
            "float64",
            f"Mean slice thickness in pixels along {axis}, if tissue is alike along all axes; the same in every row.",
        )
        for axis in "yx"
    ),
    Column(
        "thickness_mean_disagreement",
        "float64",
        "Largest relative difference between the estimates of the mean thickness; the same in every row.",
    ),
    *(
        Column(f"map_{name}", "float64", f"Element of the map from registered to acquired pixels: {meaning}.")
        for name, meaning in (
            ("yy", "y from y"),
            ("yx", "y from x"),
            ("y_px", "y at the origin"),
            ("xy", "x from y"),
            ("xx", "x from x"),
            ("x_px", "x at the origin"),
        )
    ),
    *(
        Column(
            f"crop_{name}_px",
            "int64",
            f"Crop to the field that all slices cover, the same in every row: {meaning}.",
        )
        for name, meaning in (
            ("y0", "first row"),
            ("y1", "row after the last"),
            ("x0", "first column"),
            ("x1", "column after the last"),
        )
    ),
    Column(
        "elastic_rms_px",
        "float64",
        "Root mean square length of the slice's local field, with refinement elastic; else 0.",
    ),
    Column("elastic_max_px", "float64", "Largest length of that field."),
    Column("elastic_limited", "bool", "True if that field folded the slice and was scaled down."),
    Column(
        "registered_z_um",
        "float64",
        "Position of the slice along z in the registered image, from its first slice; even steps unless resample_z moved it.",
    ),
)
SLICE_COLUMNS = (
    Column("file", "string", "Name of the file, with the page of a multi-page file; empty if missing."),
    Column("z", "int64", "Position in the stack, from 0."),
    *INTENSITIES,
    *FAULTS,
    *DENOISING,
    *REGISTRATION,
)
INTERVAL = "95 % interval by the scatter of cells; NaN for fewer than 5."
BOUNDS = {
    "": INTERVAL,
    "random": "pointwise 95 % envelope of random places, which they leave at 5 % of the rows.",
    "global": "global 95 % envelope of random places, which 5 % of them leave in any row.",
}


def _bounds(name: str, unit: str, *kinds: str) -> tuple[Column, ...]:
    """Return the columns of intervals and envelopes of a column."""
    return tuple(
        Column(
            "_".join(part for part in (name, kind, end) if part) + unit,
            "float64",
            f"{side} end of the {BOUNDS[kind]}",
        )
        for kind in kinds
        for end, side in (("low", "Lower"), ("high", "Upper"))
    )


COMPARED_VOLUMES = (
    Column(
        "pattern_volume_um3",
        "float64",
        "Volume in the bin of the particles that are compared with random places (empty pattern_note): balls, within their cell.",
    ),
    Column("random_volume_um3", "float64", "Mean volume of the same particles in the bin at random places."),
)
RADIAL_COLUMNS = (
    Column("cell", "uint32", "Label of the cell."),
    Column(
        "distance_low_um",
        "float64",
        "Lower end of the bin, not part of it; both ends are 0 for the nucleus.",
    ),
    Column("distance_high_um", "float64", "Upper end of the bin."),
    Column("cell_volume_um3", "float64", "Volume of the cell in the bin."),
    Column("nanoparticle_volume_um3", "float64", "Particle volume in the bin, without excluded particles."),
    *COMPARED_VOLUMES,
    Column(
        "enrichment",
        "float64",
        "Volume of the compared particles in the bin divided by that at random places; 1 at random, NaN where none can lie.",
    ),
    *_bounds("enrichment", "", "random"),
    Column("excluded", "bool", "True if the cell was excluded by hand from statistics."),
)
ENRICHMENT_COLUMNS = (
    Column(
        "distance_low_um", "float64", "Lower end of the bin of the distance to the nucleus, not part of it."
    ),
    Column("distance_high_um", "float64", "Upper end of the bin."),
    *COMPARED_VOLUMES,
    Column(
        "pattern_fraction",
        "float64",
        "Fraction in the bin of the volume of these particles in the cytoplasm.",
    ),
    Column("random_fraction", "float64", "The same fraction at random places."),
    Column(
        "enrichment",
        "float64",
        "Volume of the compared particles in the bin divided by that at random places, over all cells; 1 at random.",
    ),
    *_bounds("enrichment", "", "", "random", "global"),
)
RIPLEY_COLUMNS = (
    Column("radius_um", "float64", "Radius."),
    Column(
        "pair_count",
        "int64",
        "Pairs of compared particles of one cell within the radius.",
    ),
    Column("random_pair_count", "float64", "Mean number of such pairs at random places."),
    Column(
        "ripley_k_um3",
        "float64",
        "Ripley's K, corrected by random places: volume of the ball of the radius times pairs over pairs at random places.",
    ),
    Column("ripley_l_um", "float64", "Ripley's L: radius of the ball of volume K."),
    Column(
        "ripley_l_excess_um",
        "float64",
        "L minus the radius: 0 for random places, positive if particles cluster.",
    ),
    *_bounds("ripley_l_excess", "_um", "", "random", "global"),
    Column(
        "pair_correlation",
        "float64",
        "Pairs between the radius before and this one, over such pairs at random places; 1 at random.",
    ),
    *_bounds("pair_correlation", "", "", "random", "global"),
    Column(
        "neighbour_fraction",
        "float64",
        "Fraction of compared particles whose nearest neighbour in the cell is within the radius (G); of cells with two or more.",
    ),
    *_bounds("neighbour_fraction", "", "random", "global"),
)
TEST_COLUMNS = (
    Column(
        "statistic",
        "string",
        "ripley_l, pair_correlation, nearest_neighbour, enrichment or radial_rank.",
    ),
    Column("null_space", "string", "Space of the random places: cytoplasm, cells or volume."),
    Column("particle_count", "int64", "Particles that are compared."),
    Column("cell_count", "int64", "Cells with such particles."),
    Column("simulation_count", "int64", "Random patterns."),
    Column(
        "finding",
        "string",
        "Side of the global envelope on which the measured curve leaves it: above, below, or both; empty with p above 0.05.",
    ),
    Column(
        "p_value",
        "float64",
        "Fraction of patterns, random ones and the measured one, whose curve is at least as extreme (extreme rank length).",
    ),
    Column("at_um", "float64", "Radius or distance of the largest deviation, in widths of the envelope."),
    Column(
        "effect",
        "float64",
        "Value there: L minus the radius in µm, the ratio to random places, or the mean rank over all cells.",
    ),
    Column("effect_low", "float64", f"Lower end of the {INTERVAL}"),
    Column("effect_high", "float64", "Upper end."),
    Column("random_low", "float64", "Lower end of the pointwise 95 % envelope of random places there."),
    Column("random_high", "float64", "Upper end."),
    Column(
        "from_um",
        "float64",
        "Smallest radius or distance above the global envelope; below it, if none is above.",
    ),
    Column("to_um", "float64", "Largest."),
    Column(
        "cluster_radius_um",
        "float64",
        "Radius of gyration of clusters by the pair correlation, where that is above the envelope.",
    ),
    Column("cluster_radius_low_um", "float64", f"Lower end of the {INTERVAL}"),
    Column("cluster_radius_high_um", "float64", "Upper end."),
    Column(
        "reason", "string", "Why there is no p value, no interval or no cluster radius; empty if there are."
    ),
)
