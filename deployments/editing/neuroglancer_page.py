"""The page of Neuroglancer, with a script that keeps its keys working while the server changes what is shown."""

from neuroglancer.static import ImportlibResourcesContentSource

# Every change from the server builds the panels anew. A key that is pressed before the page has found its focus again would be
# lost, and the place of the mouse is unknown until it moves.
SCRIPT = """
<script>
(() => {
  let last = null;
  document.addEventListener("mousemove", (event) => { if (event.isTrusted) last = event; }, true);
  document.addEventListener("keydown", (event) => {
    if (!event.isTrusted || event.target.closest?.("input, textarea, [contenteditable]")) return;
    if (last !== null) {
      const place = { clientX: last.clientX, clientY: last.clientY, bubbles: true, view: window };
      const panel = document.elementFromPoint(last.clientX, last.clientY);
      for (const name of ["mouseenter", "mousemove"]) panel?.dispatchEvent(new MouseEvent(name, place));
    }
    if (event.target === document.body) {
      document.querySelector(".neuroglancer-viewer")?.dispatchEvent(new KeyboardEvent("keydown", event));
    }
  }, true);
})();
</script>
"""


class Page(ImportlibResourcesContentSource):  # type: ignore[misc]
    """Files of the page as they are in Neuroglancer's package, with the script in the first of them."""

    def get_content(self, name: str) -> bytes:
        """Return a file."""
        content = bytes(super().get_content(name))
        return (
            content.replace(b"</head>", SCRIPT.encode() + b"</head>", 1) if name == "index.html" else content
        )
