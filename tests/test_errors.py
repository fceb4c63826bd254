"""What errors of other libraries came of."""

from __future__ import annotations

from scraper_agent.errors import causes


def test_each_cause_is_told_once_also_where_errors_come_of_each_other() -> None:
    """As asyncio leaves them: a dose of broken connections to a broker ended in a loop without end."""
    closed, reset, first = ConnectionError("closed"), OSError("reset"), ValueError("first")
    closed.__cause__, reset.__context__ = reset, closed
    assert list(causes(closed)) == [closed, reset]
    reset.__cause__ = first
    assert list(causes(closed)) == [closed, reset, first]
