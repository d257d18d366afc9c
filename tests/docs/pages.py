"""Commands and snippets in the documentation."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "deployments" / "README.md"]
SHELLS = ("bash", "console", "sh", "shell")
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


@contextmanager
def benchmarks_on_path() -> Iterator[None]:
    """Let the modules of the benchmarks be imported."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Find the blocks of these languages, in the order of the pages."""
    return [
        block for page in PAGES if page.is_file() for block in _blocks(page) if block.language in languages
    ]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        indent = match["indent"]
        lines = [line.removeprefix(indent) for line in match["text"].splitlines()]
        line = text.count("\n", 0, match.start()) + 2
        yield Block(str(page.relative_to(ROOT)), line, match["language"], "\n".join(lines) + "\n")


def script(block: Block) -> str:
    """Extract the text for a shell; of a console session, the lines after the prompt."""
    if block.language != "console":
        return block.text
    lines = block.text.splitlines()
    return "\n".join(line[2:] for line in lines if line.startswith("$ ")) + "\n"


def commands(block: Block) -> list[list[str]]:
    """Split a block into simple commands, each a list of words, without comments and leading assignments."""
    found = []
    text = re.sub(
        r"\\\n\s*", " ", re.sub(r"<<'?(\w+)'?\n.*?^\1$", "", script(block), flags=re.MULTILINE | re.DOTALL)
    )
    for line in text.splitlines():
        words: list[str] = []
        for word in [*_words(line), ";"]:
            if word in (";", "&&", "||", "|", "&"):
                if words:
                    found.append(words)
                words = []
            elif words or not ASSIGNMENT.match(word):
                words.append(word)
    return found


def _words(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    reader.whitespace_split = True
    reader.commenters = "#"
    return list(reader)
