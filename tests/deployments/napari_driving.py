"""Drive the napari editor by mouse and keyboard; prints what it said, as JSON. Runs in an environment of its own.

Arguments: the results folder of `editing_scenes`, and a folder for pictures.
"""

import json
import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parent))

from editing_scenes import ONE, THREE_LOWER, THREE_UPPER, TWO, um

from deployments.editing.napari_editor import NapariEditor
from deployments.editing.opening import open_scene
from deployments.editing.unsaved import ended_sessions
from spherovem_core.store import Layout

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


class Driver:
    """Mouse, keyboard and screen of one editor."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        layout = Layout(folder)
        leftovers = ended_sessions(layout, "cells")
        self.scene = open_scene(layout, "cells", author="Ada")
        self.viewer = napari.Viewer(title="test")
        self.viewer.window.resize(1480, 920)
        self.editor = NapariEditor(self.viewer, self.scene, "cells", leftovers)
        self.pictures, self.said = pictures, []
        self.settle(20)
        self.canvas = self.viewer.window._qt_viewer.canvas.native

    def settle(self, rounds: int = 6) -> None:
        for _ in range(rounds):
            QApplication.processEvents()
            time.sleep(0.02)

    def place(self, index: tuple[float, float, float]) -> QPoint:
        """Where a voxel of the slice that is shown lies on the canvas."""
        camera = self.viewer.scene.camera
        height, width = self.viewer.window._qt_viewer.canvas.size
        y, x = (np.array(um(index))[1:] - np.array(camera.center)[1:]) * camera.zoom
        return QPoint(round(width / 2 + x), round(height / 2 + y))

    def click(self, index: tuple[float, float, float], modifier: Qt.KeyboardModifier = NONE) -> None:
        place = self.place(index)
        QTest.mouseMove(self.canvas, place)
        self.settle(2)
        QTest.mouseClick(self.canvas, LEFT, modifier, place)
        self.settle()

    def drag(
        self, start: tuple[float, float, float], end: tuple[float, float, float], steps: int = 8
    ) -> None:
        first, last = self.place(start), self.place(end)
        QTest.mouseMove(self.canvas, first)
        QTest.mousePress(self.canvas, LEFT, NONE, first)
        for step in range(1, steps + 1):
            QTest.mouseMove(self.canvas, first + (last - first) * step / steps)
            self.settle(2)
        QTest.mouseRelease(self.canvas, LEFT, NONE, last)
        self.settle()

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(self.canvas, key, modifier)
        self.settle()
        self.said.append(self.editor.panel.message.text())

    def button(self, name: str) -> None:
        QTest.mouseClick(self.editor.panel.buttons[name], LEFT)
        self.settle()
        self.said.append(self.editor.panel.message.text())

    def picture(self, name: str) -> None:
        self.settle(10)
        napari.utils.io.imsave(
            str(self.pictures / f"{name}.png"), self.viewer.screenshot(canvas_only=False, flash=False)
        )


def main() -> None:
    driver = Driver(Path(sys.argv[1]), Path(sys.argv[2]))
    session, panel = driver.scene.session, driver.editor.panel
    result: dict[str, object] = {"suspects": panel.suspects.topLevelItemCount()}
    driver.press(Qt.Key.Key_M)
    driver.click(ONE)
    driver.click(TWO, SHIFT)
    result["selected"] = sorted(map(session.object_at, driver.editor.selected))
    driver.picture("selected")
    driver.press(Qt.Key.Key_M)
    driver.press(Qt.Key.Key_P)
    driver.click(THREE_UPPER)
    driver.click(THREE_LOWER)
    driver.picture("points")
    driver.press(Qt.Key.Key_S)
    driver.press(Qt.Key.Key_U)
    driver.press(Qt.Key.Key_L)
    driver.drag((5, 110, 70), (5, 110, 125))
    driver.picture("line")
    driver.press(Qt.Key.Key_S)
    result["parts"] = [session.object_at(um(THREE_UPPER)), session.object_at(um(THREE_LOWER))]
    # A drag moves the view and selects nothing.
    driver.drag((5, 80, 30), (5, 84, 40))
    result["dragged"] = len(driver.editor.selected)
    driver.press(Qt.Key.Key_N)
    driver.picture("suspect")
    driver.press(Qt.Key.Key_B)
    driver.drag((5, 20, 118), (5, 20, 100))
    driver.picture("paint")
    driver.press(Qt.Key.Key_Return)
    result["painted"] = session.object_at(um((5, 20, 105)))
    driver.button("accept")
    driver.press(Qt.Key.Key_N)
    panel.reason.setText("by the test")
    driver.button("save")
    driver.picture("saved")
    result |= {"said": driver.said, "pending": panel.pending.count(), "title": panel.pending_title.text()}
    driver.viewer.close()
    session.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
