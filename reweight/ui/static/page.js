// The settings on the page, the controls that show them, and what is asked of the server. Screens stand on window.reweight.
(() => {
  const rw = (window.reweight = { settings: null, model: null, listeners: {} });
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  rw.$ = $;
  rw.all = all;

  rw.on = (name, act) => (rw.listeners[name] ??= []).push(act);
  rw.tell = (name, ...details) => (rw.listeners[name] ?? []).forEach((act) => act(...details));

  // ---- talking to the server
  const address = (path) => new URL(`reweight/${path}`, document.baseURI.split(/[?#]/)[0].replace(/[^/]*$/, "")).href;
  const post = (path, body, signal) =>
    fetch(address(path), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

  // What a Gradio event's `js` sends in the place of the settings.
  rw.given = () => JSON.stringify({ session: rw.session, settings: rw.settings });

  const running = new Map();
  // Ask a screen's act; onEvent gets each event. Asking the same again stops the one before. Resolves when it has ended:
  // "done", "stopped" or "error".
  rw.act = async (screen, act, given = {}, onEvent = () => {}) => {
    const name = `${screen}/${act}`;
    running.get(name)?.abort();
    const control = new AbortController();
    running.set(name, control);
    let end = "stopped";
    try {
      const answer = await post(name, { session: rw.session, settings: rw.settings, given }, control.signal);
      const reader = answer.body.getReader();
      const decoder = new TextDecoder();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines.concat(answer.ok ? [] : rest || [])) end = handle(JSON.parse(line), onEvent) ?? end;
        if (!answer.ok && rest) end = handle(JSON.parse(rest), onEvent) ?? end;
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        rw.say("The demo does not answer: see whether it still runs, then reload the page.", true);
        end = "error";
      }
    } finally {
      if (running.get(name) === control) running.delete(name);
    }
    return end;
  };

  function handle(event, onEvent) {
    if (event.kind === "done" || event.kind === "stopped") return event.kind;
    if (event.kind === "error") rw.say(event.text, true);
    if (event.kind === "status") rw.status(event.text, event.done);
    onEvent(event);
    return event.kind === "error" ? "error" : undefined;
  }

  rw.stop = () => {
    running.forEach((control) => control.abort());
    running.clear();
    post("stop", { session: rw.session }).catch(() => {});
    rw.tell("stopped");
    rw.status("Stopped.");
  };

  // ---- what the page says
  const status = () => $("#status");
  rw.status = (text = "", done = null) => {
    const place = status();
    if (!place) return;
    place.replaceChildren();
    if (!text) return;
    const line = document.createElement("p");
    line.textContent = line.title = text;
    place.append(line);
    if (done == null) return;
    const bar = document.createElement("div");
    bar.className = "rw-bar";
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", "progress");
    bar.setAttribute("aria-valuemin", 0);
    bar.setAttribute("aria-valuemax", 100);
    bar.setAttribute("aria-valuenow", Math.round(100 * done));
    bar.innerHTML = `<i style="width:${Math.round(100 * done)}%"></i>`;
    place.append(bar);
  };
  rw.say = (text, wrong = false) => {
    rw.status(text);
    status()?.firstChild?.classList.toggle("rw-wrong", wrong);
  };

  // ---- settings and the controls that show them
  rw.get = (name) => name.split(".").reduce((value, part) => value?.[part], rw.settings);
  const put = (name, value) => {
    const [method, field] = name.split(".");
    if (field) rw.settings[method] = { ...rw.settings[method], [field]: value };
    else rw.settings[name] = value;
  };
  // Change settings by name, show them, and draw: the way in for lessons, restored pictures and presets.
  rw.set = (changes, { draw = true } = {}) => {
    Object.entries(changes).forEach(([name, value]) => put(name, value));
    settle(Object.keys(changes)[0]);
    show();
    rw.tell("changed", Object.keys(changes));
    if (draw) rw.draw();
  };

  // Low stays below high, the window within the steps.
  function settle(moved) {
    const s = rw.settings;
    if (s.low > s.high) moved === "low" ? (s.high = s.low) : (s.low = s.high);
    if (moved === "steps") [s.first_step, s.last_step] = [1, s.steps];
    if (s.first_step > s.last_step) moved === "first_step" ? (s.last_step = s.first_step) : (s.first_step = s.last_step);
    s.last_step = Math.min(s.last_step, s.steps);
    s.first_step = Math.min(s.first_step, s.last_step);
    if (s.painted && s.painted.length !== s.steps) s.painted = null;
  }

  function show() {
    all("[data-setting]").forEach((control) => {
      const value = rw.get(control.dataset.setting);
      if (control.type === "checkbox") control.checked = value === true;
      else if (control !== document.activeElement || control.type === "range") control.value = value ?? "";
      else if (control.type === "number" && +control.value !== value) control.value = value ?? "";
      if (control.type === "range") fill(control);
    });
    all("[data-column]").forEach((box) => box.type === "checkbox" && (box.checked = rw.settings.columns.includes(box.dataset.column)));
    const blocks = rw.settings.blocks;
    all("#blocks input").forEach((box, i) => (box.checked = !blocks || blocks.includes(i)));
  }
  rw.show = show;
  const fill = (range) =>
    range.style.setProperty("--at", `${(100 * (range.value - range.min)) / (range.max - range.min || 1)}%`);

  // A number box's value as it is allowed to be, or null where there is none.
  function allowed(box) {
    const value = parseFloat(box.value);
    if (box.value.trim() === "" || !Number.isFinite(value)) return null;
    const whole = +box.step >= 1 ? Math.round(value / box.step) * box.step : value;
    const step = +box.step >= 8 ? Math.round(value / box.step) * box.step : whole;
    return Math.min(+box.max, Math.max(+box.min, step));
  }

  const LIVE = new Set(["low", "high"]);
  function moved(control, ended) {
    const name = control.dataset.setting;
    if (!name || !rw.settings) return;
    if (name === "prompt" || name === "negative_prompt") {
      put(name, control.value);
      if (name === "prompt") rw.tell("prompt", control.value);
      if (ended && name === "negative_prompt") rw.draw();
      return;
    }
    if (name === "model") {
      if (ended && control.value !== rw.model) rw.openModel(control.value.trim());
      return;
    }
    let value = control.value;
    if (control.type === "checkbox") value = control.checked;
    else if (control.type === "number" || control.type === "range") {
      value = control.type === "range" ? +control.value : allowed(control);
      if (control.type === "number") {
        if (!ended && (value === null || value !== +control.value)) return; // not yet a number that is allowed
        if (ended) {
          const typed = control.value;
          control.value = value ?? rw.get(name);
          if (name === "seed")
            $("#seed-note").textContent =
              typed.trim() === String(control.value) ? "" : `The seed is a whole number from 0 to 4294967295: it is ${control.value} now.`;
          if (value === null) return;
        }
      }
    } else if (control.tagName === "SELECT" && typeof rw.get(name) === "number") value = +value;
    if (value === rw.get(name) && !(control.type === "range" && ended)) return;
    if (value === rw.get(name)) return;
    put(name, value);
    settle(name);
    show();
    rw.tell("changed", [name]);
    const slow = control.type === "range" && !ended && ["steps", "rows", "size"].includes(name);
    if (LIVE.has(name) || control.type === "range" ? $("#live").checked && !slow : true) rw.draw();
  }

  document.addEventListener("input", (event) => event.target.dataset?.setting && moved(event.target, false));
  document.addEventListener("change", (event) => {
    const target = event.target;
    if (target.dataset?.setting) {
      if (target.type === "range" && ["steps", "rows", "size"].includes(target.dataset.setting)) rw.draw();
      moved(target, true);
    }
    if (target.matches?.("#columns input")) {
      const chosen = all("#columns input").filter((box) => box.checked).map((box) => box.dataset.column);
      if (!chosen.length || chosen.length > +$("#columns").dataset.most) {
        target.checked = !target.checked;
        return rw.say(`Choose 1 to ${$("#columns").dataset.most} columns.`, true);
      }
      rw.set({ columns: chosen });
    }
    if (target.matches?.("#blocks input")) {
      const boxes = all("#blocks input");
      const on = boxes.flatMap((box, i) => (box.checked ? [i] : []));
      rw.set({ blocks: on.length === boxes.length ? null : on });
    }
  });

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.key !== "Enter" || event.isComposing || !target.dataset?.setting) return;
    if (target.tagName === "TEXTAREA" && event.shiftKey) return;
    if (target.type === "range" || target.type === "checkbox") return;
    event.preventDefault();
    moved(target, true);
    if (target.dataset.setting !== "model") rw.draw();
  });

  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("button");
    if (!target || !rw.settings) return;
    if (target.id === "generate") rw.draw();
    if (target.id === "stop") rw.stop();
    if (target.id === "dice") rw.set({ seed: Math.floor(Math.random() * 1e6) });
    if (target.id === "reset") rw.set({ ...structuredClone(rw.facts.defaults), columns: rw.settings.columns, model: rw.model });
    if (target.matches(".rw-example")) rw.prompt(target.dataset.prompt);
    if (target.id === "surprise")
      rw.act("compare", "surprise", {}, (said) => said.kind === "prompt" && rw.prompt(said.text));
  });
  // Another prompt, which is drawn.
  rw.prompt = (text) => {
    $("#prompt").value = text;
    rw.tell("prompt", text);
    rw.set({ prompt: text });
    if (innerWidth <= 640) $("#pictures")?.scrollIntoView({ block: "start" });
  };
  document.addEventListener("submit", (event) => event.target.id === "ask" && event.preventDefault());

  // ---- models
  rw.openModel = async (name) => {
    const before = rw.model;
    let facts = null;
    await rw.act("compare", "open", { model: name }, (event) => event.kind === "model" && (facts = event));
    if (!facts) {
      rw.settings.model = before;
      show();
      $("#model-select").value = before;
      const said = status()?.textContent;
      return rw.say(`${said} ${before} keeps serving.`, true);
    }
    const { prompt, seed, rows, columns } = rw.settings;
    rw.settings = { ...structuredClone(facts.defaults), prompt, seed, rows, columns };
    takeFacts(facts);
    rw.draw();
  };

  function takeFacts(facts) {
    rw.facts = facts;
    rw.model = facts.model;
    $("#about").innerHTML = facts.about;
    $("#words").innerHTML = facts.words;
    $("#surprise").hidden = !facts.surprise;
    $("#examples").innerHTML = facts.examples;
    Object.entries(facts.limits).forEach(([name, limit]) =>
      all(`[data-setting="${name}"]`).forEach((control) => (control.max = limit)),
    );
    $("#blocks").innerHTML = "<legend>Blocks that are re-weighted</legend>";
    facts.blocks.forEach(({ name }) => {
      const label = document.createElement("label");
      label.className = "rw-check";
      label.innerHTML = '<input type="checkbox">';
      label.append(name);
      $("#blocks").append(label);
    });
    show();
    rw.tell("prompt", rw.settings.prompt);
    rw.tell("model", facts);
  }

  // ---- the address follows, in a Space's frame that of the outer page too
  rw.follow = (query) => {
    const hash = location.hash;
    const other = [...new URLSearchParams(location.search)].filter(([name]) => name.startsWith("__"));
    const text = [query, new URLSearchParams(other).toString()].filter(Boolean).join("&");
    history.replaceState(null, "", `${location.pathname}?${text}${hash}`);
    if (parent !== window) parent.postMessage({ queryString: text, hash }, rw.outer ?? "https://huggingface.co");
  };

  // ---- tabs: the instrument is in whichever screen is open
  const visible = (one) => one.offsetParent !== null;
  function place() {
    const instrument = $("#instrument");
    const slot = all(".rw-slot").find(visible) ?? $("#instrument-home");
    if (instrument && slot && instrument.parentElement !== slot) slot.append(instrument);
  }
  // A screen is told that it is open once its panel is there, which is a moment after its tab was chosen.
  let looks = 0;
  function tabbed() {
    const tab = $('#screens [role="tab"][aria-selected="true"]');
    const name = tab?.textContent.trim();
    if (!name || name === rw.screen) return;
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    if (!(panel && visible(panel) && panel.innerText.trim()) && looks++ < 120) return requestAnimationFrame(tabbed);
    looks = 0;
    rw.screen = name;
    place();
    rw.tell("screen", name);
  }

  const opening = post("begin", { query: location.search }).then(async (answer) => [answer.ok, await answer.json()]).catch(() => []);
  async function begin() {
    if (!$("#ask") || !$("#pictures") || !$("#instrument")) return setTimeout(begin, 30);
    rw.status("Starting…");
    const [ok, facts] = await opening;
    if (!facts) return rw.say("The demo does not answer: see whether it still runs, then reload the page.", true);
    if (!ok) return rw.say(facts.text, true);
    rw.session = facts.session;
    rw.settings = facts.settings;
    takeFacts(facts);
    tabbed();
    new MutationObserver(tabbed).observe($("#screens"), { attributes: true, subtree: true, attributeFilter: ["aria-selected", "style", "class"] });
    rw.tell("begun", facts);
    rw.draw();
  }
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", begin) : begin();
})();
