"""A share of what `make faults` does: deliveries over a bad network, waybills over a cut line, the agent killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import delivery, killed, sites, waybills
from tests.faults.network import Proxy, Toxic


@pytest.mark.parametrize("toxic", list(Toxic))
def test_over_a_bad_network_each_document_arrives_once(toxic: Toxic) -> None:
    outcome = delivery.deliver(sites.KINDS["https"], toxic, 4)
    assert outcome.wrong == []
    assert outcome.attempts >= outcome.documents == 4


@pytest.mark.parametrize("toxic", [Toxic.TIMEOUT, Toxic.LIMIT_DATA, Toxic.RESET_PEER, Toxic.DOWN, Toxic.ANSWER_LOST])
def test_a_network_that_breaks_connections_does(toxic: Toxic) -> None:
    outcome = delivery.deliver(sites.KINDS["https"], toxic, 4, toxicity=0.5)
    assert outcome.broken > 0
    assert outcome.rounds > outcome.documents == 4
    assert outcome.wrong == []


@pytest.mark.parametrize("kind", ["sftp", "mq"])
def test_so_it_does_on_the_way_to_a_server_of_files_or_a_broker(kind: str) -> None:
    outcome = delivery.deliver(sites.KINDS[kind], Toxic.DOWN, 4, toxicity=0.5)
    assert outcome.broken > 0
    assert outcome.wrong == []


def test_waybills_over_a_line_that_is_cut_at_every_message_arrive_once_and_in_order(tmp_path: Path) -> None:
    outcome = waybills.cut(tmp_path, 12, restarts=2)
    assert outcome.wrong == []
    assert (outcome.before, outcome.after, outcome.questions, outcome.restarts) == (36, 36, 36, 2)
    assert outcome.refused > 5
    assert outcome.sessions > 3


def test_a_killed_agent_loses_nothing_and_repeats_nothing() -> None:
    outcome = killed.kill(20)
    assert outcome.wrong == []
    assert outcome.kills.total() == 20
    assert len(outcome.kills) > 10


def test_a_proxy_without_a_toxic_changes_nothing() -> None:
    outcome = delivery.deliver(sites.KINDS["https"], None, 2)
    assert (outcome.attempts, outcome.rounds, outcome.broken, outcome.repeats, outcome.wrong) == (2, 2, 0, 0, [])


def test_a_proxy_can_be_ended_with_connections_open() -> None:
    with sites.https_site() as site, Proxy(site.address, None) as proxy:
        transport = site.transport_by(proxy.port)
        transport.find("0" * 64)
    transport.close()
