"""Names that several pages use."""

from __future__ import annotations

from scraper_agent.messages import N_, render
from scraper_agent.values import State


def state_name(of: State) -> str:
    names = {
        State.READ: N_("read"),
        State.BLOCKED: N_("blocked"),
        State.HELD: N_("held"),
        State.ON_HOLD: N_("on hold"),
        State.APPROVED: N_("approved"),
        State.DECLINED: N_("declined"),
        State.SIGNED: N_("signed"),
        State.UNKNOWN: N_("unknown"),
        State.DELIVERED: N_("delivered"),
        State.WAITING: N_("waiting"),
        State.DEAD: N_("dead letter"),
        State.RECEIPTED: N_("receipted"),
        State.REJECTED: N_("rejected"),
        State.STOPPED: N_("stopped"),
    }
    return render(names[of])
