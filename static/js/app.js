// What every page does with JavaScript on. Without it, all of them still work: these are forms and links.
"use strict";

document.documentElement.classList.add("js");

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// ---- times in the reader's own zone

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function localTimes(within) {
  for (const time of findAll("time[data-show]", within)) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = (time.dataset.show === "clock" ? clock : full).format(at);
  }
}

// ---- the coaching panel

const form = () => find("#decide");
const editor = () => find("#decide details.editor");
/** The suggestion that an answer was sent for and not refused: no second answer is sent. */
let answered = null;

function changedFields() {
  for (const input of findAll("[data-old]", form() ?? document)) {
    input.closest(".field").classList.toggle("changed", input.value !== input.dataset.old);
  }
}

/** Buttons follow the session's state, without the form being replaced under the person's hands. */
function buttonsFollow() {
  const decide = form();
  if (!decide) return;
  const active = find("#panel-status")?.dataset.status === "active";
  const chosen = find("[name=candidate]:checked", decide);
  for (const button of findAll("[data-answer]", decide)) {
    button.disabled = !active || answered === decide.dataset.n || (button.hasAttribute("data-which") && !chosen);
  }
}

function freshPanel() {
  localTimes(document);
  changedFields();
  buttonsFollow();
}

function closeEditor() {
  const open = editor();
  if (!open?.open) return false;
  open.open = false;
  find("summary", open).focus();
  return true;
}

document.addEventListener("toggle", (event) => {
  if (event.target === editor() && event.target.open) {
    find("input, textarea, select", event.target)?.focus();
  }
}, true);

document.addEventListener("input", (event) => {
  if (event.target.closest("#decide")) {
    changedFields();
    buttonsFollow();
  }
});

document.addEventListener("submit", (event) => {
  if (event.target !== form()) return;
  if (answered === form().dataset.n) event.preventDefault();
}, true);

// ---- keys

const isField = (element) => element.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.repeat) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const open = event.target.closest?.("details.editor[open]");
    if (open) {
      event.preventDefault();
      find("[data-send]", open).click();
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    // Leaving a field by it makes the keys work again.
    if (!find("dialog[open]") && !closeMenus() && !closeEditor() && isField(event.target)) event.target.blur();
    return;
  }
  if (isField(event.target)) {
    if (event.key === "Enter" && event.target.matches("#decide input")) event.preventDefault();
    return;
  }
  if (find("dialog[open]")) return;
  if (event.key === "?") return openDialog("keys");
  if (/^[1-9]$/.test(event.key)) return choose(event.key);
  if (event.shiftKey) return;
  const target = find(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (target && !target.disabled) {
    event.preventDefault();
    target.click();
  }
});

function choose(number) {
  const radio = find(`#decide [name=candidate][value="${number}"]`);
  if (!radio) return;
  radio.checked = true;
  radio.focus();
  buttonsFollow();
}

function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) dialog.showModal();
}

function closeMenus(except) {
  const open = findAll("details.menu[open]").filter((menu) => menu !== except);
  open.forEach((menu) => { menu.open = false; });
  return open.length > 0;
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) openDialog(opener.dataset.opens);
  closeMenus(event.target.closest("details.menu"));
  if (event.target.matches("dialog")) event.target.close();
});

// ---- HTMX: fragments, refusals, a lost connection

const notice = (words) => {
  const line = document.createElement("p");
  line.className = "bar red";
  line.textContent = words;
  find("#notice").replaceChildren(line);
};

document.addEventListener("htmx:beforeRequest", (event) => {
  find("#notice").replaceChildren();
  if (event.target === form()) {
    answered = form().dataset.n;
    buttonsFollow();
  }
});

document.addEventListener("htmx:afterRequest", (event) => {
  const { xhr } = event.detail;
  // Not HTMX's own "successful": refusals are swapped in, so it counts them as such.
  if (xhr.status >= 200 && xhr.status < 400) return;
  answered = null;
  buttonsFollow();
  // 503 says in its own words what is the matter.
  if (xhr.status >= 500 && xhr.status !== 503) notice("coachsite failed at this. What was decided before is kept. Reload the page to see where it stands.");
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => notice("The site did not answer. If your answer arrived nevertheless, it shows here once the connection is back; else send it again."));
}

// The decision form stays while the same question is open: what somebody types in it survives every push.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const incoming = event.detail.fragment.firstElementChild ?? event.detail.fragment;
  const version = incoming?.dataset?.version;
  if (version && version === event.detail.target.dataset.version) event.detail.shouldSwap = false;
});

document.addEventListener("htmx:afterSettle", freshPanel);
document.addEventListener("htmx:wsAfterMessage", freshPanel);

const lost = (words) => {
  const bar = find("#lost");
  bar.textContent = words;
  bar.hidden = !words;
};

const CLOSED = {
  4401: "You are signed out: reload the page to sign in.",
  4403: "Your role no longer includes this page.",
  4404: "This was deleted: there is nothing to show any more.",
};

document.addEventListener("htmx:wsOpen", () => lost(""));
document.addEventListener("htmx:wsError", () => lost("Reconnecting … nothing is lost."));
document.addEventListener("htmx:wsClose", (event) => {
  const code = event.detail.event.code;
  if (leaving) return;
  lost(CLOSED[code] ?? "Reconnecting … nothing is lost.");
  // The extension comes back by itself after these; after a tidy end of the server it would not.
  if (![1006, 1011, 1012, 1013].includes(code) && !CLOSED[code]) {
    setTimeout(() => event.detail.socketWrapper.reconnect(), 1000);
  }
});

let leaving = false;
addEventListener("pagehide", () => { leaving = true; });

// A restart takes seconds: do not wait longer and longer for it.
htmx.config.wsReconnectDelay = (attempt) => Math.min(250 * 2 ** attempt, 3000) * (0.5 + Math.random() / 2);

freshPanel();
