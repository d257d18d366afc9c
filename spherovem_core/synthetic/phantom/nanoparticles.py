"""Nanoparticles of a phantom: two populations, a few glaring ones among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spherovem_core.synthetic.phantom.balls import Balls, Place
from spherovem_core.synthetic.phantom.particle_parameters import ParticleParameters
from spherovem_core.synthetic.phantom.placement import BallKind, Box

USUAL_ROOM_UM = 0.05
"""Width of the lumen around particles in cells that every gap between particle and membrane leaves room for."""


def particle_kinds(parameters: ParticleParameters) -> Iterator[BallKind]:
    """Yield the populations, with numbers from 1."""
    fractions = {
        place: fraction
        for place, fraction in (
            (Place.CLEFT, parameters.nanoparticle_extracellular_fraction),
            (Place.MEMBRANE, parameters.nanoparticle_membrane_fraction),
            (Place.RESIN, parameters.nanoparticle_resin_fraction),
        )
        if fraction > 0
    }
    limits = parameters.nanoparticle_diameter_range_px
    pixel = parameters.pixel_um
    first = BallKind(
        number=1,
        key=(parameters.seed, 0xA0),
        volume_fraction=parameters.nanoparticle_volume_fraction,
        diameter_um=parameters.nanoparticle_diameter_nm / 1000,
        diameter_cv=parameters.nanoparticle_diameter_cv,
        diameter_range_um=(limits[0] * pixel, limits[1] * pixel) if limits else None,
        intensity=parameters.nanoparticle_intensity,
        intensity_sd=parameters.nanoparticle_intensity_sd,
        cluster_size=parameters.nanoparticle_cluster_size,
        gap=parameters.nanoparticle_gap,
        clearance_um=max(parameters.vesicle_room_nm / 1000 - USUAL_ROOM_UM, 0.0),
        fractions=fractions,
    )
    yield first
    if parameters.second_volume_fraction > 0:
        yield replace(
            first,
            number=2,
            key=(parameters.seed, 0xA1),
            volume_fraction=parameters.second_volume_fraction,
            diameter_um=parameters.second_diameter_nm / 1000,
            diameter_range_um=None,
            intensity=parameters.second_intensity,
            intensity_sd=parameters.second_intensity_sd,
        )


def brighten_few(particles: Balls, parameters: ParticleParameters, imaged: Box) -> Balls:
    """Give the rare, far brighter particles their grey value: a fraction of those in the imaged volume, at least one."""
    seen = np.flatnonzero(particles.volumes_centred_in(imaged))
    if parameters.rare_fraction == 0 or seen.size == 0:
        return particles
    generator = np.random.default_rng((parameters.seed, 0x6A1E))
    chosen = generator.permutation(seen)[: max(round(parameters.rare_fraction * seen.size), 1)]
    intensities = particles.intensities.copy()
    intensities[chosen] = parameters.rare_intensity
    return replace(particles, intensities=intensities)
