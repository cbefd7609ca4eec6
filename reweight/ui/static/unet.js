// The U-Net as a control: a click on a block switches it off, a drag or its own slider sets its weight.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  const { table } = rw;
  const { OFF, STEP } = table;
  const PULL = 80; // pixels of a drag that are a weight of 1
  const name = (i) => table.data.blocks[i].name;
  let drag = null;

  // What the U-Net shows of a block: its weight at a step, or over all steps.
  table.overall = (i, at = table.hovered ?? table.at) => {
    const values = (at === null ? table.steps() : [at]).map((t) => rw.weight(t, i));
    if (values.every((value) => value === OFF)) return { value: OFF, mixed: false };
    const numbers = values.map((value) => (value === OFF ? 0 : value));
    return { value: numbers.reduce((sum, value) => sum + value, 0) / numbers.length, mixed: values.includes(OFF) };
  };
  const number = (i) => {
    const { value } = table.overall(i, table.at);
    return value === OFF ? 0 : value;
  };

  function toggle(i) {
    const { at } = table;
    const cells = at === null ? table.steps() : [at];
    const off = cells.every((t) => rw.weight(t, i) === OFF);
    table.remember();
    rw.acted(`${name(i)} ${off ? "on again" : "off"}${table.where(at)}`, { off: off ? null : { block: i, at } });
    table.block = i;
    table.put(cells.map((t) => [t, i, off ? null : OFF]));
    table.draw();
  }
  // One weight after another of a drag or a slider is one act.
  function pull(i, value, first) {
    if (first) {
      table.remember();
      rw.acted("");
    }
    table.block = i;
    rw.react(`${name(i)} at ${table.text(value)}${table.where(table.at)}`);
    rw.paint(i, table.at, value, { say: false });
  }

  // ---- under the pointer
  document.addEventListener("pointerdown", (event) => {
    const one = event.target.closest?.("#unet .rw-block");
    if (!one || event.button) return;
    const i = +one.dataset.block;
    // A finger that moves scrolls the page; one that does not is a tap.
    drag = { i, y: event.clientY, from: number(i), last: null, shift: event.shiftKey, finger: event.pointerType === "touch" };
    if (!drag.finger) one.setPointerCapture?.(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag || drag.finger || (drag.last === null && Math.abs(drag.y - event.clientY) < 5)) return;
    const next = table.clamped(drag.from + (drag.y - event.clientY) / PULL);
    if (next === drag.last) return;
    pull(drag.i, next, drag.last === null);
    drag.last = next;
  });
  document.addEventListener("pointerup", () => {
    if (!drag) return;
    const { i, last, shift } = drag;
    drag = null;
    if (last !== null) return;
    if (!shift) return toggle(i);
    table.block = i;
    rw.repaint();
    $("#block-weight").focus();
  });
  document.addEventListener("pointercancel", () => (drag = null));

  // ---- by keys
  document.addEventListener("keydown", (event) => {
    const one = table.data && event.target.closest?.("#unet .rw-block");
    if (!one || event.ctrlKey || event.metaKey) return;
    const i = +one.dataset.block;
    const by = { ArrowUp: STEP, ArrowRight: STEP, ArrowDown: -STEP, ArrowLeft: -STEP }[event.key];
    if (event.key === "Enter" || event.key === " ") toggle(i);
    else if (by) {
      table.block = i;
      rw.paint(i, table.at, table.clamped(number(i) + by));
    } else if (event.key === "Delete" || event.key === "Backspace") rw.paint(i, table.at, null);
    else return;
    event.preventDefault();
  });

  // ---- a block's own slider
  table.own = () => {
    const [slider, off, label] = [$("#block-weight"), $("#block-off"), $("#block-name")];
    const { block } = table;
    const there = block !== null && block < table.data.blocks.length;
    slider.disabled = off.disabled = !there;
    if (!there) return (label.textContent = matchMedia("(pointer: coarse)").matches ? "Tap a block" : "Drag a block up or down, or click one");
    const { value } = table.overall(block, table.at); // what its slider sets, whatever step a film shows
    label.textContent = `${name(block)}${table.where(table.at)}: ${table.text(value)}`;
    if (document.activeElement !== slider || slider.value === "") slider.value = value === OFF ? 0 : value;
    slider.style.setProperty("--at", `${slider.value * 50}%`);
    off.textContent = value === OFF ? "switch on" : "switch off";
  };
  let sliding = false;
  document.addEventListener("input", (event) => {
    if (event.target.id === "block-weight" && table.block !== null) {
      pull(table.block, +event.target.value, !sliding);
      sliding = true;
    }
    if (event.target.name === "rw-at" || event.target.id === "at-step") {
      const value = event.target.value;
      table.at = value === "" || value === "0" ? null : +value - 1;
      const says = $("#at-says");
      if (says) says.textContent = table.at === null ? "all steps" : `step ${table.at + 1}`;
      if (says) event.target.style.setProperty("--at", `${(100 * value) / table.data.steps}%`);
      rw.repaint();
    }
  });
  document.addEventListener("change", (event) => event.target.id === "block-weight" && (sliding = false));
  document.addEventListener("click", (event) => event.target.id === "block-off" && table.block !== null && toggle(table.block));

  // Which step a click applies to: a choice of few, or a slider.
  table.offerSteps = () => {
    const place = $("#steps-chosen");
    table.at = null;
    if (table.data.steps <= 4)
      place.innerHTML = ["all steps", ...table.steps().map((t) => `step ${t + 1}`)]
        .slice(0, table.data.steps === 1 ? 1 : undefined)
        .map((text, n) => `<label class="rw-seg"><input type="radio" name="rw-at" value="${n || ""}"${n ? "" : " checked"}><span>${text}</span></label>`)
        .join("");
    else place.innerHTML = `<input type="range" id="at-step" aria-label="The step that a click applies to" min="0" max="${table.data.steps}" value="0" style="--at:0%"> <output id="at-says">all steps</output>`;
  };
})();
