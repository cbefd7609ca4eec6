// What scripts of the page stand on, window.reweight: asking the server, and saying what it says.
(() => {
  const rw = (window.reweight = { settings: null, model: null, listeners: {} });
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  rw.$ = $;
  rw.all = all;

  rw.on = (name, act) => (rw.listeners[name] ??= []).push(act);
  rw.tell = (name, ...details) => (rw.listeners[name] ?? []).forEach((act) => act(...details));

  // ---- talking to the server
  const address = (path) => new URL(`reweight/${path}`, document.baseURI.split(/[?#]/)[0].replace(/[^/]*$/, "")).href;
  const post = rw.post = (path, body, signal) =>
    fetch(address(path), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

  // What a Gradio event's `js` sends in the place of the settings.
  rw.given = () => JSON.stringify({ session: rw.session, settings: rw.settings });

  const running = new Map();
  // Ask a screen's act; onEvent gets each event. Asking the same again stops the one before. Resolves when it has ended:
  // "done", "stopped" or "error".
  rw.act = async (screen, act, given = {}, onEvent = () => {}) => {
    const name = `${screen}/${act}`;
    running.get(name)?.abort();
    const control = new AbortController();
    running.set(name, control);
    let end = "stopped";
    try {
      const answer = await post(name, { session: rw.session, settings: rw.settings, given }, control.signal);
      const reader = answer.body.getReader();
      const decoder = new TextDecoder();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done || control.signal.aborted) break; // what had already arrived when it was stopped is no news
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        if (!answer.ok && rest) lines.push(rest);
        for (const line of lines) if (!control.signal.aborted) end = handle(JSON.parse(line), onEvent) ?? end;
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        rw.say("The demo does not respond: check that it is running, then reload the page.", true);
        end = "error";
      }
    } finally {
      if (running.get(name) === control) running.delete(name);
    }
    return end;
  };

  function handle(event, onEvent) {
    if (event.kind === "done" || event.kind === "stopped") return event.kind;
    if (event.kind === "error") rw.say(event.text, true);
    if (event.kind === "status") rw.status(event.text, event.done);
    onEvent(event);
    return event.kind === "error" ? "error" : undefined;
  }

  rw.stop = () => {
    running.forEach((control) => control.abort());
    running.clear();
    post("stop", { session: rw.session }).catch(() => {});
    rw.tell("stopped");
    rw.status("Stopped.");
  };

  // ---- what the page says
  const status = () => $("#status");
  rw.status = (text = "", done = null) => {
    const place = status();
    if (!place) return;
    place.replaceChildren();
    if (!text) return;
    const line = document.createElement("p");
    line.textContent = line.title = text;
    place.append(line);
    if (done == null) return;
    const bar = document.createElement("div");
    bar.className = "rw-bar";
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", "progress");
    bar.setAttribute("aria-valuemin", 0);
    bar.setAttribute("aria-valuemax", 100);
    bar.setAttribute("aria-valuenow", Math.round(100 * done));
    bar.innerHTML = `<i style="width:${Math.round(100 * done)}%"></i>`;
    place.append(bar);
  };
  rw.say = (text, wrong = false) => {
    rw.status(text);
    status()?.firstChild?.classList.toggle("rw-wrong", wrong);
  };
})();
