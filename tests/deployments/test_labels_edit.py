"""``spherovem labels edit`` says what is missing before it opens anything."""

import sys
from pathlib import Path

import pytest
from editing_scenes import write_scene

from deployments.command_line.main import main
from deployments.editing import napari_window
from deployments.viewing.napari_viewer import MissingViewerError


def edit(folder: Path, *options: str) -> int:
    return main(["labels", "edit", str(folder), "--kind", "cells", *options])


@pytest.mark.parametrize(
    ("options", "module", "extra"),
    [((), "napari", "spherovem[napari]"), (("--browser",), "neuroglancer", "spherovem[neuroglancer]")],
)
def test_a_missing_viewer_is_named_with_its_extra(
    options: tuple[str, ...],
    module: str,
    extra: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    layout = write_scene(tmp_path / "spheroid 7")
    assert edit(layout.folder, *options) == 1
    assert f"pip install '{extra}'" in capsys.readouterr().err
    assert not layout.journal("cells").parent.exists()


def test_bad_arguments_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = write_scene(tmp_path / "spheroid 7")
    assert edit(layout.folder, "--suspects", str(tmp_path / "nowhere")) == 2
    assert "nowhere is not a file" in capsys.readouterr().err
    assert edit(tmp_path / "nowhere") == 2
    assert main(["labels", "edit", str(layout.folder), "--kind", "mitochondria"]) == 2


def test_a_machine_without_a_desktop_is_told_of_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(napari_window.importlib, "import_module", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingViewerError, match=r"no desktop.*--browser"):
        napari_window.check_napari()
    monkeypatch.setenv("DISPLAY", ":1")
    napari_window.check_napari()
