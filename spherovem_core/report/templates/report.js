"use strict";
for (const figure of document.querySelectorAll("figure.slices")) {
  const frames = JSON.parse(figure.querySelector("script").textContent);
  const [image, outlines] = figure.querySelectorAll("img");
  const slider = figure.querySelector("input[type=range]");
  const shown = figure.querySelector("input[type=checkbox]");
  const title = figure.querySelector("output");
  const stage = figure.querySelector(".stage");
  const show = (wanted) => {
    const number = Math.min(frames.length - 1, Math.max(0, wanted));
    slider.value = number;
    image.src = frames[number].image;
    outlines.src = frames[number].outlines;
    title.textContent = frames[number].title;
    image.alt = "Slice at " + frames[number].title;
  };
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
  stage.tabIndex = 0;
  stage.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(Number(slider.value) + steps[event.key]);
  });
  slider.addEventListener("input", () => show(Number(slider.value)));
  shown.addEventListener("change", () => { outlines.hidden = !shown.checked; });
  figure.querySelector(".controls").hidden = false;
  show(Number(slider.value));
}
for (const heading of document.querySelectorAll(".scroll th")) {
  heading.tabIndex = 0;
  heading.title = "sort";
  const sort = () => {
    const body = heading.closest("table").tBodies[0];
    const falling = heading.getAttribute("aria-sort") === "ascending";
    const value = (row) => row.cells[heading.cellIndex].textContent;
    const numeric = (text) => (text.trim() === "" ? NaN : Number(text));
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      const [x, y] = [numeric(a), numeric(b)];
      // What is no number comes last among numbers, either way.
      if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
      return (Number.isNaN(x) ? a.localeCompare(b) : x - y) * (falling ? -1 : 1);
    });
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...rows);
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    sort();
  });
}
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const rows = [...button.closest(".table").querySelectorAll("tr")];
    const text = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join("\t")).join("\n");
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.textContent = done ? "copied" : "not copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
