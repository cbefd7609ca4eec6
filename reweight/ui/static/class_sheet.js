// A sheet of paper for a class: what the chosen lessons ask, a U-Net and a table to fill in; or the answers.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const LOOK = `body { font: 15px/1.45 system-ui, sans-serif; color: #000; margin: 18mm 16mm; } h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 18px 0 4px; }
    p { margin: 4px 0; } ul { list-style: none; margin: 4px 0; padding: 0; } li::before { content: "☐ "; } li.right { font-weight: 600; } li.right::before { content: "☑ "; } .lines { border-bottom: 1px solid #888; height: 1.9em; } .small { font-size: 12px; color: #444; }
    section { break-inside: avoid; } svg { width: 100%; max-width: 120mm; display: block; margin: 6px auto; } svg text { font: 13px system-ui, sans-serif; fill: #000; } svg .rw-number { display: none; } svg rect { fill: #fff !important; stroke: #000; } svg line, svg path { stroke: #777; fill: none; }
    table { border-collapse: collapse; width: 100%; margin-top: 6px; } td, th { border: 1px solid #888; padding: 5px 8px; text-align: left; font-weight: 400; font-size: 13px; } td { min-width: 14mm; }`;

  const element = (page, tag, text = "", className = "") => Object.assign(page.createElement(tag), { textContent: text, className });
  function write(page, lessons, answers) {
    const add = (...ones) => page.body.append(...ones);
    page.title = `reweight: ${answers ? "the answers" : "a sheet for the class"}`;
    page.head.append(element(page, "style", LOOK));
    add(element(page, "h1", answers ? "Answers, for the teacher" : "Switch off one block and watch what breaks"));
    if (!answers) add(element(page, "p", "Name: ______________________   Predict first, then look."), network(page));
    for (const { title, about, takeaway, cards } of lessons) {
      const asked = cards.filter(({ ask }) => ask);
      if (!asked.length) continue;
      const one = element(page, "section");
      one.append(element(page, "h2", title), element(page, "p", about, "small"));
      for (const { ask } of asked) {
        const options = element(page, "ul");
        options.append(...ask.options.map((option, i) => element(page, "li", option, answers && i === ask.answer ? "right" : "")));
        one.append(element(page, "p", ask.question), options);
        if (answers) one.append(element(page, "p", ask.because));
        else one.append(element(page, "p", "Because:"), element(page, "div", "", "lines"), element(page, "p", "What I saw:"), element(page, "div", "", "lines"), element(page, "div", "", "lines"));
      }
      if (answers && takeaway) one.append(element(page, "p", `To take along: ${takeaway}`));
      add(one);
    }
    add(element(page, "p", `${rw.credit()} · ${location.href}`, "small"));
  }
  // The U-Net of the page without its weights, and a row for each block.
  function network(page) {
    const one = element(page, "section");
    one.append(element(page, "h2", "The U-Net"), element(page, "p", "Write in: encoder, middle, decoder, skips; where the prompt enters. In the table: how much does the picture change without the block (not at all, a little, a lot)?"));
    const drawing = $("#unet svg");
    if (drawing) one.append(page.importNode(drawing, true));
    const { blocks, steps } = rw.table.data;
    const heads = ["without", "every step: guess", "every step: seen", ...(steps > 1 ? ["first step: guess", "first step: seen", "last step: guess", "last step: seen"] : [])];
    const table = element(page, "table");
    const row = (cells, tag) => {
      const line = element(page, "tr");
      line.append(...cells.map((text, i) => element(page, i ? tag : "th", text)));
      return line;
    };
    table.append(row(heads, "th"), ...blocks.map(({ name }) => row([name, ...heads.slice(1).map(() => "")], "td")));
    one.append(table);
    return one;
  }

  // Printed from a frame of its own, so that the page stays as it is.
  function print(lessons, answers) {
    $("#class-sheet")?.remove();
    const frame = document.createElement("iframe");
    frame.id = "class-sheet";
    frame.title = answers ? "The answers" : "A sheet for the class";
    frame.style.cssText = "position: fixed; width: 0; height: 0; border: 0; visibility: hidden";
    document.body.append(frame);
    write(frame.contentDocument, lessons, answers);
    rw.toPrinter(frame.contentWindow);
  }
  rw.toPrinter = (view) => view.print();

  // ---- which lessons
  async function offer() {
    const place = $("#sheet-lessons");
    if (!place || place.children.length) return;
    place.append(
      ...(await rw.lessons()).filter(({ key }) => key !== "own").map(({ key, title }) => {
        const label = document.createElement("label");
        label.className = "rw-check";
        label.innerHTML = '<input type="checkbox" checked>';
        label.firstChild.value = key;
        label.append(title);
        return label;
      }),
    );
  }
  document.addEventListener("toggle", (event) => event.target.id === "sheet" && event.target.open && offer(), true);
  document.addEventListener("click", async (event) => {
    const { id } = event.target;
    if (id !== "lesson-sheet" && id !== "lesson-answers") return;
    const chosen = new Set(all("#sheet-lessons input:checked").map(({ value }) => value));
    if (!chosen.size) return rw.say("Choose a lesson for the sheet.", true);
    print((await rw.lessons()).filter(({ key }) => chosen.has(key)), id === "lesson-answers");
  });
})();
