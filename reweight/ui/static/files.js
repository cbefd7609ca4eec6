// Files made in the browser: ZIP archives without compression, text in PNG pictures, drawings as PNG and SVG.
(() => {
  const rw = window.reweight;
  const encode = (text) => new TextEncoder().encode(text);
  const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  const crc = (bytes) => {
    let c = 0xffffffff;
    for (const byte of bytes) c = TABLE[(c ^ byte) & 255] ^ (c >>> 8);
    return (c ^ 0xffffffff) >>> 0;
  };
  const joined = (parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    return whole;
  };
  const fields = (...pairs) => {
    const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [size]) => sum + size, 0)));
    pairs.reduce((at, [size, value]) => (size === 2 ? view.setUint16(at, value, true) : view.setUint32(at, value, true), at + size), 0);
    return new Uint8Array(view.buffer);
  };

  // A ZIP archive of [name, Uint8Array or text] pairs.
  rw.zip = (files) => {
    const parts = [];
    const index = [];
    let at = 0;
    for (const [name, content] of files) {
      const data = typeof content === "string" ? encode(content) : content;
      const title = encode(name);
      const about = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x5a21], [4, crc(data)], [4, data.length], [4, data.length], [2, title.length], [2, 0]];
      const local = joined([fields([4, 0x04034b50], ...about), title, data]);
      index.push(fields([4, 0x02014b50], [2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), title);
      parts.push(local);
      at += local.length;
    }
    const directory = joined(index);
    const end = fields([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, directory.length], [4, at], [2, 0]);
    return joined([...parts, directory, end]);
  };

  // A PNG's bytes with texts, {name: text}, in it.
  rw.pngWithText = (bytes, texts) => {
    const chunks = Object.entries(texts).map(([name, text]) => {
      const body = joined([encode("iTXt"), encode(name), new Uint8Array(5), encode(text)]);
      const view = new DataView(new ArrayBuffer(8));
      view.setUint32(0, body.length - 4);
      view.setUint32(4, crc(body));
      return joined([new Uint8Array(view.buffer, 0, 4), body, new Uint8Array(view.buffer, 4, 4)]);
    });
    return joined([bytes.subarray(0, 33), ...chunks, bytes.subarray(33)]); // after IHDR
  };

  rw.bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  rw.pngOf = (canvas) => new Promise((done) => canvas.toBlob(async (blob) => done(new Uint8Array(await blob.arrayBuffer())), "image/png"));
  const asText = (cell) => (typeof cell === "string" && /^[=+@-]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : (cell ?? "")); // no formula
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell);
  // Rows of a CSV with columns that say what they are of, {name: value}, in every line.
  rw.withSource = ([head, ...rows], about) => [[...head, ...Object.keys(about)], ...rows.map((row) => [...row, ...Object.values(about)])];
  // What the pictures were drawn with; weights: whether their weights matter.
  rw.drawnWith = (weights = true) => {
    const { model, prompt, seed, steps, guidance, low, high, schedule } = rw.settings;
    return { model, prompt, seed, steps, guidance, ...(weights ? { schedule, low, high } : {}) };
  };
  // An SSIM for people; only 1 itself is "1.00".
  rw.ssim = (value) => (value < 1 && value >= 0.995 ? (Math.floor(value * 1000) / 1000).toFixed(3) : value.toFixed(2));
  rw.csv = (rows) => rows.map((row) => row.map((cell) => quoted(asText(cell))).join(",")).join("\n") + "\n";

  // A copy of a drawing with its colours written into it, so that it stands alone; leave: a selector of what is left out.
  const LOOK = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "display", "visibility", "font-size", "font-weight", "text-anchor", "stroke-linejoin"];
  const LIVE = ["class", "tabindex", "role", "style", "data-table"];
  rw.FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif";
  // A colour as programs other than browsers read it: a page's mixed colours are oklab(...).
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  rw.asRgb = (colour) => {
    if (!/^(oklab|oklch|color|lab)\(/.test(colour)) return colour;
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    return `rgb(${[...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3).join(", ")})`;
  };
  rw.withColours = (svg, leave = null) => {
    const copy = svg.cloneNode(true);
    const from = [svg, ...svg.querySelectorAll("*")];
    const copies = [copy, ...copy.querySelectorAll("*")];
    copies.forEach((element, i) => {
      const style = getComputedStyle(from[i]);
      const look = LOOK.map((name) => `${name}:${rw.asRgb(style.getPropertyValue(name))}`).join(";");
      LIVE.forEach((name) => element.removeAttribute(name));
      element.setAttribute("style", `${look};font-family:${rw.FONT}`);
    });
    if (leave) copies.forEach((element, i) => from[i].matches(leave) && element.remove());
    return copy;
  };
  // Buttons that save a chart, a drawing that `svg` makes, as PNG, SVG and CSV; rows: those of the CSV, if it has any.
  rw.saveButtons = (name, svg, rows = null) => {
    const button = (title, act) => {
      const one = document.createElement("button");
      one.type = "button";
      one.className = "rw-link";
      one.textContent = title;
      one.setAttribute("aria-label", `save ${name} as ${title}`);
      one.onclick = act;
      return one;
    };
    const buttons = [
      button("PNG", async () => rw.download(`${name}.png`, await rw.rasterised(await svg(), 2), "image/png")),
      button("SVG", async () => rw.download(`${name}.svg`, rw.svgFile(await svg()), "image/svg+xml")),
    ];
    if (rows) buttons.push(button("CSV", () => rw.download(`${name}.csv`, rw.csv(rows()), "text/csv")));
    return buttons;
  };
  rw.chartTools = (title, ...saving) => {
    const line = document.createElement("p");
    line.className = "rw-line rw-chart-tools";
    const says = document.createElement("span");
    says.textContent = title;
    line.append(says, ...rw.saveButtons(...saving));
    return line;
  };
})();
