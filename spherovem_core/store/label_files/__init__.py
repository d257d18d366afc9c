"""Labels of other programs, read in regions, also onto the grid of a volume."""

from spherovem_core.store.label_files.on_grid import LabelsOnGrid, open_labels_on_grid
from spherovem_core.store.label_files.opening import open_label_volume, split_name
from spherovem_core.store.label_files.placement import Level
from spherovem_core.store.label_files.volume import LabelVolume

__all__ = ["LabelVolume", "LabelsOnGrid", "Level", "open_label_volume", "open_labels_on_grid", "split_name"]
