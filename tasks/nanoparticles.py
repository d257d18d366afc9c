"""Stage 5, nanoparticles: fit the mixture of intensities and label the particles."""

from tasks.steps import step_task

segment_nanoparticles = step_task("nanoparticles")
