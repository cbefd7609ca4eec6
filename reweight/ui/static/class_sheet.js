// A sheet of paper for a class: what the lessons ask, with room for a guess and for what was seen.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  const LOOK = `body { font: 15px/1.45 system-ui, sans-serif; color: #000; margin: 18mm 16mm; } h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 18px 0 4px; }
    p { margin: 4px 0; } ul { list-style: none; margin: 4px 0; padding: 0; } li::before { content: "☐ "; } .lines { border-bottom: 1px solid #888; height: 1.9em; } .small { font-size: 12px; color: #444; } section { break-inside: avoid; }`;

  const element = (page, tag, text = "", className = "") => Object.assign(page.createElement(tag), { textContent: text, className });
  function write(page, lessons) {
    const add = (...ones) => page.body.append(...ones);
    page.title = "reweight: a sheet for the class";
    page.head.append(element(page, "style", LOOK));
    add(element(page, "h1", "Switch off one block and watch what breaks"), element(page, "p", "Name: ______________________   Predict first, then look."));
    for (const { title, about, cards } of lessons) {
      const asked = cards.filter(({ ask }) => ask);
      if (!asked.length) continue;
      const one = element(page, "section");
      one.append(element(page, "h2", title), element(page, "p", about, "small"));
      for (const { ask } of asked) {
        const options = element(page, "ul");
        options.append(...ask.options.map((option) => element(page, "li", option)));
        one.append(element(page, "p", ask.question), options, element(page, "p", "What I saw:"), element(page, "div", "", "lines"));
      }
      add(one);
    }
    add(element(page, "p", `${rw.credit()} · ${location.host}${location.pathname}`, "small"));
  }

  // Printed from a frame of its own, so that the page stays as it is.
  function print(lessons) {
    $("#class-sheet")?.remove();
    const frame = document.createElement("iframe");
    frame.id = "class-sheet";
    frame.title = "A sheet for the class";
    frame.style.cssText = "position: fixed; width: 0; height: 0; border: 0; visibility: hidden";
    document.body.append(frame);
    write(frame.contentDocument, lessons);
    rw.toPrinter(frame.contentWindow);
  }
  rw.toPrinter = (view) => view.print();
  document.addEventListener("click", (event) => {
    if (event.target.id === "lesson-sheet") rw.act("learn", "lessons", {}, (told) => told.kind === "lessons" && print(told.lessons));
  });
})();
