// The Watch screen: plays the predicted pictures of each column, with the U-Net coloured for the step.
(() => {
  const rw = window.reweight;
  const { $, all } = rw;
  const SECONDS = 0.6; // that a step is shown
  let films = {};
  let steps = 0;
  let timer = null;
  let fresh = false;
  let scrubbed = false;
  const open = () => rw.screen === "Watch";

  function show(step) {
    const slider = $("#watch-step");
    slider.value = step;
    slider.style.setProperty("--at", `${steps > 1 ? (100 * (step - 1)) / (steps - 1) : 100}%`);
    $("#watch-says").textContent = `step ${step} of ${steps}`;
    Object.entries(films).forEach(([column, pictures]) => {
      const image = $(`#films [data-column="${column}"] img`);
      if (image && pictures[step - 1]) image.src = pictures[step - 1];
    });
    if (open()) rw.lookAt(step - 1); // a film that comes after somebody has left colours nothing elsewhere
  }
  function play(on) {
    clearInterval(timer);
    timer = null;
    $("#watch-play").textContent = on ? "Pause" : "Play";
    $("#watch-play").setAttribute("aria-pressed", on);
    if (on) timer = setInterval(() => show((+$("#watch-step").value % steps) + 1), SECONDS * 1000);
  }

  rw.films = () => ({ films, steps });
  function take(event) {
    if (event.kind === "films") {
      steps = event.steps;
      films = {};
      $("#watch-drawn").textContent = "";
      $("#watch-step").max = steps;
      const place = $("#films");
      place.style.setProperty("--columns", event.columns.length);
      place.replaceChildren(
        ...event.columns.map(({ key, title }) => {
          const figure = document.createElement("figure");
          figure.dataset.column = key;
          figure.innerHTML = '<h3></h3><div class="rw-frame"><img alt=""></div>';
          $("h3", figure).textContent = title;
          $("img", figure).alt = `${title}, predicted picture`;
          const former = rw.pictures()[`${key} ${rw.settings.seed}`]?.url;
          if (former) $("img", figure).src = former;
          return figure;
        }),
      );
    }
    if (event.kind === "film") {
      films[event.column] = event.pictures;
      if (event.drawn) {
        const line = $("#watch-drawn");
        const name = $(`#films [data-column="${event.column}"] h3`).textContent;
        line.textContent = line.textContent ? `${line.textContent.slice(0, -1)}, ${name}.` : `Drawn for this film, because the steps had not been kept: ${name}.`;
      }
      show(Math.min(+$("#watch-step").value, steps));
    }
  }
  async function load() {
    if (!open()) return (fresh = false);
    fresh = true;
    scrubbed = false;
    const end = await rw.act("watch", "film", { noisy: $("#watch-noisy").checked }, take);
    if (end !== "done") return;
    rw.status("");
    if (scrubbed) return; // somebody looks at a step already
    show(1);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(true);
  }
  rw.on("screen", () => {
    if (open() && !fresh) load();
    if (!open()) {
      if (timer) play(false);
      rw.lookAt(null);
    }
  });
  rw.on("drawn", () => {
    fresh = false;
    if (open()) load();
  });
  document.addEventListener("click", (event) => event.target.id === "watch-play" && steps && play(!timer));
  document.addEventListener("input", (event) => {
    if (event.target.id === "watch-step") {
      scrubbed = true;
      play(false);
      show(+event.target.value);
    }
  });
  document.addEventListener("change", (event) => event.target.id === "watch-noisy" && load());
})();
