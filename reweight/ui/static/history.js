// History: a strip of what was drawn in this tab, settings out of dropped pictures, a picture as a script or a citation.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const MOST = 40;
  const SIDE = 96;
  const KEEP = "reweight-history";
  let made = [];
  try {
    made = JSON.parse(sessionStorage.getItem(KEEP)) ?? [];
  } catch {
    made = [];
  }

  let said = ""; // once what was brought back is drawn
  const plain = () => JSON.stringify(rw.settings);
  async function record() {
    const column = rw.settings.columns.find((one) => one !== "vanilla") ?? rw.settings.columns[0];
    const picture = rw.pictures()[`${column} ${rw.settings.seed}`];
    const settings = plain();
    if (!picture || made[0]?.settings === settings) return;
    const image = new Image();
    image.src = picture.url;
    await image.decode().catch(() => {});
    if (!image.naturalWidth) return;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    canvas.getContext("2d").drawImage(image, 0, 0, SIDE, SIDE);
    made = made.filter((one) => one.settings !== settings);
    made.unshift({ settings, thumb: canvas.toDataURL("image/webp", 0.8) });
    made.length = Math.min(made.length, MOST);
    try {
      sessionStorage.setItem(KEEP, JSON.stringify(made));
    } catch {
      made.length = Math.floor(made.length / 2); // the browser has no more room
    }
    show();
  }

  function words(settings) {
    const { prompt, seed, low, high, schedule, steps, painted, model } = settings;
    const hand = painted ? ", painted" : "";
    return `${prompt}, seed ${seed}, ${steps} steps, low ${low}, high ${high}, ${schedule}${hand}, ${model}`;
  }
  function show() {
    const place = $("#history-strip");
    if (!place) return;
    $("#history-empty").hidden = made.length > 0;
    place.replaceChildren(
      ...made.map((one, i) => {
        const settings = JSON.parse(one.settings);
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.made = i;
        button.title = words(settings);
        const image = document.createElement("img");
        image.src = one.thumb;
        image.alt = "";
        image.width = image.height = SIDE;
        const note = document.createElement("span");
        note.className = "rw-made";
        const line = (text) => {
          const one = document.createElement("span");
          one.textContent = text;
          note.append(one);
        };
        line(settings.prompt);
        line(`${settings.painted ? "painted" : `${settings.low}–${settings.high}`} · seed ${settings.seed}`);
        line(`${settings.model.replace(/^.*[\\/](?=.)/, "")}, ${settings.steps} steps`);
        const whole = document.createElement("span");
        whole.className = "rw-unseen";
        whole.textContent = `restore ${words(settings)}`;
        button.append(image, note, whole);
        return button;
      }),
    );
  }

  // The page's address with what it leaves out where it is the default, which may be another one day.
  const TOLD = ["model", "prompt", "seed", "steps", "guidance", "size", "low", "high", "schedule"];
  function whole() {
    const link = new URL(location.href);
    TOLD.forEach((name) => link.searchParams.has(name) || link.searchParams.set(name, rw.settings[name]));
    return link.href;
  }

  // Bring settings back, of whatever model.
  rw.restore = async (settings, { model = settings.model, column = null, text = "" } = {}) => {
    if (model !== rw.model) {
      await rw.openModel(model);
      if (rw.model !== model) return false;
    }
    const { model: _, ...others } = settings;
    const columns = others.columns ?? rw.settings.columns;
    others.columns = column && !columns.includes(column) ? [...columns.slice(0, 7), column] : columns;
    $("#prompt").value = others.prompt;
    rw.acted?.("Settings restored");
    said = text;
    rw.set(others);
    if (text) rw.say(text);
    return true;
  };

  // ---- pictures that bring settings
  // A PNG without its pixels: what is sent is small, and no picture leaves the browser.
  async function chunks(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const view = new DataView(bytes.buffer);
    if (bytes.length < 20 || view.getUint32(0) !== 0x89504e47) return null;
    const parts = [bytes.subarray(0, 8)];
    const texts = {};
    for (let at = 8; at + 12 <= bytes.length; ) {
      const size = view.getUint32(at);
      const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
      const end = at + 12 + size;
      if (end > bytes.length) return null;
      if (["IHDR", "tEXt", "iTXt", "IEND"].includes(kind)) parts.push(bytes.subarray(at, end));
      if (kind === "tEXt" || kind === "iTXt") {
        const body = bytes.subarray(at + 8, at + 8 + size);
        const zero = body.indexOf(0);
        const name = new TextDecoder("latin1").decode(body.subarray(0, zero));
        texts[name] = kind === "tEXt" ? new TextDecoder("latin1").decode(body.subarray(zero + 1)) : new TextDecoder().decode(body.subarray(zero + 5));
      }
      at = end;
    }
    return { parts, texts };
  }
  async function bring(file) {
    if (!file) return;
    const found = file.size < 3e7 ? await chunks(file) : null;
    if (!found) return rw.say("This is not a PNG that can be read, or it is too large: choose a picture that was saved here.", true);
    const given = {};
    let source = null; // what an edited picture began with stays in the browser
    if ("reweight-edit" in found.texts) {
      try {
        ({ source, ...given.edit } = JSON.parse(found.texts["reweight-edit"]));
        given.edit = JSON.stringify(given.edit);
      } catch {
        return rw.say("This picture's settings are damaged: save it again.", true);
      }
    } else if (!("reweight" in found.texts) && found.texts.parameters) given.text = found.texts.parameters;
    else {
      const whole = new Uint8Array(await new Blob(found.parts).arrayBuffer());
      let text = "";
      for (let i = 0; i < whole.length; i += 8192) text += String.fromCharCode(...whole.subarray(i, i + 8192));
      given.png = btoa(text);
    }
    let back = null;
    await rw.act("history", "restore", given, (event) => event.kind === "restored" && (back = event));
    if (back?.edit) rw.editLater(back.edit, source);
    if (back) await rw.restore(back.settings, back.edit ? { ...back, text: source ? back.text : `${back.text} The picture it started from is not in the file: choose it again.` } : back);
    if (back?.edit) all('#screens [role="tab"], #screens .overflow-dropdown button').find((tab) => tab.textContent.trim() === "Edit")?.click();
  }
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event) || event.target.closest?.("[data-takes-pictures]")) return;
    event.preventDefault();
    document.body.classList.add("rw-dropping");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("rw-dropping"));
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("rw-dropping");
    if (!carries(event) || event.target.closest?.("[data-takes-pictures]")) return;
    event.preventDefault();
    bring(event.dataTransfer.files[0]);
  });

  // ---- a picture as a text
  const told = (text) => {
    $("#history-text").hidden = false;
    $("#history-text pre").textContent = text;
    $("#history-copied").textContent = "";
  };
  async function copy(text, said) {
    try {
      await navigator.clipboard.writeText(text);
      return said;
    } catch {
      return "The browser does not allow copying: select the text and copy it.";
    }
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button");
    if (!button) return;
    if (button.dataset.made) rw.restore(JSON.parse(made[+button.dataset.made].settings), { text: "Restored." });
    if (button.id === "history-choose") $("#history-file").click();
    if (button.id === "history-script") rw.act("history", "script", { column: $("#history-column").value }, (said) => said.kind === "text" && told(said.text));
    if (button.id === "history-cite") rw.act("history", "cite", {}, (said) => said.kind === "text" && told(said.text));
    if (button.id === "history-link") {
      told(whole());
      $("#history-copied").textContent = await copy(whole(), "The link is copied.");
    }
    if (button.id === "history-copy") $("#history-copied").textContent = await copy($("#history-text pre").textContent, "Copied.");
  });
  document.addEventListener("change", (event) => {
    if (event.target.id !== "history-file") return;
    bring(event.target.files[0]);
    event.target.value = "";
  });
  let compared = [];
  rw.on("columns", (columns) => offer((compared = columns)));
  function offer(columns) {
    const select = $("#history-column");
    if (!select) return;
    const before = select.value;
    select.replaceChildren(...columns.map(({ key, title }) => new Option(title, key)));
    const keys = columns.map(({ key }) => key);
    select.value = keys.includes(before) ? before : (keys.find((key) => key.includes("reweighted")) ?? keys[0]);
  }
  rw.on("drawn", () => {
    record();
    if (said) rw.say(said);
    said = "";
  });
  rw.on("screen", () => {
    show();
    offer(compared); // a screen that is opened late is not there before
  });
})();
