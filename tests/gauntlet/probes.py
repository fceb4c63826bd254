"""A page that tries every way to write that its authors could think of, and a server that tells which ones reached it.

Each probe has a name that stands in the address it writes to: `/w/NAME` by a method that writes, `/w/NAME/delete` by
GET, `/rpc/NAME` and `/login/NAME` with bodies that are not what a recipe permits.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from scraper_agent.recipe import Permit

PERMITS = (
    Permit.model_validate({"purpose": "query", "path": r"/rpc/\w+", "json": {"method": "read"}}),
    Permit(purpose="login", path=r"/login/\w+", form=("user", "password")),
)
NAME = re.compile(r"/(?:w|rpc|login)/(\w+)")
GOOD = b'{"method":"read"}'
"""The one body that is permitted, sent by the probe `good`, which has to come through, and by `turned`."""

_FORM = "form(`<form id=f method=post {0}><input name=a value=1>{1}</form><script>{2}</script>`)"
PROBES = {
    # methods
    "fetch_post": "fetch(w, {method: 'POST', body: '1'})",
    "fetch_put": "fetch(w, {method: 'PUT', body: '1'})",
    "fetch_patch": "fetch(w, {method: 'PATCH', body: '1'})",
    "fetch_delete": "fetch(w, {method: 'DELETE'})",
    "fetch_lower_case": "fetch(w, {method: 'patch', body: '1'})",
    "fetch_own_method": "fetch(w, {method: 'WIPE'})",
    "fetch_options": "fetch(w, {method: 'OPTIONS'})",
    "webdav_propfind": "fetch(w, {method: 'PROPFIND'})",
    "webdav_mkcol": "fetch(w, {method: 'MKCOL'})",
    "webdav_move": "fetch(w, {method: 'MOVE', headers: {Destination: '/x'}})",
    "no_cors": "fetch(w, {method: 'POST', mode: 'no-cors', body: '1'})",
    "no_cors_foreign": "fetch(far, {method: 'POST', mode: 'no-cors', body: '1'})",
    "cors_foreign": "fetch(far, {method: 'PUT', body: '1'})",
    "keepalive": "fetch(w, {method: 'POST', keepalive: true, body: '1'})",
    "streamed": "fetch(w, {method: 'POST', duplex: 'half', body: new Blob(['1']).stream()})",
    "long_address": "fetch(w + '?' + 'x'.repeat(100000), {method: 'POST', body: '1'})",
    "override_header": "fetch(base + '/w/override_header', {headers: {'X-HTTP-Method-Override': 'DELETE'}})",
    "reroute_header": "fetch(base + '/w/reroute_header', {headers: {'X-Original-URL': '/w/x/delete'}})",
    "xhr": "{const x = new XMLHttpRequest(); x.open('POST', w); x.send('1')}",
    "xhr_sync": "{const x = new XMLHttpRequest(); x.open('POST', w, false); try { x.send('1') } catch {}}",
    "xhr_upload": "{const x = new XMLHttpRequest(), u = new FormData(); u.append('f', new Blob(['1']), 'a.txt');"
    " x.open('POST', w); x.send(u)}",
    "beacon": "navigator.sendBeacon(w, '1')",
    "beacon_foreign": "navigator.sendBeacon(far, '1')",
    "fetch_later": "window.fetchLater && fetchLater(w, {method: 'POST', body: '1', activateAfter: 0})",
    # forms
    "form_frame": _FORM.format("action=${w}", "", "f.submit()"),
    "form_multipart": _FORM.format("enctype=multipart/form-data action=${w}", "", "f.submit()"),
    "form_action": _FORM.format("action=/", "<button id=b formaction=${w}>b</button>", "b.click()"),
    "form_blank": _FORM.format("target=_blank action=${w}", "", "f.submit()"),
    "form_popup": "{const o = window.open('about:blank'); if (o) { o.document.write(`<form id=f method=post "
    "action=${w}></form>`); o.document.getElementById('f').submit() }}",
    "form_get": "form(`<form id=f action=${d}><input name=a value=1></form><script>f.submit()</script>`)",
    "form_foreign": _FORM.format("action=${far}", "", "f.submit()"),
    "ping": "{const a = add('a', {href: '#x', ping: w}); a.click()}",
    # workers
    "worker": "new Worker(base + '/worker.js?' + name)",
    "worker_module": "new Worker(base + '/worker.js?' + name, {type: 'module'})",
    "worker_blob": "new Worker(blob(`fetch('${w}', {method: 'POST', keepalive: true, body: '1'})`))",
    "worker_imports": "new Worker(blob(`importScripts('${d}')`))",
    "worker_nested": "new Worker(blob(`new Worker('${blob(`fetch('${w}', {method: 'POST', body: '1'})`)}')`))",
    "worker_shared": "new SharedWorker(base + '/worker.js?' + name)",
    "worker_service": "navigator.serviceWorker.register('/sw.js')",
    "worker_background": "navigator.serviceWorker.ready.then((r) => r.backgroundFetch.fetch('x', [new Request(w,"
    " {method: 'POST', body: '1'})]))",
    # other protocols
    "web_socket": "{const s = new WebSocket(w.replace('http', 'ws')); s.onopen = () => s.send('1')}",
    "web_socket_foreign": "{const s = new WebSocket(far.replace('http', 'ws')); s.onopen = () => s.send('1')}",
    "event_source": "new EventSource(d)",
    "event_source_foreign": "new EventSource(far)",
    "web_transport": "{const t = new WebTransport(far.replace('http:', 'https:')); t.ready.catch(() => 0)}",
    "rtc_turn": "{const c = new RTCPeerConnection({iceServers: [{urls: `turn:${far.split('/')[2]}?transport=tcp`,"
    " username: 'u', credential: 'p'}]}); c.createDataChannel('x');"
    " c.createOffer().then((o) => c.setLocalDescription(o))}",
    # GET that writes
    "get_delete": "fetch(d)",
    "get_encoded": "fetch(base + '/w/get_encoded/%64elete')",
    "get_parameter": "fetch(base + '/w/get_parameter?action=delete&id=1')",
    "get_path_parameter": "fetch(base + '/w/get_path_parameter/delete;a=b/')",
    "get_denied": "fetch(base + '/w/get_denied/logout')",
    "image": "new Image().src = d",
    "image_foreign": "new Image().src = far",
    "frame": "add('iframe', {src: d})",
    "frame_foreign": "add('iframe', {src: far})",
    "frame_meta": "form(`<meta http-equiv=refresh content='0;url=${d}'>`)",
    "object": "add('object', {data: d})",
    "embed": "add('embed', {src: d})",
    "video": "add('video', {src: d, preload: 'auto', autoplay: true, muted: true})",
    "style_url": "add('div').style.backgroundImage = `url(${d})`",
    "style_import": "add('style').textContent = `@import '${d}';`",
    "style_font": "{add('style').textContent = `@font-face {font-family: x; src: url(${d})}`;"
    " const e = add('p'); e.style.fontFamily = 'x'; e.textContent = 'x'}",
    "script": "add('script', {src: d})",
    "xslt": "add('iframe', {src: base + '/xslt?' + d})",
    "download": "add('a', {href: d, download: 'x'}).click()",
    "link_prefetch": "add('link', {rel: 'prefetch', href: d})",
    "link_preload": "add('link', {rel: 'preload', as: 'script', href: d})",
    "link_module": "add('link', {rel: 'modulepreload', href: d})",
    "link_manifest": "add('link', {rel: 'manifest', href: d})",
    "link_icon": "add('link', {rel: 'icon', href: d})",
    "link_preconnect": "add('link', {rel: 'preconnect', href: far})",
    "link_dns": "add('link', {rel: 'dns-prefetch', href: 'http://name-of-the-probe.example/'})",
    "speculation": "add('script', {type: 'speculationrules'}).textContent = JSON.stringify({prefetch: [{source: 'list',"
    " urls: [d], eagerness: 'immediate'}], prerender: [{source: 'list', urls: [base + '/popup?prerendered'],"
    " eagerness: 'immediate'}]})",
    "popup": "window.open(base + '/popup?popup')",
    "popup_moves": "{const o = window.open('about:blank'); if (o) o.location = d}",
    # redirects
    "turned_foreign": "fetch(base + '/to/302?' + far)",
    "turned_delete": "fetch(base + '/to/302?' + d)",
    "turned_image": "new Image().src = base + '/to/302?' + far",
    "turned_post": "fetch(base + '/rpc/turned', {method: 'POST', headers: json, body: good})",
    # permitted places, other bodies
    "body_other": "rpc('{\"method\":\"write\"}')",
    "body_twice": "rpc('{\"method\":\"read\",\"method\":\"write\"}')",
    "body_behind": "rpc(good + '{\"method\":\"write\"}')",
    "body_array": "rpc('[' + good + ']')",
    "body_none": "fetch(base + '/rpc/body_none', {method: 'POST'})",
    "body_query": "fetch(base + '/rpc/body_query?method=write', {method: 'POST', headers: json, body: good})",
    "body_utf16": "rpc(new Uint8Array([...good].flatMap((c) => [c.charCodeAt(0), 0])))",
    "body_utf7": "rpc('{\"method\":\"read\",\"a\":\"+ACI-\"}', {'Content-Type': 'application/json; charset=utf-7'})",
    "body_gzip": "gzip(good).then((z) => rpc(z, {...json, 'Content-Encoding': 'gzip'}))",
    "body_said_gzip": "rpc(good, {...json, 'Content-Encoding': 'gzip'})",
    "body_as_form": "rpc('{\"method\":\"read\",\"x\":\"&cmd=write&\"}',"
    " {'Content-Type': 'application/x-www-form-urlencoded'})",
    "login_more": "fetch(base + '/login/login_more', {method: 'POST', body: new URLSearchParams('user=a&delete=1')})",
    "login_parts": "fetch(base + '/login/login_parts', {method: 'POST', headers: {'Content-Type':"
    " 'multipart/form-data; boundary=b'}, body:"
    " 'user=x\\r\\n--b\\r\\nContent-Disposition: form-data; name=delete\\r\\n\\r\\n1\\r\\n--b--'})",
}  # fmt: skip
LEAVING = {
    "hide_beacon": "addEventListener('pagehide', () => navigator.sendBeacon(w, '1'))",
    "hide_keepalive": "addEventListener('pagehide', () => fetch(w, {method: 'POST', keepalive: true, body: '1'}))",
    "seen_beacon": "document.addEventListener('visibilitychange', () => navigator.sendBeacon(w, '1'))",
    "unload_beacon": "addEventListener('unload', () => navigator.sendBeacon(w, '1'))",
    "unload_later": "addEventListener('pagehide', () => window.fetchLater && fetchLater(w, {method: 'POST'}))",
    "before_unload": "addEventListener('beforeunload', () => navigator.sendBeacon(w, '1'))",
}  # fmt: skip
SELDOM = {
    "link_dns", "link_icon", "link_manifest", "link_preconnect", "long_address", "rtc_turn", "speculation", "streamed",
    "web_transport", "before_unload", "unload_beacon", "unload_later",
}  # fmt: skip
"""What Chromium, without a window or on plain HTTP, may leave undone; asserted of them is only that nothing arrives."""
SERVICE = """addEventListener('install', (e) => {
  skipWaiting();
  e.waitUntil(fetch('/w/worker_service', {method: 'POST', body: '1'}).catch(() => 0));
});
addEventListener('activate', (e) => e.waitUntil(clients.claim()));"""
PAGE = """<!doctype html><title>probes</title><body><script>
const base = location.origin, elsewhere = "{evil}", good = '{"method":"read"}';
const json = {'Content-Type': 'application/json'};
const ran = window.ran = {};
const add = (tag, given = {}) => {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(given)) e.setAttribute(k, v);
  return document.body.appendChild(e);
};
const form = (markup) => { add('iframe').srcdoc = markup; };
const blob = (text) => URL.createObjectURL(new Blob([text], {type: 'text/javascript'}));
const gzip = (text) => new Response(new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer();
const probe = (name, act) => {
  const far = `${elsewhere}/w/${name}`, w = `${base}/w/${name}`, d = `${w}/delete`;
  const rpc = (body, headers = json) => fetch(`${base}/rpc/${name}`, {method: 'POST', headers, body});
  try { const made = act(name, w, d, far, rpc); ran[name] = 'ran'; made?.catch?.(() => 0); }
  catch (e) { ran[name] = String(e); }
};
fetch(base + '/rpc/good', {method: 'POST', headers: json, body: good});
{probes}
</script>"""


def page(evil: str) -> str:
    acts = "".join(
        f"probe('{name}', (name, w, d, far, rpc) => {act if act.startswith('{') else '(' + act + ')'});\n"
        for name, act in {**LEAVING, **PROBES}.items()
    )
    return PAGE.replace("{evil}", evil).replace("{probes}", acts.replace("</script>", "<\\/script>"))


@dataclass
class Target:
    """What reached one server: method and path with query, in order."""

    base: str = ""
    evil: str = ""
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def writes(self) -> list[str]:
        """Names of the probes that did what no reader may do."""
        return [_named(path) for method, path, body in self.seen if _writes(method, path, body)]


def _named(path: str) -> str:
    found = NAME.search(path)
    return found[1] if found else path


def _writes(method: str, path: str, body: bytes) -> bool:
    plain = unquote(path)
    if "/delete" in plain or "=delete" in plain or "logout" in plain or "override_header" in path or "reroute" in path:
        return not plain.startswith(("/to/", "/xslt"))
    permitted = path in ("/rpc/good", "/rpc/turned") and body == GOOD
    return method not in ("GET", "HEAD") and not permitted


def _answer(here: Target, path: str, query: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and text."""
    post = f"fetch('/w/{query}', {{method: 'POST', body: '1'}})"
    groups = {"group": "own", "max_age": 600, "endpoints": [{"url": f"{here.base}/w/report_to"}]}
    reports = {
        "Content-Security-Policy-Report-Only": "img-src 'none'; report-uri /w/csp_report",
        "Reporting-Endpoints": f'own="{here.base}/w/reporting"',
        "Report-To": json.dumps(groups),
        "NEL": json.dumps({"report_to": "own", "max_age": 600, "success_fraction": 1.0}),
    }
    script = {"Content-Type": "text/javascript"}
    known: dict[str, tuple[int, dict[str, str], str]] = {
        "/": (200, reports, page(here.evil)),
        "/worker.js": (200, script, f"{post}; self.onconnect = () => {post}"),
        "/sw.js": (200, script, SERVICE),
        "/popup": (200, {}, f"<script>{post}</script>"),
        "/xslt": (
            200,
            {"Content-Type": "text/xml"},
            f'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="{query}"?><a/>',
        ),
        "/to/302": (302, {"Location": query}, ""),
        "/rpc/turned": (307, {"Location": "/w/turned_post"}, ""),
    }
    return known.get(path, (200, {}, "ok"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms after its head
    timeout = 20
    here: Target
    lock: threading.Lock

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.close_connection = bool(self.headers.get("Transfer-Encoding"))
        with self.lock:
            self.here.seen.append(("UPGRADE" if self.headers.get("Upgrade") else self.command, self.path, body))
        path, _, query = self.path.partition("?")
        status, headers, answer = _answer(self.here, path, query)
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with self.lock:
            self.here.connections += 1
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "patch", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "MOVE", "WIPE")
for _method in _METHODS:
    setattr(_Handler, f"do_{_method}", _Handler._any)


@contextmanager
def target(context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> Iterator[Target]:
    here = Target()
    handler = type("Handler", (_Handler,), {"here": here, "lock": threading.Lock()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        here.base = f"{'https' if context is not None else 'http'}://{host}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield here
        server.shutdown()
        thread.join()
