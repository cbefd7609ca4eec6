// Where a lesson's card stands, so that it covers nothing that it is about.
(() => {
  const rw = window.reweight;
  const { $ } = rw;
  let now = null;

  // Beside the results, over the controls; where the card is about a control, over the results instead.
  const control = (done) => !!done && (!!$(`.rw-controls [data-setting="${done.setting}"]`) || control(done.and));
  const aboutControls = ({ open, done, measure }) => !!measure || (open ? !!$(open)?.closest(".rw-controls") : control(done));
  function stand(card, ready = false) {
    const box = $("#lesson");
    const beside = $(".rw-controls")?.getBoundingClientRect();
    if (!box || !card) return;
    if (card !== now || !box.dataset.stands) box.classList.toggle("rw-lesson-left", !aboutControls(card));
    box.dataset.stands = "yes";
    if (beside?.width) {
      box.style.setProperty("--left", `${beside.left}px`);
      box.style.setProperty("--width", `${beside.width}px`);
    }
    now = card;
    if (ready && (card.do ?? []).some((act) => act.screen)) scrollTo(0, 0); // a screen from its beginning
  }
  rw.on("card", stand);
  addEventListener("resize", () => stand(now));
  // Where what a card is about comes to stand: above a card at the bottom of the page, else in the middle.
  rw.lessonView = () => (innerWidth <= 700 || document.body.classList.contains("rw-present") ? "start" : "center");
  rw.moveLesson = () => $("#lesson").classList.toggle("rw-lesson-left");
})();
