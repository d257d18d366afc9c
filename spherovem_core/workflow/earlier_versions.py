"""Results that an earlier version of the program wrote: what they cannot hold, which is no damage."""

from spherovem_core.store.files import read_json
from spherovem_core.store.layout import Layout
from spherovem_core.workflow.artifacts import last_entry
from spherovem_core.workflow.outputs import Output
from spherovem_core.workflow.pipeline import AnyStep, Pipeline


def is_of_earlier_version(layout: Layout, pipeline: Pipeline, output: Output) -> bool:
    """Return whether an output is absent because the version that wrote the results did not make it.

    That is so if its step wrote the others in an earlier version of the step, or if the finished run knew no such step.
    """
    step = pipeline.producer(output)
    versions = [
        version for other in step.outputs if (version := _version_of(layout, step, other)) is not None
    ]
    if versions:
        return max(versions) < step.version
    provenance = read_json(layout.provenance)
    return provenance is not None and all(
        entry.get("step") != step.name for entry in provenance.get("stages", ())
    )


def _version_of(layout: Layout, step: AnyStep, output: Output) -> int | None:
    """Return the version of the step that wrote an output; None where it is absent or says nothing."""
    entry = last_entry(layout, output, step.name)
    return None if entry is None else int(entry["version"])
