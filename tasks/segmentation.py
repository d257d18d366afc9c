"""Stage 4, segmentation: flows of the network, then masks, for cells and for nuclei."""

from tasks.steps import step_task

predict_flows_of_cells = step_task("flows_cells")
predict_flows_of_nuclei = step_task("flows_nuclei")
segment_cells = step_task("masks_cells")
segment_nuclei = step_task("masks_nuclei")
