"""Intensity scale of the stack: histograms on that scale, and the mixture that follows from a fit to them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.binning import Binning
from spherovem_core.nanoparticles.contrast_drift import map_histograms, match_slices
from spherovem_core.nanoparticles.distributions import background_pmf, edge_pmfs, normal_pmf
from spherovem_core.nanoparticles.expectation_maximisation import Estimate, estimate_fractions, with_clipped
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.parameters import NanoparticleParameters

# Fraction of the background that is darker than the tail to which nanoparticles are fitted.
_TAIL_QUANTILE = 0.95


@dataclass(frozen=True)
class ScaledHistograms:
    """Histograms on the scale of the stack, whose first bin is bin `first` of the slices' binning.

    Attributes
    ----------
    binning
        Bins of the slices.
    maps : (Z, 2) ndarray
        Gain and offset of each slice, in bins.
    undecided : (Z, bins) ndarray
        Number of voxels that may be nanoparticle, without the clipped ones.
    clipped : (Z,) ndarray
        Number of such voxels in the last bin of the slices' binning, known only to be at least as bright as that bin.
    limits : (Z,) ndarray of int
        Bin of the stack's scale in which the clipped voxels begin.
    background : (bins,) ndarray
        Probabilities of the background.
    totals : (Z,) ndarray
        Number of voxels of each slice.
    """

    binning: Binning
    maps: NDArray[np.float64]
    first: int
    undecided: NDArray[np.float64]
    clipped: NDArray[np.float64]
    limits: NDArray[np.int64]
    background: NDArray[np.float64]
    totals: NDArray[np.float64]

    @cached_property
    def tail_start(self) -> int:
        """First bin of the tail to which nanoparticles are fitted.

        Below it, the surroundings of particles differ from the rest of the tissue (particles lie in vesicles) and carry
        no information on the particles.
        """
        last = len(self.background) - 2
        return min(int(np.searchsorted(np.cumsum(self.background), _TAIL_QUANTILE)), last)

    @property
    def tail_counts(self) -> NDArray[np.float64]:
        """Number of undecided voxels (Z, tail bins) in the tail, without the clipped ones."""
        return self.undecided[:, self.tail_start :]

    @property
    def tail_totals(self) -> NDArray[np.float64]:
        """Number of undecided voxels (Z,) in the tail, with the clipped ones."""
        return np.asarray(self.tail_counts.sum(axis=1) + self.clipped)

    @property
    def tail_limits(self) -> NDArray[np.int64]:
        """Bins (Z,) of the tail in which the clipped voxels of a slice begin."""
        return np.maximum(self.limits - self.tail_start, 0)

    @property
    def tail_clipped(self) -> NDArray[np.float64]:
        """Number of clipped voxels (tail bins,) of all slices, in the bins of their limits."""
        counts = np.bincount(self.tail_limits, self.clipped, self.tail_counts.shape[1])
        return np.asarray(counts, np.float64)

    @property
    def tail_background(self) -> NDArray[np.float64]:
        """Probabilities of the background within the tail."""
        tail = self.background[self.tail_start :]
        return np.asarray(tail / tail.sum())

    def edges(self, mean: float, sd: float) -> NDArray[np.float64]:
        """Compute the distributions (2, bins) of particle edges, for a mean counted from the start of the tail."""
        median = float(np.searchsorted(np.cumsum(self.background), 0.5))
        return edge_pmfs(median, mean + self.tail_start, sd, len(self.background))

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Intensity at the centre of each bin."""
        return self.intensity(np.arange(len(self.background), dtype=np.float64))

    def intensity(self, bins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert positions in bins of the stack's scale to intensities."""
        return self.binning.offset + self.binning.width * (bins + self.first) + 0.5 * (self.binning.width - 1)

    @property
    def intensity_maps(self) -> NDArray[np.float64]:
        """Gain and offset of each slice for intensities, not bins."""
        zero = self.binning.offset + 0.5 * (self.binning.width - 1)
        gains, offsets = self.maps.T
        return np.stack([gains, offsets * self.binning.width + zero * (1 - gains)], axis=1)


def to_stack_scale(
    histograms: NDArray[np.integer],
    background: NDArray[np.integer],
    binning: Binning,
    variances: NDArray[np.float64] | None = None,
) -> ScaledHistograms:
    """Match the slices and pool their backgrounds; see `spherovem_core.nanoparticles.fit_mixture` for the arguments."""
    by_slice = background.ndim == 2
    known = background if by_slice else np.zeros_like(histograms)
    maps = match_slices(background if by_slice else histograms, variances)
    # The first bin collects the intensities that most slices clip at the dark end. At the bright end the range is that of the
    # slice that reaches furthest, because the clipped voxels of each slice are kept apart with the slice's own limit.
    low = np.quantile(maps @ np.array([-0.5, 1.0]), 0.98)
    high = np.max(maps @ np.array([binning.count - 0.5, 1.0]))
    first, count = int(np.floor(low + 0.5)), max(2, int(np.ceil(high - low)))
    if by_slice:
        pooled = map_histograms(known, maps, first, count).sum(axis=0)
    else:
        pooled = map_histograms(background[None], np.array([[1.0, 0.0]]), first, count)[0]
    undecided = histograms.astype(np.int64) - known
    clipped = undecided[:, -1].astype(np.float64)
    undecided[:, -1] = 0
    limits = np.rint(maps @ np.array([binning.count - 1.5, 1.0]) + 0.5 - first).astype(np.int64)
    return ScaledHistograms(
        binning,
        maps,
        first,
        map_histograms(undecided, maps, first, count),
        clipped,
        np.clip(limits, 0, count - 1),
        background_pmf(pooled),
        histograms.sum(axis=1, dtype=np.float64),
    )


def mixture_without_particles(
    scaled: ScaledHistograms, parameters: NanoparticleParameters, reason: str
) -> Mixture:
    """Build the mixture of a stack that holds no nanoparticles."""
    nothing = np.zeros_like(scaled.background)
    return Mixture(
        polarity=parameters.polarity,
        dtype="uint8" if scaled.binning == Binning() else "uint16",
        detected=False,
        reason=reason,
        levels=scaled.levels,
        background=scaled.background,
        particles=nothing,
        edge=nothing,
        edge_ratio=0.0,
        background_ratio=1.0,
        weights=np.zeros(len(scaled.maps)),
        weight=0.0,
        maps=scaled.intensity_maps,
        background_mean=float(scaled.background @ scaled.levels),
        particle_mean=0.0,
        particle_sd=0.0,
        overlap=0.0,
        separation=0.0,
    )


def mixture_with_particles(
    scaled: ScaledHistograms, estimate: Estimate, separation: float, parameters: NanoparticleParameters
) -> Mixture:
    """Build the mixture of a stack with nanoparticles; it counts as detected unless the overlap is too large."""
    fitted = estimate.components
    fractions = estimate_fractions(
        np.column_stack([scaled.tail_counts, scaled.clipped]),
        with_clipped(fitted.background, scaled.tail_limits),
        with_clipped(fitted.foreground, scaled.tail_limits),
        estimate.fraction,
        parameters.prior_strength,
    )
    mean = fitted.mean + scaled.tail_start
    outer, inner = scaled.edges(fitted.mean, fitted.sd)
    whole = normal_pmf(mean, fitted.sd, len(outer))
    # Edges reach below the tail, so that the edge voxels in the tail are only a part of them.
    many = fitted.mix / np.array([outer[scaled.tail_start :].sum(), inner[scaled.tail_start :].sum(), 1.0])
    particles = many[1] * inner + many[2] * whole
    found = fractions * scaled.tail_totals * (many[1] + many[2])
    counted = scaled.totals > 0
    total = float(scaled.totals.sum())
    weight = float(found.sum()) / total
    edge_ratio = float(many[0] / (many[1] + many[2]))
    particles /= particles.sum()
    overlap = float(np.minimum(weight * particles, (1 - weight) * scaled.background).sum() / weight)
    detected = overlap < parameters.max_overlap
    comparison = (
        f"lies under the background by {overlap:.2f} ({'below' if detected else 'not below'} max_overlap)"
    )
    return Mixture(
        polarity=parameters.polarity,
        dtype="uint8" if scaled.binning == Binning() else "uint16",
        detected=detected,
        reason=f"a second component of {100 * weight:.2g} % of the voxels {comparison}",
        levels=scaled.levels,
        background=scaled.background,
        particles=particles,
        edge=outer,
        edge_ratio=edge_ratio,
        background_ratio=_bright_background(scaled, estimate) / (total * (1 - weight * (1 + edge_ratio))),
        weights=np.where(counted, found / np.where(counted, scaled.totals, 1), weight),
        weight=weight,
        maps=scaled.intensity_maps,
        background_mean=float(scaled.background @ scaled.levels),
        particle_mean=float(scaled.intensity(np.array(mean))),
        particle_sd=fitted.sd * scaled.binning.width,
        overlap=overlap,
        separation=separation,
        log_likelihood=estimate.objective,
        converged=estimate.converged,
    )


def _bright_background(scaled: ScaledHistograms, estimate: Estimate) -> float:
    """Count the voxels of a stack whose background is everywhere that of its tail.

    The tissue around particles differs from that of the whole stack: it may have fewer of the brightest voxels.
    """
    tail = float(scaled.background[scaled.tail_start :].sum())
    near = (1 - estimate.fraction) * float(scaled.tail_totals.sum()) / tail
    return near + float(scaled.totals.sum() - scaled.undecided.sum() - scaled.clipped.sum())
