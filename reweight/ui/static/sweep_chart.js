// Charts of a sweep: figures over the values across, where these are numbers; each row pale, their mean strong.
(() => {
  const rw = window.reweight;
  const { $ } = rw;

  // about: the sweep's axes; cell(i, j): the cell in a row and a column; scorer: its name, or nothing. No chart without three numbers.
  rw.sweepCharts = (about, cell, scorer) => {
    if (about.values.length < 3 || about.values.some((value) => typeof value !== "number")) return [];
    const box = document.createElement("div");
    box.className = "rw-two";
    for (const [figure, title] of [["ssim", "SSIM with vanilla"], ["score", scorer ? `Score by the ${scorer.replace(/ [0-9a-f]{8}$/, "")} (higher is better)` : ""]]) {
      if (!title) continue;
      const rows = about.rows.map((_, i) => about.values.map((_, j) => cell(i, j)?.[figure]));
      if (rows.flat().every((value) => value === undefined)) continue;
      const one = document.createElement("div");
      one.append(plot(title, about, rows));
      one.append(rw.chartTools("save the chart", `sweep-${figure}`, () => rw.titled($("svg", one), title, { about: rw.inWords(varied(about)).whole, note: drawn(about, rows) }), () => numbers(about, rows)));
      box.append(one);
    }
    return [box];
  };

  // The settings that a sweep varies are not in its caption.
  const varied = (about) => [about.name, about.name_down].filter(Boolean);
  const drawn = (about, rows) => (rows.length > 1 ? `Thin lines: ${about.down}, each labelled at its end. Thick line: their mean.` : "");

  // Rows of seeds are a sample: their mean has a 95% interval (Student's t). Other rows, and a single one, have none.
  const T_975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
  const t = (df) => T_975[df - 1] ?? 1.96 + 2.37 / df + 2.8 / df ** 2;
  function meanOf(values) {
    const n = values.length;
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const half = n > 1 ? t(n - 1) * Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1) / n) : null;
    return { n, mean, half };
  }
  function numbers(about, rows) {
    const head = [about.across, ...about.rows.map((label) => `${about.down} ${label}`.trim())];
    const seeds = about.name_down === "seed" && rows.length > 1;
    const tail = seeds ? ["mean", "low_95", "high_95", "n"] : ["low_95", "high_95", "n"];
    const line = (there) => {
      if (!seeds) return ["", "", 1];
      const { n, mean, half } = meanOf(there);
      return n > 1 ? [mean.toFixed(4), (mean - half).toFixed(4), (mean + half).toFixed(4), n] : [mean.toFixed(4), "", "", n];
    };
    return [[...head, ...tail], ...about.values.map((value, j) => {
      const values = rows.map((row) => row[j]);
      const there = values.filter((one) => one !== undefined);
      return [value, ...values, ...(there.length ? line(there) : tail.map(() => ""))];
    })];
  }

  function plot(title, about, rows) {
    const [w, h, left, right, top, bottom] = [420, 230, 52, rows.length > 1 ? 84 : 14, 30, 40];
    const values = rows.flat().filter((value) => value !== undefined);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (high - low < 1e-6) [low, high] = [low - 0.01, high + 0.01];
    const step = [1, 2, 2.5, 5, 10].map((n) => n * 10 ** Math.floor(Math.log10((high - low) / 3))).find((n) => (high - low) / n <= 4);
    [low, high] = [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
    const digits = Math.max(0, 1 - Math.floor(Math.log10(step) + 1e-9));
    const [first, last] = [Math.min(...about.values), Math.max(...about.values)];
    const x = (value) => left + ((value - first) / (last - first || 1)) * (w - left - right);
    const y = (value) => top + ((high - value) / (high - low)) * (h - top - bottom);
    const path = (row) => row.map((value, j) => value !== undefined && `${x(about.values[j]).toFixed(1)},${y(value).toFixed(1)}`).filter(Boolean).join(" ");
    const mean = about.values.map((_, j) => {
      const there = rows.map((row) => row[j]).filter((value) => value !== undefined);
      return there.length ? meanOf(there).mean : undefined;
    });
    const ticks = [...Array(Math.round((high - low) / step) + 1).keys()].map((k) => low + k * step).map((value) => `<line class="rw-rule" x1="${left}" x2="${w - right}" y1="${y(value)}" y2="${y(value)}"/><text class="rw-tick" x="${left - 6}" y="${y(value) + 4}">${value.toFixed(digits)}</text>`);
    const labels = about.values.map((value, j) => `<text class="rw-small" x="${x(value)}" y="${h - 22}">${about.columns[j]}</text>`);
    // What a thin line is of, at its end; labels do not touch.
    const end = about.values.length - 1;
    const names = rows.length > 1 ? rows.map((row, i) => ({ text: String(about.rows[i]), y: row[end] })).filter((one) => one.y !== undefined).map((one) => ({ ...one, y: y(one.y) })).sort((a, b) => a.y - b.y) : [];
    names.reduce((above, one) => (one.y = Math.max(one.y, above + 13)), -1e9);
    names.reduceRight((under, one) => (one.y = Math.min(one.y, under - 13)), h - bottom + 17);
    const pale = rows.length > 1 ? rows.map((row) => `<polyline class="rw-line rw-pale-line" points="${path(row)}"/>`) : [];
    const holder = document.createElement("div");
    const many = rows.length > 1 ? "; strong: mean of the rows" : "";
    holder.innerHTML = `<svg viewBox="0 0 ${w} ${h}" class="rw-plot" role="img"><text class="rw-title" x="${left}" y="16"></text>${ticks.join("")}${labels.join("")}${pale.join("")}${names.map((one) => `<text class="rw-axis" x="${w - right + 6}" y="${(one.y + 4).toFixed(1)}"></text>`).join("")}<polyline class="rw-line rw-mean-line" points="${path(mean)}"/><text class="rw-small" x="${(left + w - right) / 2}" y="${h - 4}"></text></svg>`;
    const svg = holder.firstChild;
    svg.querySelectorAll(".rw-axis").forEach((one, i) => (one.textContent = names[i].text.length > 12 ? `${names[i].text.slice(0, 11)}…` : names[i].text));
    svg.setAttribute("aria-label", `${title} over ${about.across}: ${mean.map((value, j) => value !== undefined && `${about.columns[j]}: ${value.toFixed(3)}`).filter(Boolean).join(", ")}`);
    $(".rw-title", svg).textContent = `${title}${many}`;
    svg.lastChild.textContent = about.across;
    return svg;
  }
})();
