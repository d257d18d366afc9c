"""Self-supervised denoising with Noise2Void: trained with CAREamics, run slice by slice."""

from spherovem_core.denoising.figures import DenoiseReport, SliceFigures, Survey
from spherovem_core.denoising.models import obtain_model
from spherovem_core.denoising.network import TrainedModel, load_model
from spherovem_core.denoising.noise import NoiseModel, fit_noise
from spherovem_core.denoising.posterior import PosteriorDenoiser, posterior_mean
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.stack import denoise_stack, intensity_range
from spherovem_core.denoising.training import NOT_TRAINED, train_n2v

__all__ = [
    "NOT_TRAINED",
    "DenoiseReport",
    "NoiseModel",
    "PosteriorDenoiser",
    "SliceDenoiser",
    "SliceFigures",
    "Survey",
    "TrainedModel",
    "denoise_stack",
    "fit_noise",
    "intensity_range",
    "load_model",
    "obtain_model",
    "posterior_mean",
    "train_n2v",
]
