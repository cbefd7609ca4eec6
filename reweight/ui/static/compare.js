// The Compare screen: asks for pictures, shows them in columns and rows, and says what the last act changed.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const PATIENCE = 250; // milliseconds that a drawing may take before a newer wish abandons it
  let shown = {}; // "column seed" -> {key, url, ...}
  let grid = null;
  let flight = null; // the drawing under way: {began, delivered}
  let waiting = false;
  let act = null; // {text, before}

  const id = (column, seed) => `${column} ${seed}`;
  const main = () => rw.settings.columns.find((column) => column.split("+").includes("reweighted"));

  // Say what somebody did, so that the page can say what it changed.
  rw.acted = (text) => {
    const column = rw.settings && main();
    act = { text, before: column && shown[id(column, rw.settings.seed)]?.key };
  };
  // Another prompt or noise is another picture, which no act on the blocks explains.
  const OTHERS = {
    prompt: "Another prompt", negative_prompt: "Another negative prompt", seed: "Another seed", model: "Another model",
    steps: "Another number of steps", guidance: "Another guidance", size: "Another size",
  };
  rw.on("changed", (names) => {
    const other = names.find((name) => OTHERS[name]);
    if (!other || !$("#said")) return;
    act = null;
    $("#said").textContent = `${OTHERS[other]}. Click a block below: it is switched off, and the picture shows what it did.`;
  });
  rw.react = (text) => act && (act.text = text); // the same act goes on: a drag, a stroke
  rw.coarse = () => !!$("#pictures .rw-coarse");
  rw.pictures = () => shown;

  // Draw what the settings ask for. One drawing at a time: of the wishes that come meanwhile, the last one counts.
  rw.draw = () => {
    if (!rw.settings) return;
    if (flight && !flight.delivered && performance.now() - flight.began < PATIENCE) return void (waiting = true);
    waiting = false;
    start();
  };

  async function start() {
    const mine = (flight = { began: performance.now(), delivered: false });
    const keys = (precomputed) => Object.values(shown).filter((picture) => !!picture.precomputed === precomputed).map((picture) => picture.key);
    const given = { have: keys(false), ready: keys(true), panels: rw.panels ?? null, before: act?.before ?? null };
    const end = await rw.act("compare", "draw", given, (event) => mine === flight && take(event, mine));
    if (mine !== flight) return;
    flight = null;
    all(".rw-stale").forEach((figure) => figure.classList.remove("rw-stale"));
    if (end === "done") {
      if (!mine.notice) rw.status("");
      rw.tell("drawn");
    }
    if (waiting) rw.draw();
  }
  rw.on("stopped", () => {
    waiting = false;
    flight = null;
    // What a preview has shown gives way to the last picture that was drawn to its end.
    all(".rw-coarse").forEach((figure) => {
      figure.classList.remove("rw-coarse");
      const last = shown[figure.dataset.id];
      if (last) $("img", figure).src = last.url;
    });
    all(".rw-stale").forEach((figure) => figure.classList.remove("rw-stale"));
  });

  // What was drawn beforehand is shown before anything is asked of the model.
  rw.on("begun", (facts) => facts.first.forEach((event) => (event.kind === "status" ? rw.status(event.text, event.done) : take(event, {}))));

  function take(event, mine) {
    if (event.kind === "about") rw.tell("about", event);
    if (event.kind === "about") rw.follow(event.query);
    if (event.kind === "grid") lay(event);
    if (event.kind === "notice") rw.say((mine.notice = event.text));
    if (event.kind === "preview") {
      const figure = $(`figure[data-id="${id(event.column, event.seed)}"]`);
      if (!figure || figure.classList.contains("rw-precomputed")) return;
      $("img", figure).src = event.picture;
      figure.classList.add("rw-coarse");
      figure.classList.remove("rw-stale");
      mine.delivered = true;
      if (waiting) rw.draw();
    }
    if (event.kind === "picture") {
      put(event);
      mine.delivered ||= !event.precomputed;
      if (waiting) rw.draw();
    }
    if (event.kind === "measured") measure(event);
  }

  // The grid for these columns and seeds. Pictures that are there already stay.
  function lay(event) {
    const layout = JSON.stringify([event.columns, event.seeds]);
    const place = $("#pictures");
    if (layout !== grid) {
      grid = layout;
      const old = new Map(all("figure", place).map((figure) => [figure.dataset.id, figure]));
      const before = all("figure", place);
      place.replaceChildren();
      place.style.setProperty("--columns", event.columns.length);
      event.seeds.forEach((seed, row) =>
        event.columns.forEach((column, i) => {
          const figure = old.get(id(column.key, seed)) ?? blank(column, seed, before[row * event.columns.length + i]);
          place.append(figure);
        }),
      );
      const kept = new Set(all("figure", place).map((figure) => figure.dataset.id));
      Object.keys(shown).forEach((name) => kept.has(name) || delete shown[name]);
      rw.tell("columns", event.columns);
    }
    event.seeds.forEach((seed, row) =>
      event.columns.forEach((column, i) => {
        const figure = $(`figure[data-id="${id(column.key, seed)}"]`, place);
        figure.classList.toggle("rw-stale", shown[id(column.key, seed)]?.key !== event.keys[row][i]);
      }),
    );
  }

  function blank(column, seed, before) {
    const figure = document.createElement("figure");
    figure.dataset.id = id(column.key, seed);
    figure.id = `picture-${column.key.replaceAll("+", "-")}-${seed}`;
    figure.dataset.column = column.key;
    const name = document.createElement("h3");
    name.textContent = column.title;
    const frame = document.createElement("button");
    frame.type = "button";
    frame.className = "rw-frame";
    frame.title = "enlarge";
    const image = document.createElement("img");
    image.width = image.height = 256;
    image.alt = "";
    const former = before && $("img", before)?.src;
    if (former) image.src = former; // never an empty place while the new picture is on its way
    frame.append(image);
    const caption = document.createElement("figcaption");
    caption.innerHTML = '<span class="rw-seed"></span><span class="rw-change"></span><details><summary>details</summary><p class="rw-details"></p><a class="rw-save" download>save PNG</a></details>';
    $(".rw-seed", caption).textContent = `seed ${seed}`;
    figure.append(name, frame, caption);
    return figure;
  }

  function put(event) {
    const figure = $(`figure[data-id="${id(event.column, event.seed)}"]`);
    if (!figure) return;
    const image = $("img", figure);
    const bytes = Uint8Array.from(atob(event.png), (letter) => letter.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    const former = shown[id(event.column, event.seed)];
    image.src = url;
    image.alt = event.alt;
    figure.classList.remove("rw-stale", "rw-coarse");
    figure.classList.toggle("rw-precomputed", !!event.precomputed);
    const save = $(".rw-save", figure);
    save.href = url;
    save.download = event.name;
    $(".rw-details", figure).textContent = event.caption;
    shown[id(event.column, event.seed)] = { ...event, png: null, url };
    if (former) setTimeout(() => URL.revokeObjectURL(former.url), 4000);
    rw.tell("picture", event.column, event.seed, url);
  }

  const bars = (n) => "▮".repeat(n) + "▯".repeat(4 - n);
  const ssim = (value) => value.toFixed(2).replace(/^(-?)0\./, "$1.");

  function measure(event) {
    const figure = $(`figure[data-id="${id(event.column, event.seed)}"]`);
    const now = shown[id(event.column, event.seed)];
    if (!figure || now?.key !== event.key) return;
    if (event.vanilla) {
      const { word, bars: n, ssim: s, difference } = event.vanilla;
      $(".rw-change", figure).innerHTML = `changed: ${word} <i aria-hidden="true">${bars(n)}</i>`;
      now.far = event.vanilla;
      $(".rw-details", figure).textContent = `${now.caption}; SSIM with vanilla ${s.toFixed(3)}, mean difference ${difference}/255`;
    }
    if (event.before && act && event.column === main() && event.seed === rw.settings.seed) {
      const { word, bars: n, ssim: s } = event.before;
      const line = $("#said");
      line.replaceChildren();
      const what = document.createElement("span");
      what.textContent = `${act.text}: `;
      const how = document.createElement("b");
      how.textContent = `changed ${word}`;
      const rest = document.createElement("span");
      rest.textContent = ` ${bars(n)}, SSIM ${ssim(s)} with the picture before.`;
      line.append(what, how, rest);
    }
  }

  // ---- on a narrow screen, a strip of the pictures while the pictures themselves are out of sight
  const strip = document.createElement("div");
  strip.id = "strip";
  strip.hidden = true;
  strip.setAttribute("aria-hidden", "true");
  const columns = () => [...new Set(["vanilla", main()])].filter((column) => column && shown[id(column, rw.settings.seed)]);
  function fillStrip() {
    strip.replaceChildren(
      ...columns().map((column) => {
        const image = new Image();
        image.src = shown[id(column, rw.settings.seed)].url;
        image.dataset.column = column;
        image.alt = "";
        return image;
      }),
    );
  }
  rw.on("picture", () => strip.hidden || fillStrip());
  rw.on("begun", () => {
    document.body.append(strip);
    new IntersectionObserver(([{ isIntersecting, boundingClientRect }]) => {
      strip.hidden = isIntersecting || innerWidth > 700 || !boundingClientRect.height; // without height on another screen
      if (!strip.hidden) fillStrip();
    }).observe($("#pictures"));
  });

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
    $("figcaption", loupe).textContent = `${$("h3", figure).textContent}, ${$(".rw-seed", figure).textContent}`;
    loupe.showModal();
  }

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
    const [left, right] = pair().map((column) => shown[id(column, rw.settings.seed)]);
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
    canvas.width = w;
    canvas.height = h;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = [over, under].map((image) => (pen.drawImage(image, 0, 0), pen.getImageData(0, 0, w, h)));
    const [a, b] = pixels.map((one) => one.data);
    const out = pen.createImageData(w, h);
    for (let i = 0; i < a.length; i += 4) {
      const d = Math.min(1, ((Math.abs(a[i] - b[i]) + Math.abs(a[i + 1] - b[i + 1]) + Math.abs(a[i + 2] - b[i + 2])) / 765) * 4);
      [2.2 * d, 2.2 * d - 0.7, 2.2 * d - 1.4].forEach((v, c) => (out.data[i + c] = 255 * Math.max(0, Math.min(1, v))));
      out.data[i + 3] = 255;
    }
    pen.putImageData(out, 0, 0);
  }
})();
