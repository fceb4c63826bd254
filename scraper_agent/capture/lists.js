// Runs in every page before its own scripts: looks at the rows of a list, and gathers a grid that keeps only what is in
// view. Reads and scrolls only.
(() => {
  if (window.__agentLists) return;
  const shown = (element) => element.getClientRects().length > 0 && element.checkVisibility({ visibilityProperty: true });
  const fold = (text) => text.toWellFormed().replace(/\s+/g, " ").trim();
  // Texts of rows are compared and never read: one without an end is cut.
  const told = (row) => ("" + row.innerText).slice(0, 20000).toWellFormed();
  const all = (css) => Array.from(document.querySelectorAll(css));
  const first = (css) => all(css).find(shown) || null;
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));

  const read = (element) => {
    const control = element.firstElementChild && element.querySelector("input, select, textarea");
    if (control && shown(control)) {
      if (control.type === "checkbox" || control.type === "radio") return fold(element.innerText) || (control.checked ? "checked" : "unchecked");
      if (control.type !== "password") return fold(control.localName === "select" ? control.selectedOptions[0]?.text || "" : control.value);
    }
    return fold(element.firstElementChild ? element.innerText : element.textContent);
  };
  const within = (row, css) => { const found = css && row.querySelector(css); return found ? read(found) : ""; };

  const marker = (mark) => {
    if (mark.position) {
      return (element, like) => {
        let place = 1;
        for (let before = element.previousElementSibling; before; before = before.previousElementSibling) place += before.matches(like);
        return String(place);
      };
    }
    const pattern = mark.pattern && new RegExp(mark.pattern, "u");
    return (element, like, around) => {
      const bearer = around ? element.closest(`[${CSS.escape(mark.attribute)}]`) : element;
      const value = bearer && bearer.getAttribute(mark.attribute);
      if (value === null || !pattern) return value;
      const match = value.match(pattern);
      return match ? match[1] : null;
    };
  };

  window.__agentLists = Object.freeze({
    // Every shown row with its key, its link and the amounts that are added up; and how many are hidden.
    look({ rows, key, link, cells }) {
      const seen = [];
      let hidden = 0;
      for (const row of all(rows)) {
        if (!shown(row)) { hidden += 1; continue; }
        const anchor = link && row.querySelector(link);
        seen.push({
          text: told(row), key: key ? within(row, key) : null,
          link: anchor && anchor.href ? String(anchor.href) : null, amounts: cells.map((css) => within(row, css)),
        });
      }
      return { seen, hidden };
    },
    stated(css) { const place = first(css); return place ? read(place) : ""; },
    busy(css) { return css ? first(css) !== null : false; },
    count(css) { return all(css).filter(shown).length; },
    numbers(css) { return all(css).filter(shown).map((e) => fold(e.innerText)); },
    // Scrolls to the end; whether it was there before.
    bottom(css) {
      const place = first(css);
      if (!place) return null;
      const end = place.scrollHeight - place.clientHeight;
      const there = place.scrollTop >= end - 1;
      place.scrollTop = end + 1;
      place.dispatchEvent(new Event("scroll"));
      return there;
    },
    async gather({ rows, grid, key, link, busy, limit }) {
      const down = first(grid.down), across = grid.across ? first(grid.across) : null;
      if (!down) return null;
      const rowMark = grid.row ? marker(grid.row) : null, columnMark = marker(grid.column);
      const headMark = grid.head ? marker(grid.head) : columnMark;
      const columns = new Map(), heads = [], table = new Map(), numbersSeen = new Set();
      const doubtful = [], filled = new Set();
      let changed = new Set(), gaps = 0, keyColumn = null, mutated = 0, stops = 0, loading = 0;
      const wide = () => (across ? across.scrollWidth - across.clientWidth : 0);
      const watcher = new MutationObserver(() => { mutated += 1; });
      watcher.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });

      const box = (element) => {
        const b = element.getBoundingClientRect();
        const x = b.left + scrollX + (across && across.contains(element) ? across.scrollLeft : 0);
        const y = b.top + scrollY + (down.contains(element) ? down.scrollTop : 0);
        return [Math.round(x), Math.round(y), Math.round(b.width), Math.round(b.height)];
      };
      const lookAtHeads = () => {
        for (const head of document.querySelectorAll(grid.heads)) {
          const column = headMark(head, grid.heads, true);
          if (column === null) continue;
          const known = columns.get(column);
          if (!shown(head)) continue;
          const text = read(head);
          if (known !== undefined && heads[known].text) {
            if (text && text !== heads[known].text && doubtful.length < 9) doubtful.push([heads[known].text, text]);
            continue;
          }
          if (known === undefined) { columns.set(column, heads.length); heads.push({ text, box: box(head) }); }
          else heads[known] = { text, box: box(head) };
          if (text === key) keyColumn = column;
        }
      };
      // What is in view now: row element -> its mark.
      const inView = () => {
        const found = [];
        for (const row of document.querySelectorAll(rows)) {
          if (!shown(row)) continue;
          let id;
          if (rowMark) id = rowMark(row, rows, false);
          else {
            const cell = Array.from(row.querySelectorAll(grid.cells)).find((c) => columnMark(c, grid.cells, false) === keyColumn);
            id = cell ? read(cell) : null;
          }
          if (id !== null && id !== "") found.push([row, id]);
        }
        return found;
      };
      const harvest = (view) => {
        lookAtHeads();
        for (const [row, id] of view) {
          let kept = table.get(id);
          if (!kept) table.set(id, (kept = { cells: new Map(), link: null, y: box(row)[1] }));
          if (link && !kept.link) {
            const anchor = row.querySelector(link);
            if (anchor && anchor.href) kept.link = String(anchor.href);
          }
          for (const cell of row.querySelectorAll(grid.cells)) {
            const column = columnMark(cell, grid.cells, false);
            if (column === null || !columns.has(column)) continue;
            const known = kept.cells.get(column);
            if (known !== undefined && known.raw === cell.textContent) continue;
            if (!shown(cell)) continue;
            const text = read(cell);
            filled.add(column);
            if (known === undefined) kept.cells.set(column, { text, raw: cell.textContent, box: box(cell) });
            else if (known.text !== text) changed.add(id);
          }
        }
      };
      // Whether every row in the pane is drawn from side to side and the rows reach its lower edge: a busy machine draws
      // columns late, and frozen ones apart from the others.
      const drawn = (view) => {
        const frame = down.getBoundingClientRect(), top = frame.top + down.clientTop, edge = top + down.clientHeight;
        const left = across ? across.getBoundingClientRect().left + across.clientLeft : 0;
        const right = across && wide() > 1 ? left + across.clientWidth : -Infinity;
        const parts = new Map();
        for (const [row, id] of view) {
          const box = row.getBoundingClientRect();
          if (box.bottom > top && box.top < edge) parts.set(id, [...(parts.get(id) || []), row]);
        }
        let lowest = -Infinity;
        for (const rows of parts.values()) {
          lowest = Math.max(lowest, ...rows.map((row) => row.getBoundingClientRect().bottom));
          if (right === -Infinity) continue;
          const cells = rows.flatMap((row) => Array.from(row.querySelectorAll(grid.cells))).filter(shown);
          const spans = cells.map((cell) => cell.getBoundingClientRect()).sort((a, b) => a.left - b.left);
          const reached = spans.reduce((to, span) => (span.left <= to + 2 ? Math.max(to, span.right) : to), left);
          if (reached < right - 2) return false;
        }
        return parts.size > 0 && (down.scrollTop >= down.scrollHeight - down.clientHeight - 1 || lowest >= edge - 2);
      };
      // In view, drawn down to the lower edge and from side to side, joined to what was seen before, and not changing any more.
      // Where the list has moved down by `moved` pixels, its rows have moved up or others have come: some grids leave
      // what was there in its place for some frames.
      const arrive = async (before, moved) => {
        const start = performance.now();
        for (let frames = 1; ; frames += 1) {  // not seconds: a busy machine draws fewer frames in one
          const since = mutated;
          await frame();
          const waits = busy && first(busy) !== null;
          if (waits) loading += 1;
          const view = inView();
          const joined = before === null || view.some(([, id]) => before.has(id));
          const late = performance.now() - start;
          const others = before === null || moved < 1 || frames > 120 || view.some(([row, id]) =>
            !before.has(id) || Math.abs(before.get(id) - row.getBoundingClientRect().top - moved) < 2);
          const still = mutated === since || frames > 60; // what never stops moving, such as a clock, is not waited for
          if (!waits && view.length && joined && others && still && (frames > 120 || drawn(view))) return view;
          if (late > limit) { gaps += 1; return view; }
          if (frames % 10 === 0) down.dispatchEvent(new Event("scroll")); // some grids drop one while they draw
        }
      };
      const to = async (x, y, before) => {
        if (across) across.scrollLeft = x;
        const from = down.scrollTop;
        down.scrollTop = y;
        stops += 1;
        const view = await arrive(before, down.scrollTop - from);
        harvest(view);
        return new Map(view.map(([row, id]) => [id, row.getBoundingClientRect().top]));
      };
      lookAtHeads();
      let before = null, forth = true, swept = false;
      const sweep = async (y) => {
        if (wide() <= 1) { before = await to(0, y, before); return; }
        const stepX = Math.max(60, Math.floor(across.clientWidth * 0.7));
        const places = [];
        for (let x = 0; x < wide(); x += stepX) places.push(x);
        places.push(wide());
        if (!forth) places.reverse();
        for (const [n, x] of places.entries()) {
          // What is in view has every cell that any row has: scrolling on sideways would show nothing new.
          if (n > 0 && swept && inView().every(([, id]) => table.get(id)?.cells.size >= filled.size)) return;
          before = await to(x, y, before);
        }
        swept = true;
        forth = !forth;
      };
      if (across) { across.scrollLeft = 0; }
      down.scrollTop = 0;
      for (let y = 0; ; ) {
        await sweep(y);
        const end = down.scrollHeight - down.clientHeight;
        if (down.scrollTop >= end - 1) break;
        const one = Math.max(...inView().map(([row]) => row.getBoundingClientRect().height), 1);
        const next = Math.min(end, down.scrollTop + Math.max(one, down.clientHeight - one * 1.5));
        if (next <= down.scrollTop) break;
        y = next;
      }
      watcher.disconnect();
      const ids = Array.from(table.keys());
      const numeric = rowMark !== null && ids.every((id) => /^-?\d+$/.test(id));
      let missing = 0;
      if (numeric) {
        ids.sort((a, b) => Number(a) - Number(b));
        const places = ids.map(Number);
        const step = places.reduce((least, n, i) => (i ? Math.min(least, n - places[i - 1]) : least), Infinity);
        for (let i = 1; i < places.length; i += 1) missing += Math.round((places[i] - places[i - 1]) / step) - 1;
      }
      const names = Array.from(columns.keys());
      return {
        heads: heads.map((h) => [h.text, ...h.box]),
        rows: ids.map((id) => {
          const kept = table.get(id);
          return { id, link: kept.link, cells: names.map((n) => { const c = kept.cells.get(n); return c ? [c.text, ...c.box] : null; }) };
        }),
        doubtful, changed: changed.size, gaps, missing, stops, ended: down.scrollTop >= down.scrollHeight - down.clientHeight - 1,
      };
    },
  });
})();
