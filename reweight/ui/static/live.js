// Repaints weights in the page the moment low or high moves, makes the heatmap walkable by keyboard, keeps the address bar true.
(() => {
  const SPAN = 0.15;

  const weight = (score, on, low, high) => (!on ? 1 : low === high ? high : score * (high - low) + low);

  function repaint(low, high) {
    document.querySelectorAll(".rw-weight .rw-cell").forEach((cell) => {
      const w = weight(+cell.dataset.score, cell.dataset.on === "1", low, high);
      const shade = Math.max(-1, Math.min(1, (w - 1) / SPAN));
      cell.style.setProperty("--v", shade.toFixed(3));
      const number = cell.querySelector("text");
      if (number) {
        number.textContent = w.toFixed(2);
        number.classList.toggle("rw-pale", Math.abs(shade) > 0.55);
      }
    });
    document.querySelectorAll(".rw-curves").forEach((chart) => {
      const { top, span, low: bottom, high: ceiling } = chart.dataset;
      chart.querySelectorAll("polyline").forEach((line) => {
        const mask = line.dataset.mask.split(" ");
        const points = [...line.points];
        line.setAttribute(
          "points",
          line.dataset.scores
            .split(" ")
            .map((score, t) => {
              const w = Math.max(+bottom, Math.min(+ceiling, weight(+score, mask[t] === "1", low, high)));
              return `${points[t].x},${+top + (+span * (+ceiling - w)) / (+ceiling - +bottom)}`;
            })
            .join(" "),
        );
      });
    });
  }

  window.reweightLow = (low, high) => {
    high = Math.max(low, high);
    repaint(low, high);
    return [low, high];
  };
  window.reweightHigh = (low, high) => {
    low = Math.min(low, high);
    repaint(low, high);
    return [low, high];
  };

  window.reweightAddress = (prompt, model, low, high, seed, steps, schedule) => {
    const query = new URLSearchParams(location.search);
    Object.entries({ prompt, model, low, high, seed, steps, schedule }).forEach(([key, value]) => query.set(key, value));
    history.replaceState(null, "", `${location.pathname}?${query}`);
  };

  function explain(cell) {
    const panel = cell.closest(".rw-panel")?.querySelector(".rw-note");
    if (panel) panel.textContent = cell.dataset.note;
    cell.closest("svg").querySelectorAll(".rw-chosen").forEach((other) => other.classList.remove("rw-chosen"));
    cell.classList.add("rw-chosen");
  }

  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.(".rw-cell");
    if (cell) explain(cell);
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
