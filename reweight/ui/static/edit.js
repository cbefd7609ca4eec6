// The Edit screen: a picture cut to a square in the browser, and what the columns make of it.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  let begun = null; // {url, data}: the picture to begin with

  async function take(source) {
    const image = new Image();
    image.src = source;
    try {
      await image.decode();
    } catch {
      return rw.say("The browser cannot read this picture: choose a PNG or a JPEG.", true);
    }
    const side = rw.settings.size;
    const cut = Math.min(image.naturalWidth, image.naturalHeight);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, side, side);
    pen.drawImage(image, (image.naturalWidth - cut) / 2, (image.naturalHeight - cut) / 2, cut, cut, 0, 0, side, side);
    const url = side <= 512 ? canvas.toDataURL("image/png") : canvas.toDataURL("image/jpeg", 0.95);
    begun = { url, source, data: url.split(",")[1], side };
    $("#edit-draw").disabled = false;
    draw();
  }
  async function draw() {
    if (!begun) return;
    if (begun.side !== rw.settings.size) return take(begun.source);
    const inverted = $("#edit-invert").checked;
    const given = { picture: begun.data, strength: +$("#edit-strength-range").value, described: inverted ? $("#edit-described").value : null };
    const end = await rw.act("edit", "draw", given, put);
    if (end === "done") rw.status("");
    else if (end === "error") $(".rw-stale", $("#edit-pictures")) && ($("#edit-result").hidden = true); // no faded pictures in the place of none
  }
  function figure(title, url, lines) {
    const one = document.createElement("figure");
    const name = document.createElement("h3");
    name.textContent = title;
    const frame = document.createElement("button");
    frame.type = "button";
    frame.className = "rw-frame";
    frame.title = "enlarge";
    const image = document.createElement("img");
    image.src = url ?? "";
    image.alt = title;
    frame.append(image);
    const caption = document.createElement("figcaption");
    const seed = document.createElement("span");
    seed.className = "rw-seed";
    seed.textContent = lines;
    caption.append(seed);
    one.append(name, frame, caption);
    return one;
  }
  function put(event) {
    const place = $("#edit-pictures");
    if (event.kind === "start") {
      $("#edit-result").hidden = false;
      const { first, last, steps } = event;
      $("#edit-steps").textContent = $("#edit-invert").checked ? `All ${steps} steps run, from the noise that inversion finds.` : first === last ? `Only step ${last} of ${steps} runs, with its own row of weights. Set more steps under More for a finer control.` : `Steps ${first} to ${last} of ${steps} run, each with its own row of weights.`;
      place.style.setProperty("--columns", event.columns.length + 1);
      place.replaceChildren(figure("Your picture", begun.url, `${begun.side} × ${begun.side}`));
      event.columns.forEach(({ key, title }) => {
        const one = figure(title, begun.url, "");
        one.dataset.edited = key;
        one.classList.add("rw-stale");
        place.append(one);
      });
    }
    if (event.kind === "picture") {
      const one = $(`[data-edited="${event.column}"]`, place);
      if (!one) return;
      const url = URL.createObjectURL(new Blob([rw.bytes(event.png)], { type: "image/png" }));
      one.classList.remove("rw-stale");
      $("img", one).src = url;
      const words = [`compared with yours: ${event.original.phrase}`];
      if (event.vanilla) words.push(`with vanilla: ${event.vanilla.phrase}`);
      $(".rw-seed", one).textContent = words.join("; ");
      $(".rw-seed", one).title = event.caption;
      const save = document.createElement("a");
      save.className = "rw-save";
      save.href = url;
      save.download = event.name;
      save.textContent = "save PNG";
      $("figcaption", one).append(save);
    }
  }
  const open = () => rw.screen === "Edit";
  // What a dropped picture brings: its strength, and what it began with where that is in the file. Drawn once Edit is open.
  let later = null;
  rw.editLater = ({ strength, described }, source) => (later = { strength, described, source });
  async function bring() {
    const { strength, described, source } = later;
    later = null;
    $("#edit-strength-range").value = strength;
    $("#edit-invert").checked = described !== null;
    $("#edit-described").value = described ?? "";
    shown();
    if (source) await take(`data:image/png;base64,${source}`);
    else begun = null;
  }
  function shown() {
    const range = $("#edit-strength-range");
    if (!range) return;
    $("#edit-strength-says").textContent = (+range.value).toFixed(2);
    range.style.setProperty("--at", `${(100 * (range.value - 0.05)) / 0.95}%`);
    const box = $("#edit-invert");
    box.disabled = !rw.facts.invertible;
    if (box.disabled) box.checked = false;
    $("#edit-described").hidden = !box.checked;
    $("#edit-no-invert").hidden = !box.disabled;
    range.disabled = box.checked;
  }
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("button")?.id;
    if (id === "edit-choose") $("#edit-file").click();
    if (id === "edit-draw") draw();
    if (id === "edit-vanilla") {
      const picture = rw.pictures()[`vanilla ${rw.settings.seed}`] ?? Object.values(rw.pictures())[0];
      if (picture) take(picture.url);
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "edit-strength-range" || event.target.id === "edit-described") draw();
    if (event.target.id === "edit-invert") {
      $("#edit-described").hidden = !event.target.checked;
      if (event.target.checked && !$("#edit-described").value) $("#edit-described").value = rw.settings.prompt;
      shown();
      draw();
    }
    if (event.target.id !== "edit-file" || !event.target.files[0]) return;
    take(URL.createObjectURL(event.target.files[0]));
    event.target.value = "";
  });
  document.addEventListener("input", (event) => {
    if (event.target.id === "edit-strength-range") shown();
  });
  document.addEventListener("dragover", (event) => event.target.closest?.("#edit-drop") && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!event.target.closest?.("#edit-drop") || !event.dataTransfer.files[0]) return;
    event.preventDefault();
    take(URL.createObjectURL(event.dataTransfer.files[0]));
  });
  rw.on("drawn", () => open() && (later ? bring() : draw()));
  rw.on("model", shown);
  rw.on("screen", () => {
    if (!open()) return;
    shown();
    if (later) bring();
  });
})();
