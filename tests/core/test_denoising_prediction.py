"""Checkpoints of CAREamics and prediction of slices on tiles."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from denoising_scenes import random_checkpoint, smooth_stack

from spherovem_core.blocks import block_grid
from spherovem_core.denoising import SliceDenoiser, load_model
from spherovem_core.denoising.prediction import compute_in_batches, receptive_radius, tile_shape
from spherovem_core.denoising.trained_model import TrainedModel
from spherovem_core.errors import DeviceError, MissingNetworkError, NetworkError
from spherovem_core.utils.torch_device import cuda_device_count


def model_with(folder: Path, **architecture: object) -> TrainedModel:
    return load_model(random_checkpoint(folder / "model.ckpt", **architecture), "cpu")


def test_a_checkpoint_gives_algorithm_size_and_normalisation(tmp_path: Path) -> None:
    model = model_with(tmp_path, n2v2=True, depth=1)
    assert (model.algorithm, model.depth, model.channels) == ("n2v2", 1, 8)
    assert (model.mean, model.std) == (120.0, 30.0)
    assert len(model.digest) == 64


def test_a_missing_checkpoint_is_an_error_that_names_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(MissingNetworkError, match=r"absent\.ckpt does not exist.*denoising\.model"):
        load_model(tmp_path / "absent.ckpt", "cpu")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "model.ckpt")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(NetworkError, match=r"bytes\) cannot be read: it is truncated"):
        load_model(path, "cpu")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.ckpt"
    path.write_text("not a checkpoint")
    with pytest.raises(NetworkError, match="cannot be read"):
        load_model(path, "cpu")


def test_bare_weights_are_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "weights.ckpt")
    with pytest.raises(NetworkError, match=r"not a CAREamics Noise2Void checkpoint.*hyper_parameters"):
        load_model(tmp_path / "weights.ckpt", "cpu")
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    with pytest.raises(NetworkError, match="holds a Tensor"):
        load_model(tmp_path / "tensor.ckpt", "cpu")


def test_a_checkpoint_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="algorithm n2v: it is care"):
        load_model(random_checkpoint(tmp_path / "care.ckpt", algorithm="care"), "cpu")


@pytest.mark.parametrize(
    ("architecture", "found"),
    [({"in_channels": 3, "num_classes": 3}, "3 channels in 2D"), ({"conv_dims": 3}, "1 channels in 3D")],
)
def test_a_checkpoint_for_other_channels_or_axes_is_refused(
    tmp_path: Path, architecture: dict[str, int], found: str
) -> None:
    with pytest.raises(NetworkError, match=f"{found}.*expected one channel in 2D"):
        model_with(tmp_path, **architecture)


def test_weights_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    import torch

    path = random_checkpoint(tmp_path / "model.ckpt")
    checkpoint = torch.load(path)
    checkpoint["hyper_parameters"]["algorithm_config"]["model"]["depth"] = 3
    torch.save(checkpoint, path)
    with pytest.raises(NetworkError, match="do not fit the network that it describes"):
        load_model(path, "cpu")


def test_a_missing_gpu_is_an_error(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(DeviceError, match=r"device 'cuda:97' cannot be used.*auto or cpu"):
        load_model(path, "cuda:97")


@pytest.mark.parametrize(("depth", "n2v2"), [(1, False), (2, False), (3, False), (2, True)])
def test_the_halo_is_the_whole_receptive_field(tmp_path: Path, depth: int, n2v2: bool) -> None:
    """With positive weights a brighter pixel brightens all outputs within the halo and none beyond."""
    import torch

    network = model_with(tmp_path, depth=depth, n2v2=n2v2).network.double()
    for weights in network.parameters():
        weights.abs_()
    radius = receptive_radius(depth, blur_pooling=n2v2)
    step = 2**depth
    middle = radius + 2 * step
    reach = 0
    for offset in range(step):
        images = torch.ones((2, 1, 2 * middle + step, 2 * step), dtype=torch.float64)
        images[1, 0, middle + offset, step] = 1000
        with torch.inference_mode():
            plain, changed = network(images)[:, 0]
        rows = torch.nonzero(((changed - plain) > 1e-9 * plain).any(dim=1))
        reach = max(reach, int((rows - middle - offset).abs().max()))
    # The radius is rounded up to the pooling grid, on which tiles start.
    assert -(-reach // step) * step == radius


@pytest.mark.parametrize("shape", [(72, 88), (61, 101), (5, 150)])
@pytest.mark.parametrize("n2v2", [False, True])
def test_tiles_give_the_result_of_the_slice_in_one_piece(
    tmp_path: Path, shape: tuple[int, int], n2v2: bool
) -> None:
    model = model_with(tmp_path, n2v2=n2v2)
    values = np.resize(smooth_stack()[0], shape).astype(np.uint16)
    whole = SliceDenoiser(model, "float32", tile=256)(values)
    tiled = SliceDenoiser(model, "float32", tile=32)(values)
    assert whole.shape == shape
    # Rounding of float32 at grey values of a few hundred.
    np.testing.assert_allclose(tiled, whole, atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "halo"),
    [((512, 512), 28), ((1000, 1432), 28), ((6144, 8192), 28), ((90, 7000), 60), ((2000, 2000), 124)],
)
def test_tiles_fit_a_cache_and_compute_little_twice(shape: tuple[int, int], halo: int) -> None:
    core = tile_shape(*shape, halo, step=4, most=190_000)
    tiles = [[s.stop - s.start for s in tile.outer] for tile in block_grid(shape, core, halo)]
    assert core[0] % 4 == core[1] % 4 == 0
    most = max(190_000, (4 * halo) ** 2)
    assert max(rows * columns for rows, columns in tiles) <= most
    # Square tiles of that size would compute (side / (side - 2 halo))² times the pixels of the slice.
    squares = (most**0.5 / (most**0.5 - 2 * halo)) ** 2
    assert sum(rows * columns for rows, columns in tiles) < 1.05 * squares * shape[0] * shape[1]


def test_a_slice_of_512_is_cut_once() -> None:
    """Two strips of 284 x 512 with halo have 1.11 times the pixels of the slice; four squares have 1.23 times."""
    assert tile_shape(512, 512, halo=28, step=4, most=190_000) == (256, 512)


def test_the_prediction_is_that_of_the_careamics_network(tmp_path: Path) -> None:
    """Merged batch normalisation and the faster concatenation of channels do not change it, in float32."""
    import torch
    from careamics.models.unet import UNet

    path = random_checkpoint(tmp_path / "model.ckpt")
    checkpoint = torch.load(path)
    plain = UNet(**checkpoint["hyper_parameters"]["algorithm_config"]["model"]).eval()
    plain.load_state_dict({k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items()})
    values = smooth_stack()[0]
    with torch.inference_mode():
        normalised = (torch.from_numpy(values)[None, None] - 120) / (30 + 1e-6)
        expected = plain(normalised)[0, 0].numpy() * (30 + 1e-6) + 120
    found = SliceDenoiser(load_model(path, "cpu"), "float32")(values)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_bfloat16_differs_from_float32_by_less_than_2_percent_of_the_contrast(tmp_path: Path) -> None:
    """The hidden layers have 8 bits of mantissa."""
    model = model_with(tmp_path)
    values = smooth_stack()[0]
    full = SliceDenoiser(model, "float32")(values)
    half = SliceDenoiser(model, "bfloat16")(values)
    assert np.sqrt(np.mean((half - full) ** 2)) < 0.02 * full.std()


def test_the_number_of_workers_does_not_change_the_result(tmp_path: Path) -> None:
    model = model_with(tmp_path)
    values = smooth_stack()[0]
    one = SliceDenoiser(model, tile=32)(values)
    np.testing.assert_array_equal(SliceDenoiser(model, tile=32, workers=3)(values), one)


def test_a_batch_that_does_not_fit_the_gpu_is_halved() -> None:
    """A GPU with memory for three of 18 tiles."""
    import torch

    sizes, computed = [], []

    def compute(batch: Sequence[int]) -> None:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("too many tiles")
        computed.extend(batch)

    compute_in_batches(compute, range(18), size=8)
    assert sizes == [8, 4, *[2] * 9]
    assert computed == list(range(18))


def test_an_item_that_does_not_fit_the_gpu_is_an_error() -> None:
    import torch

    def compute(batch: Sequence[int]) -> None:
        raise torch.OutOfMemoryError("too large")

    with pytest.raises(torch.OutOfMemoryError, match="too large"):
        compute_in_batches(compute, range(3), size=2)


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_device_count(), reason="no usable CUDA device")
def test_gpu_and_cpu_give_the_same_prediction(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "model.ckpt")
    values = np.resize(smooth_stack()[0], (700, 900))
    on_cpu = SliceDenoiser(load_model(path, "cpu"), "float32")(values)
    on_gpu = SliceDenoiser(load_model(path, "cuda"), "float32")(values)
    # TF32 rounds products to 10 bits of mantissa.
    assert np.sqrt(np.mean((on_gpu - on_cpu) ** 2)) < 0.02 * on_cpu.std()
