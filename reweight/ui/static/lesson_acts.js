// What a lesson does to the page, what it notices there, and what it gives back.
(() => {
  const rw = window.reweight;
  const { $, all, table } = rw;
  let before = null; // the visitor's settings
  const alike = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const screen = (title) => all('#screens [role="tab"], #screens .overflow-dropdown button').find((tab) => tab.textContent.trim() === title);
  const served = (model) => {
    const offered = $("#model-select");
    return offered.tagName !== "SELECT" || all("option", offered).some((option) => option.value === model);
  };
  // Within .contain too: rules for some widths only are given to what is in it.
  const teach = (on) => [document.body, ...all(".contain > *")].forEach((one) => one.classList.toggle("rw-taught", on));
  // Blocks by name: "up-0", "mid".
  function block(name) {
    const blocks = table.data?.blocks ?? [];
    const [stage, level] = name.split("-");
    return blocks.findIndex((one) => one.stage === stage && (level === undefined || one.level === +level));
  }

  // ---- how a lesson begins and ends
  const clean = () => ({ painted: null, ...structuredClone(rw.facts.defaults), prompt: rw.settings.prompt, model: rw.model });
  function put(settings) {
    rw.set(settings, { draw: false });
    rw.repaint();
    rw.unexplained();
  }
  // The settings that a lesson stands on: everything as the model starts, but for the prompt and what the lesson sets.
  // Says what of it cannot be had here.
  async function begin({ model, set = {} } = {}) {
    before ??= structuredClone(rw.settings);
    teach(true);
    put(clean());
    let missing = "";
    if (model && model !== rw.model) {
      if (served(model)) await rw.openModel(model);
      if (model !== rw.model) missing = `This lesson is about ${model}, which is not served here: with ${rw.model} you may see something else.`;
    }
    const wanted = { ...clean(), ...set };
    if (wanted.steps > rw.facts.limits.steps) wanted.steps = rw.facts.defaults.steps;
    [wanted.first_step, wanted.last_step] = [1, wanted.steps];
    put(wanted);
    rw.draw();
    await applyTo("all");
    return missing;
  }
  async function giveBack() {
    teach(false);
    const own = before;
    before = null;
    if (!own || alike({ ...own, prompt: rw.settings.prompt }, rw.settings)) return rw.unexplained();
    const { painted, ...others } = rw.settings;
    if (own.model === rw.model) table.remember(painted, others);
    else await rw.openModel(own.model);
    put({ painted: null, ...own, prompt: rw.settings.prompt });
    rw.draw();
  }

  // ---- acts
  const nth = (at) => (at === "all" ? null : at === "first" ? 0 : rw.settings.steps - 1);
  // Which steps a click is for; the choice of steps comes with a drawing's first answer.
  async function applyTo(at) {
    const { steps } = rw.settings;
    while (table.data?.steps !== steps || !$('#at-step, [name="rw-at"]')) {
      if (!before || rw.settings.steps !== steps) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const n = nth(at) === null ? 0 : nth(at) + 1;
    const control = $("#at-step") ?? all('[name="rw-at"]')[n];
    if (!control) return;
    control.id === "at-step" ? (control.value = n) : (control.checked = true);
    control.dispatchEvent(new Event("input", { bubbles: true }));
  }
  // As one: the last screen and model, all settings together, one drawing.
  async function perform(acts = []) {
    const told = acts.filter(Boolean);
    const last = (name) => told.findLast((act) => act[name] !== undefined)?.[name];
    const model = last("model");
    if (model && model !== rw.model && served(model)) await rw.openModel(model);
    const set = Object.assign({}, ...told.map((act) => act.set ?? {}));
    if (last("unpaint") || Object.keys(set).length) {
      put({ painted: last("unpaint") ? null : rw.settings.painted, ...set });
      rw.draw();
    }
    for (const { paint } of told) if (paint) rw.paint(block(paint.block), paint.step ?? null, paint.weight);
    if (last("at")) await applyTo(last("at"));
    if (last("screen")) screen(last("screen"))?.click();
  }

  // ---- has it been done?
  const isPainted = ({ painted }, cell) => (painted === "off" ? cell === "off" : cell != null);
  function byHand(done) {
    const cells = rw.settings.painted;
    if (!cells) return false;
    const here = (t, i) => isPainted(done, cells[t][i]);
    const chosen = done.block ? [block(done.block)] : cells[0].map((_, i) => i);
    const asked = (t) => !done.at || done.at === "all" || t === nth(done.at);
    const right = (i) => (done.at ? table.steps().every((t) => here(t, i) === asked(t)) : table.steps().some((t) => here(t, i)));
    return chosen.some(right) && !(done.only && others(done));
  }
  const others = ({ block: name }) => rw.settings.painted.some((row) => row.some((cell, i) => cell !== null && i !== block(name)));
  function fulfilled(done) {
    if (!done || !rw.settings) return !done;
    if (done.painted && !byHand(done)) return false;
    if (done.setting) {
      const value = rw.get(done.setting);
      if (done.below !== undefined && !(value < done.below)) return false;
      if (done.above !== undefined && !(value > done.above)) return false;
      if (done.is !== undefined && value !== done.is) return false;
    }
    return done.and ? fulfilled(done.and) : true;
  }
  // What is still in the way where somebody did something like it, in a sentence.
  function amiss(done) {
    if (!done?.painted || !done.block || !rw.settings.painted || byHand(done)) return "";
    const i = block(done.block);
    const off = table.steps().filter((t) => isPainted(done, rw.settings.painted[t][i]));
    const name = table.data.blocks[i]?.name;
    if (!off.length) return `That is another block: this card is about ${name}.`;
    if (done.only && others(done)) return "Another block is changed too.";
    const now = off.length === table.data.steps ? "every step" : `step${off.length > 1 ? "s" : ""} ${off.map((t) => t + 1).join(", ")}`;
    return `${name} is off at ${now}; this card is about ${done.at === "all" ? "every step" : `step ${nth(done.at) + 1} alone`}.`;
  }
  function mark(name) {
    all(".rw-marked").forEach((one) => one.classList.remove("rw-marked"));
    if (name) $(`#unet .rw-block[data-block="${block(name)}"]`)?.classList.add("rw-marked");
  }
  rw.lessonActs = { begin, giveBack, perform, fulfilled, amiss, mark, begun: () => !!before };
})();
