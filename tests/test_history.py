"""The weekly history on its way: sent, cut, killed, taken, reconciled; and what is refused."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest

from scraper_agent import canonical, envelope
from scraper_agent.errors import AgentError, SendFailed
from scraper_agent.sandbox import history_file
from scraper_agent.sandbox.history import History, Sent
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sending import handover, sftp
from scraper_agent.sending.handover import Done
from scraper_agent.signing import sealing, sm2
from tests.faults import history as faults
from tests.history import JIANGSU, SHANGHAI, SUNDAY, WEEK, Key, Site, completed, many, message_of, no_secret, number
from tests.transports.servers.sshd import Sshd


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def exchanged(site: Site, ak: str = SHANGHAI) -> Sent:
    """Sent, taken and answered; what the province knows then of the last week."""
    with site.outlet(ak) as outlet:
        site.province(ak).send_due(lambda: site.now, outlet)
        site.desk.take()
        return site.province(ak).send_due(lambda: site.now, outlet)[-1]


def refusals(sent: Sent) -> list[tuple[int, str, str]]:
    assert sent.answer is not None
    return [(each.line, each.number, each.reason) for each in sent.answer.differences]


def test_a_week_is_sent_taken_and_reconciled(site: Site) -> None:
    site.store.waybills = many(range(300))
    with site.outlet() as outlet:
        (sent,) = site.province().send_due(lambda: site.now, outlet)
        assert (sent.count, sent.accepted, sent.reconciled) == (300, None, False)
        assert site.desk.take() == 1
        assert not list(site.requests().iterdir())
        (sent,) = site.province().send_due(lambda: site.now, outlet)
        assert sent.reconciled
        assert sent.answer is not None
        assert (sent.answer.sent, sent.answer.taken, sent.answer.doubled, sent.answer.refused) == (300, 300, 0, 0)
        assert list(site.desk.waybills()) == [(number(at), SHANGHAI, WEEK, message_of(at)) for at in range(300)]
        assert site.province().send_due(lambda: site.now, outlet) == ()
        assert site.desk.take() == 0
    assert site.province().report() == (sent,)
    assert {path.name for path in (site.folder / SHANGHAI / str(WEEK)).iterdir()} == {
        *("contents.json", "receipt", "request")
    }


def test_nothing_is_readable_on_the_way(site: Site) -> None:
    site.store.waybills = many(range(50))
    with site.outlet() as outlet:
        site.province().send_due(lambda: site.now, outlet)
    sent = [path.read_bytes() for path in site.requests().iterdir()]
    assert len(sent) == 3
    site.desk.take()
    sent += [path.read_bytes() for path in (site.folder / "sftp" / SHANGHAI / "receipts").iterdir()]
    for data in sent:
        assert number(7).encode() not in data
        assert b"2026-W10" not in data


def test_nothing_is_sent_before_the_week_is_over(site: Site) -> None:
    with site.outlet() as outlet:
        assert site.province().send_due(lambda: SUNDAY - timedelta(seconds=1), outlet) == ()
        assert [str(each.week) for each in site.province().send_due(lambda: SUNDAY, outlet)] == ["2026-W10"]


def test_after_weeks_without_a_line_each_is_sent_once(site: Site) -> None:
    site.store.waybills = [completed(at, SUNDAY + timedelta(days=7 * (at - 1), seconds=-1)) for at in range(4)]
    site.store.waybills.append(completed(9, SUNDAY + timedelta(days=14)))  # of the week that has not ended
    site.now = SUNDAY + timedelta(days=14)
    exchanged(site)
    with site.outlet() as outlet:
        assert site.province().send_due(lambda: site.now, outlet) == ()
    assert sorted((str(each.week), each.sent, each.taken) for each in site.desk.batches()) == [
        ("2026-W10", 1, 1),
        ("2026-W11", 1, 1),
        ("2026-W12", 1, 1),
    ]
    assert sorted(site.numbers()) == [number(1), number(2), number(3)]  # the first is of the week before all


def test_news_that_came_late_are_in_the_next_history(site: Site) -> None:
    late = completed(1, SUNDAY + timedelta(days=1), finished_at=SUNDAY - timedelta(days=3))
    site.store.waybills = [late]
    assert exchanged(site).count == 0
    site.now += timedelta(days=7)
    assert exchanged(site).reconciled
    assert site.numbers() == [number(1)]


def test_a_week_without_waybills_is_reconciled_too(site: Site) -> None:
    sent = exchanged(site)
    assert sent.reconciled
    assert [each.sent for each in site.desk.batches()] == [0]


def test_what_is_sent_again_is_not_doubled(site: Site) -> None:
    site.store.waybills = many(range(20))
    exchanged(site)
    site.province().again(WEEK)
    site.store.waybills.append(completed(20))
    sent = exchanged(site)
    assert sent.reconciled
    assert sent.answer is not None
    assert (sent.answer.taken, sent.answer.doubled, sent.answer.refused) == (1, 20, 0)
    assert refusals(sent)[0] == (1, number(0), "以前已接收 taken before")
    assert site.numbers() == [number(at) for at in range(21)]


def test_the_same_request_has_one_answer(site: Site) -> None:
    """A backup of the province's folder was put back: it sends what was answered."""
    site.store.waybills = many(range(5))
    with site.outlet() as outlet:
        site.province().send_due(lambda: site.now, outlet)
        kept = {path.name: path.read_bytes() for path in site.requests().iterdir()}
        site.desk.take()
        for name, data in kept.items():
            (site.requests() / name).write_bytes(data)
        assert site.desk.take() == 1
        assert site.province().send_due(lambda: site.now, outlet)[0].reconciled
    assert [each.taken for each in site.desk.batches()] == [5]
    assert not list(site.requests().iterdir())


def test_what_differs_is_named(site: Site) -> None:
    site.store.waybills = [completed(1), completed(2)]
    exchanged(site)
    site.now += timedelta(days=7)
    at = SUNDAY + timedelta(days=2)
    site.store.waybills += [
        completed(2, at, message=message_of(2, remark="changed")),
        completed(3, at),
        completed(3, at),
        completed(4, at, status="running"),
        completed(5, at, message=message_of(5) + b","),
        completed(6, at, message=b'{"i1":"short"}'),
        completed(7, at, message=message_of(7).replace(b":19.625", b":09.625")),
        completed(8, at),
    ]
    sent = exchanged(site)
    assert not sent.reconciled
    assert sent.answer is not None
    assert (sent.answer.sent, sent.answer.taken, sent.answer.doubled, sent.answer.refused) == (8, 2, 1, 5)
    assert refusals(sent) == [
        (1, number(2), "同号运单内容不同 another waybill of this number, of 310000"),
        (4, number(4), "状态不是已完成 status is running"),
        (5, "", "格式错误 malformed"),
        (6, "short", "运单编号格式错误 i1 is malformed"),
        (7, number(7), "运单不是JSON not JSON"),
        (3, number(3), "以前已接收 taken before"),
    ]
    assert site.numbers() == [number(at) for at in (1, 2, 3, 8)]
    batch = site.desk.batches()[-1]
    assert [kind for kind, _ in site.desk.differences(batch)] == ["refused", "doubled", *["refused"] * 4]


def test_a_refused_waybill_that_was_put_right_is_taken(site: Site) -> None:
    site.store.waybills = [completed(1), completed(2, status="running")]
    assert not exchanged(site).reconciled
    site.store.waybills[1] = completed(2)
    site.province().again(WEEK)
    assert exchanged(site).reconciled
    assert site.numbers() == [number(1), number(2)]


def test_a_waybill_of_another_week_is_refused(site: Site) -> None:
    site.store.completed = lambda begin, end: iter([completed(1, SUNDAY), completed(2)])  # type: ignore[method-assign] # a source that errs
    assert refusals(exchanged(site)) == [(1, number(1), "不属于该周 not of this week: known 20260309T000000")]


def test_two_provinces_cannot_have_one_waybill(site: Site) -> None:
    site.store.waybills = [completed(1)]
    exchanged(site)
    sent = exchanged(site, JIANGSU)
    assert refusals(sent) == [(1, number(1), "同号运单内容不同 another waybill of this number, of 310000")]
    assert list(site.desk.waybills()) == [(number(1), SHANGHAI, WEEK, message_of(1))]


def test_an_answer_names_the_first_of_many_differences(site: Site) -> None:
    site.store.waybills = many(range(900), status="void")
    sent = exchanged(site)
    assert sent.answer is not None
    assert sent.answer.refused == 900
    assert [each.line for each in sent.answer.differences] == list(range(1, 201))
    assert len(list(site.desk.differences(site.desk.batches()[0]))) == 900


def test_files_that_are_not_what_their_contents_say_leave_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.store.waybills = many(range(5))
    honest = history_file.write

    def other(*told: object) -> history_file.Contents:
        return honest(*told).model_copy(update={"count": 6})  # type: ignore[arg-type] # as it was called

    monkeypatch.setattr(history_file, "write", other)
    sent = exchanged(site)
    assert (sent.accepted, sent.reason) == (False, "5 lines, its contents say 6")
    assert not site.numbers()
    assert [(each.refusal, each.taken) for each in site.desk.batches()] == [("5 lines, its contents say 6", 0)]
    monkeypatch.undo()
    site.province().again(WEEK)
    assert exchanged(site).reconciled


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda site: site.senders[SHANGHAI].clear(), "4030"),
        (lambda site: site.senders[SHANGHAI].update({"01": Sender(public_key=Key().public_key)}), "4031"),
        (
            lambda site: site.senders[SHANGHAI].update(
                {"01": Sender(public_key=Site.keys[SHANGHAI].public_key, revoked=SUNDAY)}
            ),
            "4032",
        ),
    ],
    ids=["unknown key", "another's key", "revoked key"],
)
def test_whom_the_ministry_does_not_believe(spoil: Callable[[Site], object], code: str, site: Site) -> None:
    site.store.waybills = many(range(5))
    with site.outlet() as outlet:
        site.province().send_due(lambda: SUNDAY, outlet)
        spoil(site)
        assert site.desk.take() == 1
    assert answer_code(site) == code
    assert not list(site.requests().iterdir())
    assert not site.numbers()
    assert not site.desk.batches()


def test_what_comes_before_the_week_is_over_by_the_ministrys_clock_waits(site: Site) -> None:
    site.now = SUNDAY - timedelta(seconds=1)
    with site.outlet() as outlet:
        site.province().send_due(lambda: SUNDAY, outlet)
        assert site.desk.take() == 0
        site.now = SUNDAY
        assert site.desk.take() == 1
        assert site.province().send_due(lambda: SUNDAY, outlet)[0].reconciled


def test_a_province_cannot_speak_for_another(site: Site) -> None:
    """In its own folder, and with its own key, but with the other's code."""
    site.store.waybills = many(range(5))
    with site.outlet(JIANGSU) as outlet:
        site.province(SHANGHAI, signer=site.keys[JIANGSU], folder="liar").send_due(lambda: site.now, outlet)
    site.desk.take()
    assert answer_code(site, JIANGSU) == "4030"
    assert not site.numbers()


@pytest.mark.parametrize("sealed", [True, False])
def test_what_is_no_request_is_refused(sealed: bool, site: Site) -> None:
    data = sealing.seal(b"{}", site.ministry.public_key) if sealed else b"{}"
    path = site.requests() / f"{'0' * 64}.json"
    path.write_bytes(data)
    path.with_name(path.name + ".done").write_bytes(handover.done_of(data).written())
    assert site.desk.take() == 1
    assert answer_code(site) == "4000"


def answer_code(site: Site, ak: str = SHANGHAI) -> str:
    """Of the one receipt that there is."""
    (path,) = (site.folder / "sftp" / ak / "receipts").glob("*.receipt")
    raw = sealing.unseal(path.read_bytes(), site.keys[ak].pair)
    receipt = envelope._read_receipt(raw, envelope.DEFAULT)
    assert sm2.verify(site.ministry.public_key, receipt.message, receipt.signature)
    return receipt.content.code


def test_an_answer_that_is_not_the_ministrys_is_not_kept(site: Site) -> None:
    with site.outlet() as outlet:
        site.province().send_due(lambda: site.now, outlet)
        site.ministry, honest = Key(), site.ministry
        site.ministry.pair, site.ministry.public_key, forger = honest.pair, honest.public_key, site.ministry.pair
        site.ministry.sign = lambda message: sm2.sign(forger.d, forger.public_key, message)  # type: ignore[method-assign] # a forger's
        with site.new_desk() as desk:
            desk.take()
        with pytest.raises(AgentError, match="SA4007"):
            site.province().send_due(lambda: site.now, outlet)
        assert site.province().report()[0].accepted is None


def test_a_part_that_is_spoilt_on_the_server_is_sent_again(site: Site) -> None:
    site.store.waybills = many(range(100))
    with site.outlet() as outlet:
        site.province().send_due(lambda: site.now, outlet)
        (part,) = site.requests().glob("*.sm4")
        part.write_bytes(part.read_bytes()[:-1] + b"?")
        assert site.desk.take() == 0
        assert not part.exists()
        assert not site.numbers()
        assert site.desk.take() == 0
        site.province().send_due(lambda: site.now, outlet)
        assert site.desk.take() == 1
    assert len(site.numbers()) == 100


# --- the line ---


def incompressible(count: int, size: int) -> list[history_file.Completed]:
    rng = random.Random(count)
    return [
        completed(at, message=message_of(at, remark=base64.b64encode(rng.randbytes(size)).decode()))
        for at in range(count)
    ]


def test_cut_at_every_tenth_and_at_every_step_it_goes_on(tmp_path: Path) -> None:
    outcome = faults.cuts(tmp_path, waybills=40)
    assert outcome.wrong == []
    assert outcome.cut == faults.cuts_of(parts=1)
    assert outcome.waybills == 16 * 40


def test_killed_at_any_step_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    outcome = faults.kills(tmp_path, count=len(faults.POINTS), waybills=40)
    assert outcome.wrong == []
    assert outcome.killed == len(faults.POINTS)


def test_after_a_cut_only_the_rest_is_sent(site: Site) -> None:
    site.store.waybills = incompressible(400, 1500)
    site.server.cut.after_bytes, site.server.cut.times = 300_000, 2
    with site.outlet() as outlet:
        with pytest.raises(SendFailed, match="SA4096"):
            site.province().send_due(lambda: site.now, outlet)
        (part,) = (site.folder / SHANGHAI / str(WEEK)).glob("*.sm4")
        size = part.stat().st_size
        assert size > 600_000
        (begun,) = site.requests().glob(".*.part")
        assert begun.stat().st_size == 300_000
        assert site.desk.take() == 0
        site.server.cut.written = 0
        site.province().send_due(lambda: site.now, outlet)
        assert size - 300_000 <= site.server.cut.written < size - 300_000 + 5_000
        assert site.desk.take() == 1
    assert len(site.numbers()) == 400


def begun(history: History, requests: Path, there: Callable[[bytes], bytes]) -> Path:
    """A week made into files; on the server, what a sender that was cut has left of its part."""
    history._make(WEEK, SUNDAY)
    (part,) = history._at(WEEK).glob("*.sm4")
    left = requests / handover.part_name(part.name, part.name[:16])
    left.write_bytes(there(part.read_bytes()))
    return left


def test_other_bytes_on_the_server_are_not_gone_on_with(site: Site) -> None:
    site.store.waybills = many(range(20))
    left = begun(site.province(), site.requests(), lambda _: b"?" * 500)
    with site.outlet() as outlet:
        with pytest.raises(SendFailed, match="SA4098"):
            site.province().send_due(lambda: site.now, outlet)
        assert not left.exists()
        site.province().send_due(lambda: site.now, outlet)
    assert site.desk.take() == 1
    assert len(site.numbers()) == 20


def test_more_bytes_on_the_server_than_there_should_be_are_replaced(site: Site) -> None:
    site.store.waybills = many(range(20))
    begun(site.province(), site.requests(), lambda data: data + b"?")
    with site.outlet() as outlet:
        site.province().send_due(lambda: site.now, outlet)
    assert site.desk.take() == 1
    assert len(site.numbers()) == 20


def test_over_openssh(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.store.waybills = many(range(100))
    with Sshd(tmp_path / "sshd") as server:
        config = sftp.Config(
            kind="sftp",
            host="127.0.0.1",
            port=server.port,
            user=server.user,
            key_file=server.key_file,
            known_hosts=server.known_hosts,
            folder=str(server.requests),
            receipts=str(server.receipts),
        )
        (site.folder / "sftp").mkdir()
        (site.folder / "sftp" / SHANGHAI).symlink_to(server.home)
        with site.new_desk() as desk, sftp.transport(config, no_secret) as outlet:
            history = site.province()
            begun(history, server.requests, lambda data: data[:1000])
            history.send_due(lambda: site.now, outlet)
            assert desk.take() == 1
            (sent,) = history.send_due(lambda: site.now, outlet)
            assert sent.reconciled
            assert len(list(desk.waybills())) == 100


# --- the server ---


async def refused(step: object) -> bool:
    try:
        await step  # type: ignore[misc] # a step of asyncssh
    except asyncssh.SFTPPermissionDenied:
        return True
    return False


def test_an_account_reaches_the_names_of_the_exchange_and_no_others(site: Site) -> None:
    secret = site.folder / "sftp" / JIANGSU / "requests" / f"{'a' * 64}.json"
    secret.write_text("of the other province")
    (site.requests() / f"{'b' * 64}.json").symlink_to(secret)
    mine, part = f"/requests/{'c' * 64}.sm4", f"/requests/.{'c' * 64}.sm4.{'0' * 16}.part"
    hostile = [
        *("/etc/passwd", "../../../../etc/passwd", f"../{JIANGSU}/requests/{'a' * 64}.json", "/requests/x", "/x"),
        *(f"/requests/{'A' * 64}.json", f"/requests/{'c' * 64}.json\n", f"/requests/{'c' * 64}.json/..", "/requests"),
        *(f"/requests/{'c' * 64}.sm4;rm", f"/receipts/{'c' * 64}.json", "/requests/../taken/x", "\\requests\\x", "~"),
    ]

    async def tried(line: asyncssh.SSHClientConnection) -> None:
        client = await line.start_sftp_client()
        for path in [*hostile, f"/receipts/{'c' * 64}.receipt"]:
            assert await refused(client.open(path, "wb")), path
            assert await refused(client.remove(path)), path
        async with client.open(part, "wb") as file:
            await file.write(b"x")
            with pytest.raises(asyncssh.SFTPFailure):
                await file.write(b"x", 1 << 40)
        for path in hostile:
            assert await refused(client.posix_rename(part, path)), path
            assert await refused(client.rename(part, path)), path
            assert await refused(client.mkdir(path)), path
            assert await refused(client.symlink("/etc", path)), path
            assert await refused(client.link(part, path)), path
            assert await refused(client.chmod(path, 0o777)), path
        assert await refused(client.symlink("/etc/passwd", mine))
        assert await refused(client.truncate(mine, 0))
        assert await refused(client.readlink(f"/requests/{'b' * 64}.json"))
        await client.posix_rename(part, mine)
        assert await refused(client.listdir("/taken"))
        assert await refused(client.stat("/taken"))
        assert "receipts" in await client.listdir("/")

    site.connected(tried)
    assert secret.read_text() == "of the other province"


def test_without_its_key_nobody_comes_in(site: Site) -> None:
    async def never(_: asyncssh.SSHClientConnection) -> None:
        raise AssertionError

    with pytest.raises(asyncssh.PermissionDenied):
        site.connected(never, key=asyncssh.generate_private_key("ssh-ed25519"))
    with pytest.raises(asyncssh.PermissionDenied):
        site.connected(never, user="440000")


def test_there_is_no_shell_and_no_tunnel(site: Site) -> None:
    async def tried(line: asyncssh.SSHClientConnection) -> None:
        with pytest.raises(asyncssh.ChannelOpenError):
            await line.run("id")
        with pytest.raises(asyncssh.ChannelOpenError):
            await line.open_connection("127.0.0.1", 22)

    site.connected(tried)


# --- a store of files that can be written on ---


def test_what_is_whole_is_not_sent_again(site: Site) -> None:
    file = site.folder / f"{canonical.sm3(b'abc').hex()}.sm4"
    file.write_bytes(b"abc")
    done = Done(size=3, sm3=canonical.sm3(b"abc").hex())
    with site.outlet() as outlet:
        outlet.put(file, done)
        outlet.put(file, done)
    assert site.server.cut.written == 3
    assert (site.requests() / file.name).read_bytes() == b"abc"
