// Presentation mode for a projector: larger type, controls folded away. P switches it, Escape leaves it.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const KEEP = "reweight-present";
  function present(on) {
    // Within .contain too: rules for some widths only are given to what is in it.
    [document.body, ...all(".contain > *")].forEach((one) => one.classList.toggle("rw-present", on));
    $("#present")?.setAttribute("aria-pressed", on);
    try {
      sessionStorage.setItem(KEEP, on ? "1" : "");
    } catch {
      /* a browser that keeps nothing */
    }
  }
  rw.present = present;
  function button() {
    const header = $("#header");
    if (!header || $("#present")) return;
    const one = document.createElement("button");
    one.type = "button";
    one.id = "present";
    one.textContent = "Present";
    one.title = "Larger type, controls folded away (P)";
    one.setAttribute("aria-pressed", false);
    one.onclick = () => present(!document.body.classList.contains("rw-present"));
    header.append(one);
    try {
      if (sessionStorage.getItem(KEEP)) present(true);
    } catch {
      /* a browser that keeps nothing */
    }
  }
  rw.on("begun", button);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches?.("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "p") present(!document.body.classList.contains("rw-present"));
    if (event.key === "Escape") present(false);
  });
})();
