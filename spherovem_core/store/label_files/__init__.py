"""Labels of other programs, read in regions, also onto the grid of a volume."""

from spherovem_core.store.label_files.digest import label_digest
from spherovem_core.store.label_files.on_grid import LabelsOnGrid, open_labels_on_grid
from spherovem_core.store.label_files.opening import (
    LabelHeader,
    describe_labels,
    open_label_volume,
    split_name,
)
from spherovem_core.store.label_files.placement import Level
from spherovem_core.store.label_files.volume import LabelVolume

__all__ = [
    "LabelHeader",
    "LabelVolume",
    "LabelsOnGrid",
    "Level",
    "describe_labels",
    "label_digest",
    "open_label_volume",
    "open_labels_on_grid",
    "split_name",
]
