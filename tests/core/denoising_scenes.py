"""Small stacks and random checkpoints for the denoising tests."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MEAN, STD = 120.0, 30.0


def smooth_stack(shape: tuple[int, int, int] = (12, 72, 88)) -> NDArray[np.float32]:
    """Make blobs of 3 pixels in grey values 120 ± 30."""
    white = np.random.default_rng(3).standard_normal(shape)
    blobs = ndimage.gaussian_filter(white, (1.0, 3.0, 3.0))
    return (MEAN + STD * blobs / blobs.std()).astype(np.float32)


def add_noise(clean: NDArray[np.float32], std: float = 25.0, seed: int = 5) -> NDArray[np.uint8]:
    """Add white noise and round to uint8."""
    noise = std * np.random.default_rng(seed).standard_normal(clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def psnr(image: NDArray[Any], truth: NDArray[Any]) -> float:
    """Compute the peak signal-to-noise ratio in dB for grey values of 8 bits."""
    error = np.mean(np.square(image.astype(np.float64) - truth))
    return float(10 * np.log10(255.0**2 / error))


def random_checkpoint(path: Path, algorithm: str = "n2v", **architecture: Any) -> Path:
    """Write a CAREamics checkpoint of a U-Net with random weights; the keywords override its architecture."""
    import torch

    n2v2 = architecture.get("n2v2", False)
    model = {
        "architecture": "UNet",
        "conv_dims": 2,
        "num_classes": 1,
        "in_channels": 1,
        "depth": 2,
        "num_channels_init": 8,
        "residual": False,
        "final_activation": "None",
        "n2v2": n2v2,
        "independent_channels": True,
        "use_batch_norm": True,
        **architecture,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unet_class = importlib.import_module("careamics.models.unet").UNet
    generator = torch.Generator().manual_seed(1)
    network = unet_class(**model)
    weights = {
        f"model.{name}": _random_like(name, value, generator) for name, value in network.state_dict().items()
    }
    strategy = "median" if n2v2 else "uniform"
    normalisation = {"name": "mean_std", "input_means": [MEAN], "input_stds": [STD]}
    checkpoint = {
        "state_dict": weights,
        "hyper_parameters": {
            "algorithm_config": {
                "algorithm": algorithm,
                "model": model,
                "n2v_config": {"strategy": strategy, "struct_mask": None},
            }
        },
        "datamodule_hyper_parameters": {"data_config": {"normalization": normalisation}},
    }
    torch.save(checkpoint, path)
    return path


def _random_like(name: str, value: Any, generator: Any) -> Any:
    """Draw weights that keep activations near one, and non-trivial batch statistics."""
    import torch

    if name.endswith("num_batches_tracked"):
        return value
    if name.endswith("running_var"):
        return 0.5 + torch.rand(value.shape, generator=generator)
    noise = torch.randn(value.shape, generator=generator)
    if value.ndim > 1:
        return noise * (2 / value[0].numel()) ** 0.5
    return 1 + 0.2 * noise if name.endswith("weight") else 0.2 * noise
