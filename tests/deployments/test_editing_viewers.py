"""The editors in the real napari (on a screen in memory) and the real Neuroglancer (in headless Chromium)."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chromium import Page, chromium
from editing_scenes import DEBRIS, ONE, THREE_LOWER, THREE_UPPER, TWO, write_scene
from foreign_environments import make_extension
from PIL import Image
from virtual_displays import virtual_display

from spherovem_core.corrections import Journal

pytestmark = pytest.mark.environment
HERE = Path(__file__).parent


def test_napari_is_driven_by_mouse_and_keyboard(tmp_path: Path) -> None:
    layout = write_scene(tmp_path / "spheroid 7")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    python = make_extension(tmp_path / "napari", "napari>=0.9", "pyside6-essentials")
    with virtual_display() as variables:
        # napari keeps its settings below HOME.
        done = subprocess.run(
            [python, HERE / "napari_driving.py", layout.folder, pictures],
            capture_output=True,
            text=True,
            check=False,
            env={**variables, "HOME": str(tmp_path)},
            timeout=400,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    said = iter(result["said"])
    for expected in (
        "select two objects or more",
        "merged 2 objects",
        "Click one point in each part",
        "split an object into 2 parts",
        "undone: split an object into 2 parts",
        "Draw a line",
        "split an object along a line",
        "suspect 3: odd volume",
        "Paint within the frame",
        "painted at",
        "accepted an object",
        "no more suspects",
        "4 operations saved",
    ):
        assert next(said).startswith(expected)
    assert result["suspects"] == 3
    assert result["selected"] == [1, 70_001]
    assert len(set(result["parts"])) == 2
    assert result["dragged"] == 0
    assert result["painted"] == 4
    assert (result["pending"], result["title"]) == (0, "Everything is saved")
    entries = Journal(layout.journal("cells")).entries()
    assert [each.operation.operation for each in entries] == ["merge", "split", "replace", "accept"]
    assert {(each.author, each.reason) for each in entries} == {("Ada", "by the test")}
    # The pictures show the image and the labels, in colour.
    for path in pictures.iterdir():
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(2**24)) > 200, path


class Editor:
    """The browser editor in another process, and its page."""

    def __init__(self, process: "subprocess.Popen[str]", page: Page) -> None:
        assert process.stdout is not None
        self._process, self._page = process, page
        self.url = process.stdout.readline().strip()
        page.resize(1100, 900)
        page.open(self.url)
        page.wait_for("document.querySelector('.neuroglancer-rendered-data-panel') !== null")
        # The keys are bound as soon as the messages are there.
        page.wait_for("document.body.innerText.includes('Point at an object')")
        self.pending = 0

    def ask(self, index: tuple[int, int, int] | None = None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(index)}\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def point_at(self, index: tuple[int, int, int]) -> None:
        # A change from the server builds the panel anew.
        found = self._page.wait_for(
            "(() => {const panel = document.querySelector('.neuroglancer-rendered-data-panel');"
            "if (!panel) return ''; const r = panel.getBoundingClientRect();"
            "return JSON.stringify([r.x, r.y, r.width, r.height])})()"
        )
        left, top, width, height = json.loads(found)
        x, y = self.ask(index)["offset"]
        place = {"x": left + width / 2 + x, "y": top + height / 2 + y}
        self._page.send("Input.dispatchMouseEvent", type="mouseMoved", **place)

    def press(self, letter: str, expected: str) -> None:
        """Press a key and wait until the editor says what is expected."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {
                "key": letter,
                "code": f"Key{letter.upper()}",
                "windowsVirtualKeyCode": ord(letter.upper()),
            }
            self._page.send("Input.dispatchKeyEvent", type=kind, **code)
        end = time.monotonic() + 60
        while not (answer := self.ask())["said"].startswith(expected):
            assert time.monotonic() < end, f"after {letter}: {answer['said']}"
            time.sleep(0.05)
        self.pending = answer["pending"]


@contextmanager
def serving(python: Path, folder: Path) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [python, HERE / "neuroglancer_driving.py", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.communicate(timeout=60)


def coloured_pixels(page: Page, path: Path) -> int:
    """Take a picture of the page; count pixels of its views that are not grey."""
    page.screenshot(path)
    with Image.open(path) as picture:
        colours = picture.convert("RGB").crop((0, 100, 1100, 800)).getcolors(2**24)
    return sum(count for count, (r, g, b) in colours if max(r, g, b) - min(r, g, b) > 40)


def test_neuroglancer_is_driven_by_mouse_and_keyboard(tmp_path: Path) -> None:
    layout = write_scene(tmp_path / "spheroid 7")
    python = make_extension(tmp_path / "neuroglancer", "neuroglancer>=2.41")
    with serving(python, layout.folder) as process, chromium(tmp_path) as page:
        editor = Editor(process, page)
        editor.press("m", "✗ select 2 objects or more")
        editor.point_at(ONE)
        editor.press("e", "object 1; 1 selected")
        editor.point_at(TWO)
        editor.press("e", "object 70001; 2 selected")
        editor.press("m", "merged 2 objects")
        editor.point_at(THREE_UPPER)
        editor.press("p", "1 split points")
        editor.point_at(THREE_LOWER)
        editor.press("p", "2 split points")
        editor.press("c", "split an object into 2 parts")
        editor.point_at(DEBRIS)
        editor.press("d", "deleted an object")
        assert editor.pending == 3
        editor.press("u", "undone: deleted an object")
        editor.press("n", "suspect 3: odd volume")
        editor.press("a", "accepted an object")
        editor.press("n", "✗ no more suspects")
        # The view draws the place of the last suspect when its blocks have come.
        end = time.monotonic() + 60
        while coloured_pixels(page, tmp_path / "page.png") <= 20_000:
            assert time.monotonic() < end, "no objects in colour on the grey image"
            time.sleep(0.2)
        editor.press("w", "3 operations saved")
        # Everything came from this machine.
        assert page.evaluate(
            "performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))"
        )
    entries = Journal(layout.journal("cells")).entries()
    assert [each.operation.operation for each in entries] == ["merge", "split", "accept"]
    assert {(each.author, each.reason) for each in entries} == {("Ada", "by the test")}
