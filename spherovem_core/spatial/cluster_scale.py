"""Size of clusters, from the pair correlation."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.spatial.random_summary import Curves

Floats = NDArray[np.float64]

TRIED = 80


def fit_cluster_radius(shells: Curves, radii_um: Floats, samples: Floats | None) -> dict[str, float]:
    """Fit the radius of gyration of clusters to the pair correlation.

    In a Thomas process [1]_, particles scatter about the centres of clusters with standard deviation s along each axis, and the
    pair correlation is ``1 + a exp(-r² / 4 s²)``. The s of the smallest squared deviation is taken (minimum contrast [2]_),
    weighted by the number of random pairs; a factor of its own allows for the fixed number of particles of each cell. The radius
    of gyration is ``sqrt(3) s``. For particles spread evenly in balls of radius R (Matérn process) it is ``sqrt(3 / 5) R``.

    Parameters
    ----------
    shells
        Pairs between radii.
    radii_um : (R,) ndarray
    samples : (B, R) ndarray
        Pair correlations of bootstrap samples; None without them.

    Returns
    -------
    dict
        ``cluster_radius_um`` in µm, with ``_low`` and ``_high``: its 95 % interval. NaN where the best fit is the smallest or
        largest radius that was tried.

    References
    ----------
    .. [1] M. Thomas, "A generalization of Poisson's binomial limit for use in ecology", Biometrika 36, 18-25 (1949).
    .. [2] P. J. Diggle, R. J. Gratton, "Monte Carlo methods of inference for implicit statistical models", Journal of the Royal
       Statistical Society B 46, 193-227 (1984).
    """
    random = shells.sums[1:].mean(axis=0)
    used = random > 0
    middle = radii_um[used] - radii_um[0] / 2
    weights = random[used]
    tried = np.geomspace(radii_um[0] / 4, radii_um[-1] / 2, TRIED)
    nothing = {f"cluster_radius{part}_um": np.nan for part in ("", "_low", "_high")}
    if used.sum() < 4:
        return nothing
    curves = (shells.sums[0, used] / weights)[None]
    if samples is not None:
        curves = np.concatenate([curves, np.nan_to_num(samples[:, used], nan=1.0)])
    misfit = np.stack([_misfit(curves, middle, weights, s) for s in tried])
    best = misfit.argmin(axis=0)
    found = np.sqrt(3) * tried[best]
    if best[0] in (0, TRIED - 1):
        return nothing
    result = nothing | {"cluster_radius_um": float(found[0])}
    if samples is not None:
        low, high = np.quantile(found[1:], [0.025, 0.975])
        result |= {"cluster_radius_low_um": float(low), "cluster_radius_high_um": float(high)}
    return result


def _misfit(curves: Floats, middle: Floats, weights: Floats, scale: float) -> Floats:
    """Return the weighted squares that the best level and height leave, for each curve."""
    root = np.sqrt(weights)
    model = np.stack([root, root * np.exp(-(middle**2) / (4 * scale**2))], axis=1)
    basis, _ = np.linalg.qr(model)
    scaled = curves * root
    return np.asarray((scaled**2).sum(axis=1) - ((scaled @ basis) ** 2).sum(axis=1))
