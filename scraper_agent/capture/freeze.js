// The page as XHTML text, in one call: markup with the values of its form fields, frames and open shadow roots inlined,
// visibility, and the box of every element that bears text. Scripts, styles, handlers and passwords do not come along.
// Boxes are `x y width height` in CSS pixels of the whole page. Reads only; nothing in the page is changed.
// Given the page's address as it may be logged, the answer is the text; a frame of another origin is marked unread.
// Given `{url}`, or `{frame}` for such a frame of its own, the answer is `{text, parts}`: the unread frames, to be frozen
// by themselves and put into their places. A page beyond the limits is an error; given `{url, cut: true}` its beginning
// is the answer.
(given) => {
  const whole = typeof given === "string";
  const parts = [];
  const out = [];
  const DROP = new Set(["script", "style", "link", "meta", "noscript", "template", "base", "object", "embed", "param"]);
  const EMPTY = new Set(["svg", "canvas", "video", "audio", "math"]);
  const CONTROL = new Set(["input", "select", "textarea"]);
  const NAME = /^[a-z][a-z0-9._-]*$/;
  // What a page calls the secrets of a session that it carries along unseen.
  const TOKEN = /token|csrf|xsrf|nonce|viewstate|verification|session|ticket|passw|secret|auth(?!or)/i;
  const UNSAFE = /[&<>"\u0000-\u001f\u007f-\u009f\ufffe\uffff]/;
  const ESCAPE = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "\n", "\t": "\t", "\r": " " };
  const escape = (text) => {
    if (!use("characters", text.length)) return "";
    const whole = text.isWellFormed() ? text : text.toWellFormed();
    if (!UNSAFE.test(whole)) return whole;
    return whole.replace(/[&<>"\u0000-\u001f\u007f-\u009f\ufffe\uffff]/g, (c) => ESCAPE[c] || "\ufffd");
  };
  // What is too large is refused here, before it is handed over.
  const cut = !whole && given.cut === true;
  const MOST = { characters: cut ? 1000000 : 16000000, elements: cut ? 20000 : 250000, levels: 1800 };
  const used = { characters: 0, elements: 0, levels: 0 };
  let full = false;
  const use = (what, more) => {
    used[what] += more;
    if (used[what] <= MOST[what]) return true;
    if (!cut) throw new Error(`frozen-limit: ${what}: ${used[what]} of ${MOST[what]}`);
    full = true;
    return false;
  };
  const attribute = (name, value) => out.push(" ", name, '="', escape(value), '"');

  const attributes = (element, tag) => {
    for (const { name, value, namespaceURI } of element.attributes) {
      // An attribute with a namespace may have the name of one without: twice one name is no XML.
      if (namespaceURI || !NAME.test(name) || name.startsWith("on") || name.startsWith("frozen-") || name === "xmlns") continue;
      if (name === "style" || name === "srcdoc" || name === "nonce" || name === "integrity") continue;
      if (CONTROL.has(tag) && (name === "value" || name === "checked")) continue;
      if (tag === "option" && name === "selected") continue;
      if (/^\s*(data|javascript|blob):/i.test(value)) continue;
      if (name.startsWith("data-") && TOKEN.test(name)) continue;
      if (tag === "meta" && name === "content" && TOKEN.test(element.getAttribute("name") || "")) continue;
      attribute(name, value);
    }
    if (tag === "input") {
      const type = element.type;
      if (type === "password") attribute("frozen-masked", "password");
      else if (type === "hidden" && TOKEN.test(`${element.name} ${element.id}`)) attribute("frozen-token", "1");
      else if (type !== "file") attribute("value", element.value);
      if (isTick(element) && element.checked) attribute("checked", "checked");
    } else if (tag === "option" && element.selected) attribute("selected", "selected");
  };

  const bearsText = (element, tag) => {
    if (CONTROL.has(tag) || tag === "td" || tag === "th" || tag === "dd" || tag === "dt") return true;
    let child = element.firstChild;
    if (!child) return true;
    for (; child; child = child.nextSibling) {
      if (child.nodeType === 3 && /\S/.test(child.data)) return true;
    }
    return false;
  };

  // Transparent counts as hidden, but a tick is often made transparent over a drawing of itself.
  const seen = (element, opacityProperty) =>
    element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: false, opacityProperty });
  const isTick = (element) => element.type === "checkbox" || element.type === "radio";

  const place = (element, tag, frame) => {
    if (tag === "option" || !bearsText(element, tag)) return;
    let box = element.getBoundingClientRect();
    let shown =
      frame.shown && seen(element, !(tag === "input" && isTick(element))) && element.getClientRects().length > 0;
    if (!shown && frame.shown && element.firstChild) {
      const style = getComputedStyle(element);
      if (style.display === "contents" && style.visibility === "visible") {
        // It has no box of its own, but its text is there.
        const range = document.createRange();
        range.selectNodeContents(element);
        box = range.getBoundingClientRect();
        shown = range.getClientRects().length > 0 && (!element.parentElement || seen(element.parentElement, true));
      }
    } else if (shown && box.width <= 1 && box.height <= 1 && element.firstChild) {
      shown = getComputedStyle(element).overflow === "visible"; // one pixel: for screen readers only
    }
    if (!shown) {
      attribute("frozen-hidden", "1");
      return;
    }
    const x = Math.round(box.left + frame.x), y = Math.round(box.top + frame.y);
    attribute("frozen-box", `${x} ${y} ${Math.round(box.width)} ${Math.round(box.height)}`);
  };

  // settle.js, where it runs, remembers closed shadow roots as they are made, and knows the topmost dialog.
  const agent = (element) => (element.ownerDocument.defaultView || {}).__agent || {};
  const shadow = (element) => element.shadowRoot || (agent(element).closed ? agent(element).closed(element) : null);

  const children = (parent, frame, root) => {
    let taken = null;
    if (root) taken = new Set(Array.from(root.querySelectorAll("slot")).flatMap((slot) => slot.assignedNodes()));
    for (let child = parent.firstChild; child && !full; child = child.nextSibling) {
      // Text of a shadow host that no slot takes is not on the page.
      if (child.nodeType === 3) { if (!taken || taken.has(child)) out.push(escape(child.data)); }
      else if (child.nodeType === 1) walk(child, frame);
    }
  };

  // A shadow root that came closed with the markup cannot be reached. It shows in that the element's own text is not
  // on the page although the element is, or that an element of the page's own making is on it with nothing in it.
  const HOSTS = /^(article|aside|blockquote|div|footer|h[1-6]|header|main|nav|p|section|span)$|-/;
  const sealed = (element, tag) => {
    if (!HOSTS.test(tag) || !element.getClientRects().length || !seen(element, true)) return false;
    if (!element.firstChild) return tag.includes("-") && element.getBoundingClientRect().height > 0;
    for (let child = element.firstChild; child; child = child.nextSibling) {
      if (child.nodeType !== 3 || !/\S/.test(child.data)) continue;
      const range = document.createRange();
      range.selectNodeContents(child);
      return range.getClientRects().length === 0;
    }
    return false;
  };

  const tops = new Map();
  const marks = (element) => {
    const page = element.ownerDocument;
    if (!tops.has(page)) tops.set(page, agent(element).tops ? agent(element).tops() : []);
    for (const [kind, found] of tops.get(page)) if (found.includes(element)) attribute("frozen-top", kind);
  };

  const inner = (element, frame) => {
    const box = element.getBoundingClientRect();
    let page = null;
    try { page = element.contentDocument; } catch (error) { page = null; }
    const name = element.name || element.id || element.getAttribute("src") || "";
    const place = {
      x: frame.x + box.left + element.clientLeft,
      y: frame.y + box.top + element.clientTop,
      path: frame.path + "/" + name,
      shown: frame.shown && element.checkVisibility({ visibilityProperty: true }) && box.width > 0 && box.height > 0,
    };
    out.push("<frozen-frame");
    attribute("frozen-path", place.path);
    attribute("frozen-name", element.name || "");
    attribute("frozen-id", element.id || "");
    if (!place.shown) attribute("frozen-hidden", "1");
    if (!page || !page.documentElement || !page.defaultView) {
      // What stands for the part is replaced by it; no page can write it, as what begins with `frozen-` is dropped.
      attribute("frozen-unread", "1");
      if (!whole) attribute("frozen-part", String(parts.length));
      parts.push({ element, place });
      out.push("/>");
      return;
    }
    attribute("frozen-address", page.location.pathname.split(";")[0]);
    out.push(">");
    walk(page.documentElement, place);
    out.push("</frozen-frame>");
  };

  function walk(element, frame) {
    const tag = element.localName;
    if (DROP.has(tag) || !use("elements", 1) || !use("levels", 1)) return;
    node(element, frame, tag);
    used.levels -= 1;
  }

  function node(element, frame, tag) {
    if (tag === "iframe" || tag === "frame") return inner(element, frame);
    const name = NAME.test(tag) && !tag.startsWith("frozen-") ? tag : "frozen-element";
    out.push("<", name);
    attributes(element, tag);
    place(element, tag, frame);
    marks(element);
    if (EMPTY.has(tag) || tag === "input" || tag === "img" || tag === "br" || tag === "hr") {
      out.push("/>");
      return;
    }
    out.push(">");
    if (tag === "textarea") out.push(escape(element.value));
    else {
      const root = shadow(element);
      if (root) {
        out.push("<frozen-shadow>");
        children(root, frame, null);
        out.push("</frozen-shadow>");
      } else if (frame.shown && sealed(element, tag)) out.push('<frozen-shadow frozen-unread="1"/>');
      children(element, frame, root);
    }
    out.push("</", name, ">");
  }

  const root = document.documentElement;
  if (!whole && given.frame) {
    walk(root, given.frame);
    return { text: "" + out.join(""), parts };
  }
  out.push('<html xmlns="http://www.w3.org/1999/xhtml"');
  attribute("frozen-url", whole ? given : given.url);
  attribute("frozen-size", `${Math.max(root.scrollWidth, innerWidth)} ${Math.max(root.scrollHeight, innerHeight)}`);
  out.push("><head><title>", escape(document.title), "</title></head>");
  if (document.body) walk(document.body, { x: scrollX, y: scrollY, path: "", shown: true });
  if (full) out.push("<frozen-cut/>");
  out.push("</html>");
  return whole ? "" + out.join("") : { text: "" + out.join(""), parts };
}
