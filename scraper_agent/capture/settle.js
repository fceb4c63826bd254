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
  const watch = () => new MutationObserver(touch).observe(document, { subtree: true, childList: true, characterData: true });
  watch();

  let rested = -1;  // `last` as it was when the page was seen at rest: unless it changes, the page still is

  const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const shown = (element) => element.getClientRects().length > 0 && element.checkVisibility({ visibilityProperty: true });

  window.__agent = Object.freeze({
    // True once nothing has been under way and nothing has changed for `quiet` ms; false after `limit` ms.
    async settle(quiet, limit) {
      const start = performance.now();
      for (;;) {
        const now = performance.now();
        const idle = document.readyState === "complete" && busy <= 0;
        if (idle && rested === last) return true;
        if (idle && now - last >= quiet) {
          await new Promise((resolve) => requestAnimationFrame(() => resolve()));
          if (busy <= 0 && performance.now() - last >= quiet) {
            rested = last;
            return true;
          }
        }
        if (now - start > limit) return false;
        await rest(idle ? Math.max(4, quiet - (now - last)) : 8);
      }
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
      return Array.from(document.querySelectorAll(css)).filter(shown).map((row) => row.innerText);
    },
    links(css, target) {
      return Array.from(document.querySelectorAll(css)).filter(shown).map((row) => {
        const link = row.querySelector(target);
        return link && link.href ? String(link.href) : null;
      });
    },
  });
})();
