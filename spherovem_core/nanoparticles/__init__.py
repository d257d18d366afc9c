"""Stage 5: nanoparticles from the histogram of intensities."""

from spherovem_core.nanoparticles.binning import Binning
from spherovem_core.nanoparticles.fitting import fit_mixture, fit_statistics
from spherovem_core.nanoparticles.labelling import label_particles
from spherovem_core.nanoparticles.lookup import contrast, posterior
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.segmentation import segment_particles
from spherovem_core.nanoparticles.statistics import SliceStatistics, collect_statistics

__all__ = [
    "Binning",
    "Mixture",
    "SliceStatistics",
    "collect_statistics",
    "contrast",
    "fit_mixture",
    "fit_statistics",
    "label_particles",
    "posterior",
    "segment_particles",
]
