"""Self-supervised denoising: a network trained with CAREamics on the acquisition itself, applied slice by slice."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.denoising.automatic import AutomaticDenoiser, Choice, choose_method
    from spherovem_core.denoising.contrast import return_contrast
    from spherovem_core.denoising.given import write_given
    from spherovem_core.denoising.grey_map import GreyMap, choose_grey_map
    from spherovem_core.denoising.in_memory import Denoised, denoise_volume
    from spherovem_core.denoising.models import NOT_TRAINED, obtain_model, train_model, training_parameters
    from spherovem_core.denoising.noise import NoiseModel, fit_noise
    from spherovem_core.denoising.noise_measurement import MeasuredNoise, measure_noise
    from spherovem_core.denoising.posterior import PosteriorDenoiser, posterior_mean
    from spherovem_core.denoising.prediction import SliceDenoiser
    from spherovem_core.denoising.quality import DenoisingQuality, SampleStatistics, SliceQuality
    from spherovem_core.denoising.stack import denoise_stack
    from spherovem_core.denoising.trained_model import TrainedModel, load_model

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "NOT_TRAINED",
    "AutomaticDenoiser",
    "Choice",
    "Denoised",
    "DenoisingQuality",
    "GreyMap",
    "MeasuredNoise",
    "NoiseModel",
    "PosteriorDenoiser",
    "SampleStatistics",
    "SliceDenoiser",
    "SliceQuality",
    "TrainedModel",
    "choose_grey_map",
    "choose_method",
    "denoise_stack",
    "denoise_volume",
    "fit_noise",
    "load_model",
    "measure_noise",
    "obtain_model",
    "posterior_mean",
    "return_contrast",
    "train_model",
    "training_parameters",
    "write_given",
]
