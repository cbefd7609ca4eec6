// The page as a whole: its model, its address, its tabs, and how it begins.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;

  // ---- models
  rw.openModel = async (name) => {
    const before = rw.model;
    let facts = null;
    await rw.act("compare", "open", { model: name }, (event) => event.kind === "model" && (facts = event));
    if (!facts) {
      rw.settings.model = before;
      rw.show();
      $("#model-select").value = before;
      const said = $("#status")?.textContent;
      return rw.say(`${said} Still using ${before}.`, true);
    }
    const { prompt, seed, rows, columns, painted } = rw.settings;
    rw.settings = { ...structuredClone(facts.defaults), ...carried(facts), prompt, seed, rows, columns };
    if (painted && !rw.settings.painted) rw.tell("unpainted", painted);
    takeFacts(facts);
    rw.draw();
  };

  // What somebody has set, which is what differs from the defaults of the model before, as far as the next model can have it.
  function carried(facts) {
    const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
    const { defaults, limits, blocks } = facts;
    const before = rw.facts.defaults;
    const own = Object.fromEntries(Object.entries(rw.settings).filter(([name, value]) => name in defaults && !same(value, before[name])));
    for (const name of ["steps", "size"]) if (own[name] > limits[name]) delete own[name];
    const steps = own.steps ?? defaults.steps;
    own.last_step = rw.settings.last_step === rw.settings.steps ? steps : rw.settings.last_step;
    if (own.last_step > steps || own.first_step > own.last_step) [own.first_step, own.last_step] = [1, steps];
    if (own.blocks && blocks.length !== rw.facts.blocks.length) delete own.blocks;
    if (own.painted && (own.painted.length !== steps || own.painted[0].length !== blocks.length)) delete own.painted;
    const [low, high] = [own.low ?? defaults.low, own.high ?? defaults.high];
    if (low > high) own[own.low === undefined ? "low" : "high"] = own.low === undefined ? high : low;
    for (const [name, value] of Object.entries(own)) {
      if (value === null || typeof value !== "object" || Array.isArray(value)) continue;
      const fields = Object.entries(value).filter(([field, one]) => !same(one, before[name][field]));
      own[name] = { ...defaults[name], ...Object.fromEntries(fields) };
    }
    delete own.model;
    return own;
  }

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
    $("#blocks").innerHTML = "<legend>Re-weighted blocks</legend>";
    facts.blocks.forEach(({ name }) => {
      const label = document.createElement("label");
      label.className = "rw-check";
      label.innerHTML = '<input type="checkbox">';
      label.append(name);
      $("#blocks").append(label);
    });
    rw.show();
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

  const opening = rw.post("begin", { query: location.search }).then(async (answer) => [answer.ok, await answer.json()]).catch(() => []);
  async function begin() {
    if (!$("#ask") || !$("#pictures") || !$("#instrument") || !$('#screens [role="tablist"]')) return setTimeout(begin, 30);
    $('#screens [role="tablist"]').parentElement.translate = false; // screens are known by their tabs' words, which a browser's translation would change
    rw.status("Starting…");
    const [ok, facts] = await opening;
    // What stood in the HTML gives way once the same pictures are in their places.
    requestAnimationFrame(() => Promise.all(all("#pictures img").map((image) => image.decode().catch(() => {}))).then(() => $("#first")?.remove()));
    if (!facts) return rw.say("The demo does not respond: check that it is running, then reload the page.", true);
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
