// Repaints weights in the page the moment low or high moves, makes the heatmap walkable by keyboard, keeps the address true.
(() => {
  let bounds = null;

  const weight = (score, on, [low, high]) => (!on ? 1 : low === high ? high : score * (high - low) + low);
  const weightOf = (cell) => weight(+cell.dataset.score, cell.dataset.on === "1", bounds);

  function paintCell(cell) {
    const w = weightOf(cell);
    const { span, pale } = cell.closest("svg").dataset;
    const shade = Math.max(-1, Math.min(1, (w - 1) / span));
    cell.style.setProperty("--v", shade.toFixed(3));
    cell.setAttribute("aria-label", cell.getAttribute("aria-label").replace(/\S+$/, w.toFixed(2)));
    const number = cell.querySelector("text");
    if (number) {
      number.textContent = w.toFixed(2);
      number.classList.toggle("rw-pale", Math.abs(shade) > pale);
    }
  }

  function paintCurves(chart) {
    const { top, span, low: bottom, high: ceiling } = chart.dataset;
    const y = (w) => +top + (+span * (+ceiling - Math.max(+bottom, Math.min(+ceiling, w)))) / (+ceiling - +bottom);
    const dots = chart.querySelectorAll(".rw-dot");
    chart.querySelectorAll("polyline").forEach((line, i) => {
      const mask = line.dataset.mask.split(" ");
      const heights = line.dataset.scores.split(" ").map((score, t) => y(weight(+score, mask[t] === "1", bounds)));
      line.setAttribute("points", [...line.points].map((point, t) => `${point.x},${heights[t]}`).join(" "));
      dots[i]?.setAttribute("cy", heights[0]);
    });
  }

  window.reweightPaint = (low, high) => {
    bounds = [low, high];
    document.querySelectorAll(".rw-weight .rw-cell").forEach(paintCell);
    document.querySelectorAll(".rw-curves").forEach(paintCurves);
    document.querySelectorAll(".rw-chosen").forEach(explain);
  };

  window.reweightKeepOrder = (moved, low, high) => {
    if (low > high) [low, high] = moved === "low" ? [low, low] : [high, high];
    window.reweightPaint(low, high);
    return [low, high];
  };

  window.reweightAddress = (prompt, model, low, high, seed, steps, schedule) => {
    const query = new URLSearchParams(location.search);
    Object.entries({ prompt, model, low, high, seed, steps, schedule }).forEach(([key, value]) => query.set(key, value));
    history.replaceState(null, "", `${location.pathname}?${query}`);
  };

  // The file is known to the page a moment after the server has told it.
  window.reweightDownload = (id) =>
    setTimeout(() => (document.querySelector(`#${id} a, a#${id}`) ?? document.getElementById(id))?.click(), 150);

  function explain(cell) {
    const note = cell.closest(".rw-panel")?.querySelector(".rw-note");
    if (note) note.textContent = cell.dataset.note.replace("{w}", weightOf(cell).toFixed(3));
    cell.closest("svg").querySelectorAll(".rw-chosen").forEach((other) => other.classList.remove("rw-chosen"));
    cell.classList.add("rw-chosen");
  }

  // Gradio leaves these pictures without a text of their own.
  function nameImages() {
    const pair = document.querySelector("#pair input:checked")?.value ?? "";
    document.querySelectorAll("#image-slider img").forEach((image, i) => {
      const name = pair.split(" | ")[i];
      if (name && image.alt !== `${name} picture`) image.alt = `${name} picture`;
    });
    document.querySelectorAll("footer img:not([alt])").forEach((image) => (image.alt = "API"));
  }
  let naming = false;
  new MutationObserver(() => {
    if (naming) return;
    naming = true;
    requestAnimationFrame(() => {
      naming = false;
      nameImages();
    });
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["src"] });

  // The last picture stays behind the next one while that loads.
  document.addEventListener(
    "load",
    (event) => {
      const frame = event.target.closest?.(".rw-picture");
      if (frame && event.target.tagName === "IMG") frame.style.backgroundImage = `url("${event.target.src}")`;
    },
    true,
  );

  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.(".rw-cell");
    if (cell) explain(cell);
    // On a phone these lie below the pictures that they draw.
    if (innerWidth <= 640 && event.target.closest?.("#examples button, #surprise, #dice"))
      document.getElementById("status").scrollIntoView();
  });

  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.(".rw-cell");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return explain(cell);
    }
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = cell
      .closest("svg")
      .querySelector(`[data-row="${+cell.dataset.row + step[0]}"][data-column="${+cell.dataset.column + step[1]}"]`);
    if (!next) return;
    cell.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
})();
