"""Stage 7, spatial: measure distances to the nucleus, assign nuclei and particles to cells."""

from tasks.steps import step_task

measure_space = step_task("spatial")
