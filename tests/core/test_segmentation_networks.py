"""Networks: unusable weights end in one clear error before any array is written."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spherovem_core.errors import DeviceError, MissingNetworkError, NetworkError
from spherovem_core.segmentation import load_network, network_digest
from spherovem_core.segmentation import networks as module
from spherovem_core.segmentation.attention import use_fast_attention
from spherovem_core.segmentation.networks import WEIGHTS, weights_path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cellpose cache on a machine without internet."""

    def no_network(url: str, target: str, progress: bool = True) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr("cellpose.utils.download_url_to_file", no_network)
    return tmp_path / "cache"


def test_shipped_weights_are_small_safetensors() -> None:
    files = sorted(WEIGHTS.glob("*"))
    assert [f.name for f in files] == [
        "em-compact-cells.safetensors",
        "em-compact-nuclei.safetensors",
        "phantom-compact-cells-statistics.safetensors",
        "phantom-compact-cells.safetensors",
        "phantom-compact-nuclei-statistics.safetensors",
        "phantom-compact-nuclei.safetensors",
    ]
    assert sum(f.stat().st_size for f in files) < 6e6


def test_a_missing_path_is_refused_with_the_choices(tmp_path: Path) -> None:
    for call in (load_network, network_digest):
        with pytest.raises(
            MissingNetworkError, match=r"no\.pt do not exist; give the path .* or one of phantom-compact"
        ):
            call(str(tmp_path / "no.pt"), "cells")
    with pytest.raises(FileNotFoundError, match="cpsam_v9"):
        load_network("cpsam_v9", "cells")


def test_a_failed_download_leaves_no_file(cache: Path) -> None:
    with pytest.raises(
        MissingNetworkError, match=r"cpsam_v2 is not in .*could not be downloaded.*copy the file"
    ):
        load_network("cpsam_v2", "cells", "cpu")
    assert not list(cache.glob("*"))


def test_half_a_download_is_not_taken_for_the_weights(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(url: str, target: str, progress: bool = True) -> None:
        Path(target).write_bytes(b"half of it")
        raise OSError("connection reset")

    monkeypatch.setattr("cellpose.utils.download_url_to_file", half)
    with pytest.raises(MissingNetworkError):
        load_network("cpsam_v2", "cells", "cpu")
    assert weights_path("cpsam_v2", "cells") is None


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save({"W2": torch.zeros(100, 100)}, whole)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole.read_bytes()[:20000])
    safe = tmp_path / "cut.safetensors"
    safe.write_bytes((WEIGHTS / "phantom-compact-cells.safetensors").read_bytes()[:50000])
    empty = tmp_path / "empty.pt"
    empty.touch()
    for path in (cut, safe, empty):
        with pytest.raises(NetworkError, match="truncated or of another kind"):
            load_network(str(path), "cells", "cpu")


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"W2": Path("x")}, path)
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(str(path), "cells", "cpu")


def test_weights_of_other_architectures_are_refused(tmp_path: Path) -> None:
    states = {
        "Cellpose 3": {"downsample.down.res_down_0.conv.conv_0.0.weight": torch.zeros(1)},
        "unknown architecture": {"layer1.weight": torch.zeros(1)},
        "DINOv3 backbone": {"W2": torch.zeros(1), "encoder.cls_token": torch.zeros(1)},
    }
    for message, state in states.items():
        path = tmp_path / "weights"
        torch.save(state, path)
        with pytest.raises(NetworkError, match=message):
            load_network(str(path), "nuclei", "cpu")
    torch.save([torch.zeros(1)], path)
    with pytest.raises(NetworkError, match="hold list, not a state dict"):
        load_network(str(path), "nuclei", "cpu")


def test_compact_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    state = load_file(WEIGHTS / "phantom-compact-cells.safetensors")
    state["head.bias"] = torch.zeros(5)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(NetworkError, match=r"not of this version.*head\.bias.*train it again"):
        load_network(str(tmp_path / "other.safetensors"), "cells", "cpu")


def test_digest_follows_the_content(tmp_path: Path, cache: Path) -> None:
    cells, nuclei = (network_digest("phantom-compact", kind) for kind in ("cells", "nuclei"))
    assert cells != nuclei
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((WEIGHTS / "phantom-compact-cells.safetensors").read_bytes())
    assert network_digest(str(copy), "nuclei") == cells
    copy.write_bytes(b"other")
    assert network_digest(str(copy), "cells") != cells
    # The same before and after the download, so that nothing is computed twice.
    before = network_digest("cpsam_v2", "cells")
    cache.mkdir()
    (cache / "cpsam_v2").write_bytes(b"weights")
    assert network_digest("cpsam_v2", "cells") == before == "cellpose:cpsam_v2"


def test_compact_weights_survive_save_model(tmp_path: Path) -> None:
    network = load_network("phantom-compact", "cells", "cpu")
    network.save_model(tmp_path / "tuned")
    again = load_network(str(tmp_path / "tuned"), "cells", "cpu")
    image = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network(image)[0], again(image)[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_cuda_without_a_device_is_an_error() -> None:
    with pytest.raises(DeviceError, match="PyTorch sees 0 CUDA devices"):
        load_network("phantom-compact", "cells", "cuda")


def test_fused_attention_equals_that_of_sam() -> None:
    from segment_anything.modeling.image_encoder import Attention

    torch.manual_seed(0)
    original = Attention(48, num_heads=3, use_rel_pos=True, input_size=(6, 10))
    for places in (original.rel_pos_h, original.rel_pos_w):
        torch.nn.init.normal_(places)
    block = torch.nn.Module()
    block.attn = copy.deepcopy(original)
    network = torch.nn.Module()
    network.encoder = torch.nn.Module()
    network.encoder.blocks = torch.nn.ModuleList([block])
    use_fast_attention(network)
    tokens = torch.randn(2, 6, 10, 48)
    with torch.no_grad():
        assert torch.allclose(block.attn(tokens), original(tokens), atol=1e-5)


def _relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).square().mean().sqrt() / expected.std())


@pytest.mark.slow
def test_cellpose_sam_loads_and_runs_on_one_tile(cache: Path) -> None:
    from cellpose.vit import CPSAM

    torch.manual_seed(0)
    original = CPSAM().eval()
    cache.mkdir()
    torch.save(original.state_dict(), cache / "cpsam_v2")
    network = load_network("cpsam_v2", "cells", "cpu")
    tile = torch.rand((1, 3, 256, 256), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = original(tile)[0]
        found = network(tile.to(network.dtype))[0].float()
    # bfloat16 keeps three digits of each product; over 24 blocks the errors add up to about one per cent.
    assert _relative_error(found, expected) < 0.03
    # The fused attention alone, at full precision.
    network.dtype = torch.float32
    load = {k: v for k, v in original.state_dict().items() if k in network.state_dict()}
    network.load_state_dict(load)
    with torch.no_grad():
        assert _relative_error(network(tile)[0], expected) < 1e-3
    torch.save({"W2": torch.zeros(1)}, cache / "cpsam")
    with pytest.raises(NetworkError, match="do not fit Cellpose-SAM"):
        load_network("cpsam", "cells", "cpu")
    assert module.cellpose_cache() == cache
