"""Fine-tuning of segmentation networks on labelled slices: cutting, reading, splitting, training, evaluation."""

from spherovem_core.segmentation.fine_tuning.cutting import cut_slices
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice, read_slices, split_by_plane
from spherovem_core.segmentation.fine_tuning.network_files import find_finished, write_network
from spherovem_core.segmentation.fine_tuning.overlays import as_png, overlay
from spherovem_core.segmentation.fine_tuning.prediction import evaluate_network, segment_section
from spherovem_core.segmentation.fine_tuning.scored_training import ScoredTraining, train_with_scores
from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin, write_slice
from spherovem_core.segmentation.fine_tuning.training import EpochLosses, fine_tune

__all__ = [
    "EpochLosses",
    "LabelledSlice",
    "ScoredTraining",
    "SliceOrigin",
    "as_png",
    "cut_slices",
    "evaluate_network",
    "find_finished",
    "fine_tune",
    "overlay",
    "read_slices",
    "segment_section",
    "split_by_plane",
    "train_with_scores",
    "write_network",
    "write_slice",
]
