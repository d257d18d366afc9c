"""Stage 5: nanoparticles, judged as objects.

`find_particles` does the whole stage in memory, `write_particles` on sinks. The first pass over the slices learns what the
tissue's texture explains, the second one labels what stands out from it. Each such object is cut out of the image by its own
levels and measured; its shape, its size and the objects like it tell whether it is a nanoparticle.
"""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.nanoparticles.mixture import Mixture
    from spherovem_core.nanoparticles.particles import (
        Particles,
        ParticleTables,
        find_particles,
        write_particles,
    )
    from spherovem_core.nanoparticles.populations import Population

__getattr__ = lazy_names(__name__, __file__)

__all__ = ["Mixture", "ParticleTables", "Particles", "Population", "find_particles", "write_particles"]
