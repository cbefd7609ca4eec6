// Figures to take away, composed as SVG: a titled chart, a sheet of pictures, a slide of the comparison.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  const NS = "http://www.w3.org/2000/svg";
  const INK = "#211d18";
  const SOFT = "#5f574c";
  const pen = document.createElement("canvas").getContext("2d");
  const { FONT } = rw;

  const element = (name, attributes = {}, text = null) => {
    const one = document.createElementNS(NS, name);
    Object.entries(attributes).forEach(([key, value]) => one.setAttribute(key, value));
    if (text !== null) one.textContent = text;
    return one;
  };
  const paper = (width, height) => {
    const svg = element("svg", { xmlns: NS, viewBox: `0 0 ${width} ${height}`, width, height });
    svg.append(element("rect", { width, height, fill: "#fff" }));
    return svg;
  };
  const write = (svg, text, x, y, size, { weight = 400, fill = INK, anchor = "start" } = {}) =>
    svg.append(element("text", { x, y, "font-size": size, "font-weight": weight, fill, "text-anchor": anchor, "font-family": FONT }, text));
  // A text in lines that are at most so wide; of more lines than allowed, the last one ends in an ellipsis.
  function lines(text, width, size, { weight = 400, most = 9 } = {}) {
    pen.font = `${weight} ${size}px ${FONT}`;
    const out = [""];
    for (const word of text.split(" ")) {
      const longer = out.at(-1) ? `${out.at(-1)} ${word}` : word;
      if (pen.measureText(longer).width <= width || !out.at(-1)) out[out.length - 1] = longer;
      else out.push(word);
    }
    if (out.length > most) out.splice(most - 1, out.length, `${out[most - 1]}…`);
    while (out.some((line) => line.length > 4 && pen.measureText(line).width > width))
      out.forEach((line, i) => pen.measureText(line).width > width && (out[i] = `${line.slice(0, -2).replace(/…$/, "")}…`));
    return out;
  }

  // What the settings are, in words: model, prompt, and what the weights are made of.
  const TITLES = () => Object.fromEntries([...($("#schedule-select")?.options ?? [])].map((one) => [one.value, one.textContent]));
  // but: names of settings that are left out, as they differ from picture to picture or do nothing there.
  rw.inWords = (but = []) => {
    const { prompt, seed, steps, guidance, low, high, schedule, painted, size } = rw.settings;
    const said = (parts) => parts.filter(([name, text]) => text && !but.includes(name)).map(([, text]) => text).join(", ");
    const rules = said([
      ["low", `low ${low}`], ["high", `high ${high}`], ["schedule", `weights from: ${(TITLES()[schedule] ?? schedule).toLowerCase()}`],
      ["painted", painted && "some painted by hand"],
    ]);
    const how = said([["seed", `seed ${seed}`], ["steps", `${steps} step${steps > 1 ? "s" : ""}`], ["guidance", guidance > 1 && `guidance ${guidance}`], ["size", `${size}\u00a0×\u00a0${size}`]]);
    const title = but.includes("prompt") ? "" : `“${prompt}”`;
    return { title, model: rw.model, how, rules, whole: [rw.model, title, how, rules].filter(Boolean).join(" · ") };
  };
  rw.credit = () => `made with reweight ${rw.facts.version} · re-weighting: Wang, He, Zhou, arXiv:2504.03471${rw.settings.columns.some((one) => one.includes("freeu")) ? " · FreeU: Si et al., arXiv:2309.11497" : ""}`;

  // A chart of the page, alone, under a title that names model, prompt and settings.
  // about: what it is of, instead of the settings. bar: what its colours mean, for a colour bar. note: what else is to be known.
  rw.titled = (chart, title, { about: of = rw.inWords().whole, bar = "", note = "" } = {}) => {
    const [, , w, h] = chart.getAttribute("viewBox").split(/[\s,]+/).map(Number);
    const width = Math.max(w, 460);
    const head = lines(title, width - 24, 15, { weight: 600, most: 4 });
    const about = lines(of, width - 24, 12, { most: 6 });
    const said = note ? lines(note, width - 24, 11, { most: 9 }) : [];
    const credit = lines(rw.credit(), width - 24, 10);
    const top = 12 + 20 * head.length + 16 * about.length + 8;
    const under = top + h + (bar ? 46 : 0);
    const end = under + (said.length ? 15 * said.length + 8 : 0);
    const svg = paper(width, end + 14 + 14 * credit.length);
    head.forEach((line, i) => write(svg, line, 12, 24 + 20 * i, 15, { weight: 600 }));
    about.forEach((line, i) => write(svg, line, 12, 20 * head.length + 22 + 16 * i, 12, { fill: SOFT }));
    svg.append(placed(chart, (width - w) / 2, top, w, h, ".rw-title"));
    if (bar) colourBar(svg, bar, (width - 240) / 2, top + h);
    said.forEach((line, i) => write(svg, line, 12, under + 12 + 15 * i, 11, { fill: SOFT }));
    credit.forEach((line, i) => write(svg, line, 12, end + 18 + 14 * i, 10, { fill: SOFT }));
    return svg;
  };
  // What the colours of a heatmap mean: scores from 0 to 1, or weights about 1.
  function colourBar(svg, says, x, y) {
    const PARTS = 24;
    const weight = says === "weight";
    const look = getComputedStyle(document.documentElement); // whose colours are the light theme's
    const [from, middle, to] = (weight ? ["down", "mid", "up"] : ["is-0", "is-1", "is-1"]).map((name) => look.getPropertyValue(`--rw-${name}`));
    const probe = document.body.appendChild(document.createElement("i"));
    for (let k = 0; k < PARTS; k++) {
      const v = (k + 0.5) / PARTS;
      const [a, b, share] = !weight ? [from, to, v] : v < 0.5 ? [from, middle, 2 * v] : [middle, to, 2 * v - 1];
      probe.style.color = `color-mix(in oklab, ${b} ${100 * share}%, ${a})`;
      svg.append(element("rect", { x: x + (k * 240) / PARTS, y, width: 240 / PARTS + 0.3, height: 10, fill: rw.asRgb(getComputedStyle(probe).color) }));
    }
    probe.remove();
    (weight ? ["≤ 0.5", "1", "≥ 1.5"] : says.includes("logarithmic") ? ["≤ 0.001", "0.03", "1"] : ["0", "0.5", "1"]).forEach((text, k) => write(svg, text, x + 120 * k, y + 23, 11, { fill: SOFT, anchor: "middle" }));
    write(svg, says, x + 120, y + 37, 11, { fill: SOFT, anchor: "middle" });
  }
  // A chart of the page within another drawing, with its colours written into it; light, whatever the page's theme is.
  function placed(chart, x, y, w, h, leave = null) {
    const body = document.body.classList;
    const dark = body.contains("dark");
    body.add("rw-still");
    if (dark) body.remove("dark");
    const copy = rw.withColours(chart, leave);
    if (dark) body.add("dark");
    body.remove("rw-still");
    Object.entries({ x, y, width: w, height: h, overflow: "visible" }).forEach(([name, value]) => copy.setAttribute(name, value));
    return copy;
  }

  const dataUrl = async (url) => {
    if (url.startsWith("data:")) return url;
    const reader = new FileReader();
    const blob = await (await fetch(url)).blob();
    return new Promise((done) => ((reader.onload = () => done(reader.result)), reader.readAsDataURL(blob)));
  };
  const picture = (href, x, y, side) => element("image", { href, x, y, width: side, height: side, preserveAspectRatio: "xMidYMid meet" });

  // A sheet of pictures: cells [row][column] of {url, text} or null, with names of rows and columns.
  rw.sheet = async ({ title, rows, columns, cells, across = "", down = "", side = 160, but = [] }) => {
    pen.font = `600 14px ${FONT}`;
    const left = Math.min(240, Math.max(24, ...[...rows, down].map((row) => pen.measureText(String(row)).width + 30)));
    const width = Math.max(520, left + columns.length * (side + 8) + 16);
    const head = lines(title, width - 28, 18, { weight: 600, most: 2 });
    const about = lines(rw.inWords(but).whole, width - 28, 13, { most: 3 });
    const credit = lines(rw.credit(), width - 28, 11);
    const top = 20 + 24 * head.length + 18 * about.length + (across ? 52 : 34);
    const under = cells.some((row) => row.some((cell) => cell?.text)) ? 20 : 0;
    const end = top + rows.length * (side + 8 + under);
    const svg = paper(width, end + 14 + 16 * credit.length);
    head.forEach((line, i) => write(svg, line, 14, 28 + 24 * i, 18, { weight: 600 }));
    about.forEach((line, i) => write(svg, line, 14, 24 * head.length + 24 + 18 * i, 13, { fill: SOFT }));
    if (across) write(svg, across, left, top - 32, 13, { fill: SOFT });
    if (down) write(svg, down, left - 12, top - 10, 13, { fill: SOFT, anchor: "end" });
    columns.forEach((name, j) => write(svg, lines(String(name), side, 14, { weight: 600, most: 1 })[0], left + j * (side + 8) + side / 2, top - 10, 14, { weight: 600, anchor: "middle" }));
    for (const [i, name] of rows.entries()) {
      const y = top + i * (side + 8 + under);
      lines(String(name), left - 20, 14, { weight: 600, most: 4 }).forEach((line, n) => write(svg, line, left - 12, y + side / 2 + 18 * n, 14, { weight: 600, anchor: "end" }));
      for (const [j] of columns.entries()) {
        const cell = cells[i][j];
        if (!cell) continue;
        const x = left + j * (side + 8);
        if (cell.url) svg.append(picture(await dataUrl(cell.url), x, y, side));
        if (cell.text) lines(cell.text, side, 12, { most: cell.url ? 1 : 6 }).forEach((line, n) => write(svg, line, x + side / 2, y + (cell.url ? side + 15 : 20 + 16 * n), 12, { anchor: "middle", fill: SOFT }));
      }
    }
    credit.forEach((line, i) => write(svg, line, 14, end + 18 + 16 * i, 11, { fill: SOFT }));
    return svg;
  };

  // The comparison as a slide, 1920 × 1080: pictures, how far each is from vanilla, the weights, settings and credit.
  rw.slide = async () => {
    const svg = paper(1920, 1080);
    const { title, model, how, rules } = rw.inWords();
    const head = lines(title, 1790, 46, { weight: 700, most: 2 });
    head.forEach((line, i) => write(svg, line, 64, 92 + 54 * i, 46, { weight: 700 }));
    const top = 92 + 54 * (head.length - 1);
    write(svg, `${model} · ${how}`, 64, top + 48, 26, { fill: SOFT });
    write(svg, lines(`Re-weighted: ${rules}`, 1790, 26, { most: 1 })[0], 64, top + 84, 26, { fill: SOFT });
    const figures = rw.all("#pictures figure");
    const n = +$("#pictures").style.getPropertyValue("--columns") || figures.length;
    const count = Math.ceil(figures.length / n);
    const heat = $("#heat-weights svg");
    const [first, bottom, gap] = [top + 150, 1000, 28];
    const [, , w, h] = heat ? heat.getAttribute("viewBox").split(/[\s,]+/).map(Number) : [0, 0, 0, 1];
    const scale = Math.min(600 / w, (bottom - first) / h, 1.7);
    const wide = heat ? 1792 - w * scale - 56 : 1792;
    const label = count > 1 ? 34 : 76;
    const side = Math.min((wide - gap * (n - 1)) / n, (bottom - first - label * count) / count, 640);
    const y0 = first + Math.max(0, (bottom - first - Math.max(count * (side + label), heat ? h * scale : 0)) / 2);
    for (const [k, figure] of figures.entries()) {
      const [i, j] = [Math.floor(k / n), k % n];
      const [x, y] = [64 + j * (side + gap), y0 + i * (side + label)];
      const image = $("img", figure);
      if (!i) write(svg, lines($("h3", figure).textContent, side, 28, { weight: 600, most: 1 })[0], x, y - 14, 28, { weight: 600 });
      if (image?.src) svg.append(picture(await dataUrl(image.src), x, y, side));
      const far = rw.pictures()[figure.dataset.id]?.far;
      const said = far ? `vs. vanilla: ${far.word}, SSIM ${rw.ssim(far.ssim)}` : j ? "" : count > 1 ? `seed ${figure.dataset.id.split(" ").at(-1)}` : "";
      lines(said, side, count > 1 ? 20 : 24, { most: 2 }).forEach((line, l) => write(svg, line, x, y + side + (count > 1 ? 24 : 34) + 28 * l, count > 1 ? 20 : 24, { fill: SOFT }));
    }
    if (heat) {
      const x = 1856 - w * scale;
      write(svg, lines("Weight of each block", w * scale, 28, { weight: 600, most: 1 })[0], x, y0 - 14, 28, { weight: 600 });
      svg.append(placed(heat, x, y0, w * scale, h * scale));
    }
    svg.append(element("rect", { x: 64, y: 1022, width: 1792, height: 1, fill: "#d8d0c4" }));
    write(svg, rw.credit(), 64, 1054, 20, { fill: SOFT });
    return svg;
  };

  rw.svgFile = (svg) => new XMLSerializer().serializeToString(svg);
  rw.rasterised = async (svg, scale = 1) => {
    const url = URL.createObjectURL(new Blob([rw.svgFile(svg)], { type: "image/svg+xml" }));
    try {
      const image = new Image();
      image.src = url;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = +svg.getAttribute("width") * scale;
      canvas.height = +svg.getAttribute("height") * scale;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      return await rw.pngOf(canvas);
    } finally {
      URL.revokeObjectURL(url);
    }
  };
})();
