"""Stage 2, denoising: train a network on the raw image and denoise every slice."""

from tasks.steps import step_task

denoise = step_task("denoising")
