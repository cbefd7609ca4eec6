// The Compare screen: asks for pictures, shows them in columns and rows, and says how far they are from vanilla.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const PATIENCE = 250; // milliseconds that a drawing may take before a newer request abandons it
  let shown = {}; // "column seed" -> {key, url, ...}
  let grid = null;
  let flight = null; // the drawing under way: {began, delivered}
  let waiting = false;

  const id = (column, seed) => `${column} ${seed}`;
  const main = (rw.mainColumn = () => rw.settings.columns.find((column) => column.split("+").includes("reweighted")));
  rw.coarse = () => !!$("#pictures .rw-coarse");
  rw.pictures = () => shown;

  // Draw what the settings ask for. One drawing at a time: of the requests that come meanwhile, the last one counts.
  rw.draw = () => {
    if (!rw.settings) return;
    if (flight && !flight.delivered && performance.now() - flight.began < PATIENCE) return void (waiting = true);
    waiting = false;
    start();
  };

  async function start() {
    const mine = (flight = { began: performance.now(), delivered: false, ...rw.explaining() });
    document.body.classList.add("rw-drawing");
    const keys = (precomputed) => Object.values(shown).filter((picture) => !!picture.precomputed === precomputed).map((picture) => picture.key);
    const given = { have: keys(false), ready: keys(true), panels: rw.panels ?? null, before: mine.act?.before?.key ?? null };
    const end = await rw.act("compare", "draw", given, (event) => mine === flight && take(event, mine));
    if (mine !== flight) return;
    flight = null;
    document.body.classList.remove("rw-drawing");
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
    document.body.classList.remove("rw-drawing");
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
      put(event, mine.basis);
      mine.delivered ||= !event.precomputed;
      if (waiting) rw.draw();
    }
    if (event.kind === "measured") measure(event, mine.act);
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
    name.title = column.about;
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
    const head = document.createElement("div");
    head.className = "rw-figure-head";
    const of = document.createElement("span");
    of.className = "rw-seed";
    of.textContent = `seed ${seed}`;
    head.append(name, of);
    const caption = document.createElement("figcaption");
    caption.innerHTML = `<span class="rw-change">${column.key === "vanilla" ? "as the model draws it" : ""}</span><details><summary title="Settings and time; save this picture" aria-label="Details of ${column.title}">i</summary><div class="rw-info"><p class="rw-details"></p><a class="rw-save" download>save PNG</a></div></details>`;
    figure.append(head, frame, caption);
    return figure;
  }

  function put(event, basis) {
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
    shown[id(event.column, event.seed)] = { ...event, png: null, url, basis };
    if (former) setTimeout(() => URL.revokeObjectURL(former.url), 4000);
    rw.tell("picture", event.column, event.seed, url);
  }

  function measure(event, act) {
    const figure = $(`figure[data-id="${id(event.column, event.seed)}"]`);
    const now = shown[id(event.column, event.seed)];
    if (!figure || now?.key !== event.key) return;
    if (event.vanilla) {
      const { word, bars: n, ssim: s, difference } = event.vanilla;
      $(".rw-change", figure).innerHTML = `vs. vanilla: ${word} ${rw.bars(n)}`;
      now.far = event.vanilla;
      $(".rw-details", figure).textContent = `${now.caption}; SSIM with vanilla ${s.toFixed(3)}, mean difference ${difference}/255`;
    }
    if (event.before && act && event.column === main() && event.seed === rw.settings.seed) rw.tellSince(act, event.before);
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
    const where = $("#since:not(.rw-none) figure:last-child canvas");
    if (!where) return;
    const copy = document.createElement("canvas");
    copy.width = copy.height = where.width;
    copy.getContext("2d").drawImage(where, 0, 0);
    const line = document.createElement("p");
    line.textContent = $("#said").textContent;
    strip.append(copy, line);
  }
  for (const news of ["picture", "since"]) rw.on(news, () => strip.hidden || fillStrip());
  rw.on("begun", () => {
    document.body.append(strip);
    const pictures = $("#pictures");
    let seen = true;
    const look = () => {
      strip.hidden = seen || innerWidth > 700 || !pictures.offsetHeight; // without height on another screen
      if (!strip.hidden) fillStrip();
    };
    new IntersectionObserver(([entry]) => ((seen = entry.isIntersecting), look())).observe(pictures);
    addEventListener("resize", look);
  });
})();
