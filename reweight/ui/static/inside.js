// A block opened under the U-Net: what is in it, and what its weight does there.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { table } = rw;
  const { OFF } = table;
  let shown = null; // the block that is open

  const SAYS = {
    off: "Switched off: its Transformers are not computed, h passes them unchanged. The ResNets stay.",
    one: "At 1 nothing is changed: this is the model as it was trained.",
    below: "Below 1 the whole output is weaker, the residual h included.",
    above: "Above 1 the whole output is stronger, the residual h included.",
  };

  function list(values) {
    if (values.length <= 4) return values.length > 1 ? values.map((value, t) => `step ${t + 1}: ${table.text(value)}`).join(", ") : "";
    const numbers = values.filter((value) => value !== OFF);
    const off = values.length - numbers.length;
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const range = !numbers.length ? "" : low === high ? table.text(low) : `${table.text(low)} to ${table.text(high)}`;
    return [range && `${range} over ${numbers.length} steps`, off && `off at ${off}`].filter(Boolean).join(", ");
  }

  function fill() {
    const place = $("#inside");
    if (!place || place.hidden || !table.data || !rw.drawings) return;
    if (table.block !== null && table.block < table.data.blocks.length) show(table.block);
    const { value } = table.overall(shown);
    const off = value === OFF;
    const pale = +$("#heat-weights svg").dataset.pale;
    const v = off ? 0 : Math.max(-1, Math.min(1, (value - 1) / 0.5));
    const inside = $("#inside-of");
    inside.style.setProperty("--v", v.toFixed(3));
    inside.classList.toggle("rw-is-off", off);
    all(".rw-w", inside).forEach((one) => {
      one.textContent = table.text(value);
      one.classList.toggle("rw-pale", off || Math.abs(v) > pale);
    });
    $(".rw-at-steps", inside).textContent = table.hovered === null && table.at === null ? list(table.steps().map((t) => rw.weight(t, shown))) : `step ${(table.hovered ?? table.at) + 1}`;
    $(".rw-inside-says", inside).textContent = SAYS[off ? "off" : Math.abs(value - 1) < 0.005 ? "one" : value < 1 ? "below" : "above"];
  }

  function show(i) {
    if (i === shown) return;
    shown = i;
    $("#inside-of").innerHTML = rw.drawings.insides[i];
    $("#inside-which").value = i;
  }

  function open(wanted) {
    const place = $("#inside");
    if (wanted === !place.hidden || !rw.drawings) return;
    place.hidden = !wanted;
    $("#block-inside").setAttribute("aria-expanded", wanted);
    if (!wanted) return void $("#block-inside").focus({ preventScroll: true });
    $("#inside-which").replaceChildren(...table.data.blocks.map(({ name }, i) => new Option(name, i)));
    shown = null;
    table.block ??= table.data.blocks.length - 1;
    rw.repaint();
    place.scrollIntoView({ block: "nearest" });
    $("#inside-which").focus({ preventScroll: true });
  }

  // Rules of a container's width do not outlive Gradio's rewriting of styles.
  const fit = new ResizeObserver(([{ target, contentRect }]) => {
    target.classList.toggle("rw-narrow", contentRect.width < 780);
    target.classList.toggle("rw-slim", contentRect.width < 520);
  });
  rw.on("begun", () => fit.observe($("#inside")));
  rw.on("painted", fill);
  rw.on("about", (event) => {
    if (!event.drawings || !$("#inside")) return;
    shown = null;
    if ($("#inside").hidden) return;
    open(false);
    open(true);
  });
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "block-inside") open($("#inside").hidden);
    if (id === "inside-close") open(false);
  });
  document.addEventListener("change", (event) => {
    if (event.target.id !== "inside-which") return;
    table.block = +event.target.value;
    rw.repaint();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !event.target.closest?.("#inside")) return;
    event.stopImmediatePropagation(); // closes this alone, not what else Escape leaves
    open(false);
  });
})();
