"""Self-supervised denoising with Noise2Void: trained with CAREamics, applied slice by slice."""

from spherovem_core.denoising.in_memory import Denoised, denoise_volume
from spherovem_core.denoising.models import NOT_TRAINED, obtain_model, train_n2v
from spherovem_core.denoising.noise import NoiseModel, fit_noise
from spherovem_core.denoising.posterior import PosteriorDenoiser, posterior_mean
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.quality import DenoisingQuality, SampleStatistics, SliceQuality
from spherovem_core.denoising.stack import denoise_stack
from spherovem_core.denoising.trained_model import TrainedModel, load_model

__all__ = [
    "NOT_TRAINED",
    "Denoised",
    "DenoisingQuality",
    "NoiseModel",
    "PosteriorDenoiser",
    "SampleStatistics",
    "SliceDenoiser",
    "SliceQuality",
    "TrainedModel",
    "denoise_stack",
    "denoise_volume",
    "fit_noise",
    "load_model",
    "obtain_model",
    "posterior_mean",
    "train_n2v",
]
