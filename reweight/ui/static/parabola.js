// A lesson's measurement: the U-Net's error by each block's weight, with the lowest point of each parabola.
(() => {
  const rw = window.reweight;
  const element = (tag, className = "", textContent = "") => Object.assign(document.createElement(tag), { className, textContent });

  // A box with a button that measures; the chart takes its place.
  rw.parabola = () => {
    const box = element("div");
    const begin = Object.assign(element("button", "rw-small-button", "Measure it"), { type: "button" });
    begin.onclick = async () => {
      begin.disabled = true;
      await rw.act("learn", "parabola", {}, (event) => event.kind === "parabola" && box.replaceChildren(...drawn(event)));
      begin.disabled = false;
      rw.status("");
    };
    box.append(begin);
    return box;
  };

  // A minimum of its own, with an interval: not of a curve that is flat.
  const sharp = ({ curves, low }, i) => Math.max(...curves[i]) > 1e-3 && low[i] !== null;

  function drawn(event) {
    const chart = element("div");
    chart.innerHTML = plot(event);
    chart.firstChild.dataset.table = JSON.stringify(rows(event));
    const { names, minimum, low, high, about } = event;
    const found = element("ul", "rw-minima");
    names.forEach((name, i) => {
      const at = sharp(event, i) ? `smallest error at ${minimum[i].toFixed(2)} (95% CI ${low[i].toFixed(2)} to ${high[i].toFixed(2)})` : "flat, so no minimum can be located";
      found.append(element("li", `rw-c${i % 7}`, `${name}: ${at}`));
    });
    return [chart, found, element("p", "rw-note", `${about}. With so few pictures the intervals are wide, and generated pictures are not photographs.`)];
  }

  function plot({ w, curves }) {
    const [width, height, left, right, top, bottom] = [340, 220, 46, 10, 12, 34];
    const values = curves.flat();
    const [least, most] = [Math.min(0, ...values), Math.max(...values, 1e-6)];
    const [first, last] = [w[0], w.at(-1)];
    const x = (value) => left + ((value - first) / (last - first)) * (width - left - right);
    const y = (value) => top + ((most - value) / (most - least)) * (height - top - bottom);
    const ticks = w.map((value) => `<text class="rw-small" x="${x(value)}" y="${height - 18}">${value}</text>`).join("");
    const rule = `<line class="rw-rule rw-one" x1="${x(1)}" x2="${x(1)}" y1="${top}" y2="${height - bottom}"/><line class="rw-rule" x1="${left}" x2="${width - right}" y1="${y(0)}" y2="${y(0)}"/>`;
    const scale = [0, most].map((value) => `<text class="rw-tick" x="${left - 5}" y="${y(value) + 4}">${value ? "+" : ""}${(100 * value).toFixed(1)}%</text>`).join("");
    const lines = curves.map((row, i) => `<polyline class="rw-line rw-c${i % 7}" points="${row.map((value, k) => `${x(w[k]).toFixed(1)},${y(value).toFixed(1)}`).join(" ")}"/>`).join("");
    return `<svg viewBox="0 0 ${width} ${height}" class="rw-plot" data-name="parabola" role="img" aria-label="The U-Net's error relative to weight 1, by each block's weight">${rule}${ticks}${scale}${lines}<text class="rw-small" x="${(left + width - right) / 2}" y="${height - 2}">weight of the block</text></svg>`;
  }

  // Each error with its 95% interval over the pictures, and on every line the block's minimum with its own.
  function rows(event) {
    const { w, curves, curves_low, curves_high, names, minimum, low, high, pictures } = event;
    const head = ["block", "weight", "error_relative_to_weight_1", "low_95", "high_95", "minimum", "minimum_low_95", "minimum_high_95", "pictures"];
    const least = (i) => (sharp(event, i) ? [minimum[i], low[i], high[i]] : ["none: flat", "", ""]);
    return [head, ...names.flatMap((name, i) => w.map((weight, k) => [name, weight, curves[i][k], curves_low[i][k], curves_high[i][k], ...least(i), pictures]))];
  }
})();
