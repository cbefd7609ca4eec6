// Lessons: a card that floats over the live screens, acts on them, and notices when something has been done.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { begin, giveBack, perform, fulfilled, amiss, mark } = rw.lessonActs;
  const KEEP = "reweight-lessons";
  let known = [];
  let lesson = null;
  let at = 0;
  let begun = null; // until the page stands where a lesson begins
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
        const link = element("a", "rw-lesson-link", "link");
        link.href = `?lesson=${one.key}`;
        link.title = "An address that opens this lesson";
        link.setAttribute("aria-label", `link: ${one.title}`);
        const foot = element("p", "rw-note", `${one.minutes} minutes${state?.done ? " · done ✓" : state?.at ? ` · at ${state.at + 1} of ${one.cards.length}` : ""}`);
        const go = button(state?.done ? "Again" : state?.at ? "Go on" : "Begin", () => start(one, state?.done ? 0 : (state?.at ?? 0)), "rw-small-button");
        go.setAttribute("aria-label", `${go.textContent}: ${one.title}`);
        const line = element("div", "rw-line");
        line.append(go, ...(one.key === "own" ? [] : [link]));
        row.append(foot, line);
        return row;
      }),
    );
  }

  // ---- has it been done?
  // Not before its picture is there: what a card says of it is about what everybody sees.
  function look() {
    const card = lesson?.cards[at];
    if (!card?.done || $("#lesson").dataset.state !== "open" || document.body.classList.contains("rw-drawing")) return;
    if (fulfilled(card.done)) return complete(card);
    const line = $("#lesson .rw-lesson-amiss");
    const wrong = amiss(card.done);
    line.hidden = !wrong;
    if (wrong) line.firstChild.textContent = `${wrong} `;
  }
  function complete(card) {
    const box = $("#lesson");
    box.dataset.state = "done";
    mark(null);
    $(".rw-lesson-amiss", box).hidden = true;
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
    lesson = one;
    at = Math.min(from, one.cards.length - 1);
    begun = begin(one.start);
    // Where somebody goes on, what the cards before have set holds.
    turn(one.cards.slice(0, at).flatMap((card) => card.do ?? []).map(({ screen, ...rest }) => rest));
  }
  function stop() {
    lesson = null;
    mark(null);
    $("#lesson")?.remove();
    show();
    giveBack();
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
  async function turn(earlier = []) {
    const card = lesson.cards[at];
    mark(null);
    progress[lesson.key] = { ...progress[lesson.key], at };
    keep();
    const box = place();
    box.dataset.state = "open";
    const head = element("div", "rw-lesson-head");
    const close = button("×", stop, "rw-lesson-close");
    close.setAttribute("aria-label", "Close the lesson");
    const move = button("⇄", rw.moveLesson, "rw-lesson-close rw-lesson-move");
    move.title = "Move this card to the other side";
    move.setAttribute("aria-label", move.title);
    head.append(element("b", "", lesson.title), element("span", "rw-note", `${at + 1} of ${lesson.cards.length}`), move, close);
    const body = element("div", "rw-lesson-body");
    body.tabIndex = -1;
    if (card.text) body.append(element("p", "", card.text));
    if (at === 0) body.append(element("p", "rw-note rw-lesson-sets", "A lesson sets the model and the weights, and keeps your prompt. Closing it brings your own settings back."));
    if (card.ask) body.append(question(card.ask));
    if (card.measure === "parabola") body.append(rw.parabola());
    const said = element("div", "rw-lesson-said");
    said.setAttribute("aria-live", "polite");
    body.append(said);
    const wrong = element("p", "rw-note rw-lesson-amiss", " ");
    wrong.hidden = true;
    wrong.append(button("Set this card up again", () => start(lesson, at), "rw-link"));
    body.append(wrong);
    const foot = element("div", "rw-line rw-lesson-foot");
    const back = button("Back", () => start(lesson, at - 1));
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
    rw.tell("card", card);
    const here = () => lesson?.cards[at] === card;
    const missing = await begun;
    if (!here()) return;
    if (missing && !$(".rw-lesson-missing", body)) body.append(element("p", "rw-note rw-lesson-missing", missing));
    await perform([...earlier, ...(card.do ?? [])]);
    if (!here()) return;
    rw.tell("card", card, true);
    const about = card.open ?? (card.mark && innerWidth <= 700 ? "#unet" : null); // on a phone the U-Net is below the pictures
    if (about) bring(about, card);
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
    const sizes = new ResizeObserver(() => (lesson?.cards[at] === card ? one.scrollIntoView({ block: rw.lessonView() }) : sizes.disconnect()));
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
      rw.tell("card", lesson.cards[at]);
    }, "rw-small-button rw-lesson-see");
    reveal.disabled = true;
    field.addEventListener("change", () => (reveal.disabled = false));
    field.append(reveal);
    return field;
  }

  // ---- beginnings
  rw.on("screen", () => rw.screen === "Learn" && list());
  rw.on("changed", () => setTimeout(look)); // once its drawing has begun
  rw.on("drawn", look);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !$("#lesson") || event.target.closest?.("dialog")) return;
    event.stopImmediatePropagation();
    stop();
  });
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "lesson-load") $("#lesson-file").click();
    if (id === "lesson-sample") rw.act("learn", "sample", {}, (said) => said.kind === "file" && rw.download(said.name, said.text, "application/json"));
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
  rw.lesson = (key) => list().then(() => {
    const one = known.find((other) => other.key === key);
    if (one) start(one);
    else rw.say(`There is no lesson “${key}” here: there are ${known.map((other) => other.key).join(", ")}.`, true);
  });
  rw.lessons = () => list().then(() => known);
  const asked = new URLSearchParams(location.search).get("lesson");
  if (asked) rw.on("begun", () => rw.lesson(asked.slice(0, 60)));
})();
