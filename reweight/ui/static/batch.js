// A batch on the Sweep screen: its cost while one types, and its files as a ZIP once they are all there.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  const asked = () => ({ prompts: $("#batch-prompts").value, seeds: $("#batch-seeds").value });

  let due = 0;
  function price() {
    clearTimeout(due);
    due = setTimeout(async () => {
      if (!$("#batch")?.open || !$("#batch-prompts").value.trim()) return;
      const said = $("#status")?.textContent;
      let text = "";
      await rw.act("sweep", "batch-cost", asked(), (event) => (text = event.text ?? text));
      $("#batch-cost").textContent = text;
      if ($("#status")?.textContent === text) rw.status(said === text ? "" : said);
    }, 300);
  }

  async function draw() {
    const files = [];
    $("#batch-draw").disabled = true;
    const end = await rw.act("sweep", "batch", asked(), (event) => event.kind === "file" && files.push([event.name, event.base64 ? rw.bytes(event.base64) : event.text]));
    $("#batch-draw").disabled = false;
    if (end === "done") {
      rw.download("batch.zip", rw.zip(files), "application/zip");
      rw.status(`The batch is drawn: ${files.length - 2} pictures in batch.zip.`);
    } else if (end === "stopped" && files.length) {
      rw.download("batch-stopped.zip", rw.zip(files), "application/zip");
      rw.status(`Stopped: ${files.length} pictures are in batch-stopped.zip.`);
    }
  }

  document.addEventListener("input", (event) => event.target.id?.startsWith("batch-") && price());
  document.addEventListener("click", (event) => event.target.id === "batch-draw" && draw());
  document.addEventListener(
    "toggle",
    (event) => {
      if (event.target.id !== "batch" || !event.target.open) return;
      if (!$("#batch-prompts").value) $("#batch-prompts").value = rw.settings.prompt;
      price();
    },
    true,
  );
  rw.on("drawn", price);
})();
