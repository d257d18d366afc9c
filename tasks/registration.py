"""Stage 3, registration: align the denoised slices, each warped once."""

from tasks.steps import step_task

register = step_task("registration")
