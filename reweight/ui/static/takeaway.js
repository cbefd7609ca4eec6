// What can be taken along from every screen: charts beside themselves, and a menu under the U-Net with the slide.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const steps = () => [...Array(rw.settings.steps).keys()];
  const blocks = () => rw.facts.blocks.map(({ name }) => name);
  const number = (value) => (value === "off" ? value : +value.toFixed(5));
  const weights = () => rw.withSource([["step", "block", "weight"], ...steps().flatMap((t) => blocks().map((name, i) => [t + 1, name, number(rw.weight(t, i))]))], rw.drawnWith());
  const ALONE = ["", "", 1]; // low_95, high_95 and n of what is measured on one picture
  const panel = (svg) => rw.importance.panels.find(({ name }) => name === svg.closest("section").dataset.name);
  // A heatmap's cells, with the ends of their 95% intervals where it has them; the direct check is one measurement.
  const cells = (svg) => {
    const alone = svg.hasAttribute("data-alone");
    const head = alone ? ["mean_squared_error", "low_95", "high_95", "n"] : ["score", "score_low_95", "score_high_95"];
    const rows = all(".rw-cell", svg).map(({ dataset }) => [+dataset.column + 1, dataset.name, dataset.value, ...(alone ? ALONE : [dataset.low ?? "", dataset.high ?? ""])]);
    return rw.withSource([["step", "block", ...head], ...rows], { ...panel(svg).about, ...panel(svg).check });
  };
  // A caption names the model, the prompt and how the scores were made: not the seed and the weights of the pictures.
  const caption = ({ model, prompt, source, seed, scheduler, steps, method }) => {
    const how = [method.replace("probe:", "preset "), seed !== "" && `seed ${seed}`, `${steps} step${steps > 1 ? "s" : ""}`, scheduler.replace("Scheduler", "")];
    return [model, `“${prompt}”`, how.filter(Boolean).join(", "), source].join(" · ");
  };
  function scored(svg) {
    const { title, tau, about, schedule } = panel(svg);
    const ends = $(".rw-interval", svg) ? "The line at the foot of a cell is the score’s 95% interval over the runs: its left edge is 0, its right edge 1." : "";
    const [check, all_] = [rw.importance.definition.split(" Tau-b")[0], rw.importance.definition];
    const note = [ends, tau ? all_ : schedule ? "" : check].filter(Boolean).join(" ");
    return rw.titled(svg, tau ? `${title}: ${tau}` : title, { about: caption(about), bar: schedule ? "importance score" : "share of the step’s largest error, logarithmic", note });
  }

  // The charts that a screen may hold: a selector, a name for files, and the rows of its CSV.
  const CHARTS = [
    ["#rankings .rw-heat", (svg) => (panel(svg).schedule ? `importance-${panel(svg).name}` : panel(svg).name), cells, scored],
    ["#ranks svg", () => "ranks", (svg) => rw.withSource(own(svg), rw.importance.about), ranked],
    ["#curves svg", () => "weights-over-steps", weights],
    ["#prune-chart svg", () => "pruning"],
    ["svg[data-name=parabola]", () => "parabola"],
  ];
  const own = (svg) => JSON.parse(svg.dataset.table);
  const heading = (svg) => $(".rw-title", svg)?.textContent ?? svg.getAttribute("aria-label");
  function ranked(svg) {
    const { about, interval } = rw.importance;
    const note = interval ? "Blocks whose intervals overlap may change places: the CSV has the intervals." : "";
    return rw.titled(svg, heading(svg), { about: caption(about), note });
  }

  function equip() {
    CHARTS.forEach(([selector, name, rows = own, figure = (svg) => rw.titled(svg, heading(svg))]) =>
      all(selector).forEach((svg) => {
        const host = svg.parentElement;
        if (host.nextElementSibling?.matches(".rw-chart-tools") || $(":scope > .rw-chart-tools", host)) return;
        const now = () => $("svg", host);
        const inside = host.parentElement.matches(".rw-two"); // whose children are its columns
        host[inside ? "append" : "after"](rw.chartTools("save", name(svg), () => figure(now()), () => rows(now())));
      }),
    );
    if ($("#ablations .rw-without") && !$("#ablate-tools"))
      $("#ablations").parentElement.after(Object.assign(rw.chartTools("save", "ablation", ablation, ablated), { id: "ablate-tools" }));
    if ($("#films figure") && !$("#films-tools"))
      $("#films").after(Object.assign(rw.chartTools("save every step", "steps", films), { id: "films-tools" }));
    if ($("#instrument .rw-foot .rw-tools") && !$("#take-along")) $("#instrument .rw-foot .rw-tools").append(menu());
  }

  function menu() {
    const box = document.createElement("details");
    box.id = "take-along";
    box.innerHTML = "<summary>export</summary><div></div>";
    const line = (title, ...saving) => $("div", box).append(rw.chartTools(title, ...saving));
    line("the comparison as a slide", "slide", rw.slide);
    $("div", box).lastChild.querySelector("button").onclick = slidePng;
    line("the weights", "weights", () => rw.titled($("#heat-weights svg"), "The weight of each block at each step", { bar: "weight" }), weights);
    line("the U-Net", "unet", () => rw.titled($("#unet svg"), "The U-Net, its blocks coloured by their weights", { bar: "weight" }));
    return box;
  }
  // At its own size, and with the settings in it.
  async function slidePng() {
    const png = await rw.rasterised(await rw.slide());
    rw.download("slide.png", rw.pngWithText(png, { "reweight-page": JSON.stringify({ settings: rw.settings }) }), "image/png");
  }
  document.addEventListener("click", (event) => $("#take-along")?.open && !event.target.closest("#take-along") && ($("#take-along").open = false));
  document.addEventListener("keydown", (event) => event.key === "Escape" && $("#take-along")?.open && (($("#take-along").open = false), $("#take-along summary").focus()));

  // ---- the picture without each block
  const without = () => all("#ablations .rw-without").filter((cell) => cell.event);
  const when = (step) => (step === null ? "all steps" : `step ${step + 1}`);
  const ablated = () => rw.withSource([["block", "step", "ssim", "mean_difference_of_255", "low_95", "high_95", "n"], ...without().map(({ event: { block, step, far } }) => [blocks()[block], step === null ? "all" : step + 1, far.ssim, far.difference, ...ALONE])], rw.drawnWith(false));
  function ablation() {
    const differences = $("#ablate-view input:checked").value === "difference";
    const columns = [...new Set(without().map(({ event }) => event.step))].sort((a, b) => (a ?? 1e9) - (b ?? 1e9));
    const found = (i, step) => without().find(({ event }) => event.block === i && event.step === step)?.event;
    return rw.sheet({
      title: `The picture without each block${differences ? ": differences" : ""}, and its SSIM with vanilla`, rows: blocks(), columns: columns.map(when), side: 128, but: ["low", "high", "schedule", "painted"],
      cells: blocks().map((_, i) => columns.map((step) => {
        const one = found(i, step);
        return one && { url: differences ? one.difference : one.picture, text: `SSIM ${rw.ssim(one.far.ssim)}` };
      })),
    });
  }

  // ---- what the model thinks the picture will be
  function films() {
    const { films, steps } = rw.films();
    const titles = Object.fromEntries(all("#films figure").map((one) => [one.dataset.column, $("h3", one).textContent]));
    const columns = [...Array(steps).keys()];
    const what = $("#watch-noisy").checked ? "The noisy latent after each step" : "The clean picture (x₀) predicted at each step";
    return rw.sheet({
      title: what, rows: Object.keys(films).map((key) => titles[key]), columns: columns.map((t) => `step ${t + 1}`), side: 128,
      cells: Object.values(films).map((pictures) => columns.map((t) => pictures[t] && { url: pictures[t] })),
    });
  }

  rw.on("begun", () => {
    new MutationObserver(equip).observe($(".gradio-container"), { childList: true, subtree: true });
    equip();
  });
})();
