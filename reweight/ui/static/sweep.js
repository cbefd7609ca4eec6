// The Sweep screen: axes, the cost before it starts, a grid that fills, and what can be taken away of it.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const PRESETS = [
    { name: "low × high", across: ["low"], down: ["high"] },
    { name: "one block, off to double", across: ["block", "off, 0.5, 1, 1.5, 2"], down: ["seed"] },
    { name: "schedules", across: ["schedule"], down: ["seed"] },
    { name: "methods × seeds", across: ["column"], down: ["seed"] },
    { name: "Fig. 4: low varied", across: ["low", "0.95-1.05 x5"], down: ["seed"], set: { low: 1, high: 1.1 } },
    { name: "Fig. 1a: N−1 steps re-weighted beside N", across: ["steps", "2-5"], down: ["column"], pairs: true },
  ];
  let known = null; // the settings that can be varied
  let of = ""; // the model that they are of
  let pairs = false;
  let drawing = false;
  let sweep = null; // what is shown: {about, cells: {"i j": {...}}}
  const key = ([i, j]) => `${i} ${j}`;
  const block = () => known.find(({ name }) => name.startsWith("block."))?.name;

  function options(select, empty) {
    const groups = new Map();
    known.forEach((setting) => groups.set(setting.group, [...(groups.get(setting.group) ?? []), setting]));
    const before = select.value;
    select.replaceChildren(...(empty ? [new Option("nothing", "")] : []));
    groups.forEach((settings, title) => {
      const group = document.createElement("optgroup");
      group.label = title;
      settings.forEach(({ name, title }) => group.append(new Option(title, name)));
      select.append(group);
    });
    if (before || empty) select.value = before;
  }
  const example = (name) => known.find((setting) => setting.name === name)?.example ?? "";

  async function offer() {
    if (!rw.settings || !$("#sweep")) return;
    await rw.act("sweep", "settings", {}, (event) => {
      if (event.kind !== "settings") return;
      known = event.settings;
      options($("#sweep-across"), false);
      options($("#sweep-down"), true);
      const column = $("#sweep-column");
      const before = column.value;
      column.replaceChildren(...event.columns.map(({ key, title }) => new Option(title, key)));
      const keys = event.columns.map((one) => one.key);
      column.value = keys.includes(before) ? before : (keys.find((one) => one.includes("reweighted")) ?? keys[0]);
      if (of !== rw.model) {
        of = rw.model;
        choose(PRESETS[0]);
      }
    });
    if (!known) return;
    if (!drawing) $("#sweep-draw").disabled = false;
    price();
  }

  function choose({ across, down, set, pairs: paired = false }) {
    pairs = paired;
    const put = (side, [name, values]) => {
      name = name === "block" ? block() : name;
      $(`#sweep-${side}`).value = name;
      $(`#sweep-${side}-values`).value = values ?? example(name);
    };
    put("across", across);
    put("down", paired ? ["column", "reweighted, vanilla"] : down);
    if (set) rw.set(set, { draw: false });
  }

  function asked() {
    const axis = (side) => ({ name: $(`#sweep-${side}`).value, values: $(`#sweep-${side}-values`).value });
    return { across: axis("across"), down: pairs || !$("#sweep-down").value ? null : axis("down"), column: $("#sweep-column").value, pairs };
  }

  let due = 0;
  function price() {
    clearTimeout(due);
    due = setTimeout(async () => {
      const place = $("#sweep-cost");
      const said = $("#status")?.textContent;
      let text = "";
      await rw.act("sweep", "cost", asked(), (event) => (text = event.text ?? text));
      place.textContent = text;
      if ($("#status")?.textContent === text) rw.status(said === text ? "" : said);
    }, 200);
  }

  function draw() {
    sweep = { cells: {}, began: performance.now() };
    drawing = $("#sweep-draw").disabled = true;
    rw.act("sweep", "draw", asked(), take).then((end) => {
      drawing = $("#sweep-draw").disabled = false;
      if (end === "done") {
        const seconds = (performance.now() - sweep.began) / 1000;
        rw.status(`The grid is drawn: ${Object.keys(sweep.cells).length} pictures in ${seconds.toFixed(1)} s.`);
        $("#sweep-result").dataset.seconds = seconds.toFixed(2);
        price();
        $("#sweep-chart").replaceChildren(...rw.sweepCharts(sweep.about, (i, j) => sweep.cells[key([i, j])], sweep.scorer));
      }
    });
  }

  function take(event) {
    if (event.kind === "grid") lay(event);
    if (event.kind === "notice") $("#sweep-note").textContent = event.text;
    if (event.kind === "cell") put(event);
    if (event.kind === "figures") {
      const cell = sweep.cells[key(event.at)];
      Object.assign(cell, { ssim: event.ssim, difference: event.difference });
      told(event.at);
    }
    if (event.kind === "scores") {
      sweep.scorer = event.scorer;
      event.scores.forEach(({ at, score }) => {
        sweep.cells[key(at)].score = score;
        told(at);
      });
    }
  }

  // The prompt and the seed, where they are not what is varied.
  const fixed = () => {
    const { name, name_down, prompt, seed } = sweep.about;
    return [["prompt", `“${prompt}”`], ["seed", `seed ${seed}`]].filter(([one]) => ![name, name_down].includes(one)).map(([, text]) => text);
  };
  const place = (at) => $(`#sweep-grid [data-at="${key(at)}"]`);
  function lay(about) {
    sweep.about = about;
    $("#sweep-result").hidden = false;
    $("#sweep-chart").replaceChildren();
    $("#sweep-note").textContent = "Click a picture to use its settings on the page.";
    const versus = about.down && !pairs ? `${about.across} × ${about.down}` : about.across;
    $("#sweep-title").textContent = `${pairs ? "N−1 steps re-weighted beside N steps vanilla" : versus}: ${fixed().join(", ")}`;
    const head = (text, scope) => {
      const th = document.createElement("th");
      th.textContent = text;
      th.scope = scope;
      return th;
    };
    const table = $("#sweep-grid");
    table.replaceChildren();
    const top = document.createElement("tr");
    top.append(head(about.down && !pairs ? `${about.down} ↓  ${about.across} →` : `${about.across} →`, "col"), ...about.columns.map((label) => head(label, "col")));
    table.append(top);
    about.rows.forEach((label, i) => {
      const row = document.createElement("tr");
      row.append(head(label, "row"));
      about.columns.forEach((_, j) => {
        const cell = document.createElement("td");
        cell.dataset.at = key([i, j]);
        row.append(cell);
      });
      table.append(row);
    });
    about.impossible.forEach(({ at, why }) => {
      place(at).className = "rw-impossible";
      place(at).textContent = why;
    });
  }

  function put(event) {
    const bytes = rw.bytes(event.png);
    const cell = { ...event, png: null, bytes, url: URL.createObjectURL(new Blob([bytes], { type: "image/png" })) };
    sweep.cells[key(event.at)] = cell;
    $("#sweep-result").dataset.first ??= (performance.now() - sweep.began).toFixed(0);
    const button = document.createElement("button");
    button.type = "button";
    const image = document.createElement("img");
    image.src = cell.url;
    image.width = image.height = 128;
    image.alt = "";
    button.append(image);
    const figures = document.createElement("small");
    place(event.at).replaceChildren(button, figures);
    told(event.at);
  }

  function told(at) {
    const { ssim, score, caption } = sweep.cells[key(at)];
    const where = [`${sweep.about.across} ${sweep.about.columns[at[1]]}`, sweep.about.down && `${sweep.about.down} ${sweep.about.rows[at[0]]}`].filter(Boolean).join(", ");
    const numbers = [ssim !== undefined && `SSIM ${ssim.toFixed(2).replace(/^0/, "")}`, score !== undefined && `score ${score.toFixed(2)}`].filter(Boolean);
    $("small", place(at)).textContent = numbers.join(" · ");
    const button = $("button", place(at));
    button.setAttribute("aria-label", `${where}${numbers.length ? `; ${numbers.join(", ")}` : ""}; press to use these settings`);
    button.title = `${where}\n${caption}`;
  }

  document.addEventListener("click", async (event) => {
    const at = event.target.closest?.("#sweep-grid button")?.parentElement.dataset.at;
    if (at) {
      const cell = sweep.cells[at];
      all("#sweep-grid .rw-chosen").forEach((one) => one.classList.remove("rw-chosen"));
      place(cell.at).classList.add("rw-chosen");
      rw.acted?.("The sweep's settings");
      const settings = { ...cell.settings };
      if (!rw.settings.columns.includes(cell.column)) settings.columns = [...rw.settings.columns.slice(0, 7), cell.column];
      if (Object.keys(settings).length) rw.set(settings);
      $("#sweep-note").textContent = `Now used on the page: ${Object.entries(cell.changes).map(([name, value]) => `${name.replace("block.", "weight of block ")} ${value}`).join(", ")}. ${cell.caption}`;
    }
    const id = event.target.closest?.("button")?.id;
    if (id === "sweep-draw") draw();
    if (id === "sweep-png") grid();
    if (id === "sweep-svg") rw.download("sweep.svg", rw.svgFile(await sheet()), "image/svg+xml");
    if (id === "sweep-zip") zip();
    if (id === "sweep-csv") rw.download("sweep.csv", table(), "text/csv");
    const preset = event.target.closest?.("#sweep-presets button");
    if (preset && known) {
      choose(PRESETS[+preset.dataset.preset]);
      price();
    }
  });
  document.addEventListener("change", (event) => {
    const side = event.target.id?.match(/^sweep-(across|down)$/)?.[1];
    if (side) {
      pairs = false;
      $(`#sweep-${side}-values`).value = example(event.target.value);
    }
    if (event.target.id === "sweep-column") pairs = false;
    if (side || event.target.id?.startsWith("sweep-")) price();
  });
  document.addEventListener("input", (event) => event.target.id?.match(/^sweep-.*-values$/) && price());
  document.addEventListener("keydown", (event) => event.key === "Enter" && known && event.target.id?.match(/^sweep-.*-values$/) && draw());

  // ---- what can be taken away
  const ordered = () => Object.values(sweep.cells).sort((a, b) => a.at[0] - b.at[0] || a.at[1] - b.at[1]);
  function table() {
    const names = [...new Set(ordered().flatMap(({ changes }) => Object.keys(changes)))];
    const rows = ordered().map((cell) => [cell.name, ...names.map((name) => cell.changes[name]), cell.ssim, cell.difference, cell.score]);
    return rw.csv([["file", ...names, "ssim_with_vanilla", "mean_difference", sweep.scorer ? `score (${sweep.scorer})` : "score"], ...rows]);
  }
  function credit() {
    return [sweep.about.model, sweep.about.column, ...fixed()].join(" · ");
  }
  function zip() {
    const names = new Map();
    const files = ordered().map((cell) => {
      const n = names.get(cell.name) ?? 0;
      names.set(cell.name, n + 1);
      return [n ? cell.name.replace(/\.png$/, `_${n + 1}.png`) : cell.name, cell.bytes, cell];
    });
    const manifest = {
      format: "reweight-sweep-1", about: credit(), settings: rw.settings, ask: asked(),
      pictures: files.map(([file, , { at, changes, column, ssim, difference, score, together }]) => ({ file, at, column, changes, ssim, difference, score, drawn_in_a_batch: together })),
    };
    rw.download("sweep.zip", rw.zip([...files.map(([name, bytes]) => [name, bytes]), ["manifest.json", JSON.stringify(manifest, null, 1)], ["sweep.csv", table()]]), "application/zip");
  }
  function sheet() {
    const { about, cells } = sweep;
    return rw.sheet({
      title: $("#sweep-title").textContent, rows: about.rows.map((label) => label || " "), columns: about.columns, across: about.across, down: about.down, side: 192,
      but: [...new Set(ordered().flatMap(({ changes }) => Object.keys(changes)))],
      cells: about.rows.map((_, i) => about.columns.map((_, j) => {
        const cell = cells[key([i, j])];
        const why = about.impossible.find(({ at }) => key(at) === key([i, j]))?.why;
        return cell ? { url: cell.url, text: cell.ssim === undefined ? "" : `SSIM ${cell.ssim.toFixed(2)}${cell.score === undefined ? "" : ` · score ${cell.score.toFixed(2)}`}` } : why && { text: why };
      })),
    });
  }
  async function grid() {
    const settings = JSON.stringify({ settings: rw.settings, ask: asked() });
    rw.download("sweep.png", rw.pngWithText(await rw.rasterised(await sheet()), { "reweight-sweep": settings }), "image/png");
  }

  const opened = () => {
    const place = $("#sweep-presets");
    if (place && !place.children.length)
      PRESETS.forEach(({ name }, i) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "rw-small-button";
        button.dataset.preset = i;
        button.textContent = name;
        place.append(button);
      });
    if (rw.screen === "Sweep") offer();
  };
  rw.on("screen", opened);
  rw.on("drawn", () => rw.screen === "Sweep" && opened());
})();
