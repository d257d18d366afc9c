"""Where nuclei and nanoparticles lie in their cells."""

from spherovem_core.spatial.cell_counts import measure_cells
from spherovem_core.spatial.distance import distance_to_nucleus
from spherovem_core.spatial.distance_map import write_distance_map
from spherovem_core.spatial.parents import assign_parent_cells
from spherovem_core.spatial.particles import measure_particles

__all__ = [
    "assign_parent_cells",
    "distance_to_nucleus",
    "measure_cells",
    "measure_particles",
    "write_distance_map",
]
