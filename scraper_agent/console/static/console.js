// What script adds to pages that work without it: the token of the link, live parts, keys.
"use strict";

// --- sign-in: what follows the `#` of the link was sent to nobody ---
const door = document.getElementById("sign-in");
if (door && location.hash.length > 1) {
  const token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  door.elements.token.value = token;
  door.submit();
}

// --- live parts: <div data-live="/address"> is fetched each second while the page is seen ---
for (const part of document.querySelectorAll("[data-live]")) {
  const again = () => setTimeout(look, 1000);
  async function look() {
    if (document.visibilityState !== "visible") return again();
    // Nothing is replaced under the hands of who is in it.
    if (part.contains(document.activeElement) && document.activeElement !== document.body) return again();
    try {
      const answer = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
      if (answer.status === 401) return location.reload();
      if (answer.ok) {
        const text = await answer.text();
        if (text !== part.dataset.last) {
          const made = new DOMParser().parseFromString(text, "text/html");
          part.replaceChildren(...made.body.childNodes);
          part.dataset.last = text;
        }
      }
      delete part.dataset.away;
    } catch {
      part.dataset.away = "";
    }
    return again();
  }
  again();
}

// --- keys ---
const help = document.getElementById("help");
const shower = document.getElementById("show-help");
if (help && shower) {
  shower.hidden = false;
  shower.addEventListener("click", () => help.showModal());
}
const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
const current = () => document.activeElement && document.activeElement.closest("[data-row]");
function step(by) {
  const all = rows();
  // Where there are no rows, there may be a next page of the same kind.
  if (!all.length) return document.querySelector(by > 0 ? "a[rel=next]" : "a[rel=prev]")?.click();
  const at = all.indexOf(current());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
  const row = current();
  const acts = {
    "?": () => help && help.showModal(),
    g: () => document.querySelector("nav a")?.focus(),
    j: () => step(1),
    k: () => step(-1),
    o: () => row?.querySelector("a[href]")?.click(),
    "/": () => document.querySelector("input[type=search]")?.focus(),
  };
  // A page's own keys: <button data-key="a">; within the current row before anywhere else.
  const own = [...(row || document).querySelectorAll("[data-key]"), ...document.querySelectorAll("[data-key]")].find(
    (each) => each.dataset.key === event.key && !each.disabled,
  );
  const act = acts[event.key] || (own && (() => (own.matches("input, select, textarea") ? own.focus() : own.click())));
  if (!act) return;
  event.preventDefault();
  act();
});
