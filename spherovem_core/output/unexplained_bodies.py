"""Other objects that may be particles: what stands out as particles do, and no single particle or clump of them explains."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.output.particle_error_weights import BODY_SHARE
from spherovem_core.spacing import NM_PER_UM, SpacingNm

Floats = NDArray[np.float64]

FEWEST = 3
"""Particles that show contrast and size of a population; fewer do not."""
LEAST_SPREAD = 0.05
"""Relative spread of the contrast that a population has at least."""
LEAKED = ("joins something larger", "within another particle")
"""Reasons that name no body of its own: tissue that a candidate leaked into, and a part of a particle that was found."""
JUDGED = "like other objects"
"""Reason of an object whose confidence says how probably it is a particle; that of a body with a fault is 0 whatever it is."""
BALL_FILL, FILL_RANGE = 0.52, 0.1
"""Fraction of its box that a ball fills, and how much less a clump of balls does at least."""
SEVERAL = 2.5
"""Particles from which a compact body is too large for one and too compact for a clump."""
LEAST_MOST = 4.0
"""Particles that an unexplained body may hold at least, where all found ones are single."""
GROWN = 2.0
"""Particles that it may hold at most, relative to the largest agglomerate."""
PACKED = 0.64
"""Densest random packing of balls."""


@dataclass(frozen=True)
class Bodies:
    """M bodies.

    Attributes
    ----------
    label : (M,) ndarray of int64
        Row of the table of other objects.
    chance : (M,) ndarray
        How well contrast and form agree with those of the particles, 0 to 1.
    number : (M,) ndarray
        How many particles they amount to by their signal, beside those that were found within them.
    volume_um3 : (M,) ndarray
        Volume of these.
    judged : (M,) ndarray of bool
        True where `chance` is a probability; else it is one where bodies of this acquisition are particles at all.
    """

    label: NDArray[np.int64]
    chance: Floats
    number: Floats
    volume_um3: Floats
    judged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    def of(self, chosen: NDArray[np.bool_]) -> "Bodies":
        """Return some of the bodies."""
        return Bodies(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def no_bodies() -> Bodies:
    """Return no bodies."""
    none = np.zeros(0)
    return Bodies(np.zeros(0, np.int64), none, none, none, np.zeros(0, np.bool_))


def unexplained_bodies(
    others: pd.DataFrame, particles: pd.DataFrame, spacing_nm: SpacingNm, agglomerates: NDArray[np.int64]
) -> Bodies:
    """Find the other objects that may be particles, by the evidence of this acquisition.

    A clump that could not be divided into balls is an object with a fault, such as "too large", and its confidence is 0. It has
    the contrast of particles and does not fill its box as a droplet does. Both are compared with the particles of the
    nearest population. Particles that were found within the box of a body are taken from its volume.

    Parameters
    ----------
    others
        Table of other objects.
    particles
        Table of particles that count, with ``population``, ``kind``, ``contrast``, ``volume_um3`` and centroids.
    spacing_nm
        Voxel size of the image.
    agglomerates
        Sizes of the agglomerates that were found: a body that amounts to more than nearly all of them is less likely one, and
        counts for no more than twice the largest.

    Returns
    -------
    Bodies
        Those with a chance above 0; none where fewer than `FEWEST` particles show what particles look like.
    """
    if not len(others):
        return no_bodies()
    usual = _usual(particles)
    if not len(usual):
        return no_bodies()
    contrast = others["contrast"].to_numpy(np.float64)
    away = np.abs((contrast[:, None] - usual["contrast"].to_numpy()) / usual["spread"].to_numpy())
    nearest = away.argmin(axis=1)
    z, size = away.min(axis=1), usual["volume_um3"].to_numpy()[nearest]
    box, within = _boxes(others, particles, spacing_nm)
    volume = others["volume_um3"].to_numpy(np.float64)
    net = np.maximum(volume - within, 0.0)
    # What is left around a particle that was found is its own surroundings unless it is as much as another one.
    alone = within == 0
    held = net / (BODY_SHARE * size)
    number = np.where(alone, np.maximum(held, 1.0), np.where(net >= size, held, 0.0))
    number = np.minimum(number, np.maximum(PACKED * box / size, 1.0))
    several = agglomerates[agglomerates > 1]
    # Large clumps are more often left unexplained than small ones: the root of the fraction that is as large.
    rare = np.sqrt((1 + (several[:, None] >= number).sum(axis=0)) / (1 + len(several)))
    most = max(GROWN * float(several.max(initial=1)), LEAST_MOST)
    number = np.where(number > 0, np.minimum(number, most), 0.0)
    reason = others["reason"].to_numpy(object)
    compact = np.clip((BALL_FILL - volume / np.maximum(box, 1e-12)) / FILL_RANGE, 0.0, 1.0)
    large = volume > SEVERAL * size
    chance = _likeness(z) * np.where(large, compact * rare, 1.0)
    judged = reason == JUDGED
    chance = np.where(judged, others["confidence"].to_numpy(np.float64), chance)
    chance = np.where(np.isin(reason, LEAKED) | (number == 0), 0.0, chance)
    bodies = Bodies(
        others["label"].to_numpy(np.int64),
        chance,
        number,
        np.minimum(net / BODY_SHARE, number * size),
        judged,
    )
    return bodies.of(chance > 1e-3)


def _likeness(z: Floats) -> Floats:
    """Compare the contrast of a body with that of particles, z standard deviations away.

    It falls slower than a normal density (as one of Student's distribution): bodies that are thinner than a slice or lie in
    unlike surroundings have less contrast.
    """
    return np.asarray((1 + np.maximum(z**2 - 1, 0) / 6) ** -3.0)


def _usual(particles: pd.DataFrame) -> pd.DataFrame:
    """Measure contrast, its spread and the volume of the single particles of each population."""
    single = particles[particles["kind"] != "clump"] if "kind" in particles else particles
    rows = []
    for _, own in single.groupby("population") if "population" in single else ():
        if len(own) < FEWEST:
            continue
        middle = float(own["contrast"].median())
        spread = 1.4826 * float((own["contrast"] - middle).abs().median())
        rows.append((middle, max(spread, LEAST_SPREAD * abs(middle)), float(own["volume_um3"].median())))
    return pd.DataFrame(rows, columns=["contrast", "spread", "volume_um3"])


def _boxes(others: pd.DataFrame, particles: pd.DataFrame, spacing_nm: SpacingNm) -> tuple[Floats, Floats]:
    """Return the volume of the box of each object, and that of the particles centred in it, in µm³."""
    step = np.asarray(spacing_nm) / NM_PER_UM
    ends = others[list(BOX_COLUMNS)].to_numpy(np.float64)
    low, high = (ends[:, :3] - 0.5) * step, (ends[:, 3:] - 0.5) * step
    centres = particles[list(CENTROID_COLUMNS)].to_numpy(np.float64)
    order = np.argsort(centres[:, 0], kind="stable")
    centres, sizes = centres[order], particles["volume_um3"].to_numpy(np.float64)[order]
    first, last = (np.searchsorted(centres[:, 0], side) for side in (low[:, 0], high[:, 0]))
    within = np.zeros(len(others))
    for row, (start, stop) in enumerate(zip(first, last, strict=True)):
        near = centres[start:stop, 1:]
        inside = ((near >= low[row, 1:]) & (near < high[row, 1:])).all(axis=1)
        within[row] = sizes[start:stop][inside].sum()
    return np.prod(high - low, axis=1), within
