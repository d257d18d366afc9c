"""Segmentation networks and their weights: Cellpose's own, fine-tuned ones, and the compact one that is shipped."""

import os
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from spherovem_core.errors import MissingNetworkError, NetworkError
from spherovem_core.segmentation.attention import use_fast_attention
from spherovem_core.store.layout import OBJECT_KINDS
from spherovem_core.utils.digests import file_digest
from spherovem_core.utils.torch_device import torch_device

COMPACT_NAMES = ("phantom-compact", "em-compact")
"""Networks that are shipped, trained on phantoms: plain ones, and ones with the scenes of real acquisitions."""
WIDE = "-wide"
"""End of the name of a start for fine-tuning that computes what a compact network does and has four times its weights."""
CELLPOSE_NAMES = ("cpsam_v2", "cpsam", "cpdino", "cpdino-vitb")
"""Names that cellpose 4.2 downloads; listed here so that a digest needs no import of torch."""

WEIGHTS = Path(__file__).parent / "weights"


def load_network(name: str, kind: str, device: str = "auto") -> Any:
    """Load a network in evaluation mode.

    Parameters
    ----------
    name
        ``cpsam_v2`` or another name that cellpose knows (downloaded once into its own cache, for which
        ``CELLPOSE_LOCAL_MODELS_PATH`` is honoured), a path to weights, ``phantom-compact`` or ``em-compact``.
    kind
        ``cells`` or ``nuclei``; the compact networks have weights for each. Any other kind starts from those of cells.
    device
        ``auto``, ``cpu`` or ``cuda[:n]``.

    Returns
    -------
    torch.nn.Module
        Maps (N, 3, 256, 256) to flows and logit (N, 3, 256, 256) and a style (N, 256), and has the `device` and
        `dtype` that ``cellpose.core`` reads.

    Raises
    ------
    MissingNetworkError
        If the weights do not exist and cannot be downloaded.
    NetworkError
        If the file is damaged, was written by Cellpose 3, or holds another architecture.
    DeviceError
        If the device is ``cuda`` and none can be used.

    Examples
    --------
    >>> network = load_network("phantom-compact", "cells", "cpu")
    >>> network.training
    False
    """
    import torch

    chosen = torch_device(device)
    path = weights_path(name, kind)
    if path is None:
        path = _download(name)
    state = _read(path)
    if _is_compact(state):
        return _compact(state, path, wide=_is_wide(name)).to(chosen).eval()
    network = _cellpose(state, path).to(chosen).eval()
    if _fast_bfloat16(chosen):
        network.dtype = torch.bfloat16
    return network


def network_digest(name: str, kind: str) -> str:
    """Return the digest of a network's weights: sha256 of the file, or the name of a published network.

    Raises
    ------
    MissingNetworkError
        If the name is neither a file nor known to cellpose.
    """
    path = weights_path(name, kind)
    if path is None or name in CELLPOSE_NAMES:
        # A published name stands for the same weights before and after the download.
        return f"cellpose:{name}"
    status = path.stat()
    digest = _file_digest(str(path.resolve()), status.st_size, status.st_mtime_ns)
    return f"wide:{digest}" if _is_wide(name) else digest


def weights_path(name: str, kind: str) -> Path | None:
    """Return the file of a network's weights, or None for one that cellpose has yet to download.

    Raises
    ------
    MissingNetworkError
        If the name is neither a file nor known to cellpose.
    """
    compact = name.removesuffix(WIDE)
    if compact in COMPACT_NAMES:
        shipped = kind if kind in OBJECT_KINDS else OBJECT_KINDS[0]
        return _existing(
            WEIGHTS / f"{compact}-{shipped}.safetensors", "the installation is incomplete: install it again"
        )
    if name in CELLPOSE_NAMES:
        cached = cellpose_cache() / name
        return cached if cached.is_file() else None
    return _existing(
        Path(name).expanduser(),
        f"give the path of an existing weights file, or one of {', '.join((*COMPACT_NAMES, *CELLPOSE_NAMES))}",
    )


def tile_multiple_of(name: str) -> int:
    """Return the number of which the sides of a network's tiles are multiples, by the network's name alone.

    Weights at a path count as Cellpose-SAM's; those of a compact network have smaller tiles in volumes under 256 voxels.
    """
    return 16 if name.removesuffix(WIDE) in COMPACT_NAMES else 256


def _is_wide(name: str) -> bool:
    return name in {f"{compact}{WIDE}" for compact in COMPACT_NAMES}


def cellpose_cache() -> Path:
    """Return the folder in which cellpose keeps downloaded weights."""
    chosen = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return Path(chosen) if chosen else Path.home() / ".cellpose" / "models"


def _existing(path: Path, remedy: str) -> Path:
    if not path.is_file():
        raise MissingNetworkError(f"network weights {path} do not exist; {remedy}")
    return path


@lru_cache(maxsize=32)
def _file_digest(path: str, size: int, mtime_ns: int) -> str:
    """Return the sha256 of a file; size and time let the cache notice a changed file."""
    return file_digest(Path(path))


def _download(name: str) -> Path:
    """Download weights by cellpose into its cache; a failed download leaves nothing there."""
    from cellpose import models, utils

    target = cellpose_cache() / name
    # Cellpose writes to the final name, where a killed download would be taken for the weights from then on.
    partial = target.with_name(f"{name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        utils.download_url_to_file(models._MODEL_URL + name, str(partial), progress=False)
        partial.replace(target)
    except (OSError, ValueError) as error:
        raise MissingNetworkError(
            f"network {name} is not in {target.parent} and could not be downloaded ({error}); connect this machine to "
            f"the internet once, or copy the file {name} from another machine into that folder, or choose "
            f"{' or '.join(COMPACT_NAMES)}, or a path to weights"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _read(path: Path) -> dict[str, Any]:
    """Read the state dict of a safetensors or PyTorch file without running code from it."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (
        SafetensorError,
        BadZipFile,
        pickle.UnpicklingError,
        EOFError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetworkError(
            f"network weights {path} ({path.stat().st_size} bytes) cannot be read ({reason:.120}); expected a "
            "PyTorch state dict or safetensors: the file is truncated or of another kind, copy or download it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise NetworkError(
            f"network weights {path} hold {type(state).__name__}, not a state dict of tensors; save the network's "
            "state_dict() instead"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}


def _is_compact(state: dict[str, Any]) -> bool:
    return "refine.0.weight" in state and "head.weight" in state


def _compact(state: dict[str, Any], path: Path, *, wide: bool) -> Any:
    import torch

    from spherovem_core.segmentation.compact_network import WIDE_WIDTHS, CompactNetwork, widened, widths_of

    try:
        network = CompactNetwork(widths=widths_of(state))
        network.load_state_dict(
            {key: v.float() if v.is_floating_point() else v for key, v in state.items()}, strict=True
        )
    except (RuntimeError, KeyError) as error:
        raise NetworkError(
            f"network weights {path} are not of this version's compact network ({str(error).splitlines()[-1].strip()}); "
            "train it again with python -m spherovem_core.synthetic.compact_training"
        ) from error
    if wide:
        network = widened(network, WIDE_WIDTHS)
    return network.to(memory_format=torch.channels_last)


def _cellpose(state: dict[str, Any], path: Path) -> Any:
    if "W2" not in state:
        architecture = (
            "Cellpose 3" if any(k.startswith(("downsample.", "upsample.")) for k in state) else "unknown"
        )
        raise NetworkError(
            f"network weights {path} are of {architecture} architecture; expected Cellpose 4 (Cellpose-SAM) or "
            f"{COMPACT_NAMES[0]}: fine-tune again with Cellpose 4, its older models cannot be converted"
        )
    if "encoder.cls_token" in state:
        raise NetworkError(
            f"network weights {path} have the DINOv3 backbone (cpdino), which needs the dinov3 package and its own tile "
            "size; use weights with the Cellpose-SAM backbone such as cpsam_v2"
        )
    import torch
    from cellpose.vit import CPSAM

    network = CPSAM(dtype=torch.float32)
    try:
        absent = network.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        absent = [str(error).splitlines()[-1].strip()]
    if absent:
        raise NetworkError(
            f"network weights {path} do not fit Cellpose-SAM ({absent[0]}); expected a file written by Cellpose 4 with "
            "its default backbone"
        )
    use_fast_attention(network)
    return network


def trains_in_bfloat16(network: Any) -> bool:
    """Return whether a training step of a network is to compute in bfloat16: compact ones, where that is fast.

    The compact networks that are shipped were trained so; it halves the time of a step.
    """
    return not hasattr(network, "encoder") and _fast_bfloat16(network.device)


def _fast_bfloat16(device: Any) -> bool:
    """Return whether the device multiplies bfloat16, cellpose's default, at least as fast as float32."""
    import torch

    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
