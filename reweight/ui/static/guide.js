// The first acts: three things to try on whatever model is open, each a button that does it on the live page.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { table } = rw;
  const done = new Set();

  function tries() {
    const { blocks, steps } = table.data;
    const [last, middle] = [blocks.length - 1, blocks.findIndex(({ stage }) => stage === "mid")];
    const off = (i) => () => table.only(table.steps().map((t) => [t, i, table.OFF]), `${blocks[i].name} off${table.where(null)}`, { off: { block: i, at: null } });
    const all = [
      ["last", `switch off ${blocks[last].name}`, off(last)],
      ["high", "double what matters most", () => {
        if (rw.settings.painted) table.remember();
        rw.set({ painted: null, high: 2 });
      }],
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
          one.classList.add("rw-tried");
          act();
        };
        return one;
      }),
    );
    hint();
  }
  // Until something is switched off, the block that is named first is the one that stirs.
  function hint(on = !done.size && !rw.settings.painted) {
    all("#unet .rw-hint").forEach((one) => one.classList.remove("rw-hint"));
    if (on && table.data) $(`#unet .rw-block[data-block="${table.data.blocks.length - 1}"]`)?.classList.add("rw-hint");
  }
  rw.on("about", (event) => event.drawings && offer());
  rw.on("changed", (names) => names[0] === "painted" && hint(false));
})();
