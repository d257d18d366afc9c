"""The report in a headless Chromium, as a user sees it."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chromium import Page, chromium
from report_scenes import shared

pytestmark = pytest.mark.environment

SCHEMES = ("light", "dark")
WIDTHS = (1100, 400)

PICTURES = """
(async () => {
  const broken = [...document.images].filter((image) => !image.complete || image.naturalWidth === 0).length;
  const drawn = [...document.querySelectorAll("svg image")];
  let undecoded = 0;
  for (const element of drawn) {
    const image = new Image();
    image.src = element.getAttribute("href");
    try { await image.decode(); } catch { undecoded += 1; }
  }
  return { broken, undecoded, images: document.images.length, drawn: drawn.length };
})()
"""

# Elements that stick out of the page to the right. Frames that scroll are allowed.
OVERFLOW = """
document.documentElement.scrollWidth > innerWidth ? document.documentElement.scrollWidth :
[...document.querySelectorAll("main, h1, p, dl, nav, figure, figcaption, .table, .warnings")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5).length
"""

OVERLAPS = """
[...document.querySelectorAll(".panel svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
  const boxes = texts.map((text) => text.getBoundingClientRect());
  const found = [];
  for (let i = 0; i < boxes.length; i += 1)
    for (let j = i + 1; j < boxes.length; j += 1) {
      const wide = Math.min(boxes[i].right, boxes[j].right) - Math.max(boxes[i].left, boxes[j].left);
      const high = Math.min(boxes[i].bottom, boxes[j].bottom) - Math.max(boxes[i].top, boxes[j].top);
      if (wide > 2 && high > 4)
        found.push(svg.getAttribute("aria-label") + ": " + texts[i].textContent + " | " + texts[j].textContent);
    }
  return found;
})
"""

# Texts with a contrast to their ground below 4.5, which WCAG 2.1 asks of small text.
FAINT = """
(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => parse(colour).slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = (element) => {
    for (let node = element; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if ((parse(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.querySelectorAll(
    "h1, h2, h3, p, li, a, dt, dd, figcaption, th, td, button, summary, label, output, text"
  );
  return [...texts].filter((element) => element.textContent.trim()).flatMap((element) => {
    const style = getComputedStyle(element);
    const pair = [luminance(element.tagName === "text" ? style.fill : style.color), luminance(ground(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    return ratio < 4.5 ? [element.tagName + " " + ratio.toFixed(2) + " " + element.textContent.slice(0, 40)] : [];
  });
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a report and return its address."""
    path = tmp_path_factory.mktemp("seen") / "report.html"
    path.write_text(shared(tmp_path_factory)[1], encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def page(report: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        found.resize(WIDTHS[0], 900)
        found.open(report)
        yield found


def test_every_image_loads_without_errors(page: Page) -> None:
    found = page.evaluate(PICTURES)
    assert found["broken"] == found["undecoded"] == 0
    assert found["images"] == 2
    assert found["drawn"] > 20
    assert page.errors == []
    resources = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in resources if not name.startswith("data:")] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_the_page(page: Page, width: int) -> None:
    page.resize(width, 900)
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate("document.querySelector('nav').getBoundingClientRect().width") > 0.8 * width


def test_labels_of_figures_do_not_overlap(page: Page) -> None:
    page.resize(WIDTHS[0], 900)
    assert page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_has_enough_contrast(page: Page, scheme: str) -> None:
    page.set_scheme(scheme)
    page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(FAINT) == []


def test_slider_and_keys_scroll_through_the_slices(page: Page) -> None:
    page.evaluate(
        "window.figure = document.querySelector('figure.slices'); figure.querySelector('.stage').focus()"
    )
    state = "[figure.querySelector('img').src, figure.querySelector('output').textContent]"
    first = page.evaluate(state)
    assert first[1] == "z = 1.44 µm"
    page.press("ArrowRight", 39)
    second = page.evaluate(state)
    assert second[0] != first[0]
    assert second[1] == "z = 1.56 µm"
    page.press("Home", 36)
    assert page.evaluate(state)[1] == "z = 0.00 µm"
    page.press("ArrowLeft", 37)
    assert page.evaluate(state)[1] == "z = 0.00 µm"
    slider = "figure.querySelector('input[type=range]')"
    page.evaluate(f"{slider}.value = 12; {slider}.dispatchEvent(new Event('input'))")
    assert page.evaluate(state) == first
    page.evaluate("figure.querySelector('input[type=checkbox]').click()")
    assert page.evaluate("getComputedStyle(figure.querySelectorAll('img')[1]).display") == "none"
    assert page.evaluate(PICTURES)["broken"] == 0
    assert page.errors == []


def test_a_table_is_copied_separated_by_tabs(page: Page) -> None:
    page.evaluate(
        "document.addEventListener('copy', () => { window.copied = document.activeElement.value; })"
    )
    box = page.evaluate(
        "(() => { const button = document.querySelector('#history').parentElement.querySelector('button.copy'); "
        "button.scrollIntoView({ block: 'center' }); const box = button.getBoundingClientRect(); "
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
    lines = page.wait_for("window.copied").splitlines()
    assert lines[0].split("\t")[:3] == ["step", "version", "device"]
    assert lines[1].split("\t")[:3] == ["ingest", "1", "cpu"]


def test_the_page_cannot_reach_the_network(page: Page) -> None:
    refused = page.evaluate(
        "new Promise((resolve) => { document.addEventListener('securitypolicyviolation', (event) => "
        "resolve(event.violatedDirective)); fetch('http://127.0.0.1:9/').catch(() => 0); })"
    )
    assert refused == "connect-src"
    page.errors.clear()


def test_the_page_is_complete_without_scripts(page: Page, report: str) -> None:
    page.set_scripts(enabled=False)
    try:
        page.open(report)
        found = page.evaluate(PICTURES)
        assert found["broken"] == found["undecoded"] == 0
        hidden = "[...document.querySelectorAll('.controls, button.copy')].every((e) => e.getClientRects().length === 0)"
        assert page.evaluate(hidden)
        assert "This is the slice at z = 1.44 µm" in page.evaluate(
            "document.querySelector('figure.slices').innerText"
        )
        assert page.evaluate("document.querySelectorAll('table').length") > 8
    finally:
        page.set_scripts(enabled=True)


def test_the_browser_leaves_no_process(tmp_path: Path) -> None:
    def running() -> int:
        found = psutil.process_iter(["cmdline"])
        return sum(any(str(tmp_path) in word for word in process.info["cmdline"] or []) for process in found)

    with chromium(tmp_path) as other:
        assert other.evaluate("1 + 1") == 2
        assert running() > 0
    assert running() == 0
