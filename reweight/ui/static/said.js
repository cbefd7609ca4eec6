// What somebody did and what it changed: one sentence, the picture before it, and where the two differ.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { OFF } = rw.table;
  const press = matchMedia("(pointer: coarse)").matches ? "Tap" : "Click";
  // Another prompt or noise is another picture, which no act on the blocks explains.
  const OTHERS = {
    prompt: "Another prompt", negative_prompt: "Another negative prompt", seed: "Another seed", model: "Another model",
    steps: "Another number of steps", guidance: "Another guidance", size: "Another size",
  };
  const snapshot = () => Object.fromEntries(Object.entries(rw.settings).map(([name, value]) => [name, JSON.stringify(value)]));
  let act = null; // {text, off, why, before: {key, basis, image}}
  let declared = false; // since the drawing before
  let last = null; // the settings of the drawing before

  // Say what somebody did, so that the page can say what it changed.
  // off: {block, at} where it switches one block off.
  rw.acted = (text, { off = null } = {}) => {
    const shown = rw.settings && rw.pictures()[`${rw.mainColumn()} ${rw.settings.seed}`];
    act = { text, off, why: "", before: null };
    declared = true;
    if (!shown) return;
    const image = new Image();
    image.src = shown.url;
    act.before = { key: shown.key, basis: shown.basis, image, ready: image.decode().catch(() => {}) };
  };
  // The same act goes on: a drag, a stroke. why: what explains a slight change, if it is one.
  rw.react = (text, { off = null, why = "" } = {}) => {
    if (act) Object.assign(act, { text, off, why });
    declared = true;
  };

  // A drawing begins: the act that leads to it, or null; and what its pictures have in common.
  rw.explaining = () => {
    const now = snapshot();
    const basis = Object.fromEntries(Object.keys(OTHERS).map((name) => [name, now[name]]));
    const moved = last ? Object.keys(now).filter((name) => now[name] !== last[name]) : [];
    const from = act?.before?.basis ?? last;
    const other = from && Object.keys(OTHERS).find((name) => from[name] !== basis[name]);
    if (other || (moved.length && !declared)) quiet(other);
    [last, declared] = [now, false];
    return { act: act && { ...act }, basis };
  };
  function quiet(other) {
    act = null;
    since(null);
    hint(other ? `${OTHERS[other]}. ` : "");
  }
  rw.on("changed", (names) => {
    const other = names.find((name) => OTHERS[name]);
    if (other && $("#said")) quiet(other);
  });

  // ---- before anything was done
  function hint(first = "") {
    const line = $("#said");
    if (!line || !rw.table.data) return;
    const cells = rw.table.steps().flatMap((t) => rw.table.data.blocks.map((_, i) => rw.weight(t, i)));
    const numbers = cells.filter((value) => value !== OFF);
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)].map((value) => value.toFixed(2));
    const now = numbers.length < cells.length ? ""
      : low === high ? (low === "1.00" ? "Every weight is 1: Re-weighted is the same as Vanilla. " : `Re-weighted: every block counts ${high} times. `)
      : `Re-weighted: blocks count ${low} to ${high} times. `;
    const last = rw.table.data.blocks.at(-1).name;
    const asked = document.body.classList.contains("rw-taught"); // a lesson asks first
    const shown = rw.settings.columns.some((one) => one.split("+").includes("reweighted"));
    line.textContent = !shown ? first : `${first}${now}${asked ? "" : `${press} ${last} below to switch it off.`}`;
  }
  // The settings have changed, but not by an act of somebody's.
  rw.unexplained = () => quiet();
  let begun = false;
  rw.on("about", () => {
    if (!begun) hint();
    begun = true;
  });

  // ---- what an act changed
  rw.bars = (n) => (n ? `<i class="rw-bars" style="--n:${n}" aria-hidden="true"></i>` : "");
  rw.SSIM = "SSIM, structural similarity: 1 means identical, lower means more changed";
  const ssim = (value) => value.toFixed(2).replace(/^(-?)0\./, "$1.");
  rw.tellSince = ({ text, off, why, before }, { phrase, bars, ssim: s }) => {
    const line = $("#said");
    const part = (tag, className, words) => {
      const one = document.createElement(tag);
      one.className = className;
      one.textContent = words;
      return one;
    };
    const { table } = rw;
    const little = off && bars === 0 ? `, so ${table.data.blocks[off.block].name} matters little for this picture${table.where(off.at).replace(/ at (all|both) steps/, "")}` : "";
    const than = part("span", "rw-soft rw-with", `SSIM ${ssim(s)} to the one before`);
    than.title = rw.SSIM;
    line.replaceChildren(part("span", "", `${text}: `), part("b", "", phrase), part("span", "", `${bars <= 1 && why ? `. ${why}` : little} `), than);
    than.insertAdjacentHTML("beforebegin", rw.bars(bars));
    since(before);
    rw.tell("said", line.textContent);
  };

  // ---- the picture before, and where it changed
  let before = null;
  const figure = () => $(`figure[data-id="${rw.mainColumn()} ${rw.settings.seed}"]`);
  async function since(one) {
    const place = $("#since");
    before = one;
    place?.classList.toggle("rw-none", !one);
    const now = one && $("img", figure() ?? document.body);
    if (!place || !now) return;
    await Promise.all([one.ready, now.decode().catch(() => {})]);
    if (before !== one || !one.image.naturalWidth || !now.naturalWidth) return;
    const [then, where] = all("canvas", place);
    const side = (then.width = then.height = one.image.naturalWidth);
    then.getContext("2d").drawImage(one.image, 0, 0);
    rw.difference(where, one.image, now, side, side);
    rw.tell("since");
  }
  // While it is pointed at, the picture before stands in the place of the one after it.
  function swap(on) {
    const image = before && $("img", figure() ?? document.body);
    const after = rw.pictures()[`${rw.mainColumn()} ${rw.settings?.seed}`];
    if (image && after) image.src = on ? $("#since canvas").toDataURL() : after.url;
  }
  const upon = (event) => event.target.closest?.("#since-before");
  for (const [name, on] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]])
    document.addEventListener(name, (event) => upon(event) && swap(on));
})();
