// The first acts: three things to try on whatever model is open, each a button that does it on the live page.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { table } = rw;
  const done = new Set();

  function tries() {
    const { blocks, steps } = table.data;
    const [last, middle] = [blocks.length - 1, blocks.findIndex(({ stage }) => stage === "mid")];
    const off = (i) => () =>
      table.afresh(`${blocks[i].name} off${table.where(null)}`, { cells: table.steps().map((t) => [t, i, table.OFF]), off: { block: i, at: null } });
    const all = [
      ["last", `switch off ${blocks[last].name}`, off(last)],
      ["high", "×2 on the most important block", () => table.afresh("high 2.00, the most important block", { set: { high: 2 } })],
    ];
    if (middle >= 0) all.splice(1, 0, ["middle", `switch off ${blocks[middle].name}`, off(middle)]);
    return all.map(([key, text, act]) => ({ key, text, act, steps }));
  }
  function offer() {
    const place = $("#tries");
    if (!place || !table.data) return;
    place.replaceChildren(
      ...tries().map(({ key, text, act }) => {
        const one = document.createElement("button");
        one.type = "button";
        one.className = "rw-try";
        one.dataset.try = key;
        one.textContent = text;
        one.classList.toggle("rw-tried", done.has(key));
        one.onclick = () => {
          done.add(key);
          act();
          follow();
        };
        return one;
      }),
    );
    const again = document.createElement("button");
    Object.assign(again, { type: "button", id: "start-again", className: "rw-link", textContent: "back to the start", title: "All weights as this model starts; undo brings yours back" });
    $("#start-again")?.remove();
    $(".rw-tries h3").after(again);
    hint();
    follow();
  }
  // What was done by clicking is done too.
  function follow() {
    if (!table.data || !$("#start-again")) return;
    const { blocks } = table.data;
    const isOff = (i) => rw.settings.painted?.some((row) => row[i] === table.OFF);
    if (isOff(blocks.length - 1)) done.add("last");
    if (blocks.some(({ stage }, i) => stage === "mid" && isOff(i))) done.add("middle");
    if (rw.settings.high === 2) done.add("high");
    all("#tries [data-try]").forEach((one) => one.classList.toggle("rw-tried", done.has(one.dataset.try)));
    $("#start-again").disabled = table.started();
  }
  // Until something is switched off, the block that is named first is the one that stirs.
  function hint(on = !done.size && !rw.settings.painted) {
    all("#unet .rw-hint").forEach((one) => one.classList.remove("rw-hint"));
    if (on && table.data) $(`#unet .rw-block[data-block="${table.data.blocks.length - 1}"]`)?.classList.add("rw-hint");
  }
  rw.on("about", (event) => event.drawings && offer());
  rw.on("changed", (names) => {
    if (names[0] === "painted") hint(false);
    follow();
  });
})();
