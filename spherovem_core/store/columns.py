"""The columns of every table, each with its type and meaning; the unit follows from the name."""

from dataclasses import dataclass
from typing import Literal

from spherovem_core.store.tables import column_unit

ColumnType = Literal["uint32", "int64", "float64", "bool", "string"]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: ColumnType
    meaning: str

    @property
    def unit(self) -> str:
        """Unit as the Parquet field's metadata give it; empty for a pure number."""
        return column_unit(self.name)


FILLED_FLAGS = ("missing", "blank", "truncated", "saturated")
"""Flags of slices that are filled from their neighbours."""

BOUNDING_BOX = tuple(
    Column(f"bbox_{axis}{end}", "int64", f"Bounding box along {axis}: {what}.")
    for end, what in ((0, "first voxel"), (1, "voxel after the last"))
    for axis in "zyx"
)
CENTROID = tuple(
    Column(f"centroid_{axis}_um", "float64", f"Centroid along {axis}, in the frame of the registered image.")
    for axis in "zyx"
)
SIZE = (
    Column("voxel_count", "int64", "Voxels of the label."),
    Column("volume_um3", "float64", "Voxels times the volume of one."),
    Column("equivalent_diameter_um", "float64", "Diameter of the ball with the same volume."),
)
PARENT = (
    Column("parent_cell", "uint32", "Cell that holds most of it; 0 where none holds min_parent_share of it."),
    Column(
        "parent_share",
        "float64",
        "Share of its voxels in the cell that holds most, also where that is too few.",
    ),
)
SHAPE = (
    Column("label", "uint32", "Number of the object in the label array."),
    *BOUNDING_BOX,
    *CENTROID,
    *SIZE,
    Column("surface_area_um2", "float64", "Area of the surface, without what the volume's border cuts off."),
    Column(
        "sphericity",
        "float64",
        "Area of the ball of the same volume over that of the closed body; 1 for a ball.",
    ),
    Column(
        "mean_curvature_mean_per_um",
        "float64",
        "Mean curvature, averaged over the surface; positive where convex.",
    ),
    Column("mean_curvature_std_per_um", "float64", "Its standard deviation over the surface."),
    Column("gaussian_curvature_mean_per_um2", "float64", "Gaussian curvature, averaged over the surface."),
    Column("gaussian_curvature_std_per_um2", "float64", "Its standard deviation over the surface."),
    Column(
        "shape_index_mean",
        "float64",
        "Shape index, averaged: -1 cup, -0.5 rut, 0 saddle, 0.5 ridge, 1 cap (outward bump).",
    ),
    Column("shape_index_std", "float64", "Its standard deviation over the surface."),
    Column(
        "curvedness_mean_per_um",
        "float64",
        "Curvedness, averaged: how strongly the surface bends, whatever its shape.",
    ),
    Column("curvedness_std_per_um", "float64", "Its standard deviation over the surface."),
    Column(
        "fractal_dimension",
        "float64",
        "Minkowski-Bouligand dimension of the surface; 2 smooth, towards 3 space-filling.",
    ),
    Column("fractal_r2", "float64", "Coefficient of determination of the line that it is the slope of."),
    Column("fractal_low_um", "float64", "Smallest tube radius of that line."),
    Column("fractal_high_um", "float64", "Largest tube radius of that line."),
    Column(
        "truncated_fraction",
        "float64",
        "Share of the closed body's surface that the volume's border cuts off.",
    ),
    Column("inertia_1_um2", "float64", "Largest principal moment of inertia for each unit of mass."),
    Column("inertia_2_um2", "float64", "Middle principal moment of inertia for each unit of mass."),
    Column("inertia_3_um2", "float64", "Smallest principal moment of inertia for each unit of mass."),
    Column("shape_note", "string", "Why surface columns are NaN; empty where they are not."),
)
CELL_COLUMNS = (
    *SHAPE,
    Column("nucleus_count", "int64", "Nuclei whose parent it is."),
    Column("nanoparticle_count", "int64", "Nanoparticles whose parent it is."),
    Column("nanoparticle_volume_um3", "float64", "Their volume."),
    Column("nanoparticle_density_per_um3", "float64", "Their number over the volume of the cell."),
    Column(
        "nanoparticle_radial_rank",
        "float64",
        "Share of the cytoplasm that lies nearer to the nucleus than particle does, averaged over particle volume: "
        "0.5 where particles are spread as the cytoplasm is, less where they crowd at the nucleus.",
    ),
)
NUCLEUS_COLUMNS = (*SHAPE, *PARENT)
NANOPARTICLE_COLUMNS = (
    Column("label", "uint32", "Number of the particle in the label array."),
    *BOUNDING_BOX,
    *CENTROID,
    *SIZE,
    Column("mean_posterior", "float64", "Posterior, averaged over its voxels."),
    Column("mean_intensity", "float64", "Grey value of the registered image, averaged over its voxels."),
    *PARENT,
    Column(
        "distance_to_nucleus_um",
        "float64",
        "Distance to the nucleus of the parent cell, averaged over the voxels in that cell; NaN with no parent or no nucleus.",
    ),
    Column("distance_to_nucleus_min_um", "float64", "The smallest of these distances."),
    Column("in_nucleus", "bool", "Whether more than half of it lies in nuclei, of whatever cell."),
    Column("distance_to_nucleus_centroid_um", "float64", "The distance at its centroid."),
    Column(
        "distance_to_cell_surface_um",
        "float64",
        "From its centroid to the surface of the parent cell; the volume's border is no surface.",
    ),
    Column("nearest_neighbour_um", "float64", "From its centroid to that of the nearest other particle."),
)
FAULTS = (
    Column("missing", "bool", "Its file is not there; filled from its neighbours."),
    Column(
        "blank", "bool", "Nearly all pixels have one value, not the brightest; filled from its neighbours."
    ),
    Column("truncated", "bool", "Its file ends too early or cannot be decoded; filled from its neighbours."),
    Column("saturated", "bool", "Nearly all pixels have the brightest value; filled from its neighbours."),
    Column("outlier", "bool", "Its intensities differ from those of its neighbours; kept as it is."),
)
INTENSITIES = (
    Column(
        "intensity_mean", "float64", "Mean grey value as acquired; NaN where the slice could not be read."
    ),
    Column("intensity_std", "float64", "Standard deviation of the grey values."),
    *(
        Column(f"intensity_p{share}", "float64", f"Grey value that {share} % of the pixels do not exceed.")
        for share in (1, 50, 99)
    ),
)
DENOISING = (
    Column("residual_mean", "float64", "Mean of noisy less denoised, in grey values as acquired."),
    Column(
        "residual_std", "float64", "Standard deviation of noisy less denoised, in grey values as acquired."
    ),
    Column("clipped_share", "float64", "Share of its pixels beyond the grey values that became 0 and 255."),
)
REGISTRATION = (
    Column("shift_y_px", "float64", "How far the slice's centre was moved along y."),
    Column("shift_x_px", "float64", "How far the slice's centre was moved along x."),
    Column("rotation_deg", "float64", "How far the slice was turned."),
    Column(
        "similarity_before",
        "float64",
        "Correlation with the slice before it, as acquired; NaN where there is no such pair.",
    ),
    Column("similarity_after", "float64", "Correlation with the slice before it, aligned."),
    Column(
        "uncertainty_px",
        "float64",
        "Displacement that the pair leaves open, root mean square over the slice.",
    ),
    Column("trusted", "bool", "Whether the pair with the slice before it was good enough to count."),
    Column("reason", "string", "Why it was not; empty if it was."),
    Column(
        "bridged",
        "bool",
        "Whether pairs across a gap say where the slice lies, instead of the one before it.",
    ),
    Column("used", "bool", "Whether the slice took part; filled slices do not."),
    Column("drift_y_px", "float64", "Slow drift along y that the pairs say."),
    Column("drift_x_px", "float64", "Slow drift along x that the pairs say."),
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
        Column(f"crop_{name}_px", "int64", f"Common field, the same in every row: {meaning}.")
        for name, meaning in (
            ("y0", "first row"),
            ("y1", "row after the last"),
            ("x0", "first column"),
            ("x1", "column after the last"),
        )
    ),
)
SLICE_COLUMNS = (
    Column("file", "string", "File, and page of a multi-page one; empty if missing."),
    Column("z", "int64", "Place in the stack, from 0."),
    *INTENSITIES,
    *FAULTS,
    *DENOISING,
    *REGISTRATION,
)
RADIAL_COLUMNS = (
    Column("cell", "uint32", "Label of the cell."),
    Column(
        "distance_low_um",
        "float64",
        "Lower end of the bin, which does not belong to it; both ends are 0 for the nucleus.",
    ),
    Column("distance_high_um", "float64", "Upper end of the bin."),
    Column("cell_volume_um3", "float64", "Volume of the cell in the bin."),
    Column("nanoparticle_volume_um3", "float64", "Particle volume in the bin."),
    Column(
        "enrichment",
        "float64",
        "Share of particle in the bin over that in the whole cytoplasm; 1 where spread evenly.",
    ),
)
RIPLEY_COLUMNS = (
    Column("radius_um", "float64", "Radius."),
    Column("centre_count", "int64", "Particles at least the radius away from the border."),
    Column(
        "ripley_k_um3",
        "float64",
        "Ripley's K: other particles within the radius, on average, over their density.",
    ),
    Column("ripley_l_um", "float64", "Radius of the ball with volume K."),
    Column(
        "ripley_l_excess_um",
        "float64",
        "That less the radius: 0 for random places, positive where particles cluster.",
    ),
)
