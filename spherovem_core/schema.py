"""Contents of a results folder: every array, table and file with its meaning, from the outputs that the steps declare.

The documentation's reference is made from it, and a test compares it with the output of a run.
"""

from spherovem_core.registry import PIPELINE
from spherovem_core.store.format import FILE as FORMAT_FILE
from spherovem_core.workflow import ArrayOutput, DocumentOutput, FileOutput, Pipeline, TableOutput

NOT_OF_STEPS = (
    FileOutput(FORMAT_FILE, "Version of this layout; an older one is migrated, a newer one refused."),
    FileOutput("models/n2v-*/", "The denoising model of this acquisition: checkpoint and loss curve."),
    FileOutput(
        "meshes/cells/, meshes/nuclei/", "Surfaces with curvatures as PLY, where shape.write_meshes is on."
    ),
    FileOutput(
        "models/elastic_fields.npz",
        "Local fields of the slices at the nodes of a mesh, float32 (z, y, x, axis) in pixels, where "
        "registration.refinement is elastic.",
    ),
    FileOutput(
        "corrections/*.jsonl", "Journals of corrections by hand, one a kind of object, where any were made."
    ),
    FileOutput(
        "volume.zarr/registered/labels/*_automatic",
        "Labels as they were computed, where corrections by hand changed them.",
    ),
    FileOutput(
        "history/",
        "Tables, report and provenance that runs with other parameters replaced, in one folder for each state of before.",
    ),
    FileOutput("audits/", "Samples, sheets and journals of audits, where any were made."),
    FileOutput("REJECTED.json", "Why the watcher does not process the acquisition, where it does not."),
    FileOutput("tables/stages/", "Tables that one step leaves for another."),
    FileOutput("checksums/", "Records of what tables, documents and the report held when they were written."),
    FileOutput(
        "discarded/",
        "Of arrays that lean storage discarded: the completion marker with the history, and what the report shows of them.",
    ),
    FileOutput(
        "set-aside/", "Results changed by hand that were discarded with `spherovem verify --recompute`."
    ),
    FileOutput(
        ".spherovem/",
        "Ledgers, locks, records and provisional arrays, from which the next run continues after a kill.",
    ),
)


def arrays(pipeline: Pipeline = PIPELINE) -> tuple[ArrayOutput, ...]:
    """Return the arrays of a volume."""
    return tuple(
        output for step in pipeline.steps for output in step.outputs if isinstance(output, ArrayOutput)
    )


def tables(pipeline: Pipeline = PIPELINE) -> tuple[TableOutput, ...]:
    """Return the tables whose columns users may rely on, published ones first."""
    found = [output for step in pipeline.steps for output in step.outputs if isinstance(output, TableOutput)]
    described = [output for output in found if output.columns]
    return tuple(sorted(described, key=lambda output: not output.published))


def files(pipeline: Pipeline = PIPELINE) -> tuple[DocumentOutput | FileOutput, ...]:
    """Return the files that are neither array nor table."""
    found = [
        output
        for step in pipeline.steps
        for output in step.outputs
        if isinstance(output, DocumentOutput | FileOutput)
    ]
    return (*found, *NOT_OF_STEPS)
