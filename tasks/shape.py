"""Stage 6, shape: measure every cell and nucleus."""

from tasks.steps import step_task

measure_shape_of_cells = step_task("shape_cells")
measure_shape_of_nuclei = step_task("shape_nuclei")
