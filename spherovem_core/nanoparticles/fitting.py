"""Fit of the mixture of background and nanoparticles to the histograms of a stack."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import MixtureError, ShapeMismatchError
from spherovem_core.nanoparticles.binning import Binning
from spherovem_core.nanoparticles.expectation_maximisation import (
    Estimate,
    MixtureComponents,
    log_likelihood,
    maximise_likelihood,
)
from spherovem_core.nanoparticles.intensity_scale import (
    ScaledHistograms,
    mixture_with_particles,
    mixture_without_particles,
    to_stack_scale,
)
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.slice_statistics import SliceStatistics
from spherovem_core.parameters import NanoparticleParameters

# The edge's distribution follows from that of the nanoparticles: both are updated in turn.
_EDGE_ROUNDS = 4
_FREE_PARAMETERS = 5
# Prior of outer edge, inner edge and whole voxels, with the weight of 2 % of the voxels found. Without it the inner edges of
# small particles can explain all of their voxels.
_PRIOR_MIX = np.array([0.3, 0.3, 0.4])
_PRIOR_WEIGHT = 0.02
_SINGLE_BIN_SD = 0.5


def fit_statistics(statistics: SliceStatistics, parameters: NanoparticleParameters) -> Mixture:
    """Fit the mixture to the statistics of the first pass over a volume; see `fit_mixture`."""
    return fit_mixture(
        statistics.histograms,
        statistics.background_histograms,
        parameters,
        statistics.binning,
        statistics.variances,
    )


def fit_mixture(
    histograms: NDArray[np.integer],
    background_histogram: NDArray[np.integer],
    parameters: NanoparticleParameters,
    binning: Binning | None = None,
    variances: NDArray[np.float64] | None = None,
) -> Mixture:
    """Fit a mixture of background and nanoparticles to the intensities of a stack.

    Matching the backgrounds brings the slices to one scale (`match_slices`). The distribution of the background is the
    histogram of the voxels away from candidates, and stays fixed. Expectation maximisation over the whole stack explains
    the brighter of the other voxels as background, nanoparticle (normal, censored where intensities are clipped) and the
    two halves of the edges in between (`edge_pmfs`). The weight of each slice is then the MAP estimate under a Beta prior
    centred at the weight of the stack.

    The stack has nanoparticles if two components beat one by the Bayesian information criterion, and less than
    ``max_overlap`` of the second component lies under the first. The overlap is needed because in a huge sample any misfit
    of the background is significant; a component that only corrects the shape of the background nowhere outweighs it by
    much.

    Parameters
    ----------
    histograms : (Z, bins) ndarray of integer
        Number of voxels of each slice at each intensity, or in each bin of `binning`; a slice without voxels is left out.
    background_histogram : (Z, bins) or (bins,) ndarray of integer
        Voxels away from candidates. A histogram per slice is a part of `histograms`, and only the remaining voxels may be
        nanoparticle. A histogram of the stack may come from anywhere, and all voxels may be nanoparticle.
    parameters
        Parameters of the stage.
    binning
        Bins of the histograms. Without it, bin k is intensity k.
    variances : (Z, 2) ndarray, optional
        Differences between slices because of the tissue that they show (`match_slices`). Without it, all difference is drift.

    Returns
    -------
    Mixture

    Raises
    ------
    ShapeMismatchError
        If the shapes or counts of the histograms do not fit together.
    MixtureError
        If no background voxel is left, or the fit collapsed.
    """
    binning = binning or Binning(count=histograms.shape[-1])
    _check(histograms, background_histogram, binning)
    scaled = to_stack_scale(histograms, background_histogram, binning, variances)
    counts = scaled.tail_counts.sum(axis=0)
    clipped = scaled.tail_clipped
    start = _start(counts + clipped, scaled)
    if start is None:
        reason = "nothing bright stands out from the background's tail"
        return mixture_without_particles(scaled, parameters, reason)
    estimate = _fit_stack(counts, clipped, start, scaled, parameters)
    separation = _separation(counts, clipped, scaled.tail_background, estimate)
    if separation <= 0:
        reason = f"two components do not beat one (BIC gain {separation:.1f})"
        return mixture_without_particles(scaled, parameters, reason)
    _check_collapse(estimate, scaled)
    return mixture_with_particles(scaled, estimate, separation, parameters)


def _check(histograms: NDArray[np.integer], background: NDArray[np.integer], binning: Binning) -> None:
    if histograms.ndim != 2 or histograms.shape[1] != binning.count:
        raise ShapeMismatchError(
            f"histograms have shape {histograms.shape}, expected (slices, {binning.count}); give one row per slice"
        )
    if background.shape not in (histograms.shape, histograms.shape[1:]):
        raise ShapeMismatchError(
            f"the background histogram has shape {background.shape}, expected {histograms.shape} or "
            f"{histograms.shape[1:]}"
        )
    if background.ndim == 2 and np.any(background > histograms):
        raise ShapeMismatchError(
            "a slice's background histogram counts more voxels than its histogram; pass voxels of the same slices"
        )
    if background.sum() == 0:
        raise MixtureError(
            "no voxel is left for the background's distribution; lower background_halo_nm, so that the surroundings "
            "of candidates take less of the volume"
        )


def _start(counts: NDArray[np.float64], scaled: ScaledHistograms) -> MixtureComponents | None:
    """Estimate initial distributions from the excess over the background, scaled to the darkest bins of the tail."""
    background = scaled.tail_background
    darkest = np.cumsum(background) <= 0.5
    darkest[0] = True
    scale = counts[darkest].sum() / background[darkest].sum()
    excess = np.maximum(counts - scale * background, 0)
    if excess.sum() < 1:
        return None
    bins = np.arange(len(counts))
    # The brighter half of the excess holds fewer edge voxels.
    bright = np.where(bins >= excess @ bins / excess.sum(), excess, 0)
    mean = float(bright @ bins / bright.sum())
    sd = max(1.0, float(np.sqrt(bright @ (bins - mean) ** 2 / bright.sum())))
    return MixtureComponents(background, _tail_edges(scaled, mean, sd), mean, sd, _PRIOR_MIX)


def _tail_edges(scaled: ScaledHistograms, mean: float, sd: float) -> NDArray[np.float64]:
    edges = scaled.edges(mean, sd)[:, scaled.tail_start :]
    return np.asarray(edges / edges.sum(axis=1, keepdims=True))


def _fit_stack(
    counts: NDArray[np.float64],
    clipped: NDArray[np.float64],
    start: MixtureComponents,
    scaled: ScaledHistograms,
    parameters: NanoparticleParameters,
) -> Estimate:
    """Fit the nanoparticles and recompute the edges from the fit, in turn."""
    components, fraction = start, 0.5
    for _ in range(_EDGE_ROUNDS):
        prior_counts = _PRIOR_WEIGHT * fraction * (counts + clipped).sum() * _PRIOR_MIX
        estimate = maximise_likelihood(
            counts,
            components,
            fraction,
            prior_counts,
            parameters.max_iterations,
            parameters.tolerance,
            clipped,
        )
        fraction, fitted = estimate.fraction, estimate.components
        components = replace(fitted, edges=_tail_edges(scaled, fitted.mean, fitted.sd))
    return estimate


def _separation(
    counts: NDArray[np.float64],
    clipped: NDArray[np.float64],
    background: NDArray[np.float64],
    estimate: Estimate,
) -> float:
    """Compute the gain in log-likelihood of two components over one, less half the BIC penalty of the free parameters."""
    two = estimate.fraction * estimate.components.foreground + (1 - estimate.fraction) * background
    gain = log_likelihood(counts, clipped, two) - log_likelihood(counts, clipped, background)
    return gain - 0.5 * _FREE_PARAMETERS * float(np.log((counts + clipped).sum()))


def _check_collapse(estimate: Estimate, scaled: ScaledHistograms) -> None:
    components = estimate.components
    position = components.mean + scaled.tail_start
    found = float(scaled.intensity(np.array(position)))
    if not 0 < components.mean < len(components.background) - 0.5 + 3 * components.sd:
        raise MixtureError(
            f"the fit collapsed: the mean intensity of nanoparticles is {found:.0f}, outside the bright tail of the "
            "background; check polarity, or set candidate_size_nm to about half a particle's diameter"
        )
    if components.sd < _SINGLE_BIN_SD and position < len(scaled.background) - 1.5:
        raise MixtureError(
            f"the fit collapsed onto the single intensity {found:.0f}: is it a scale bar or another painted value? "
            "Crop it, or mark its slices as bad"
        )
