// What the console does beyond its pages: everything works without it. Nothing here evaluates text.
"use strict";

(() => {
  // The menu is folded on small screens; without this script it stays open.
  const menu = document.querySelector("details.menu");
  const narrow = window.matchMedia("(max-width: 56rem)");
  if (menu) {
    const fold = () => { menu.open = !narrow.matches; };
    fold();
    narrow.addEventListener("change", fold);
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !narrow.matches || !menu.open) return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }

  // Buttons that say what they will do ask first: <button data-confirm="Remove the connector Relay?">.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-confirm]");
    if (button && !window.confirm(button.dataset.confirm)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);

  // Buttons that copy: <button data-copy="text">.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      const said = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = said; }, 1500);
    } catch { /* The text stands beside the button. */ }
  });

  // Buttons that lead to a line of the document on the page: <button data-line="12">.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-line]");
    const text = document.querySelector("textarea.document");
    if (!button || !text) return;
    const lines = text.value.split("\n");
    const line = Math.min(Number(button.dataset.line), lines.length) - 1;
    const start = lines.slice(0, line).reduce((sum, before) => sum + before.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + lines[line].length);
    text.scrollTop = Math.max(0, text.scrollHeight * (line - 5) / lines.length);
  });

  // A box that ticks all others of its name: <input type="checkbox" data-all="id">.
  document.addEventListener("change", (event) => {
    const box = event.target.closest("[data-all]");
    if (!box) return;
    for (const other of document.getElementsByName(box.dataset.all)) {
      if (other.type === "checkbox") other.checked = box.checked;
    }
  });

  // Live parts: <div data-live="refusals queue" hx-get="..." hx-trigger="live">. When the server says that one of these has
  // changed, the part is fetched again, at most once a second, and not while somebody types or has ticked something in it.
  const parts = [...document.querySelectorAll("[data-live]")];
  if (parts.length && window.EventSource && window.htmx) {
    const wanted = new Map();
    const refresh = () => {
      for (const part of wanted.keys()) {
        if (part.contains(document.activeElement) && document.activeElement.matches("input,select,textarea")) continue;
        if (part.querySelector("input[type=checkbox]:checked")) continue;
        wanted.delete(part);
        window.htmx.trigger(part, "live");
      }
    };
    setInterval(refresh, 1000);
    const note = (kind) => {
      for (const part of parts) {
        if (!kind || part.dataset.live.split(" ").includes(kind)) wanted.set(part, true);
      }
    };
    // A browser has six connections to us for all its windows: those that nobody looks at leave theirs to the others.
    let source = null;
    const listen = () => {
      if (document.hidden) {
        source?.close();
        source = null;
      } else if (!source) {
        source = new EventSource("/live");
        for (const kind of ["revision", "refusals", "queue", "queues", "alarm"]) {
          source.addEventListener(kind, () => note(kind));
        }
      }
    };
    listen();
    document.addEventListener("visibilitychange", () => {
      listen();
      if (!document.hidden) note(null);
    });
    window.addEventListener("pagehide", () => { source?.close(); source = null; });
    window.addEventListener("pageshow", listen);
  }

  // What the page fetches by itself keeps no session alive: only what somebody presses does.
  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.detail.triggeringEvent?.isTrusted) event.detail.headers["Gatepost-Unasked"] = "1";
  });

  // A live transcript: <div data-transcript="/transcript/lines?connector=Relay">. It goes on in a window that nobody looks at:
  // whoever tries a device looks elsewhere.
  const transcript = document.querySelector("[data-transcript]");
  const state = document.querySelector("[data-transcript-state]");
  if (transcript && state && window.EventSource) {
    const most = 1000;
    const add = (text, kind) => {
      // Who has scrolled up is reading.
      const follows = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
      const line = document.createElement("p");
      if (kind) line.className = kind;
      line.textContent = text;
      transcript.append(line);
      while (transcript.childElementCount > most) transcript.firstElementChild.remove();
      if (follows) transcript.scrollTop = transcript.scrollHeight;
    };
    const kinds = { ">": "ours", "<": "", "*": "aside", "+": "aside", "-": "aside" };
    const said = (line) => {
      if (line.event === "+") return `connection with ${line.local}`;
      if (line.event === "-") return "end of the connection";
      return line.context ? `${line.context}: ${line.data}` : line.data;
    };
    let source = null;
    const listen = () => {
      if (source) return;
      let isAgain = false;
      state.textContent = "Connecting.";
      source = new EventSource(transcript.dataset.transcript);
      source.addEventListener("open", () => {
        state.textContent = "Listening.";
        if (isAgain) add("(connected again: lines may be missing here)", "aside");
        isAgain = true;
      });
      source.addEventListener("error", () => {
        state.textContent = source && source.readyState === EventSource.CLOSED
          ? "Not listening: the server has refused it. Load the page again to see why."
          : "Not connected; trying again.";
      });
      source.addEventListener("line", (event) => {
        const line = JSON.parse(event.data);
        const time = new Date(line.time_ms).toLocaleTimeString([], { hour12: false });
        add(`${time}  ${line.connector}  ${line.remote}  ${line.event} ${said(line)}`, kinds[line.event]);
      });
      source.addEventListener("missed", (event) => {
        add(`(${JSON.parse(event.data).lines} lines are missing here: they came faster than they were read)`, "aside");
      });
    };
    listen();
    window.addEventListener("pagehide", () => { source?.close(); source = null; });
    window.addEventListener("pageshow", listen);
  }

  // "/" goes to the search field, as in other consoles.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input,select,textarea") || event.target.isContentEditable;
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("main input[type=search], main [data-search]");
    if (search) { event.preventDefault(); search.focus(); }
  });
})();
