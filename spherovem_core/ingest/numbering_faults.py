"""Messages on names of slices that number no stack: several series or runs, two orders, no slice number."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from spherovem_core.ingest.file_names import FileName, cut_name, labels_of, names_of_series, pattern_of
from spherovem_core.ingest.name_fields import Field
from spherovem_core.ingest.problems import some_of

IN_ORDER = 'list the files in order as "files" in acquisition.json'
CHOOSE = (
    "put each into a folder of its own (stitch the tiles of a mosaic first), or choose one with --series NAME, which is "
    f'ingest.series or "series" in acquisition.json; if they are parts of one stack, {IN_ORDER}'
)
TWICE = f"move those that do not belong to the stack out of the folder, or {IN_ORDER}"
_SHOWN = 6
_SHOWN_IN_ORDER = 3

Series = Sequence[tuple[str, Sequence[str]]]


def some_names(names: Sequence[str]) -> str:
    """Write the first few names."""
    return some_of(names, _SHOWN_IN_ORDER)


def unnumbered(names: Sequence[str]) -> str:
    """Say that the names hold no slice number."""
    return f"the names hold no slice number ({some_names(names)}); rename the files with one, or {IN_ORDER}"


def text_series(groups: Sequence[Sequence[FileName]]) -> str:
    """Say which series names of different text are, or that they have nothing in common."""
    if len(groups[0]) == 1 or 3 * len(groups) > sum(map(len, groups)):
        some = some_names([group[0].name for group in groups])
        return f"the names follow no common pattern ({some}); rename the files alike with a slice number, or {IN_ORDER}"
    labels = labels_of([pattern_of(group) for group in groups])
    named = zip(labels, groups, strict=True)
    return series_fault([(label, [each.name for each in group]) for label, group in named])


def series_fault(series: Series) -> str:
    """Say which series of slices, each with its label and names, are in one folder."""
    listed = [
        f"{label} ({len(names)} {'file' if len(names) == 1 else 'files'}, such as {names[0]})"
        for label, names in _choosable(series)
    ]
    return f"{len(series)} series of slices in one folder: {', '.join(listed)}{_more(series)}; {CHOOSE}"


def _choosable(series: Series) -> Series:
    """Return the series that are shown, named by their patterns where ``--series`` would not take each of the labels."""
    every = [name for _, names in series for name in names]
    shown = series[:_SHOWN]
    if all(set(names_of_series(every, label)) == set(names) for label, names in shown):
        return shown
    return [(pattern_of([cut_name(name) for name in names]), names) for _, names in shown]


def _more(items: Sequence[object]) -> str:
    return f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""


def split_by(names: Sequence[str], keys: Sequence[Field]) -> Iterator[tuple[str, list[str]]]:
    """Split names into series by the values of some quantities; yield the label and the names of each."""
    series: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, values in enumerate(zip(*(key.values for key in keys), strict=True)):
        series[values].append(index)
    for _, members in sorted(series.items()):
        yield "_".join(key.words[members[0]] + key.letters for key in keys), [names[i] for i in members]


def restarted(runs: Sequence[Sequence[str]]) -> str:
    """Say which runs, whose slices count from the start again, are in one folder."""
    listed = "; ".join(f"{len(run)} files from {run[0]} to {run[-1]}" for run in runs[:_SHOWN])
    return (
        f"{len(runs)} runs in one folder, by the time in the names: {listed}{_more(runs)}; put each into a folder of its own; "
        f"if they are parts of one stack, {IN_ORDER}"
    )


def positions_twice(repeated: Mapping[int, Sequence[str]]) -> str:
    """Say which positions several files have."""
    firsts = [same for _, same in sorted(repeated.items())]
    listed = "; ".join(", ".join(same) for same in firsts[:_SHOWN])
    return f"{len(firsts)} positions are there twice: {listed}; {TWICE}"


def numbered_parts(names: Sequence[str], word: str) -> str:
    """Say that the names number the parts of one slice, such as tiles."""
    part = {"ch": "channel", "det": "detector"}.get(word, word.removesuffix("s"))
    return (
        f"the names number each {part} of one slice ({some_names(names)}); stitch tiles and choose one detector first; if they "
        f"are slices, {IN_ORDER}"
    )


def settings_alone(names: Sequence[str]) -> str:
    """Say that nothing but settings of the microscope differs."""
    return (
        f"the names differ in settings of the microscope alone ({some_names(names)}), which number no slices; rename the files "
        f"with a slice number, or {IN_ORDER}"
    )


def two_orders(orders: Sequence[Sequence[str]]) -> str:
    """Say in which orders the names can be read."""
    different = list(dict.fromkeys(some_names(order) for order in orders))
    listed = "; or ".join(different[:_SHOWN_IN_ORDER])
    return f"the names can be read in {len(different)} orders: {listed}; rename the files, or {IN_ORDER}"
