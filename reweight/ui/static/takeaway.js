// What can be taken along from every screen: charts beside themselves, and a menu under the U-Net with the slide.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const steps = () => [...Array(rw.settings.steps).keys()];
  const blocks = () => rw.facts.blocks.map(({ name }) => name);
  const weights = () => [["step", "block", "weight"], ...steps().flatMap((t) => blocks().map((name, i) => [t + 1, name, rw.weight(t, i)]))];
  const ALONE = "n = 1, no interval"; // of what is measured on one picture
  // A heatmap's cells, with the ends of their 95% intervals where it has them; the direct check is one measurement.
  const cells = (svg) => {
    const drawn = all(".rw-cell", svg);
    const ends = drawn.some((cell) => cell.dataset.low) ? ["low", "high"] : [];
    const alone = svg.hasAttribute("data-alone");
    return [["step", "block", "value", ...ends.map((end) => `${end}_95`), ...(alone ? ["interval_95"] : [])], ...drawn.map(({ dataset }) => [+dataset.column + 1, dataset.name, dataset.value, ...ends.map((end) => dataset[end]), ...(alone ? [ALONE] : [])])];
  };

  // The charts that a screen may hold: a selector, a name for files, and the rows of its CSV.
  const CHARTS = [
    ["#rankings .rw-heat", (svg) => `importance-${all("#rankings .rw-heat").indexOf(svg) + 1}`, cells, (svg) => `${$("h3", svg.closest("section")).textContent} · ${$(".rw-tau", svg.closest("section")).textContent || svg.getAttribute("aria-label")}`],
    ["#ranks svg", () => "ranks"],
    ["#curves svg", () => "weights-over-steps", weights],
    ["#prune-chart svg", () => "pruning"],
    ["svg[data-name=parabola]", () => "parabola"],
  ];
  const own = (svg) => JSON.parse(svg.dataset.table);

  function equip() {
    CHARTS.forEach(([selector, name, rows = own, title = (svg) => $(".rw-title", svg)?.textContent ?? svg.getAttribute("aria-label")]) =>
      all(selector).forEach((svg) => {
        const host = svg.parentElement;
        if (host.nextElementSibling?.matches(".rw-chart-tools") || $(":scope > .rw-chart-tools", host)) return;
        const now = () => $("svg", host);
        const inside = host.parentElement.matches(".rw-two"); // whose children are its columns
        host[inside ? "append" : "after"](rw.chartTools("save", name(svg), () => rw.titled(now(), title(now())), () => rows(now())));
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
    line("the weights", "weights", () => rw.titled($("#heat-weights svg"), "The weight of each block at each step"), weights);
    line("the U-Net", "unet", () => rw.titled($("#unet svg"), "The U-Net, its blocks coloured by their weights"));
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
  const ablated = () => [["block", "step", "ssim", "mean_difference", "interval_95"], ...without().map(({ event: { block, step, far } }) => [blocks()[block], step === null ? "all" : step + 1, far.ssim, far.difference, ALONE])];
  function ablation() {
    const differences = $("#ablate-view input:checked").value === "difference";
    const columns = [...new Set(without().map(({ event }) => event.step))].sort((a, b) => (a ?? 1e9) - (b ?? 1e9));
    const found = (i, step) => without().find(({ event }) => event.block === i && event.step === step)?.event;
    return rw.sheet({
      title: `The picture without each block${differences ? ": differences" : ""}, and its SSIM with vanilla`, rows: blocks(), columns: columns.map(when), side: 128, but: ["low", "high", "schedule", "painted"],
      cells: blocks().map((_, i) => columns.map((step) => {
        const one = found(i, step);
        return one && { url: differences ? one.difference : one.picture, text: `SSIM ${one.far.ssim.toFixed(2)}` };
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
