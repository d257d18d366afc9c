"""Fine-tuning of segmentation networks on labelled slices: cutting, reading, splitting, training, evaluation."""

from spherovem_core.segmentation.fine_tuning.checkpoints import drop_checkpoints
from spherovem_core.segmentation.fine_tuning.course import Tuned, fine_tune
from spherovem_core.segmentation.fine_tuning.cutting import cut_slices, cutting_grid
from spherovem_core.segmentation.fine_tuning.dataset import (
    LabelledSlice,
    SplitSlices,
    read_slices,
    split_by_plane,
    split_slices,
)
from spherovem_core.segmentation.fine_tuning.network_files import find_finished, write_network
from spherovem_core.segmentation.fine_tuning.places import spread_places, uncertain_places
from spherovem_core.segmentation.fine_tuning.prediction import evaluate_network, segment_section
from spherovem_core.segmentation.fine_tuning.scored_training import ScoredTraining, train_with_scores
from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin, labels_path, write_slice
from spherovem_core.segmentation.fine_tuning.starting_labels import labels_on_slice, write_starting_labels
from spherovem_core.segmentation.fine_tuning.targets import training_targets
from spherovem_core.segmentation.fine_tuning.uncertainty import UNCERTAINTY, object_tiles, uncertainty_tiles

__all__ = [
    "UNCERTAINTY",
    "LabelledSlice",
    "ScoredTraining",
    "SliceOrigin",
    "SplitSlices",
    "Tuned",
    "cut_slices",
    "cutting_grid",
    "drop_checkpoints",
    "evaluate_network",
    "find_finished",
    "fine_tune",
    "labels_on_slice",
    "labels_path",
    "object_tiles",
    "read_slices",
    "segment_section",
    "split_by_plane",
    "split_slices",
    "spread_places",
    "train_with_scores",
    "training_targets",
    "uncertain_places",
    "uncertainty_tiles",
    "write_network",
    "write_slice",
    "write_starting_labels",
]
