// The heatmap of weights as something to paint on: a brush, strokes over cells, whole blocks and steps, keys.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { table } = rw;
  const { OFF, STEP } = table;
  const BRUSHES = [["off", "Switch off"], ["weight", "Weight"], ["erase", "Erase"]];
  let brush = "off";
  let stroke = null;
  let tapped = null; // cells under a finger, which may be about to scroll the page

  const colour = () => (brush === "off" ? OFF : brush === "erase" ? null : +$("#brush-weight").value);
  const called = (value) => (value === OFF ? "off" : value === null ? "as scheduled" : `at ${table.text(value)}`);
  function cellsOf(target) {
    const one = target.closest?.("#heat-weights .rw-cell");
    if (one) return [[+one.dataset.column, +one.dataset.row]];
    const head = target.closest?.("#heat-weights .rw-head");
    if (!head) return null;
    if (head.dataset.row !== undefined) return table.steps().map((t) => [t, +head.dataset.row]);
    return table.data.blocks.map((_, i) => [+head.dataset.column, i]);
  }
  // What an act on cells is called, and, where one block is switched off by it, which.
  function named(cells, how) {
    const { blocks, steps } = table.data;
    const n = new Set(cells.map(([t, i]) => `${t} ${i}`)).size;
    const [who, when] = [1, 0].map((part) => [...new Set(cells.map((cell) => cell[part]))]);
    if (n < who.length * when.length) return { text: `${n} cells ${how}`, off: null };
    const name = who.length === 1 ? blocks[who[0]].name : who.length === blocks.length ? "Every block" : `${who.length} blocks`;
    const at = when.length === steps ? null : when.length === 1 ? when[0] : undefined;
    const where = at === undefined ? ` at ${when.length} steps` : table.where(at);
    return { text: `${name} ${how}${where}`, off: how === "off" && who.length === 1 && at !== undefined ? { block: who[0], at } : null };
  }
  const say = ({ text, off }) => rw.acted(text, { off });
  const resay = ({ text, off }) => rw.react(text, { off });
  function change(cells, value, how) {
    table.remember();
    say(named(cells, how));
    table.put(cells.map(([t, i]) => [t, i, value(t, i)]));
    table.draw();
  }

  // ---- strokes
  function paint(cells) {
    stroke.cells.push(...cells);
    resay(named(stroke.cells, called(stroke.value)));
    table.put(cells.map(([t, i]) => [t, i, stroke.value]));
    table.draw();
  }
  // A whole block, step or cell that is as the brush would have it already is given back to the schedule.
  function begin(cells) {
    const same = brush !== "erase" && cells.every(([t, i]) => table.cell(t, i) === colour());
    table.remember();
    stroke = { cells: [], value: same ? null : colour() };
    rw.acted("");
    paint(cells);
  }
  document.addEventListener("pointerdown", (event) => {
    const cells = !event.button && table.data && cellsOf(event.target);
    if (!cells) return;
    event.target.releasePointerCapture?.(event.pointerId);
    if (event.pointerType === "touch") return void (tapped = cells);
    event.preventDefault();
    event.target.closest(".rw-cell, .rw-head").focus?.({ preventScroll: true });
    begin(cells);
  });
  document.addEventListener("pointerover", (event) => {
    if (!table.data) return;
    const cells = cellsOf(event.target);
    const at = cells && new Set(cells.map(([t]) => t)).size === 1 ? cells[0][0] : null;
    if (at !== table.hovered) {
      table.hovered = at;
      rw.repaint();
    }
    if (tapped && `${cells}` !== `${tapped}`) tapped = null;
    if (stroke && cells && event.buttons) paint(cells);
  });
  document.addEventListener("pointerup", () => {
    if (tapped) begin(tapped);
    tapped = stroke = null;
  });
  document.addEventListener("pointercancel", () => (tapped = stroke = null));

  // ---- where a heatmap is wider than its place, its blocks' names stay
  function along(place) {
    const svg = $(".rw-heat", place);
    if (!svg) return;
    const { width } = svg.getBoundingClientRect();
    svg.style.setProperty("--along", `${width ? (place.scrollLeft * svg.viewBox.baseVal.width) / width : 0}px`);
    svg.classList.toggle("rw-along", place.scrollLeft > 0);
  }
  document.addEventListener("scroll", (event) => event.target.matches?.(".rw-scroll") && along(event.target), true);

  // ---- by keys
  document.addEventListener("keydown", (event) => {
    const cells = table.data && !event.ctrlKey && !event.metaKey && cellsOf(event.target);
    if (!cells) return;
    const by = { "+": STEP, "-": -STEP }[event.key];
    if (event.key === "Enter" || event.key === " ") begin(cells);
    else if (event.key === "Delete" || event.key === "Backspace") change(cells, () => null, "as scheduled");
    else if (by) {
      const number = (t, i) => (rw.weight(t, i) === OFF ? 0 : rw.weight(t, i));
      change(cells, (t, i) => table.clamped(number(t, i) + by), by > 0 ? "raised" : "lowered");
    } else if (!walk(event)) return;
    event.preventDefault();
    stroke = null;
  });
  function walk({ key, target }) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
    if (!step) return false;
    const here = target.closest(".rw-cell, .rw-head");
    const [row, column] = [+(here.dataset.row ?? -1) + step[0], +(here.dataset.column ?? -1) + step[1]];
    const where =
      row < 0 && column >= 0 ? `.rw-head[data-column="${column}"]`
      : column < 0 && row >= 0 ? `.rw-head[data-row="${row}"]`
      : `.rw-cell[data-row="${row}"][data-column="${column}"]`;
    const next = $(where, target.closest("svg"));
    if (next) {
      here.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    }
    return true;
  }

  // ---- the brush
  table.offerBrushes = () => {
    const place = $("#brushes");
    if (!place.children.length)
      place.innerHTML = BRUSHES.map(([key, name]) => `<label class="rw-seg"><input type="radio" name="rw-brush" value="${key}"><span>${name}</span></label>`).join("");
    all("input", place).forEach((input) => (input.checked = input.value === brush));
    const slider = $("#brush-weight");
    slider.style.setProperty("--at", `${slider.value * 50}%`);
  };
  document.addEventListener("input", (event) => {
    if (event.target.id === "brush-weight") {
      brush = "weight";
      $("#brush-says").textContent = (+event.target.value).toFixed(2);
      table.offerBrushes();
    }
    if (event.target.name === "rw-brush") {
      brush = event.target.value;
      table.offerBrushes();
    }
  });
})();
