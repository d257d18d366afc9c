"""Messages of errors with their remedy first."""

import ast
from pathlib import Path

import pytest

import spherovem_core
from spherovem_core.utils.remedies import remedy_first, split_remedy


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "the folder /data cannot be written (No space); choose another or give write permission",
            "Choose another or give write permission. Found: the folder /data cannot be written (No space)",
        ),
        (
            "a.tif has 3 axes; expected two: write one slice per file",
            "Write one slice per file. Found: a.tif has 3 axes; expected two",
        ),
        (
            "a does not exist; expected a folder of slices",
            "Expected a folder of slices. Found: a does not exist",
        ),
        (
            "a: 2 of 9 slices are damaged\n  slice 3: truncated\nRepair these files or acquire them again",
            "Repair these files or acquire them again. Found: a: 2 of 9 slices are damaged\n  slice 3: truncated",
        ),
        (
            "a was removed. Nothing was computed. Restore it from a copy; or discard the labels: spherovem verify a.",
            "Restore it from a copy; or discard the labels: spherovem verify a. Found: a was removed. Nothing was computed",
        ),
    ],
)
def test_the_remedy_comes_first(message: str, shown: str) -> None:
    assert remedy_first(message) == shown


@pytest.mark.parametrize(
    "message",
    [
        "no message with a remedy",
        "a.npz: label 7 is not in the index",
        "the cause: state dict missing",
        "bad input (a; choose b) in slice 3",
        "",
    ],
)
def test_nothing_is_taken_for_a_remedy_that_is_none(message: str) -> None:
    assert remedy_first(message) == message
    assert split_remedy(message) == ("", message)


def test_nothing_of_a_message_is_lost() -> None:
    for message in raised_messages():
        remedy, finding = split_remedy(message)
        kept = sorted(letter for letter in remedy + finding if letter.isalnum())
        assert kept == sorted(letter for letter in message if letter.isalnum()), message


def test_most_messages_of_the_package_name_a_remedy() -> None:
    """Find a remedy in all but parts of messages, messages whose remedy is in a variable, and errors of the program."""
    found = [bool(split_remedy(message)[0]) for message in raised_messages() if len(message) > 60]
    assert len(found) > 150
    assert sum(found) > 0.85 * len(found)


def raised_messages() -> list[str]:
    """Read the messages of all errors that the core raises, with X for each value."""
    messages = []
    for path in Path(str(spherovem_core.__path__[0])).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = text_of(node.exc.args[0])
                if text and "Error" in ast.unparse(node.exc.func):
                    messages.append(text)
    return messages


def text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return ""
