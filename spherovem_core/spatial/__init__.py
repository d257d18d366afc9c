"""Where nuclei and nanoparticles lie in their cells."""

from spherovem_core.spatial.cell_counts import measure_cells
from spherovem_core.spatial.centroids import measure_centroids
from spherovem_core.spatial.distance import distance_to_nucleus
from spherovem_core.spatial.distance_map import write_distance_map
from spherovem_core.spatial.parents import assign_parent_cells
from spherovem_core.spatial.particles import measure_particles
from spherovem_core.spatial.radial import radial_distribution, radial_rank
from spherovem_core.spatial.ripley import default_radii, nearest_neighbours, ripley

__all__ = [
    "assign_parent_cells",
    "default_radii",
    "distance_to_nucleus",
    "measure_cells",
    "measure_centroids",
    "measure_particles",
    "nearest_neighbours",
    "radial_distribution",
    "radial_rank",
    "ripley",
    "write_distance_map",
]
