// The settings, and the controls that show and change them.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;

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
    if (s.painted && s.painted.length !== s.steps) {
      rw.tell("unpainted", s.painted);
      s.painted = null;
    }
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
})();
