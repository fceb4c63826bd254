"""Waybills that a province took and saw completed are with the ministry after the week, under the keys of both."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import asyncssh

from scraper_agent.sandbox import weekly, weeks
from scraper_agent.sandbox.sftp_server import SftpServer
from scraper_agent.sending import sftp
from scraper_agent.waybill import message
from tests.authorities import OF, change, country, peer, written
from tests.history import no_secret
from tests.waybills import waybill

NUMBERS = [f"SH{count:022}" for count in range(3)]


def test_what_a_province_saw_completed_is_with_the_ministry_after_the_week(tmp_path: Path) -> None:
    ssh = asyncssh.generate_private_key("ssh-ed25519")
    ssh.write_private_key(tmp_path / "id")
    with country("310000", "320000") as made:
        province, enterprise, first = made.of("310000"), made.enterprise(), weeks.week_of(made.clock())
        for number in NUMBERS:
            assert enterprise.send(province.platform, OF.waybill, written(waybill(i1=number))).accepted
            started = change(number, "running", "20260301T150000")
            assert enterprise.send(province.platform, OF.status, started).accepted
        for number in NUMBERS[:2]:
            ended = change(number, "done", "20260301T150100")
            assert enterprise.send(province.platform, OF.status, ended).accepted
        made.clock.now = first.end
        accounts = {"310000": ssh.convert_to_public()}
        with SftpServer(tmp_path / "sftp", accounts, asyncssh.generate_private_key("ssh-ed25519")) as server:
            config = sftp.Config(
                kind="sftp",
                host="127.0.0.1",
                port=server.port,
                user="310000",
                key_file=tmp_path / "id",
                fingerprints=(server.fingerprint,),
                folder="/requests",
                receipts="/receipts",
            )
            history = weekly.history(province, peer(made.ministry.ak, made.ministry), tmp_path / "310000", first)
            with (
                sftp.transport(config, no_secret) as outlet,
                weekly.desk(made.ministry, tmp_path, made.clock) as desk,
            ):
                history.send_due(made.clock, outlet)
                assert desk.batches() == ()
                # Meanwhile the ministry has a new key: what is on its way is for the old one.
                with made.ministry.platform.together():
                    made.ministry.platform.own_keys.renew(made.clock())
                history = weekly.history(province, peer(made.ministry.ak, made.ministry), tmp_path / "310000", first)
                with weekly.desk(made.ministry, tmp_path, made.clock) as after:
                    assert after.take() == 1
                (sent,) = history.send_due(made.clock, outlet)
                assert sent.reconciled
                assert sent.count == 2
                assert [(number, ak, week) for number, ak, week, _ in desk.waybills()] == [
                    (number, "310000", first) for number in NUMBERS[:2]
                ]
                for number, *_, raw in desk.waybills():
                    assert raw == message.write(waybill(i1=number))


def test_by_themselves_provinces_send_what_is_due_and_the_ministry_takes_it(tmp_path: Path) -> None:
    with country("310000", "320000") as made, ExitStack() as stack:
        first = weeks.week_of(made.clock())
        accounts = {ak: weekly.account(folder(tmp_path, ak)) for ak in made.provinces}
        ours = folder(tmp_path, made.ministry.ak)
        line = stack.enter_context(weekly.receiving(made.ministry, ours, made.clock, accounts, every_s=0.01))
        ministry = peer(made.ministry.ak, made.ministry)
        for ak, province in made.provinces.items():
            theirs = folder(tmp_path, ak)
            stack.enter_context(weekly.sending(province, ministry, theirs, made.clock, line, every_s=0.01))
        made.clock.now = first.following.end
        histories = [
            weekly.history(province, ministry, folder(tmp_path, ak) / "history", first)
            for ak, province in made.provinces.items()
        ]
        end = time.monotonic() + 30
        while [[each.reconciled for each in history.report()] for history in histories] != [[True, True]] * 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        with weekly.desk(made.ministry, ours, made.clock) as desk:
            assert sorted((each.province, each.week) for each in desk.batches()) == [
                (ak, week) for ak in ("310000", "320000") for week in (first, first.following)
            ]


def folder(home: Path, ak: str) -> Path:
    made = home / ak
    made.mkdir(exist_ok=True)
    return made
