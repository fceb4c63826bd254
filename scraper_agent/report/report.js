"use strict";
// Everything from a page comes out of the JSON and goes in as textContent; nothing here makes markup of text.
(() => {
  const { pages, origins, words } = JSON.parse(document.getElementById("data").textContent);
  const blank = document.getElementById("pane");

  const made = (tag, kind, text) => {
    const node = document.createElement(tag);
    node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // The image of page `number` in `paper`; `then` runs when its size is known. Each JPEG is in the file once.
  const place = (paper, number, then) => {
    const image = document.getElementById(`image-${number}`);
    const shown = document.createElement("img");
    shown.alt = image ? image.alt : "";
    if (image) shown.src = image.src;
    paper.replaceChildren(image ? shown : made("p", "note", pages[number].note));
    if (image) shown.decode().then(() => then(shown), () => {});
  };

  class Pane {
    constructor(sheet) {
      this.sheet = sheet;
      this.page = null;
      this.now = null;
      this.kept = false;
      this.root = sheet.querySelector(".evidence");
      this.root.replaceChildren(blank.content.cloneNode(true));
      this.root.classList.add("live");
      this.window = this.root.querySelector(".window");
      this.paper = this.root.querySelector(".paper");
      this.zoom = this.root.querySelector(".zoom");
      this.zoom.textContent = words.actual_size;
      this.values = new Map([...sheet.querySelectorAll(".value[data-origin]")].map((v) => [v.dataset.origin, v]));
      this.marks = new Map();
      this.actual = false;
      this.turn(Number(sheet.dataset.page));
      this.tell([["", words.point]]);
      this.zoom.addEventListener("click", () => this.resize());
      for (const kind of ["mouseover", "focusin"]) sheet.addEventListener(kind, (e) => this.point(e.target, false));
      sheet.addEventListener("click", (e) => this.point(e.target, true));
    }

    // To page `number`; null is the enterprise's profile, which has none.
    turn(number) {
      if (number === this.page) return;
      this.page = number;
      this.marks.clear();
      this.image = null;
      const page = number === null ? null : pages[number];
      this.root.querySelector(".where").textContent =
        page === null ? "" : [page.name, page.url, page.taken, page.digest].filter(Boolean).join(" · ");
      if (page === null) {
        this.paper.replaceChildren(made("p", "note", words.no_page));
        return;
      }
      place(this.paper, number, (image) => {
        if (this.page !== number) return;
        this.image = image;
        this.width();
        for (const id of this.values.keys()) this.mark(id, origins[id]);
        this.light();
      });
    }

    mark(id, origin) {
      if (origin.page !== this.page || origin.box === null) return;
      const [x, y, width, height] = origin.box;
      const mark = made("div", "mark");
      mark.dataset.origin = id;
      mark.style.left = `${(100 * x) / this.image.naturalWidth}%`;
      mark.style.top = `${(100 * y) / this.image.naturalHeight}%`;
      mark.style.width = `${(100 * width) / this.image.naturalWidth}%`;
      mark.style.height = `${(100 * height) / this.image.naturalHeight}%`;
      this.paper.append(mark);
      this.marks.set(id, mark);
    }

    point(target, click) {
      const at = target.closest("[data-origin]");
      if (at === null || (this.kept && !click)) return;
      const id = at.dataset.origin;
      const again = click && this.kept && id === this.now;
      this.kept = click && !again;
      this.now = id;
      this.turn(origins[id].page);
      this.explain(origins[id]);
      this.light();
      if (click && at.classList.contains("mark")) this.values.get(id).scrollIntoView({ block: "nearest" });
    }

    light() {
      for (const [id, value] of this.values) {
        value.classList.toggle("now", id === this.now);
        value.classList.toggle("kept", id === this.now && this.kept);
      }
      for (const [id, mark] of this.marks) mark.classList.toggle("now", id === this.now);
      const mark = this.marks.get(this.now);
      if (!mark) return;
      this.window.scrollTo({
        left: mark.offsetLeft + mark.offsetWidth / 2 - this.window.clientWidth / 2,
        top: mark.offsetTop + mark.offsetHeight / 2 - this.window.clientHeight / 2,
        behavior: "instant",
      });
    }

    explain(origin) {
      const rows = [["", origin.name], [words.raw, origin.raw], [words.target, origin.target]];
      if (origin.steps.length) rows.push([words.steps, origin.steps.join(" → ")]);
      if (origin.frame !== "/") rows.push([words.frame, origin.frame]);
      if (origin.page !== null && origin.box === null) rows.push(["", words.no_box]);
      this.tell(rows);
    }

    tell(rows) {
      this.root.querySelector(".origin").replaceChildren(...rows.map(([name, text]) => {
        const row = made("div", "");
        row.append(made("dt", "", name), made("dd", "", text));
        return row;
      }));
    }

    resize() {
      this.actual = !this.actual;
      this.zoom.textContent = this.actual ? words.whole_width : words.actual_size;
      this.width();
      this.light();
    }

    width() {
      this.paper.style.width = this.actual && this.image ? `${this.image.naturalWidth}px` : "100%";
    }
  }

  for (const sheet of document.querySelectorAll("details.document")) {
    let pane = null;
    sheet.addEventListener("toggle", () => { if (sheet.open && pane === null) pane = new Pane(sheet); });
  }

  for (const fold of document.querySelectorAll("details.page")) {
    fold.addEventListener("toggle", () => {
      if (!fold.open || fold.querySelector(".paper")) return;
      const paper = made("div", "paper");
      fold.append(paper);
      place(paper, Number(fold.dataset.page), () => {});
    });
    // Without this script the summary is a link to the image; with it, it opens.
    const link = fold.querySelector("summary a");
    link.replaceWith(link.textContent);
  }

  // --- finding a document ---

  const opened = () => {
    const fold = document.getElementById(location.hash.slice(1));
    if (!(fold instanceof HTMLDetailsElement)) return;
    fold.hidden = false;
    fold.open = true;
    fold.scrollIntoView();
  };
  addEventListener("hashchange", opened);
  // A second click on the same link changes no address.
  addEventListener("click", (e) => {
    const link = e.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) opened();
  });
  opened();

  const filter = document.querySelector(".filter");
  const search = filter.querySelector("input");
  const buttons = [...filter.querySelectorAll("button")];
  const sheets = [...document.querySelectorAll("details.document")]
    .map((node) => ({ node, text: node.querySelector("summary").textContent.toLowerCase() }));
  let state = "";
  const sift = () => {
    const wanted = search.value.trim().toLowerCase();
    let found = 0;
    for (const { node, text } of sheets) {
      node.hidden = (state !== "" && node.dataset.state !== state) || !text.includes(wanted);
      found += node.hidden ? 0 : 1;
    }
    document.querySelector(".none").hidden = found > 0;
  };
  search.addEventListener("input", sift);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      state = button.dataset.state;
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      sift();
    });
  }
  filter.hidden = false;
})();
