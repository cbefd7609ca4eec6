// Where a lesson's card stands, so that it covers nothing that it is about.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  let now = null;

  // Beside the results, over the controls; where the card is about a control, over the results instead.
  const control = (done) => !!done && (!!$(`.rw-controls [data-setting="${done.setting}"]`) || control(done.and));
  const aboutControls = ({ open, done, measure }) => !!measure || (open ? !!$(open)?.closest(".rw-controls") : control(done));
  function stand(card) {
    const box = $("#lesson");
    const beside = $(".rw-controls")?.getBoundingClientRect();
    if (!box || !card) return;
    if (card !== now) box.classList.toggle("rw-lesson-left", !aboutControls(card));
    if (beside?.width) {
      box.style.setProperty("--left", `${beside.left}px`);
      box.style.setProperty("--width", `${beside.width}px`);
    }
    // On a phone the U-Net comes into what the card leaves free.
    if (card !== now && innerWidth <= 700 && card.mark) $("#unet")?.scrollIntoView({ block: "start" });
    now = card;
  }
  rw.on("card", stand);
  addEventListener("resize", () => stand(now));
  rw.moveLesson = () => $("#lesson").classList.toggle("rw-lesson-left");
})();
