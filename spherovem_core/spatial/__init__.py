"""Stage 7: positions of nuclei and nanoparticles in their cells.

`measure_space` does the whole stage in memory, `write_space` on a sink.
"""

from spherovem_core.spatial.cell_counts import measure_cells
from spherovem_core.spatial.cell_depth import measure_depth_of_cells
from spherovem_core.spatial.centroids import measure_centroids
from spherovem_core.spatial.contacts import contacts_of_cells, measure_contacts
from spherovem_core.spatial.depth import (
    Surface,
    find_surface,
    measure_depth_of_particles,
)
from spherovem_core.spatial.distance import distance_step_um, distance_to_nucleus
from spherovem_core.spatial.distance_map import write_distance_map
from spherovem_core.spatial.grids import Placement
from spherovem_core.spatial.known_space import (
    NUCLEUS_BLOCKS,
    KnownDistances,
    KnownSpace,
    find_cells,
    record_distances,
)
from spherovem_core.spatial.membranes import measure_membrane_gaps
from spherovem_core.spatial.parents import assign_parent_cells
from spherovem_core.spatial.particles import measure_particles
from spherovem_core.spatial.positions import ExcludedObjects, Space, measure_space, write_space
from spherovem_core.spatial.radial import radial_distribution
from spherovem_core.spatial.ripley import default_radii, nearest_neighbours, ripley

__all__ = [
    "NUCLEUS_BLOCKS",
    "ExcludedObjects",
    "KnownDistances",
    "KnownSpace",
    "Placement",
    "Space",
    "Surface",
    "assign_parent_cells",
    "contacts_of_cells",
    "default_radii",
    "distance_step_um",
    "distance_to_nucleus",
    "find_cells",
    "find_surface",
    "measure_cells",
    "measure_centroids",
    "measure_contacts",
    "measure_depth_of_cells",
    "measure_depth_of_particles",
    "measure_membrane_gaps",
    "measure_particles",
    "measure_space",
    "nearest_neighbours",
    "radial_distribution",
    "record_distances",
    "ripley",
    "write_distance_map",
    "write_space",
]
