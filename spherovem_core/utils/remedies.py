"""Message of an error with its remedy first, for readers who see only its first words."""

import re
from collections.abc import Iterator

_BORDER = re.compile(r"(?<=[;:.]) +")
"""Places between two clauses of a message."""

_FIRST_WORDS = re.compile(
    r"(?:then |or |either |to \w+(?: \w+){0,3}, |to have it again: )?(?:"
    "acquire|add|adopt|align|attach|build|check|choose|clean|close|connect|convert|copy|correct|crop|cut|delete|discard|"
    "download|draw|drop|end|export|fine-tune|fix|free|give|import|install|keep|label|leave|let|look|lower|make|mend|migrate|"
    "move|name|number|open|pass|point|press|process|put|raise|read|register|remove|rename|repair|replace|report|resample|"
    "restore|retry|run|save|select|set|split|start|state|stop|switch|take|train|try|turn|unset|update|use|wait|widen|write"
    r")\b(?! (?:\d|of\b|is\b|was\b|are\b|dict\b))",
    re.IGNORECASE,
)
"""Beginning of a clause that tells what to do."""

_EXPECTATION = re.compile("expected ", re.IGNORECASE)


def remedy_first(message: str) -> str:
    """Return a message with what to do first and what was found after it; unchanged where no remedy is recognised.

    Messages of this package name the finding, the expectation and the remedy, in this order, between ``;``, ``:`` or ``.``.
    The remedy is the last of several lines if it is in the imperative; else the longest end of the first line whose first clause
    is, or one that begins with ``expected``.
    """
    remedy, finding = split_remedy(message)
    return f"{remedy[0].upper()}{remedy[1:]}. Found: {finding}" if remedy else message


def split_remedy(message: str) -> tuple[str, str]:
    """Return the remedy of a message, and the rest of it; the remedy is empty where none is recognised."""
    line, _, more = message.partition("\n")
    before, _, last = message.strip().rpartition("\n")
    if before and _FIRST_WORDS.match(last):
        return last.rstrip(" ."), before
    places = list(_clause_starts(line))
    for beginning in (_FIRST_WORDS, _EXPECTATION):
        for place in places:
            if beginning.match(line, place):
                finding = line[:place].rstrip(" ;:.")
                return line[place:].rstrip(" ."), "\n".join(part for part in (finding, more) if part)
    return "", message


def _clause_starts(line: str) -> Iterator[int]:
    for border in _BORDER.finditer(line):
        if _is_outside_of_brackets(line[: border.start()]):
            yield border.end()


def _is_outside_of_brackets(text: str) -> bool:
    return all(text.count(opening) <= text.count(closing) for opening, closing in ("()", "[]"))
