// The U-Net and the heatmap as one control: every weight is computed, shown and painted here, at once; pictures follow.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const OFF = "off";
  const STEP = 0.05;
  const BRUSHES = [["off", "Switch off"], ["weight", "Weight"], ["erase", "Erase"]];
  let data = null; // {scores, mask, base, blocks, steps}
  let hovered = null; // the step whose weights the U-Net shows
  let chosen = null; // the step that a click on a block acts on; null for all
  let block = null; // the block whose slider is shown
  let brush = "off";
  const past = []; // painted tables before each act

  // ---- weights
  const cell = (t, i) => rw.settings.painted?.[t]?.[i] ?? null;
  function scheduled(t, i) {
    const { low, high, first_step, last_step, blocks } = rw.settings;
    if (t + 1 < first_step || t + 1 > last_step || (blocks && !blocks.includes(i))) return 1;
    if (data.base) return data.base[t][i];
    return low === high ? high : data.scores[t][i] * (high - low) + low;
  }
  const weight = (t, i) => cell(t, i) ?? scheduled(t, i);
  rw.weight = weight;
  const steps = () => [...Array(data.steps).keys()];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const text = (value) => (value === OFF ? OFF : value.toFixed(2));

  // What the U-Net shows of a block: its weight at a step, or over all steps.
  function overall(i) {
    const at = hovered ?? chosen;
    const values = (at === null ? steps() : [at]).map((t) => weight(t, i));
    if (values.every((value) => value === OFF)) return { value: OFF, mixed: false };
    const numbers = values.map((value) => (value === OFF ? 0 : value));
    return { value: mean(numbers), mixed: values.some((value) => value === OFF) };
  }

  // ---- painting what is seen
  function shade(element, value, { span, pale }) {
    const off = value === OFF;
    const v = off ? 0 : Math.max(-1, Math.min(1, (value - 1) / span));
    element.style.setProperty("--v", v.toFixed(3));
    element.classList.toggle("rw-off", off);
    const number = $(".rw-number", element);
    if (number) {
      number.textContent = text(value);
      number.classList.toggle("rw-pale", off || Math.abs(v) > pale);
    }
  }

  function paint() {
    if (!data || !rw.settings) return;
    const heat = $("#heat-weights svg");
    if (!heat) return;
    const look = { span: +heat.dataset.span, pale: +heat.dataset.pale };
    all(".rw-cell", heat).forEach((one) => {
      const [i, t] = [+one.dataset.row, +one.dataset.column];
      const value = weight(t, i);
      shade(one, value, look);
      one.classList.toggle("rw-painted", cell(t, i) !== null);
      one.setAttribute("aria-label", `${one.dataset.name}, step ${t + 1}: ${text(value)}${cell(t, i) === null ? "" : ", by hand"}`);
    });
    all("#unet .rw-block").forEach((one) => {
      const i = +one.dataset.block;
      const { value, mixed } = overall(i);
      shade(one, value, look);
      one.classList.toggle("rw-mixed", mixed);
      one.classList.toggle("rw-chosen", i === block);
      one.setAttribute("aria-pressed", value === OFF);
      one.setAttribute("aria-label", `${data.blocks[i].name} ${text(value)}; press Enter to switch it ${value === OFF ? "on" : "off"}, arrows to change its weight`);
    });
    all(".rw-curves").forEach(curves);
    const painted = !!rw.settings.painted;
    $("#undo").disabled = !past.length;
    $("#unpaint").disabled = !painted;
    $("#painted-save").disabled = false;
    own();
    rw.tell("painted");
  }

  function curves(chart) {
    const { top, span, low, high } = chart.dataset;
    const y = (w) => +top + (+span * (+high - Math.max(+low, Math.min(+high, w === OFF ? 0 : w)))) / (+high - +low);
    const dots = all(".rw-dot", chart);
    all("polyline", chart).forEach((line, i) => {
      const points = line.getAttribute("points").split(" ").map((pair) => pair.split(",")[0]);
      line.setAttribute("points", points.map((x, t) => `${x},${y(weight(t, i)).toFixed(1)}`).join(" "));
      dots[i]?.setAttribute("cy", y(weight(0, i)));
    });
  }
  rw.repaint = paint;
  // Colour the U-Net for a step, counted from 0, or with null for what is chosen; as long as no cell is pointed at.
  rw.lookAt = (step) => {
    hovered = step;
    paint();
    all("#heat-weights .rw-head[data-column]").forEach((head) => head.classList.toggle("rw-now", +head.dataset.column === step));
  };

  // ---- changing cells
  const blank = () => steps().map(() => data.blocks.map(() => null));
  const tidy = (table) => (table.some((row) => row.some((value) => value !== null)) ? table : null);
  const where = (at) =>
    at === null ? (data.steps === 1 ? "" : data.steps === 2 ? " at both steps" : " at all steps") : data.steps === 1 ? "" : ` at step ${at + 1}`;

  function begin() {
    past.push(rw.settings.painted);
    if (past.length > 100) past.shift();
  }
  function put(pairs) {
    const table = (rw.settings.painted ?? blank()).map((row) => [...row]);
    pairs.forEach(([t, i, value]) => (table[t][i] = value));
    rw.settings.painted = tidy(table);
    paint();
    rw.tell("changed", ["painted"]);
  }
  const follow = () => {
    if ($("#live").checked) rw.draw();
    else rw.status("Press Draw for the picture with these weights.");
  };
  // Set a block's weight, "off" or null at a step, or with null at all steps; for lessons and screens too.
  rw.paint = (i, at, value, { say = true } = {}) => {
    if (say) {
      begin();
      const how = value === OFF ? "off" : value === null ? "as scheduled" : `at ${text(value)}`;
      rw.acted(`${data.blocks[i].name} ${how}${where(at)}`);
    }
    put((at === null ? steps() : [at]).map((t) => [t, i, value]));
    follow();
  };
  rw.painting = () => data;

  function toggle(i) {
    const at = chosen;
    const off = (at === null ? steps() : [at]).every((t) => weight(t, i) === OFF);
    begin();
    rw.acted(`${data.blocks[i].name} ${off ? "on again" : "off"}${where(at)}`);
    put((at === null ? steps() : [at]).map((t) => [t, i, off ? null : OFF]));
    block = i;
    paint();
    follow();
  }
  function shift(i, by, first = true) {
    const { value } = overall(i);
    const next = Math.min(2, Math.max(0, Math.round(((value === OFF ? 0 : value) + by) / STEP) * STEP));
    block = i;
    rw.paint(i, chosen, +next.toFixed(2), { say: first });
  }

  function undo() {
    if (!past.length) return;
    rw.acted("Undone");
    rw.settings.painted = past.pop();
    if (rw.settings.painted && rw.settings.painted.length !== data.steps) rw.settings.painted = null;
    paint();
    rw.tell("changed", ["painted"]);
    follow();
  }

  // ---- the U-Net under the pointer
  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const one = event.target.closest?.("#unet .rw-block");
    if (!one || event.button) return;
    const i = +one.dataset.block;
    const { value } = overall(i);
    drag = { i, y: event.clientY, from: value === OFF ? 0 : value, moved: false, shift: event.shiftKey };
    one.setPointerCapture?.(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const by = (drag.y - event.clientY) / 80;
    if (!drag.moved && Math.abs(drag.y - event.clientY) < 5) return;
    const next = +Math.min(2, Math.max(0, Math.round((drag.from + by) / STEP) * STEP)).toFixed(2);
    if (drag.moved && next === drag.last) return;
    if (!drag.moved) begin();
    block = drag.i;
    drag.moved = true;
    drag.last = next;
    if (!drag.said) rw.acted("");
    drag.said = true;
    rename(`${data.blocks[drag.i].name} at ${text(next)}${where(chosen)}`);
    rw.paint(drag.i, chosen, next, { say: false });
  });
  const rename = (name) => rw.react?.(name);
  document.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { i, moved, shift: shifted } = drag;
    drag = null;
    if (moved) return;
    if (shifted) {
      block = i;
      paint();
      $("#block-weight").focus();
    } else toggle(i);
  });
  document.addEventListener("pointercancel", () => (drag = null));

  // ---- the heatmap under the pointer
  let stroke = null;
  const colour = () => (brush === "off" ? OFF : brush === "erase" ? null : +$("#brush-weight").value);
  const called = () => (brush === "off" ? "off" : brush === "erase" ? "as scheduled" : `at ${text(colour())}`);
  function cellsOf(target) {
    const one = target.closest?.("#heat-weights .rw-cell");
    if (one) return [[+one.dataset.column, +one.dataset.row]];
    const head = target.closest?.("#heat-weights .rw-head");
    if (!head) return null;
    if (head.dataset.row !== undefined) return steps().map((t) => [t, +head.dataset.row]);
    return data.blocks.map((_, i) => [+head.dataset.column, i]);
  }
  function nameOf(cells) {
    const blocks = new Set(cells.map(([, i]) => i));
    const times = new Set(cells.map(([t]) => t));
    const who = blocks.size === 1 ? data.blocks[[...blocks][0]].name : blocks.size === data.blocks.length ? "Every block" : `${blocks.size} blocks`;
    const when = times.size === data.steps ? where(null) : times.size === 1 ? where([...times][0]) : ` at ${times.size} steps`;
    return `${who} ${called()}${when}`;
  }
  function brushed(cells) {
    // A whole block, step or cell that is as the brush would have it already is given back to the schedule.
    const value = stroke.value;
    stroke.cells.push(...cells);
    rename(nameOf(stroke.cells));
    put(cells.map(([t, i]) => [t, i, value]));
    follow();
  }
  function start(cells) {
    const same = brush !== "erase" && cells.every(([t, i]) => cell(t, i) === colour());
    begin();
    stroke = { cells: [], value: same ? null : colour() };
    rw.acted("");
    brushed(cells);
    if (same) rename(nameOf(cells).replace(called(), "as scheduled"));
  }
  document.addEventListener("pointerdown", (event) => {
    if (event.button || !data) return;
    const cells = cellsOf(event.target);
    if (!cells) return;
    event.target.releasePointerCapture?.(event.pointerId);
    if (event.pointerType !== "touch") event.preventDefault();
    event.target.closest(".rw-cell, .rw-head").focus?.({ preventScroll: true });
    start(cells);
  });
  document.addEventListener("pointerover", (event) => {
    if (!data) return;
    const cells = cellsOf(event.target);
    const at = cells && new Set(cells.map(([t]) => t)).size === 1 ? cells[0][0] : null;
    if (at !== hovered) {
      hovered = at;
      paint();
    }
    if (stroke && cells && event.buttons) brushed(cells);
  });
  document.addEventListener("pointerup", () => (stroke = null));

  // ---- keyboard
  document.addEventListener("keydown", (event) => {
    if (!data) return;
    const target = event.target;
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !target.matches?.("input, textarea, select")) {
      event.preventDefault();
      return undo();
    }
    const one = target.closest?.("#unet .rw-block");
    if (one) {
      const i = +one.dataset.block;
      const by = { ArrowUp: STEP, ArrowRight: STEP, ArrowDown: -STEP, ArrowLeft: -STEP }[event.key];
      if (event.key === "Enter" || event.key === " ") toggle(i);
      else if (by) shift(i, by);
      else if (event.key === "Delete" || event.key === "Backspace") rw.paint(i, chosen, null);
      else return;
      return event.preventDefault();
    }
    const cells = cellsOf(target);
    if (!cells) return;
    const heat = target.closest("svg");
    if (event.key === "Enter" || event.key === " ") start(cells);
    else if (event.key === "Delete" || event.key === "Backspace") {
      begin();
      rw.acted(nameOf(cells).replace(called(), "as scheduled"));
      put(cells.map(([t, i]) => [t, i, null]));
      follow();
    } else if (event.key === "+" || event.key === "-") {
      begin();
      const by = event.key === "+" ? STEP : -STEP;
      rw.acted(nameOf(cells).replace(called(), event.key === "+" ? "raised" : "lowered"));
      put(cells.map(([t, i]) => [t, i, +Math.min(2, Math.max(0, (weight(t, i) === OFF ? 0 : weight(t, i)) + by)).toFixed(2)]));
      follow();
    } else {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step) return;
      const here = target.closest(".rw-cell, .rw-head");
      const [row, column] = [+(here.dataset.row ?? -1) + step[0], +(here.dataset.column ?? -1) + step[1]];
      const next =
        row < 0 && column >= 0 ? $(`.rw-head[data-column="${column}"]`, heat)
        : column < 0 && row >= 0 ? $(`.rw-head[data-row="${row}"]`, heat)
        : $(`.rw-cell[data-row="${row}"][data-column="${column}"]`, heat);
      if (next) {
        here.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
    }
    event.preventDefault();
    stroke = null;
  });

  // ---- a block's own slider
  function own() {
    const slider = $("#block-weight");
    const name = $("#block-name");
    const there = block !== null && block < data.blocks.length;
    slider.disabled = $("#block-off").disabled = !there;
    if (!there) return (name.textContent = "Choose a block");
    const { value } = overall(block);
    name.textContent = `${data.blocks[block].name}${where(chosen)}: ${text(value)}`;
    if (document.activeElement !== slider || slider.value === "") slider.value = value === OFF ? 0 : value;
    slider.style.setProperty("--at", `${slider.value * 50}%`);
    $("#block-off").textContent = value === OFF ? "switch on" : "switch off";
  }
  let sliding = false;
  document.addEventListener("input", (event) => {
    if (event.target.id === "block-weight" && block !== null) {
      const value = +event.target.value;
      if (!sliding) {
        begin();
        rw.acted("");
      }
      sliding = true;
      rename(`${data.blocks[block].name} at ${text(value)}${where(chosen)}`);
      rw.paint(block, chosen, value, { say: false });
    }
    if (event.target.id === "brush-weight") {
      brush = "weight";
      brushes();
      $("#brush-says").textContent = (+event.target.value).toFixed(2);
    }
    if (event.target.name === "rw-brush") {
      brush = event.target.value;
      brushes();
    }
    if (event.target.name === "rw-at" || event.target.id === "at-step") {
      const value = event.target.value;
      chosen = value === "" || value === "0" ? null : +value - 1;
      const says = $("#at-says");
      if (says) says.textContent = chosen === null ? "all steps" : `step ${chosen + 1}`;
      paint();
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "block-weight") sliding = false;
    if (event.target.id === "painted-file") load(event.target.files[0]);
  });

  function brushes() {
    const place = $("#brushes");
    if (!place.children.length)
      place.innerHTML = BRUSHES.map(([key, name]) => `<label class="rw-seg"><input type="radio" name="rw-brush" value="${key}"><span>${name}</span></label>`).join("");
    all("input", place).forEach((input) => (input.checked = input.value === brush));
    const slider = $("#brush-weight");
    slider.style.setProperty("--at", `${slider.value * 50}%`);
  }
  function stepsChosen() {
    const place = $("#steps-chosen");
    if (data.steps <= 4)
      place.innerHTML = ["all steps", ...steps().map((t) => `step ${t + 1}`)]
        .slice(0, data.steps === 1 ? 1 : undefined)
        .map((name, n) => `<label class="rw-seg"><input type="radio" name="rw-at" value="${n || ""}"${n ? "" : " checked"}><span>${name}</span></label>`)
        .join("");
    else
      place.innerHTML = `<label class="rw-soft" for="at-step">a click acts on</label> <input type="range" id="at-step" min="0" max="${data.steps}" value="0"> <output id="at-says">all steps</output>`;
    chosen = null;
  }

  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "block-off" && block !== null) toggle(block);
    if (id === "undo") undo();
    if (id === "unpaint") {
      begin();
      rw.acted("What was painted is cleared");
      rw.settings.painted = null;
      paint();
      rw.tell("changed", ["painted"]);
      follow();
    }
    if (id === "painted-save") save();
    if (id === "painted-load") $("#painted-file").click();
  });

  // ---- painted tables as files
  const save = () =>
    rw.act("compare", "save-weights", {}, (event) => event.kind === "file" && rw.download(event.name, event.text, "application/json"));
  rw.download = (name, content, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  async function load(file) {
    const text = file && file.size <= 1e6 ? await file.text() : "";
    $("#painted-file").value = "";
    if (!file) return;
    if (!text) return rw.say("This file is empty, or too large to be a table of weights.", true);
    await rw.act("compare", "load-weights", { text }, (event) => {
      if (event.kind !== "cells") return;
      begin();
      rw.acted("Weights from a file");
      rw.set({ painted: event.painted });
    });
  }

  // ---- what the server says
  rw.on("about", (event) => {
    data = event;
    if (event.drawings) {
      rw.panels = event.panels;
      $("#unet").innerHTML = event.drawings.unet;
      $("#heat-weights").innerHTML = event.drawings.heat;
      all(".rw-curves-here").forEach((place) => (place.innerHTML = event.drawings.curves));
      rw.drawings = event.drawings;
      past.length = 0;
      block = hovered = null;
      stepsChosen();
      brushes();
    }
    $("#source").textContent = `Importance: ${event.source}.`;
    all(".rw-method").forEach((box) => {
      const reason = event.inert[box.dataset.method] ?? "";
      $(".rw-inert", box).textContent = reason;
    });
    all("#columns input").forEach((box) => {
      const reasons = box.dataset.column.split("+").map((key) => event.inert[key]);
      const idle = reasons.every(Boolean);
      box.disabled = idle && !box.checked;
      box.parentElement.title = idle ? reasons.join(" ") : "";
      box.parentElement.classList.toggle("rw-soft", box.disabled);
    });
    paint();
  });
  rw.on("changed", (names) => names[0] !== "painted" && paint());
  let named = false;
  rw.on("changed", (names) => {
    const name = names[0];
    if (!["low", "high", "schedule"].includes(name)) return (named = false);
    if (named !== name) rw.acted("");
    named = name;
    const { low, high, schedule } = rw.settings;
    const option = $("#schedule-select")?.selectedOptions[0]?.textContent.split(" (")[0];
    rename(name === "schedule" ? `Weights from ${option ?? schedule}` : `low ${low.toFixed(2)}, high ${high.toFixed(2)}`);
  });
  document.addEventListener("pointerup", () => (named = false));
})();
