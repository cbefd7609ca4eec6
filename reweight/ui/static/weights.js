// The weight of every block at every step, as the page computes and keeps it: scheduled, painted by hand, undone, as files.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  const OFF = "off";
  const MOST = 100; // acts that can be undone
  const past = []; // before each act: {painted, others}, where others are further settings that it changed
  // data: {scores, mask, base, blocks, steps}; at: the step that acts on a block are for, null for all; block: the one chosen
  const table = (rw.table = { OFF, STEP: 0.05, data: null, at: null, block: null });

  // ---- weights
  const cell = (t, i) => rw.settings.painted?.[t]?.[i] ?? null;
  function scheduled(t, i) {
    const { low, high, first_step, last_step, blocks } = rw.settings;
    if (t + 1 < first_step || t + 1 > last_step || (blocks && !blocks.includes(i))) return 1;
    if (table.data.base) return table.data.base[t][i];
    return low === high ? high : table.data.scores[t][i] * (high - low) + low;
  }
  const steps = () => [...Array(table.data.steps).keys()];
  const clamped = (value) => +Math.min(2, Math.max(0, Math.round(value / table.STEP) * table.STEP)).toFixed(2);
  rw.weight = (t, i) => cell(t, i) ?? scheduled(t, i);
  rw.painting = () => table.data;
  Object.assign(table, {
    cell,
    steps,
    clamped,
    text: (value) => (value === OFF ? OFF : value.toFixed(2)),
    // "at step 2", in words that follow a block's name.
    where: (at) => {
      const n = table.data.steps;
      if (at === null) return n === 1 ? "" : n === 2 ? " at both steps" : " at all steps";
      return n === 1 ? "" : ` at step ${at + 1}`;
    },
  });

  // ---- changing cells
  const blank = () => steps().map(() => table.data.blocks.map(() => null));
  const tidy = (cells) => (cells.some((row) => row.some((value) => value !== null)) ? cells : null);
  const fits = (cells) => !cells || (cells.length === table.data.steps && cells[0].length === table.data.blocks.length);
  const alike = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const useful = ({ painted, others }) =>
    fits(painted) && !(alike(painted, rw.settings.painted) && Object.entries(others).every(([name, value]) => alike(value, rw.settings[name])));
  table.undoable = () => past.some(useful);

  table.remember = (painted = rw.settings.painted, others = {}) => {
    past.push({ painted, others });
    if (past.length > MOST) past.shift();
  };
  // Set cells: [step, block, value], where null is what the schedule says.
  table.put = (cells) => {
    const painted = (rw.settings.painted ?? blank()).map((row) => [...row]);
    cells.forEach(([t, i, value]) => (painted[t][i] = value));
    show(tidy(painted));
  };
  function show(painted) {
    rw.settings.painted = painted;
    rw.repaint();
    rw.tell("changed", ["painted"]);
  }
  table.draw = () => {
    if ($("#live").checked) rw.draw();
    else rw.status("Press Draw for the picture with these weights.");
  };
  // Set a block's weight, "off" or null at a step, or with null at all steps; for lessons and screens too.
  rw.paint = (i, at, value, { say = true } = {}) => {
    if (say) {
      table.remember();
      const how = value === OFF ? "off" : value === null ? "as scheduled" : `at ${table.text(value)}`;
      rw.acted(`${table.data.blocks[i].name} ${how}${table.where(at)}`, { off: value === OFF ? { block: i, at } : null });
    }
    table.put((at === null ? steps() : [at]).map((t) => [t, i, value]));
    table.draw();
  };
  // The weights as a model starts, but for these settings and cells: one act with a name, which can be undone.
  const WEIGHTS = ["low", "high", "schedule", "first_step", "last_step", "blocks"];
  const start = () => {
    const { steps } = rw.settings;
    return { ...Object.fromEntries(WEIGHTS.map((name) => [name, rw.facts.defaults[name]])), first_step: 1, last_step: steps };
  };
  table.started = () => !rw.settings.painted && Object.entries(start()).every(([name, value]) => alike(value, rw.settings[name]));
  table.afresh = (text, { cells = [], set = {}, off = null } = {}) => {
    table.remember(rw.settings.painted, Object.fromEntries(WEIGHTS.map((name) => [name, rw.settings[name]])));
    rw.acted(text, { off });
    if (off) table.block = off.block;
    const painted = blank();
    cells.forEach(([t, i, value]) => (painted[t][i] = value));
    rw.set({ painted: tidy(painted), ...start(), ...set }, { draw: false });
    rw.repaint();
    table.draw();
  };
  table.clear = () => {
    table.remember();
    rw.acted("Painted weights cleared");
    show(null);
    table.draw();
  };
  // What was painted for another model or number of steps waits until it fits again.
  table.undo = () => {
    if (!table.undoable()) return;
    let before = past.pop();
    while (!useful(before)) before = past.pop();
    rw.acted("Undone");
    rw.set({ painted: before.painted, ...before.others }, { draw: false });
    rw.repaint();
    table.draw();
  };
  rw.on("unpainted", (cells) => table.remember(cells));

  // ---- painted tables as files
  rw.download = (name, content, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const save = () =>
    rw.act("compare", "save-weights", {}, (event) => event.kind === "file" && rw.download(event.name, event.text, "application/json"));
  async function load(file) {
    const text = file && file.size <= 1e6 ? await file.text() : "";
    $("#painted-file").value = "";
    if (!file) return;
    if (!text) return rw.say("This file is empty, or too large to be a table of weights.", true);
    await rw.act("compare", "load-weights", { text }, (event) => {
      if (event.kind !== "cells") return;
      table.remember();
      rw.acted("Weights from a file");
      rw.set({ painted: event.painted });
    });
  }
  document.addEventListener("change", (event) => event.target.id === "painted-file" && load(event.target.files[0]));
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "undo") table.undo();
    if (id === "start-again") table.afresh("Weights as at the start");
    if (id === "unpaint") table.clear();
    if (id === "painted-save") save();
    if (id === "painted-load") $("#painted-file").click();
  });
  document.addEventListener("keydown", (event) => {
    if (!table.data || !(event.ctrlKey || event.metaKey) || event.key !== "z" || event.target.matches?.("input, textarea, select")) return;
    event.preventDefault();
    table.undo();
  });
})();
