"""Stage 8, output: write tables, report and provenance."""

from tasks.steps import step_task

write_output = step_task("output")
