// The Ablate screen: a grid of blocks and steps, each cell the picture without that block.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  let layout = null;
  let fresh = false;
  let whole = "";

  const cellOf = (block, step) => $(`#ablations [data-row="${block}"][data-column="${step ?? layout.steps}"]`);

  function lay(event) {
    layout = event;
    const wide = event.steps > 1 ? event.steps + 1 : 1;
    const grid = $("#ablations");
    grid.replaceChildren();
    grid.style.setProperty("--cells", wide);
    const put = (className, text) => {
      const one = document.createElement("div");
      one.className = className;
      one.textContent = text;
      grid.append(one);
      return one;
    };
    put("rw-corner", "");
    for (let t = 0; t < wide; t++) put("rw-top", t === wide - 1 ? "all steps" : `step ${t + 1}`);
    event.names.forEach((name, i) => {
      put("rw-side", name);
      for (let t = 0; t < wide; t++) {
        const cell = document.createElement("button");
        cell.type = "button";
        cell.className = "rw-without";
        cell.dataset.row = i;
        cell.dataset.column = wide === 1 ? event.steps : t;
        cell.disabled = true;
        cell.setAttribute("aria-label", `${name}, ${t === wide - 1 ? "all steps" : `step ${t + 1}`}`);
        cell.innerHTML = '<img alt=""><span></span>';
        grid.append(cell);
      }
    });
    all("#ablations [data-column]").forEach((cell) => +cell.dataset.column === event.steps && cell.classList.add("rw-all"));
  }

  const view = () => $('#ablate-view input:checked').value;
  function fill(cell, event) {
    cell.disabled = false;
    cell.event = event;
    $("img", cell).src = view() === "picture" ? event.picture : event.difference;
    $("span", cell).textContent = event.far.ssim.toFixed(2).replace(/^(-?)0\./, "$1.");
    cell.style.setProperty("--v", Math.min(1, Math.max(0, 1 - event.far.ssim)).toFixed(3));
    cell.setAttribute("aria-label", `Without ${title(event)}: changed ${event.far.word}, SSIM ${event.far.ssim.toFixed(2)}`);
  }
  const title = ({ block, step }) => `${layout.names[block]} ${step === null ? (layout.steps > 1 ? "at all steps" : "") : `at step ${step + 1}`}`.trim();

  function look(cell) {
    if (!cell?.event) return;
    const { picture, difference, far } = cell.event;
    $("#ablate-one").src = view() === "picture" ? picture : difference;
    $("#ablate-one").alt = $("#ablate-says").textContent =
      `Without ${title(cell.event)}: changed ${far.word}, SSIM ${far.ssim.toFixed(2)}, mean difference ${far.difference}/255`;
  }

  function start() {
    fresh = true;
    rw.act("ablate", "grid", {}, (event) => {
      if (event.kind === "layout") lay(event);
      if (event.kind === "whole") {
        whole = event.picture;
        $("#ablate-vanilla").src = whole;
        $("#ablate-vanilla").alt = "The picture with every block";
      }
      if (event.kind === "without") {
        const cell = cellOf(event.block, event.step);
        fill(cell, event);
        if (event.block === 0 && event.step === null) look(cell);
      }
    }).then((end) => end === "done" && rw.status(""));
  }
  rw.on("screen", (screen) => screen === "Ablate" && !fresh && start());
  rw.on("changed", (names) => !["painted", "low", "high", "schedule", "columns", "blocks"].includes(names[0]) && (fresh = false));
  rw.on("prompt", () => (fresh = false));
  rw.on("model", () => (fresh = false));

  document.addEventListener("click", (event) => {
    if (event.target.id === "ablate") start();
    const cell = event.target.closest?.(".rw-without");
    if (cell?.event) rw.paint(cell.event.block, cell.event.step, "off");
    if (event.target.id === "prune-start")
      rw.act("ablate", "prune", {}, (said) => said.kind === "chart" && ($("#prune-chart").innerHTML = said.svg)).then((end) => end === "done" && rw.status(""));
  });
  document.addEventListener("pointerover", (event) => look(event.target.closest?.(".rw-without")));
  document.addEventListener("focusin", (event) => look(event.target.closest?.(".rw-without")));
  document.addEventListener("input", (event) => {
    if (event.target.name !== "rw-ablate") return;
    all(".rw-without").forEach((cell) => cell.event && fill(cell, cell.event));
  });
})();
