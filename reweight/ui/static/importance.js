// The Importance screen: asks for its drawings when it is open, probes, and brings tables in and out.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  let latest = null;
  let probing = false;
  let hint = "";

  /** An explained cell was of other scores. */
  function forget() {
    hint ||= $("#cell-note").textContent;
    $("#cell-note").textContent = hint;
  }

  function take(event) {
    if (event.kind === "importance") {
      if (JSON.stringify(event.panels) !== JSON.stringify(latest?.panels)) forget();
      latest = { cheap: latest?.cheap, cost: latest?.cost, ...event };
      $("#findings").innerHTML = event.findings;
      $("#verdict").textContent = event.verdict;
      $("#definition").textContent = event.definition;
      $("#by-step > div").innerHTML = event.by_step;
      $("#by-step").hidden = !event.by_step;
      rw.importance = event;
      $("#ranks").innerHTML = event.ranks;
      rankings(event.panels);
      if (rw.drawings) $("#curves").innerHTML = rw.drawings.curves;
      follow(event.told);
      rw.repaint();
      frame(event);
    }
    if (event.kind === "tuned") $("#tune-note").textContent = event.text;
    if (event.kind === "schedule") rw.set({ schedule: event.value }, { draw: false });
    if (event.kind === "file") rw.download(event.name, event.text, "application/json");
  }

  // The weights, the U-Net and the curves are of the same table as the scores here, also while it is being probed.
  function follow(told) {
    const { data } = rw.table;
    if (!data || data.steps !== told.steps || data.blocks.length !== told.blocks.length) return;
    Object.assign(data, { scores: told.scores, base: told.base, mask: told.mask, source: told.source });
    $("#source").textContent = `Importance: ${told.source}.`;
  }

  function rankings(panels) {
    $("#rankings").classList.toggle("rw-many", latest.scores.length > 4);
    $("#rankings").replaceChildren(
      ...panels.map((panel) => {
        const one = document.createElement("section");
        one.innerHTML = '<h3></h3><p class="rw-tau"></p><div class="rw-scroll"></div><p class="rw-source"></p>';
        one.dataset.name = panel.name;
        $("h3", one).textContent = panel.title;
        $(".rw-tau", one).textContent = panel.tau;
        $(".rw-scroll", one).innerHTML = panel.heat;
        $(".rw-source", one).textContent = panel.source;
        if (panel.schedule) {
          const use = document.createElement("button");
          use.type = "button";
          use.className = "rw-small-button rw-use";
          use.dataset.schedule = panel.schedule;
          const followed = rw.settings.schedule === panel.schedule;
          use.disabled = followed;
          use.textContent = followed ? "the weights follow this" : "let the weights follow this";
          one.append(use);
        }
        return one;
      }),
      ...(latest.checked || probing ? [] : [unchecked()]),
    );
  }
  // The direct check where it was not made: what it takes, and the button that begins it.
  function unchecked() {
    const one = document.createElement("section");
    one.innerHTML = '<h3>The direct check</h3><p class="rw-source">Switches every block off, one by one, and measures how much the model’s output changes.</p><button type="button" class="rw-small-button" id="direct">Check directly</button> <span class="rw-source"></span>';
    one.lastChild.textContent = latest.cost ?? "";
    if (latest.cheap) $("button", one).replaceWith("Running… ");
    return one;
  }

  function frame({ names, scores }) {
    const cells = (row, tag) => row.map((value) => `<${tag}>${value}</${tag}>`).join("");
    const body = scores.map((row, t) => `<tr><th scope="row">step ${t + 1}</th>${cells(row.map((v) => v.toFixed(3)), "td")}</tr>`).join("");
    const weights = scores.map((row, t) => `<tr><th scope="row">step ${t + 1}</th>${cells(row.map((_, i) => (rw.weight(t, i) === "off" ? "off" : rw.weight(t, i).toFixed(3))), "td")}</tr>`).join("");
    const table = (title, rows) =>
      `<table><caption>${title}</caption><thead><tr><th></th>${names.map((name) => `<th scope="col">${name}</th>`).join("")}</tr></thead><tbody>${rows}</tbody></table>`;
    $("#frame").innerHTML = table(`Importance scores by ${latest.of}`, body) + table("Weights", weights);
  }
  rw.on("painted", () => latest && $("#numbers")?.open && frame(latest));

  const open = () => rw.screen === "Importance";
  async function refresh() {
    if (!open() || probing) return;
    note();
    await rw.act("importance", "show", {}, take);
    if (latest && !latest.checked && latest.cheap) await check();
  }
  async function check() {
    await rw.act("importance", "direct", {}, take);
    rw.status("");
  }
  // A probe changes the weights too, where they follow another ranking: that is said before.
  function note() {
    const preset = $("#preset input:checked")?.value;
    const follows = preset === "calibrated" ? "calibrated" : "importance";
    const who = follows === "calibrated" ? "our calibrated probe" : "the paper’s probe";
    const place = $("#probe-note");
    if (place) place.textContent = follows === rw.settings.schedule ? "" : `After that, the weights follow ${who}.`;
  }
  rw.on("changed", () => open() && note());
  document.addEventListener("input", (event) => event.target.name === "rw-preset" && note());
  rw.on("screen", refresh);
  rw.on("drawn", refresh);

  function explain(cell) {
    $("#cell-note").textContent = cell.dataset.note;
    all(".rw-chosen", cell.closest("svg")).forEach((one) => one.classList.remove("rw-chosen"));
    cell.classList.add("rw-chosen");
  }
  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.(".rw-importance .rw-cell");
    if (!cell) return;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Enter" || event.key === " ") explain(cell);
    else if (step) {
      const next = $(`[data-row="${+cell.dataset.row + step[0]}"][data-column="${+cell.dataset.column + step[1]}"]`, cell.closest("svg"));
      if (!next) return;
      cell.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    } else return;
    event.preventDefault();
  });
  document.addEventListener("click", async (event) => {
    const cell = event.target.closest?.(".rw-importance .rw-cell");
    if (cell) explain(cell);
    const use = event.target.closest?.(".rw-use");
    if (use) rw.set({ schedule: use.dataset.schedule });
    const id = event.target.closest?.("button")?.id;
    if (id === "direct") {
      event.target.disabled = true;
      check();
    }
    if (id === "probe") {
      const runs = $("#runs");
      runs.value = Math.min(+runs.max, Math.max(1, Math.round(+runs.value || 15)));
      const preset = $('#preset input:checked').value;
      probing = true;
      const end = await rw.act("importance", "probe", { preset, runs: +runs.value }, take);
      probing = false;
      if (end !== "error") rw.draw();
    }
    if (id === "tune") {
      probing = true;
      const end = await rw.act("importance", "tune", {}, take);
      probing = false;
      if (end !== "error") rw.draw();
    }
    if (id === "save-table") rw.act("importance", "save", {}, take);
    if (id === "save-csv" && latest) csv();
    if (id === "load-table") $("#table-file").click();
  });
  document.addEventListener("change", async (event) => {
    if (event.target.id !== "table-file") return;
    const file = event.target.files[0];
    const text = file && file.size <= 1e6 ? await file.text() : "";
    event.target.value = "";
    if (!file) return;
    if (!text) return rw.say("This file is empty, or too large to be an importance table.", true);
    if ((await rw.act("importance", "load", { text }, take)) === "done") rw.draw();
  });
  function csv() {
    const { scores, names, interval } = latest;
    const rows = [["step", "block", "score", "score_low_95", "score_high_95", "weight"]];
    scores.forEach((row, t) => row.forEach((score, i) => {
      const weight = rw.weight(t, i);
      rows.push([t + 1, names[i], score, ...(interval ?? [null, null]).map((end) => end && end[t][i]), weight === "off" ? weight : +weight.toFixed(5)]);
    }));
    rw.download("importance.csv", rw.csv(rw.withSource(rows, latest.about)), "text/csv");
  }
})();
