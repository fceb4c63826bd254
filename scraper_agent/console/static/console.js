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

// --- documents: where a value was read, shown while it is pointed at or has the focus; text goes in as text ---
const view = document.getElementById("window");
if (view) {
  const SVG = "http://www.w3.org/2000/svg";
  const lens = document.getElementById("lens");
  const crop = lens.querySelector(".crop");
  const told = lens.querySelector("dl");
  const heads = [...document.querySelectorAll(".origins thead th")].map((each) => each.textContent);
  let now = null;
  let kept = false;

  const at = (id) => document.querySelectorAll(`[data-origin="${CSS.escape(id)}"]`);

  function explain(id) {
    const row = document.getElementById(`origin-${id}`);
    const picture = view.querySelector(`svg[data-picture="${CSS.escape(row.dataset.picture ?? "")}"]`);
    crop.replaceChildren();
    if (picture && row.dataset.box) {
      const [x, y, width, height] = row.dataset.box.split(" ").map(Number);
      const whole = picture.viewBox.baseVal;
      const wide = Math.min(whole.width, Math.max(width + 80, 420));
      const high = Math.max(height + 48, 80);
      const shown = document.createElementNS(SVG, "svg");
      const left = Math.min(Math.max(x + width / 2 - wide / 2, 0), whole.width - wide);
      shown.setAttribute("viewBox", `${left} ${y + height / 2 - high / 2} ${wide} ${high}`);
      shown.setAttribute("aria-hidden", "true");
      shown.append(picture.querySelector("image").cloneNode());
      const box = document.createElementNS(SVG, "rect");
      for (const [name, value] of Object.entries({ x, y, width, height, rx: 3, class: "mark now" })) box.setAttribute(name, value);
      shown.append(box);
      crop.append(shown);
    }
    told.replaceChildren(
      ...[...row.cells].flatMap((cell, number) => {
        if (!cell.textContent.trim()) return [];
        const pair = document.createElement("div");
        pair.append(document.createElement("dt"), document.createElement("dd"));
        pair.firstChild.textContent = heads[number];
        pair.lastChild.textContent = cell.textContent;
        return [pair];
      }),
    );
    lens.hidden = false;
    document.getElementById("lens-hint").hidden = true;
  }

  function show(id) {
    if (now !== null) for (const each of at(now)) each.classList.remove("now", "kept");
    now = id;
    for (const each of at(id)) {
      each.classList.add("now");
      each.classList.toggle("kept", kept);
    }
    explain(id);
    const box = document.getElementById(`box-${id}`);
    if (!box) return;
    const mark = box.getBoundingClientRect();
    const frame = view.getBoundingClientRect();
    view.scrollBy({
      left: mark.left + mark.width / 2 - frame.left - view.clientWidth / 2,
      top: mark.top + mark.height / 2 - frame.top - view.clientHeight / 2,
      behavior: "instant",
    });
  }

  function point(event, click) {
    const found = event.target.closest("[data-origin]");
    if (!found || (kept && !click && event.type !== "focusin")) return;
    const id = found.dataset.origin;
    if (click) {
      event.preventDefault(); // without script the link goes to the box
      kept = !(kept && now === id);
    }
    // What the mouse touches on the image stays where it is.
    if (!click && view.contains(found)) return;
    show(id);
    if (click && view.contains(found)) document.querySelector(`.value[data-origin="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "center" });
  }
  document.addEventListener("mouseover", (event) => point(event, false));
  document.addEventListener("focusin", (event) => point(event, false));
  document.addEventListener("click", (event) => point(event, true));

  const zoom = document.getElementById("zoom");
  zoom.hidden = !view.querySelector("svg");
  zoom.addEventListener("click", () => {
    const actual = view.classList.toggle("actual");
    zoom.textContent = actual ? zoom.dataset.fit : zoom.dataset.actual;
    if (now !== null) show(now);
  });
}

// --- lists to choose from: one box for all of the page ---
const chooser = document.getElementById("choose-all");
if (chooser) {
  const boxes = [...document.querySelectorAll("input[name=id]")];
  const count = document.getElementById("chosen");
  const tell = () => {
    const chosen = boxes.filter((each) => each.checked).length;
    chooser.checked = chosen === boxes.length;
    chooser.indeterminate = chosen > 0 && chosen < boxes.length;
    count.textContent = chosen;
  };
  chooser.hidden = false;
  chooser.addEventListener("change", () => {
    for (const each of boxes) each.checked = chooser.checked;
    tell();
  });
  for (const each of boxes) each.addEventListener("change", tell);
  tell();
}

// What needs a reason goes to where it is written first.
for (const each of document.querySelectorAll("[data-needs-reason]")) {
  each.addEventListener("click", (event) => {
    const reason = document.getElementById("reason");
    if (reason.value.trim()) return;
    event.preventDefault();
    reason.focus();
  });
}
