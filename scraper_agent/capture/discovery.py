"""Finds a browser on this machine, or installs one, and says what was tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, ProxySettings

from scraper_agent.capture.proxy import Proxy
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_

CHROMIUM_NAMES = ("chromium", "chromium-browser", "chromium-freeworld", "ungoogled-chromium")

PACKAGE_MANAGERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("apt-get", (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends", "chromium"))),
    ("dnf", (("dnf", "install", "-y", "chromium"),)),
    ("zypper", (("zypper", "--non-interactive", "install", "chromium"),)),
    ("winget", (("winget", "install", "-e", "--id", "Google.Chrome", "--accept-package-agreements"),)),
    ("brew", (("brew", "install", "--cask", "google-chrome"),)),
)

_INSTALL_TIMEOUT_S = 600

_ONLY_BY_PROXY = (
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # whatever goes past the proxy finds nobody
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-shared-workers",
    "--autofill-server-url=about:blank",  # else each form asks Google what its fields are
)

_PLAYWRIGHT_OFF = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
)
"""What Playwright switches off. Of two `--disable-features` only the last counts, so ours says Playwright's again."""

_POPUPS_OFF = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
"""Pages behind the address bar: from Chromium 156 on, two processes at every start that nobody looks at."""

_PROTECTION_OFF = "--disable-ipc-flooding-protection"
"""What Playwright starts Chromium with: a page that floods its history then holds up every tab, for half a minute."""


def launch(
    playwright: Playwright,
    executable: Path | None,
    *,
    headless: bool,
    tell: Callable[[str], None],
    door: Proxy | None = None,
) -> Browser:
    """Start the configured browser; else Edge, Chrome, Chromium, Playwright's own; else install one.

    `tell` hears of slow steps. All that the browser asks for goes through `door`.

    Raises:
        UsageError: `executable` is configured and is not there or does not start.
        AgentError: none was found and none could be installed; says what was tried.
    """
    if executable is not None:
        try:
            return _start(playwright, door, headless=headless, executable_path=str(executable))
        except Error as error:
            raise UsageError(
                "SA2101",
                N_("the configured browser {path} does not start: {seen}"),
                hint=N_("correct `browser.executable` in the config, or leave it out to have one found"),
                path=executable,
                seen=_first_line(error),
            ) from error
    tried: list[str] = []
    browser = _first(playwright, door, headless, tried)
    if browser is None:
        for name, commands in _installers():
            tell(name)
            tried.append(f"{name}: {_install(commands)}")
            browser = _first(playwright, door, headless, [])
            if browser is not None:
                break
    if browser is None:
        raise AgentError(
            "SA2102",
            N_("no browser was found and none could be installed; tried: {tried}"),
            hint=N_("install Microsoft Edge, Chrome or Chromium, or set `browser.executable` in the config"),
            tried="; ".join(tried),
        )
    return browser


def _first(playwright: Playwright, door: Proxy | None, headless: bool, tried: list[str]) -> Browser | None:
    for name, options in _candidates():
        try:
            return _start(playwright, door, headless=headless, **options)
        except Error as error:
            tried.append(f"{name}: {_first_line(error)}")
    return None


def _candidates() -> Iterator[tuple[str, dict[str, str]]]:
    yield "Microsoft Edge", {"channel": "msedge"}
    yield "Chrome", {"channel": "chrome"}
    for name in CHROMIUM_NAMES:
        path = shutil.which(name)
        if path:
            yield "Chromium", {"executable_path": path}
    yield "Playwright's own", {}


def _start(playwright: Playwright, door: Proxy | None, *, headless: bool, **options: str) -> Browser:
    arguments = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    arguments.append(f"--disable-features={','.join(_PLAYWRIGHT_OFF + _POPUPS_OFF)}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium does not start as root with its sandbox
    if sys.platform == "linux":
        arguments.append("--disable-dev-shm-usage")  # /dev/shm is tiny in containers
    through: ProxySettings | None = None
    if door is not None:
        arguments += _ONLY_BY_PROXY
        if door.spki is not None:
            arguments.append(f"--ignore-certificate-errors-spki-list={door.spki}")
        through = {"server": f"http://127.0.0.1:{door.port}", "username": door.user, "password": door.password}
    return playwright.chromium.launch(
        headless=headless,
        args=arguments,
        ignore_default_args=[_PROTECTION_OFF],
        proxy=through,
        **options,  # type: ignore[arg-type]
    )


def _installers() -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    yield "playwright install chromium", ((sys.executable, "-m", "playwright", "install", "chromium"),)
    for program, commands in PACKAGE_MANAGERS:
        if shutil.which(program):
            root = not hasattr(os, "geteuid") or os.geteuid() == 0 or program == "brew"
            yield program, commands if root else tuple(("sudo", "-n", *c) for c in commands)


def _install(commands: tuple[tuple[str, ...], ...]) -> str:
    """`installed`, or the last line of what the failing command said."""
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command[0]}: {error}"
        if done.returncode:
            return (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1][:200]
    return "installed"


def _first_line(error: Error) -> str:
    return error.message.strip().splitlines()[0][:200]
