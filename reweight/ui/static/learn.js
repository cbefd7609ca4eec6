// Lessons: a card that floats over the live screens, acts on them, and notices when something has been done.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const KEEP = "reweight-lessons";
  let known = [];
  let lesson = null;
  let at = 0;
  let before = null; // the visitor's settings, which a lesson gives back
  let touched = new Set();
  let progress = {};
  try {
    progress = JSON.parse(localStorage.getItem(KEEP)) ?? {};
  } catch {
    progress = {};
  }
  const keep = () => {
    try {
      localStorage.setItem(KEEP, JSON.stringify(progress));
    } catch {
      /* a browser that keeps nothing */
    }
  };
  const element = (tag, className, text) => {
    const one = document.createElement(tag);
    if (className) one.className = className;
    if (text) one.textContent = text;
    return one;
  };
  const button = (text, act, className) => {
    const one = element("button", className, text);
    one.type = "button";
    one.onclick = act;
    return one;
  };

  // ---- the list
  async function list() {
    if (!known.length) await rw.act("learn", "lessons", {}, (event) => event.kind === "lessons" && (known = event.lessons));
    show();
  }
  function show() {
    const place = $("#lessons");
    if (!place) return;
    place.replaceChildren(
      ...known.map((one) => {
        const state = progress[one.key];
        const row = element("article", "rw-lesson");
        row.append(element("h3", "", one.title), element("p", "", one.about));
        const foot = element("p", "rw-note", `${one.minutes} minutes${state?.done ? " · done ✓" : state?.at ? ` · at ${state.at + 1} of ${one.cards.length}` : ""}`);
        const begin = button(state?.done ? "Again" : state?.at ? "Go on" : "Begin", () => start(one, state?.done ? 0 : (state?.at ?? 0)), "rw-small-button");
        begin.setAttribute("aria-label", `${begin.textContent}: ${one.title}`);
        row.append(foot, begin);
        return row;
      }),
    );
  }

  // ---- what a card does to the page
  const screen = (title) => all('#screens [role="tab"], #screens .overflow-dropdown button').find((tab) => tab.textContent.trim() === title);
  const block = (name) => {
    const blocks = rw.painting()?.blocks ?? [];
    if (name === "mid") return blocks.findIndex(({ stage }) => stage === "mid");
    const [stage, level] = name.split("-");
    return blocks.findIndex((one) => one.stage === stage && one.level === +level);
  };
  async function perform(acts = []) {
    for (const act of acts) {
      if (act.model && act.model !== rw.model) {
        const offered = $("#model-select");
        const served = offered.tagName !== "SELECT" || all("option", offered).some((option) => option.value === act.model);
        if (served) await rw.openModel(act.model);
      }
      Object.keys(act.set ?? {}).forEach((name) => touched.add(name.split(".")[0]));
      if (act.unpaint || act.paint) touched.add("painted");
      if (act.unpaint && rw.settings.painted) rw.set({ painted: null });
      if (act.set) rw.set(act.set);
      if (act.paint) rw.paint(block(act.paint.block), act.paint.step ?? null, act.paint.weight);
      if (act.screen) screen(act.screen)?.click();
    }
  }
  function mark(name) {
    all(".rw-marked").forEach((one) => one.classList.remove("rw-marked"));
    if (name) $(`#unet .rw-block[data-block="${block(name)}"]`)?.classList.add("rw-marked");
  }

  // ---- has it been done?
  function fulfilled(done) {
    if (!done || !rw.settings) return !done;
    if (done.painted) {
      const cells = rw.settings.painted ?? [];
      const i = done.block ? block(done.block) : null;
      const wanted = (cell) => (done.painted === "off" ? cell === "off" : cell !== null);
      if (!cells.some((row) => row.some((cell, n) => (i === null || n === i) && wanted(cell)))) return false;
    }
    if (done.setting) {
      const value = rw.get(done.setting);
      if (done.below !== undefined && !(value < done.below)) return false;
      if (done.above !== undefined && !(value > done.above)) return false;
      if (done.is !== undefined && value !== done.is) return false;
    }
    return done.and ? fulfilled(done.and) : true;
  }
  function look() {
    const card = lesson?.cards[at];
    if (!card || $("#lesson").dataset.state !== "open") return;
    if (card.done && fulfilled(card.done)) complete(card);
    if (card.mark) mark($("#lesson").dataset.state === "done" ? null : card.mark);
  }
  function complete(card) {
    const box = $("#lesson");
    box.dataset.state = "done";
    mark(null);
    const said = $(".rw-lesson-said", box);
    if (card.reveal) said.append(element("p", "", card.reveal));
    else if (card.done) said.append(element("p", "rw-note", "Done."));
    $(".rw-lesson-next", box).disabled = false;
    all(".rw-lesson-skip", box).forEach((one) => one.remove());
  }

  // ---- the card
  function place() {
    let box = $("#lesson");
    if (!box) {
      box = element("section", "rw-card");
      box.id = "lesson";
      box.setAttribute("aria-label", "Lesson");
      box.classList.toggle("rw-present", document.body.classList.contains("rw-present"));
      ($(".gradio-container .contain") ?? document.body).append(box);
    }
    return box;
  }
  function start(one, from = 0) {
    if (!lesson) [before, touched] = [structuredClone(rw.settings), new Set()];
    lesson = one;
    at = Math.min(from, one.cards.length - 1);
    turn();
  }
  function stop() {
    lesson = null;
    mark(null);
    $("#lesson")?.remove();
    show();
    giveBack();
  }
  function giveBack() {
    const changed = [...touched].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(rw.settings[name]));
    if (!changed.length || before.model !== rw.model) return;
    const take = (from) => Object.fromEntries(changed.map((name) => [name, from[name]]));
    const { painted = rw.settings.painted, ...others } = take(rw.settings);
    rw.table.remember(painted, others);
    rw.acted("Settings from before the lesson");
    rw.set(take(before), { draw: false });
    rw.repaint();
    rw.draw();
  }
  // The last word of a lesson: what to take along, and which one is next.
  function end() {
    const one = lesson;
    mark(null);
    const left = known.filter(({ key }) => !progress[key]?.done);
    const next = left.find(({ order }) => order > one.order) ?? left[0];
    const close = button("×", stop, "rw-lesson-close");
    close.setAttribute("aria-label", "Close the lesson");
    const head = element("div", "rw-lesson-head");
    head.append(element("b", "", `${one.title} ✓`), close);
    const body = element("div", "rw-lesson-body");
    body.tabIndex = -1;
    body.append(element("p", "", one.takeaway ?? "That is the end of this lesson."));
    const done = known.length - left.length;
    body.append(element("p", "rw-note", left.length ? `${done} of ${known.length} lessons done. Next: ${next.title}. ${next.about}` : `All ${known.length} lessons done.`));
    const foot = element("div", "rw-line rw-lesson-foot");
    foot.append(button("Back to the page", stop));
    if (next) foot.append(button("Next lesson", () => start(next, progress[next.key]?.at ?? 0), "rw-primary rw-lesson-begin"));
    const box = place();
    box.dataset.state = "end";
    box.replaceChildren(head, body, foot);
    body.focus({ preventScroll: true });
    show();
  }
  async function turn() {
    const card = lesson.cards[at];
    progress[lesson.key] = { ...progress[lesson.key], at };
    keep();
    const box = place();
    box.dataset.state = "open";
    const head = element("div", "rw-lesson-head");
    const close = button("×", stop, "rw-lesson-close");
    close.setAttribute("aria-label", "Close the lesson");
    head.append(element("b", "", lesson.title), element("span", "rw-note", `${at + 1} of ${lesson.cards.length}`), close);
    const body = element("div", "rw-lesson-body");
    body.tabIndex = -1;
    if (card.text) body.append(element("p", "", card.text));
    const sets = (card.do ?? []).flatMap((act) => Object.entries(act.set ?? {})).map(([name, value]) => `${name} ${value}`);
    if (sets.length) body.append(element("p", "rw-note", `This card sets ${sets.join(", ")}. Closing the lesson brings your own settings back.`));
    if (card.ask) body.append(question(card.ask));
    if (card.measure === "parabola") body.append(rw.parabola());
    const said = element("div", "rw-lesson-said");
    said.setAttribute("aria-live", "polite");
    body.append(said);
    const foot = element("div", "rw-line rw-lesson-foot");
    const back = button("Back", () => (at--, turn()));
    back.disabled = at === 0;
    const last = at === lesson.cards.length - 1;
    const next = button(last ? "Finish" : "Next", () => {
      if (!last) return at++, turn();
      progress[lesson.key] = { at: 0, done: true };
      keep();
      end();
    }, "rw-primary rw-lesson-next");
    next.disabled = !!(card.ask || card.done);
    const skip = button("skip this", () => (last ? stop() : (at++, turn())), "rw-link rw-lesson-skip");
    foot.append(back, ...(next.disabled ? [skip] : []), next);
    box.replaceChildren(head, body, foot);
    body.focus({ preventScroll: true });
    await perform(card.do);
    if (lesson?.cards[at] !== card) return;
    if (card.open) bring(card.open, card);
    if (card.mark) mark(card.mark);
    look();
  }

  // What a card is about, unfolded and in view. It may appear a while after its screen was chosen, and what is above it may
  // grow when it arrives: it stays in view until the visitor does something.
  function bring(selector, card) {
    const one = $(selector);
    if (lesson?.cards[at] !== card) return;
    if (!one?.offsetParent) return void setTimeout(() => bring(selector, card), 50);
    if (one.matches("details")) one.open = true;
    const sizes = new ResizeObserver(() => (lesson?.cards[at] === card ? one.scrollIntoView({ block: "center" }) : sizes.disconnect()));
    ["body", ".gradio-container"].forEach((part) => $(part) && sizes.observe($(part)));
    ["wheel", "touchstart", "pointerdown", "keydown"].forEach((kind) => addEventListener(kind, () => sizes.disconnect(), { once: true, passive: true }));
  }

  function question({ question, options, answer, because }) {
    const field = element("fieldset", "rw-ask");
    field.append(element("legend", "", question));
    options.forEach((text, i) => {
      const label = element("label", "rw-check");
      const radio = element("input");
      radio.type = "radio";
      radio.name = "rw-answer";
      radio.value = i;
      label.append(radio, element("span", "", text));
      field.append(label);
    });
    const reveal = button("See", () => {
      const chosen = $("input:checked", field);
      if (!chosen) return;
      all("input", field).forEach((input) => (input.disabled = true));
      all("label", field)[answer].classList.add("rw-right");
      chosen.closest("label").classList.add("rw-said-so");
      all("#lesson .rw-lesson-skip").forEach((one) => one.remove());
      reveal.remove();
      const said = $(".rw-lesson-said");
      const right = +chosen.value === answer;
      said.append(element("p", "", `${right ? "Right. " : ""}${because}`));
      $("#lesson").dataset.state = "done";
      $(".rw-lesson-next").disabled = false;
    }, "rw-small-button rw-lesson-see");
    reveal.disabled = true;
    field.addEventListener("change", () => (reveal.disabled = false));
    field.append(reveal);
    return field;
  }

  // ---- beginnings
  rw.on("screen", () => rw.screen === "Learn" && list());
  rw.on("changed", look);
  rw.on("painted", look);
  rw.on("drawn", look);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !$("#lesson") || event.target.closest?.("dialog")) return;
    event.stopImmediatePropagation();
    stop();
  });
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "lesson-load") $("#lesson-file").click();
    if (id === "lesson-forget") {
      progress = {};
      keep();
      show();
    }
  });
  document.addEventListener("change", async (event) => {
    if (event.target.id !== "lesson-file") return;
    const file = event.target.files[0];
    const text = file && file.size < 1e5 ? await file.text() : "";
    event.target.value = "";
    await rw.act("learn", "check", { text }, (said) => {
      if (said.kind !== "lessons") return;
      known = [...known.filter(({ key }) => key !== "own"), ...said.lessons];
      show();
      start(said.lessons[0]);
    });
  });
  rw.lesson = (key) => list().then(() => start(known.find((one) => one.key === key)));
})();
