// Runs in every page before its own scripts: counts requests under way and remembers when anything last changed, so
// that "the page has come to rest" is known inside the page, without asking over and over from outside.
(() => {
  if (window.__agent) return;
  let busy = 0, last = performance.now();
  const touch = () => { last = performance.now(); };
  const begin = () => { busy += 1; touch(); };
  const end = () => { busy -= 1; touch(); };

  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...args) {
    begin();
    this.addEventListener("loadend", end, { once: true });
    try { return send.apply(this, args); } catch (error) { end(); throw error; }
  };
  const fetch = window.fetch;
  window.fetch = function (...args) {
    begin();
    const answer = fetch.apply(this, args);
    answer.then(end, end);
    return answer;
  };

  // What a page has put off "until at once" is still to come, and a chain of such leaves no other trace: a library's
  // promises, say. Time alone does not show it where the machine is busy. Work that never ends is not waited for.
  const AT_ONCE_MS = 4, ENDLESS_MS = 2000;
  const later = window.setTimeout, revoke = window.clearTimeout;
  const putOff = new Set();
  window.setTimeout = function (work, delay, ...args) {
    if (typeof work !== "function" || Number(delay) > AT_ONCE_MS) return later.call(window, work, delay, ...args);
    const id = later.call(window, function (...given) {
      putOff.delete(id);
      return work.apply(this, given);
    }, delay, ...args);
    putOff.add(id);
    return id;
  };
  window.clearTimeout = function (id) {
    putOff.delete(id);
    return revoke.call(window, id);
  };
  const waiting = () => putOff.size > 0 && performance.now() - last < ENDLESS_MS;

  const watch = () => new MutationObserver(touch).observe(document, { subtree: true, childList: true, characterData: true });
  watch();

  let rested = -1;  // `last` as it was when the page was seen at rest: unless it changes, the page still is

  // What frameworks know of themselves: true while they are busy. A page without the framework is never busy by it.
  const marked = (css) => Array.from(document.querySelectorAll(css)).some(shown);
  const PROFILES = {
    ui5() {
      const ui = window.sap && window.sap.ui;
      if (!ui) return false;
      const core = ui.getCore ? ui.getCore() : null;
      const dirty = core && core.getUIDirty ? core.getUIDirty() : false;
      return dirty || marked(".sapUiLocalBusyIndicator,.sapUiBusy,#sapUiBusyIndicator,.sapMBusyDialog");
    },
    adf() {
      const page = window.AdfPage && window.AdfPage.PAGE;
      if (!page) return false;
      return !page.isSynchronizedWithServer();
    },
    odoo: () => marked(".o_loading,.o_loading_indicator,.o_blockUI,.blockUI"),
    frappe() {
      const frappe = window.frappe;
      if (!frappe) return false;
      const asked = frappe.request && frappe.request.ajax_count > 0;
      const frozen = frappe.dom && frappe.dom.freeze_count > 0;
      return Boolean(asked || frozen) || marked("#freeze,.list-loading,.skeleton");
    },
    sao() {
      const common = window.Sao && window.Sao.common;
      return Boolean(common && common.processing && common.processing.queries > 0) || marked("#processing");
    },
  };
  const busyBy = (profile) => {
    if (!profile) return false;
    try { return PROFILES[profile](); } catch (error) { return true; } // half loaded
  };

  // Whether something is being faded in: it may still be invisible. What turns for ever is no such thing.
  const fading = () => document.getAnimations().some((animation) => {
    const effect = animation.playState === "running" ? animation.effect : null;
    if (!effect || effect.getComputedTiming().endTime > 2000) return false;
    const frames = effect.getKeyframes();
    const [from, to] = [frames[0], frames.at(-1)].map((frame) => (frame && "opacity" in frame ? Number(frame.opacity) : 1));
    return from < 0.1 && to > from;  // a button that only pales or brightens is there already
  });

  // A closed shadow root is known to who makes it alone; remembered here, it can be read like an open one.
  const closed = new WeakMap();
  const attachShadow = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (...args) {
    const root = attachShadow.apply(this, args);
    if (root.mode === "closed") closed.set(this, root);
    return root;
  };

  const rest = (ms) => new Promise((resolve) => later.call(window, resolve, ms));
  const shown = (element) => element.getClientRects().length > 0 && element.checkVisibility({ visibilityProperty: true });

  // Where dialogs and the contents of tabs are; every other library marks its own by ARIA.
  const PLACES = {
    dialog: "dialog[open],[role=dialog],[role=alertdialog],[aria-modal=true],.layui-layer-page,.layui-layer-iframe," +
      ".layui-layer-dialog,.panel.window",
    tab: "[role=tabpanel],.tab-pane,.layui-tab-item,.tabs-panels>.panel",
  };
  const above = (node) => node.assignedSlot || node.parentNode || node.host || null;
  const holds = (outer, node) => {
    for (let at = node; at; at = above(at)) if (at === outer) return true;
    return false;
  };
  const hit = (x, y) => {
    let found = document.elementFromPoint(x, y);
    while (found && found.shadowRoot) {
      const deeper = found.shadowRoot.elementFromPoint(x, y);
      if (!deeper || deeper === found) break;
      found = deeper;
    }
    return found;
  };
  // What lies at nine points of an element, of which some may be out of sight.
  const points = (element) => {
    const box = element.getBoundingClientRect();
    const at = [0.1, 0.5, 0.9];
    return at.flatMap((x) => at.map((y) => hit(box.left + box.width * x, box.top + box.height * y))).filter(Boolean);
  };
  const roots = () => {
    const found = [document];
    for (const root of found) {
      for (const element of root.querySelectorAll("*")) {
        const inner = element.shadowRoot || closed.get(element);
        if (inner) found.push(inner);
      }
    }
    return found;
  };
  // Of dialogs those that no other one covers or is opened in; of tabs the outermost that show.
  const top = (elements, kind) => {
    const here = elements.filter((e) => shown(e) && e.getBoundingClientRect().height > 0);
    if (kind === "tab") return here.filter((e) => !here.some((o) => o !== e && holds(o, e)));
    const innermost = here.filter((e) => !here.some((o) => o !== e && holds(e, o)));
    return innermost.filter((e) => {
      const seen = points(e);
      return !innermost.some((o) => o !== e && seen.some((found) => holds(o, found)));
    });
  };

  window.__agent = Object.freeze({
    closed: (element) => closed.get(element) || null,
    places: PLACES,
    // Which of `elements`, all of one kind of place, are meant: their indices.
    top: (elements, kind) => top(elements, kind).map((e) => elements.indexOf(e)),
    // For the frozen page: [kind, elements], nested tabs too.
    tops() {
      const everywhere = roots();
      return Object.entries(PLACES).map(([kind, css]) => {
        const found = everywhere.flatMap((root) => Array.from(root.querySelectorAll(css)));
        return [kind, kind === "tab" ? found.filter(shown) : top(found, kind)];
      });
    },
    // True once nothing has been under way and nothing has changed for `quiet` ms, and the framework named by `profile`
    // says that it is done, too; false after `limit` ms.
    async settle(quiet, limit, profile) {
      const start = performance.now();
      for (;;) {
        const now = performance.now();
        const idle = document.readyState === "complete" && busy <= 0;
        if (idle && busyBy(profile)) touch();
        else if (idle && (waiting() || fading())) await rest(8);
        else if (idle && rested === last) return true;
        else if (idle && now - last >= quiet) {
          // A frame that is not shown draws nothing.
          await new Promise((resolve) => { requestAnimationFrame(() => resolve()); later.call(window, resolve, 50); });
          if (busy <= 0 && performance.now() - last >= quiet && !waiting() && !fading()) {
            rested = last;
            return true;
          }
        }
        if (now - start > limit) return false;
        await rest(idle ? Math.min(Math.max(4, quiet - (now - last)), 50) : 8);
      }
    },
    // Whether `css` shows in this document or its shadow roots; null if it is not CSS as browsers know it.
    shows(css) {
      try { document.querySelector(css); } catch (error) { return null; }
      return roots().some((root) => Array.from(root.querySelectorAll(css)).some(shown));
    },
    // The number the page states in the first shown match of `css`, or null.
    number(css, pattern, attribute, minus) {
      for (const element of document.querySelectorAll(css)) {
        if (!shown(element)) continue;
        const text = attribute ? element.getAttribute(attribute) || "" : element.innerText;
        const match = text.replace(/\s+/g, " ").match(new RegExp(pattern, "u"));
        if (match) return Number(match[1].replace(/\D/g, "")) - (minus || 0);
      }
      return null;
    },
    // What tells one page of a list from another: the text of its shown rows.
    rows(css) {
      return Array.from(document.querySelectorAll(css)).filter(shown).map((row) => ("" + row.innerText).slice(0, 20000).toWellFormed());
    },
    links(css, target) {
      return Array.from(document.querySelectorAll(css)).filter(shown).map((row) => {
        const link = row.querySelector(target);
        return link && link.href ? String(link.href) : null;
      });
    },
  });
})();
