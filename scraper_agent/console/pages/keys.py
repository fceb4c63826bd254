"""The keys that sign, and the accounts that nobody logs in with until a person clears them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from scraper_agent import accounts
from scraper_agent.console import told
from scraper_agent.console.ask import Ask, Route, action, page
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.signing import keyfolder
from scraper_agent.signing.keystate import KeyState
from scraper_agent.values import Cleared

STATES = {
    KeyState.ACTIVE: ("good", N_("signs")),
    KeyState.PLANNED: ("going", N_("planned")),
    KeyState.RETIRED: ("", N_("retired")),
    KeyState.REVOKED: ("bad", N_("revoked")),
}


def keys(ask: Ask) -> Response:
    entries = keyfolder.entries(ask.app.key_folder)
    resting = [
        (id.removeprefix("session/"), told.outcome(stopped.outcome), stopped.run)
        for id in ask.archive.accounts()
        for stopped in accounts.stopped(ask.archive.job(id)).values()
    ]
    return ask.render(
        "keys.html",
        keys=[
            (entry, STATES[state][0], render(STATES[state][1])) for entry in entries for state in [entry.state(ask.now)]
        ],
        resting=resting,
        may_clear=ask.may(Role.ADMINISTRATOR),
    )


def clear(ask: Ask) -> Response:
    """Say that an ERP's accounts are in order again, as `session clear` does."""
    erp = ask.form.get("erp", "")
    job = accounts.job_id(erp)
    with ask.app.archive() as archive:
        if not accounts.stopped(archive.job(job)):
            raise UsageError("SA7771", N_("no account of {erp} rests"), erp=erp)
        archive.append(job, archive.length(job), Cleared(by=f"person:{ask.person}"))
    return ask.redirect("/keys", render(N_("The accounts of {erp} may be logged in with again."), {"erp": erp}))


ROUTES: Sequence[Route] = (
    page("/keys", keys, menu=N_("Keys and accounts")),
    action("/keys/clear", clear, role=Role.ADMINISTRATOR),
)
