// The drawings of the U-Net, the heatmap and the curves follow the weights at once; pictures follow from the server.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const { table } = rw;
  const { OFF } = table;
  table.hovered = null; // the step whose weights the U-Net shows

  function shade(element, value, { span, pale }) {
    const off = value === OFF;
    const v = off ? 0 : Math.max(-1, Math.min(1, (value - 1) / span));
    element.style.setProperty("--v", v.toFixed(3));
    element.classList.toggle("rw-off", off);
    const number = $(".rw-number", element);
    if (!number) return;
    number.textContent = table.text(value);
    number.classList.toggle("rw-pale", off || Math.abs(v) > pale);
  }

  rw.repaint = () => {
    const heat = $("#heat-weights svg");
    if (!table.data || !rw.settings || !heat) return;
    const look = { span: +heat.dataset.span, pale: +heat.dataset.pale };
    all(".rw-cell", heat).forEach((one) => {
      const [i, t] = [+one.dataset.row, +one.dataset.column];
      const [value, hand] = [rw.weight(t, i), table.cell(t, i) !== null];
      shade(one, value, look);
      one.classList.toggle("rw-painted", hand);
      one.setAttribute("aria-label", `${one.dataset.name}, step ${t + 1}: ${table.text(value)}${hand ? ", by hand" : ""}`);
    });
    all("#unet .rw-block").forEach((one) => {
      const i = +one.dataset.block;
      const { value, mixed } = table.overall(i);
      shade(one, value, look);
      one.classList.toggle("rw-mixed", mixed);
      one.classList.toggle("rw-chosen", i === table.block);
      one.setAttribute("aria-pressed", value === OFF);
      const name = table.data.blocks[i].name;
      one.setAttribute("aria-label", `${name} ${table.text(value)}; press Enter to switch it ${value === OFF ? "on" : "off"}, arrows to change its weight`);
    });
    all(".rw-curves").forEach(curves);
    $("#undo").disabled = !table.undoable();
    $("#unpaint").disabled = !rw.settings.painted;
    table.own();
    rw.tell("painted");
  };

  function curves(chart) {
    const { top, span, low, high } = chart.dataset;
    const y = (w) => +top + (+span * (+high - Math.max(+low, Math.min(+high, w === OFF ? 0 : w)))) / (+high - +low);
    const dots = all(".rw-dot", chart);
    all("polyline", chart).forEach((line, i) => {
      const points = line.getAttribute("points").split(" ").map((pair) => pair.split(",")[0]);
      line.setAttribute("points", points.map((x, t) => `${x},${y(rw.weight(t, i)).toFixed(1)}`).join(" "));
      dots[i]?.setAttribute("cy", y(rw.weight(0, i)));
    });
    label(chart, all(".rw-key", chart).map((_, i) => y(rw.weight(table.data.steps - 1, i))), +top + +span);
  }

  // The labels of lines in the order of the lines' ends, and none below the axis; a thin line leads from an end to its label.
  function label(chart, ends, lowest) {
    const gap = +chart.dataset.gap;
    const order = ends.map((_, i) => i).sort((a, b) => ends[a] - ends[b]);
    const moved = [];
    let last = -1e9;
    order.forEach((i) => (moved[i] = last = Math.max(ends[i], last + gap)));
    last = lowest + gap;
    order.reverse().forEach((i) => (moved[i] = last = Math.min(moved[i], last - gap)));
    const leads = all(".rw-lead", chart);
    all(".rw-key", chart).forEach((key, i) => {
      key.setAttribute("y", (moved[i] + 4).toFixed(1));
      leads[i].setAttribute("y1", ends[i].toFixed(1));
      leads[i].setAttribute("y2", moved[i].toFixed(1));
    });
  }

  // Colour the U-Net for a step, counted from 0, or with null for what is chosen; as long as no cell is pointed at.
  rw.lookAt = (step) => {
    table.hovered = step;
    rw.repaint();
    all("#heat-weights .rw-head[data-column]").forEach((head) => head.classList.toggle("rw-now", +head.dataset.column === step));
  };

  // ---- what the server says
  let drawn = null; // the prompt that the weights are of
  rw.on("prompt", (text) => {
    if (!table.data || drawn === null) return;
    $("#source").textContent = text === drawn ? `Importance: ${table.data.source}.` : "These weights are of the prompt drawn before: press Draw for this one’s.";
  });
  rw.on("about", (event) => {
    table.data = event;
    if (event.drawings) {
      rw.panels = event.panels;
      rw.drawings = event.drawings;
      $("#unet").innerHTML = event.drawings.unet;
      $("#heat-weights").innerHTML = event.drawings.heat;
      $("#weights-legend").innerHTML = event.drawings.legend;
      all(".rw-curves-here").forEach((place) => (place.innerHTML = event.drawings.curves));
      table.block = table.hovered = null;
      table.offerSteps();
      table.offerBrushes();
    }
    drawn = rw.settings.prompt;
    $("#source").textContent = `Importance: ${event.source}.`;
    all(".rw-method").forEach((box) => ($(".rw-inert", box).textContent = event.inert[box.dataset.method] ?? ""));
    all("#columns input").forEach((box) => {
      const reasons = box.dataset.column.split("+").map((key) => event.inert[key]);
      const idle = reasons.every(Boolean);
      box.disabled = idle && !box.checked;
      box.parentElement.title = idle ? reasons.join(" ") : "";
      box.parentElement.classList.toggle("rw-soft", box.disabled);
    });
    rw.repaint();
  });

  // ---- low, high and the schedule as acts: one drag is one act
  let named = false;
  rw.on("changed", (names) => {
    const name = names[0];
    if (name !== "painted") rw.repaint();
    if (!["low", "high", "schedule"].includes(name)) return (named = false);
    if (named !== name) rw.acted("");
    named = name;
    const { low, high, schedule } = rw.settings;
    const option = $("#schedule-select")?.selectedOptions[0]?.textContent.split(" (")[0];
    const why = name === "low" ? "Low acts most on the least important blocks." : "";
    rw.react(name === "schedule" ? `Weights: ${option ?? schedule}` : `low ${low.toFixed(2)}, high ${high.toFixed(2)}`, { why });
  });
  document.addEventListener("pointerup", () => (named = false));
})();
