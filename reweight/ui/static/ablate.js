// The Ablate screen: a grid of blocks and steps, each cell the picture without that block.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  let layout = null;
  let fresh = false;

  const cellOf = (block, step) => $(`#ablations [data-row="${block}"][data-column="${step ?? layout.steps}"]`);

  // All steps come first: with many steps it is the column that may not be out of sight.
  function lay(event) {
    layout = event;
    const columns = event.steps > 1 ? [event.steps, ...Array(event.steps).keys()] : [event.steps];
    const name = (t) => (t === event.steps ? "all steps" : columns.length > 7 ? `${t + 1}` : `step ${t + 1}`);
    const grid = $("#ablations");
    grid.replaceChildren();
    grid.style.setProperty("--cells", columns.length - 1);
    grid.classList.toggle("rw-many", columns.length > 7);
    const put = (className, text) => {
      const one = document.createElement("div");
      one.className = className;
      one.textContent = text;
      grid.append(one);
    };
    put("rw-corner", columns.length > 7 ? "off at step" : "off at");
    columns.forEach((t) => put("rw-top", name(t)));
    event.names.forEach((block, i) => {
      put("rw-side", block);
      columns.forEach((t) => {
        const cell = document.createElement("button");
        cell.type = "button";
        cell.className = "rw-without";
        cell.dataset.row = i;
        cell.dataset.column = t;
        cell.disabled = true;
        cell.setAttribute("aria-label", `${block}, ${t === event.steps ? "all steps" : `step ${t + 1}`}`);
        cell.innerHTML = '<img alt=""><span></span>';
        cell.classList.toggle("rw-all", t === event.steps);
        grid.append(cell);
      });
    });
    $("#ablate-cost").textContent = event.cost;
    const vanilla = rw.pictures()[`vanilla ${rw.settings.seed}`];
    vanilla ? ($("#ablate-vanilla").src = vanilla.url) : $("#ablate-vanilla").removeAttribute("src");
    $("#ablate-vanilla").alt = vanilla ? vanilla.alt : "";
    $("#ablate-one").removeAttribute("src");
  }

  const view = () => $('#ablate-view input:checked').value;
  function fill(cell, event) {
    cell.disabled = false;
    cell.event = event;
    $("img", cell).src = view() === "picture" ? event.picture : event.difference;
    $("span", cell).textContent = rw.ssim(event.far.ssim).replace(/^(-?)0\./, "$1.");
    cell.style.setProperty("--v", Math.min(1, Math.max(0, 1 - event.far.ssim)).toFixed(3));
    cell.setAttribute("aria-label", `Without ${title(event)}: ${event.far.phrase}, SSIM ${rw.ssim(event.far.ssim)}`);
  }
  const title = ({ block, step }) => `${layout.names[block]} ${step === null ? (layout.steps > 1 ? "at all steps" : "") : `at step ${step + 1}`}`.trim();

  function look(cell) {
    if (!cell?.event) return;
    const { picture, difference, far } = cell.event;
    $("#ablate-one").src = view() === "picture" ? picture : difference;
    $("#ablate-one").alt = $("#ablate-says").textContent =
      `Without ${title(cell.event)}: ${far.phrase}, SSIM ${rw.ssim(far.ssim)}, mean difference ${far.difference}/255`;
  }

  async function start() {
    $("#ablate").disabled = true;
    const grid = $("#ablations");
    const count = all(".rw-without", grid).length;
    const far = () => ($("#ablate-cost").textContent = `Drawing: ${all(".rw-without:not(:disabled)", grid).length} of ${count} pictures`);
    all(".rw-without", grid).forEach((cell) => (cell.disabled = true));
    grid.classList.add("rw-filling");
    far();
    const end = await rw.act("ablate", "grid", {}, (event) => {
      if (event.kind === "whole") {
        $("#ablate-vanilla").src = event.picture;
        $("#ablate-vanilla").alt = "The picture with every block";
      }
      if (event.kind === "without") {
        const cell = cellOf(event.block, event.step);
        fill(cell, event);
        if (event.block === 0 && event.step === null) look(cell);
        far();
      }
    });
    grid.classList.remove("rw-filling");
    all(".rw-without", grid).forEach((cell) => (cell.disabled = !cell.event));
    $("#ablate-cost").textContent = end === "done" ? "" : layout?.cost ?? "";
    $("#ablate").disabled = false;
    if (end === "done") rw.status("");
  }
  // What is cheap begins by itself; the rest says what it costs, and waits for the button.
  async function offer() {
    fresh = true;
    layout = null;
    await rw.act("ablate", "plan", {}, (event) => event.kind === "layout" && lay(event));
    if (layout?.cheap) start();
  }
  const open = () => rw.screen === "Ablate";
  rw.on("screen", () => open() && !fresh && offer());
  rw.on("changed", (names) => !["painted", "low", "high", "schedule", "columns", "blocks"].includes(names[0]) && (fresh = false));
  rw.on("prompt", () => (fresh = false));
  rw.on("model", () => (fresh = false));
  rw.on("drawn", () => open() && !fresh && offer());

  document.addEventListener("click", (event) => {
    if (event.target.id === "ablate" && layout) start();
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
