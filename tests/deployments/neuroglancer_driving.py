"""Serve the browser editor until standard input ends; prints its address, then JSON of each message. Runs elsewhere.

Arguments: the results folder of `editing_scenes`.
"""

import json
import sys
from pathlib import Path

from deployments.editing.neuroglancer_server import serve_editor
from deployments.editing.opening import open_scene
from deployments.editing.unsaved import ended_sessions
from spherovem_core.store import Layout


def main() -> None:
    layout = Layout(Path(sys.argv[1]))
    leftovers = ended_sessions(layout, "cells")
    scene = open_scene(layout, "cells", author="Ada")
    running = serve_editor(scene, "cells", leftovers, "127.0.0.1", 0, "by the test")
    print(running.url, flush=True)
    editor = running.editor
    # Each line is a voxel; the answer says where it lies on the page, from the middle of the view, and what was said last.
    for line in sys.stdin:
        index = json.loads(line)
        answer = {"said": editor.message, "pending": len(scene.session.pending)}
        if index is not None:
            state = editor.viewer.state
            place = zip(editor._position(scene.session.canvas.point_of(index)), state.position, strict=True)
            answer["offset"] = [(float(a) - float(b)) / state.cross_section_scale for a, b in place][:2]
        print(json.dumps(answer), flush=True)
    running.stop()
    scene.session.close()


if __name__ == "__main__":
    main()
