"""Commitments to fields: one can be disclosed or erased, every proof still holds, and what was changed is found."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper_agent import app as wiring
from scraper_agent import canonical, commitments, merkle, messages, retention
from scraper_agent.app import App
from scraper_agent.archive import verify
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.commitments import Holds
from scraper_agent.errors import BusinessError
from scraper_agent.format import decode
from scraper_agent.formats import FORMATS
from scraper_agent.policy import Retention
from scraper_agent.recipe import Parameter, Since
from scraper_agent.values import Draft, Erased, Excluded, JobId, in_force
from tests import world
from tests.calls import caller
from tests.console import archive as books
from tests.test_prune import LATER, codes, document, draft, opened

SALT = bytes(range(16))
NAMES = st.text(min_size=1, max_size=20)
TYPES: st.SearchStrategy[Holds] = st.sampled_from(("text", "number", "date", "datetime"))
FIELDS = st.dictionaries(NAMES, st.tuples(TYPES, st.text(max_size=30)), min_size=1, max_size=12)
Call = Callable[..., tuple[int, str, str]]


# --- the pure part --------------------------------------------------------------------------------------------------


def test_the_hash_of_a_field_is_pinned() -> None:
    written = b"\x02" + b"\x00\x0b" + b"totalAmount" + b"n" + SALT + b"1130.00"
    assert commitments.leaf("totalAmount", "number", SALT, "1130.00") == canonical.sm3(written)
    assert canonical.sm3(written).hex() == "96c595ebd375181587739719ca50f7aa6e69330ad81f003b815f1ce507f297e5"


@given(FIELDS, st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_erased_the_rest_is_proved_against_the_same_root(
    fields: dict[str, tuple[Holds, str]], data: st.DataObject
) -> None:
    salts = iter(canonical.sm3(b"%d" % n)[:16] for n in range(len(fields)))
    openings = commitments.made(fields, lambda: next(salts))
    root = commitments.root(openings)
    gone = set(data.draw(st.lists(st.sampled_from(sorted(fields)), unique=True)))
    left = commitments.load(commitments.dump(commitments.without(openings, gone)))
    assert commitments.root(left) == root
    assert all(each.whole for each in left)
    assert {each.name for each in left if each.value is None} == gone
    entry = canonical.dumps_plain({"index": 0, "job": "doc/x/1", "kind": "Draft", "fact": {"fields_root": root}})
    log = merkle.root([merkle.leaf(entry)])
    shown = [name for name in fields if name not in gone]
    told = canonical.dumps(commitments.disclosure(entry, 1, [], commitments.disclosed(left, shown)))
    assert commitments.verify(told, log) == ("doc/x/1", {name: fields[name][1] for name in shown})
    for name in gone:
        assert canonical.sm3(b"").hex() not in told.decode()
        with pytest.raises(ValueError, match=r".*"):
            commitments.disclosed(left, [name])


@given(FIELDS, st.data())
@settings(max_examples=60, deadline=None)
def test_no_other_name_type_salt_or_value_has_the_same_proof(
    fields: dict[str, tuple[Holds, str]], data: st.DataObject
) -> None:
    openings = commitments.made(fields, lambda: SALT)
    entry = canonical.dumps_plain(
        {"index": 0, "job": "doc/x/1", "kind": "Draft", "fact": {"fields_root": commitments.root(openings)}}
    )
    log = merkle.root([merkle.leaf(entry)])
    name = data.draw(st.sampled_from(sorted(fields)))
    (one,) = commitments.disclosed(openings, [name])
    key, other = data.draw(
        st.one_of(
            st.tuples(st.just("name"), NAMES),
            st.tuples(st.just("type"), TYPES),
            st.tuples(st.just("value"), st.text(max_size=30)),
            st.tuples(st.just("salt"), st.binary(min_size=0, max_size=20).map(bytes.hex)),
        )
    )
    changed = {**one, key: other}
    if changed == one:
        return
    with pytest.raises(ValueError, match=r"."):
        commitments.verify(canonical.dumps(commitments.disclosure(entry, 1, [], [changed])), log)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["entry", "size", "proof", "fields", "x"]), inner)
        ),
    )
)
@settings(max_examples=100, deadline=None)
def test_what_is_no_disclosure_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        commitments.verify(json.dumps(value).encode(), bytes(32))


# --- in the archive -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> App:
    made = books.folder(tmp_path_factory.mktemp("commitments"))
    books.fill(made)
    return made


@pytest.fixture
def home(filled: App, tmp_path: Path) -> Path:
    shutil.copytree(filled.home, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def path(home: Path) -> Path:
    return home / "archive.db"


def erased(path: Path, key: str, *names: str) -> retention.Fields:
    with opened(path) as archive:
        planned = retention.fields_of(archive, document(archive, key), names)
        assert retention.erase_fields(archive, planned, by="liu.yang", reason="asked", basis="47", policy=b"p")
    return planned


def test_every_drafted_field_is_committed_to(path: Path) -> None:
    with opened(path) as archive:
        for id in archive.documents():
            first = archive.job(id).facts[0]
            assert isinstance(first, Draft)
            assert first.fields_root is not None
            said = decode(FORMATS[first.format], archive.get(first.document))
            openings = archive.openings(first.fields_root)
            lines = {f"lines[{n}].{field}" for n, line in enumerate(said.lines, 1) for field in line}
            assert {each.name for each in openings} == {*said.header, *lines}
            assert len({each.salt for each in openings}) == len(openings)
    assert verify.verify(path).whole


def test_the_same_values_have_another_root_each_time(path: Path) -> None:
    with opened(path) as archive:
        fields: dict[str, tuple[Holds, str]] = {"price": ("number", "1")}
        assert archive.commit(fields) != archive.commit(fields)


def test_an_entry_from_before_there_were_commitments_keeps_its_bytes(path: Path) -> None:
    with opened(path) as archive:
        first = replace(draft(archive, "PO-1"), fields_root=None)
    assert b"fields_root" not in canonical.dumps(first)


def test_an_erased_field_is_gone_and_the_others_are_proved(path: Path) -> None:
    with opened(path) as archive:
        first = draft(archive, "PO-1")
        assert first.fields_root is not None
        by_name = {each.name: each for each in archive.openings(first.fields_root)}
        body = archive.get(first.document)
    planned = erased(path, "PO-1", "supplierName", "lines.goodsName")
    assert planned.names == ("lines[1].goodsName", "supplierName")
    assert {first.document, first.provenance, first.page} <= set(planned.bodies)
    with opened(path) as archive:
        left = {each.name: each for each in archive.openings(first.fields_root)}
        assert left["supplierName"].salt is None
        assert left["supplierName"].value is None
        assert left["totalAmount"] == by_name["totalAmount"]
        fact = archive.job(retention.JOB).facts[-1]
        assert isinstance(fact, Erased)
        assert (fact.of, fact.fields, fact.reason, fact.basis) == (planned.of, planned.names, "asked", "47")
        index = archive.newest(planned.of, "Draft")
        assert index is not None
        told = commitments.disclosure(
            archive.raw(index.index),
            archive.head().size,
            archive.inclusion(index.index),
            commitments.disclosed(tuple(left.values()), ["totalAmount"]),
        )
        proved = commitments.verify(canonical.dumps(told), archive.head().root)
        assert proved == (planned.of, {"totalAmount": by_name["totalAmount"].value})
        with pytest.raises(ValueError, match=r"."):
            commitments.verify(canonical.dumps(told), bytes(32))
    assert verify.verify(path).whole
    salt = by_name["supplierName"].salt
    assert salt is not None
    everything = b"".join(each.read_bytes() for each in path.parent.glob("archive.db*"))
    assert body not in everything
    assert salt.hex().encode() not in everything


def test_what_has_no_end_keeps_its_fields_and_the_pages_it_needs(path: Path) -> None:
    with opened(path) as archive:
        with pytest.raises(BusinessError, match="SA6090"):
            retention.fields_of(archive, document(archive, "PO-9"), ["totalAmount"])
        with pytest.raises(BusinessError, match="SA6091"):
            retention.fields_of(archive, document(archive, "PO-1"), ["colour"])
        shared = replace(draft(archive, "PO-9"), page=draft(archive, "PO-1").page)
        archive.append(document(archive, "PO-9"), archive.length(document(archive, "PO-9")), shared)
        with pytest.raises(BusinessError, match="SA6092"):
            retention.fields_of(archive, document(archive, "PO-1"), ["totalAmount"])


def test_with_a_document_whose_time_is_over_its_salts_and_values_go(path: Path) -> None:
    erased(path, "PO-1", "supplierName")
    with opened(path) as archive:
        roots = [draft(archive, key).fields_root for key in ("PO-1", "PO-2", "PO-9")]
        planned = retention.plan(archive, Retention(), LATER)
        assert retention.carry_out(archive, planned, by="liu.yang", policy=b"p")
        assert [bool(archive.openings(root or "")) for root in roots] == [False, False, True]
        assert retention.plan(archive, Retention(), LATER).groups == ()
    assert verify.verify(path).whole


# --- what was changed -----------------------------------------------------------------------------------------------


def change(path: Path, key: str, of: Callable[[tuple[commitments.Opening, ...]], object]) -> None:
    with opened(path) as archive:
        root = draft(archive, key).fields_root
        assert root is not None
        data = of(archive.openings(root))
    with closing(sqlite3.connect(path)) as db:
        if isinstance(data, bytes):
            row = (len(data), data, bytes.fromhex(root))
            db.execute("UPDATE openings SET size = ?, data = ? WHERE root = ?", row)
        else:
            db.execute("DELETE FROM openings WHERE root = ?", (bytes.fromhex(root),))
        db.commit()


def test_whatever_is_done_to_what_opens_the_commitments_is_found(path: Path) -> None:
    def altered(openings: tuple[commitments.Opening, ...]) -> bytes:
        return commitments.dump((replace(openings[0], value="0"), *openings[1:]))

    def emptied(openings: tuple[commitments.Opening, ...]) -> bytes:
        return commitments.dump(commitments.without(openings, [openings[0].name]))

    kept: list[bytes] = []

    def keep(openings: tuple[commitments.Opening, ...]) -> bytes:
        kept.append(commitments.dump(openings))
        return kept[-1]

    for of, code in ((lambda _: b"x", "SA5083"), (altered, "SA5083"), (emptied, "SA5085"), (lambda _: None, "SA5084")):
        whole = path.with_name("whole.db")
        shutil.copyfile(path, whole)
        change(path, "PO-9", of)
        assert codes(path) == [code]
        shutil.copyfile(whole, path)
    change(path, "PO-1", keep)
    assert codes(path) == []
    erased(path, "PO-1", "supplierName")
    change(path, "PO-1", lambda _: kept[0])
    assert codes(path) == ["SA5086"]


# --- the commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def call(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(wiring, "now", lambda: LATER)

    yield caller(home / "config.yaml", capsys, monkeypatch)
    messages.use("en")


def test_the_commands_disclose_and_erase(call: Call, path: Path, tmp_path: Path) -> None:
    out = tmp_path / "disclosed.json"
    code, _, err = call("log", "disclose", "PO-1", "totalAmount", "currencyCode", "--out", out)
    assert code == 0, err
    with SqliteArchive(path, lambda: LATER, read_only=True) as archive:
        root, id = archive.head().root, document(archive, "PO-1")
    assert commitments.verify(out.read_bytes(), root) == (id, {"totalAmount": "300", "currencyCode": "USD"})
    code, printed, err = call("log", "erase", "PO-1", "totalAmount", "--reason", "asked", "--basis", "PIPL 47")
    assert code == 0, err
    assert "totalAmount" in printed
    code, _, err = call("log", "disclose", "PO-1", "totalAmount")
    assert code != 0
    assert "SA6091" in err
    code, printed, _ = call("log", "disclose", "PO-1", "currencyCode")
    assert code == 0
    assert json.loads(printed)["fields"][0]["value"] == "USD"
    code, printed, err = call("log", "verify")
    assert code == 0, err


def test_what_was_left_out_is_not_disclosed(call: Call, path: Path) -> None:
    with opened(path) as archive:
        id = document(archive, "PO-9")
        held = in_force(archive.job(id))
        gone = Excluded(
            document=held,
            before=held,
            fields=("supplierName",),
            by="person:li.na",
            reason="x",
            mark="0" * 32,
            kept_back=False,
        )
        archive.append(id, archive.length(id), gone)
    code, _, err = call("log", "disclose", "PO-9", "supplierName")
    assert code != 0
    assert "SA5080" in err


# --- the robot goes on ----------------------------------------------------------------------------------------------


def test_what_is_erased_stops_neither_its_run_nor_another_reading_of_it(home: Path, path: Path) -> None:
    erased(path, "PO-1", "supplierName")
    app = App.load(home / "config.yaml", tell=lambda _: None)
    recipe = world.RECIPE.model_copy(
        update={
            "since": Since(parameter="from", field="orderDate"),
            "parameters": {**world.RECIPE.parameters, "from": Parameter(type="date", default="2026-05-01")},
        }
    )
    plan = replace(world.PLAN, recipe=recipe, parameters={**world.PLAN.parameters, "from": "2026-05-01"})
    with opened(path) as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        pipeline.now = lambda: LATER
        waits, id = document(archive, "PO-9"), document(archive, "PO-1")
        assert draft(archive, "PO-9").run == draft(archive, "PO-1").run
        assert pipeline.check(waits).id == waits
        found = pipeline.harvest(JobId("run/anew"), plan, world.seeing(world.page(world.frozen(1))))
        assert list(found.documents) == [id]
        assert found.faults == 0
    assert verify.verify(path).whole
