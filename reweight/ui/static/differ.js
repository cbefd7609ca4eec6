// Two pictures side by side with what differs between them, and one picture enlarged.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;

  // ---- enlarge a picture
  document.addEventListener("click", (event) => {
    const frame = event.target.closest?.(".rw-frame");
    if (frame) return enlarge(frame.closest("figure"));
    if (event.target.closest?.("#loupe")) $("#loupe").close();
  });
  function enlarge(figure) {
    let loupe = $("#loupe");
    if (!loupe) {
      loupe = document.createElement("dialog");
      loupe.id = "loupe";
      loupe.innerHTML = '<figure><img alt=""><figcaption></figcaption></figure><button type="button" aria-label="close">×</button>';
      document.body.append(loupe);
    }
    $("img", loupe).src = $("img", figure).src;
    $("img", loupe).alt = $("img", figure).alt;
    $("figcaption", loupe).textContent = ["h3", ".rw-seed"].map((part) => $(part, figure)?.textContent).filter(Boolean).join(", ");
    loupe.showModal();
  }

  // What a press on (i) shows, or a menu, leaves by Escape.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    all("figcaption details[open], #take-along[open]").forEach((one) => {
      one.open = false;
      $("summary", one).focus();
    });
  });

  // ---- side by side
  const pair = () => [$("#pair-left")?.value, $("#pair-right")?.value];
  rw.on("columns", (columns) => {
    const sides = [$("#pair-left"), $("#pair-right")];
    if (!sides[0]) return;
    const before = pair();
    sides.forEach((side, i) => {
      side.replaceChildren(...columns.map(({ key, title }) => new Option(title, key)));
      const keys = columns.map(({ key }) => key);
      side.value = keys.includes(before[i]) ? before[i] : keys[Math.min(i, keys.length - 1)];
    });
    differ();
  });
  document.addEventListener("change", (event) => event.target.matches?.("#pair-left, #pair-right") && differ());
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("#image-slider input")) $("#image-slider").style.setProperty("--at", `${event.target.value}%`);
  });
  document.addEventListener("toggle", (event) => event.target.id === "differ" && differ(), true);
  let due = 0;
  const soon = () => {
    clearTimeout(due);
    due = setTimeout(differ, 120);
  };
  rw.on("picture", soon);

  async function differ() {
    if (!$("#differ")?.open) return;
    const [left, right] = pair().map((column) => rw.pictures()[`${column} ${rw.settings.seed}`]);
    if (!left || !right) return;
    const [under, over] = all("#image-slider img");
    under.src = right.url;
    over.src = left.url;
    under.alt = right.alt;
    over.alt = left.alt;
    await Promise.all([under.decode(), over.decode()]).catch(() => {});
    const canvas = $("#difference");
    const [w, h] = [under.naturalWidth, under.naturalHeight];
    if (!w || over.naturalWidth !== w) return;
    rw.difference(canvas, over, under, w, h);
  }

  // Where two pictures differ, amplified four times: black is equal.
  rw.difference = (canvas, one, other, w, h) => {
    canvas.width = w;
    canvas.height = h;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = [one, other].map((image) => (pen.drawImage(image, 0, 0, w, h), pen.getImageData(0, 0, w, h)));
    const [a, b] = pixels.map(({ data }) => data);
    const out = pen.createImageData(w, h);
    for (let i = 0; i < a.length; i += 4) {
      const d = Math.min(1, ((Math.abs(a[i] - b[i]) + Math.abs(a[i + 1] - b[i + 1]) + Math.abs(a[i + 2] - b[i + 2])) / 765) * 4);
      [2.2 * d, 2.2 * d - 0.7, 2.2 * d - 1.4].forEach((v, c) => (out.data[i + c] = 255 * Math.max(0, Math.min(1, v))));
      out.data[i + 3] = 255;
    }
    pen.putImageData(out, 0, 0);
  };
})();
