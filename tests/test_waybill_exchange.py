"""The nested message of a waybill of dangerous goods, its status, and the profile that both sides agree on."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import messages, waybill
from scraper_agent.errors import BusinessError, SourceErrors
from scraper_agent.format import Context, Document, encode
from scraper_agent.waybill import message, profile, status
from scraper_agent.waybill.message import MessageInvalid
from scraper_agent.waybill.profile import DEFAULT
from tests.waybills import CROSS_BORDER, DANGEROUS, samples
from tests.waybills import waybill as made

SOURCE = (Path(waybill.__file__).parent / "dangerous_goods.yaml").read_text(encoding="utf-8")
GOOD = [sample for sample in samples("dangerous_goods_waybill") if sample.good]


# --- the message ----------------------------------------------------------------------------------------------------


def test_the_message_is_the_table_nested_and_in_its_order():
    document = made(i47="沪B1234挂", i471="310116054321", i48="GT-1", i481="45.5", i52="备注", i510="20")
    assert message.write(document).decode() == (
        '{"i1":"WB2024000000000000000001","i11":"上海示例化工有限公司","i12":"021-55550001",'
        '"i21":"上海示例化工有限公司第二油库","i22":"021-55550002","i31":"苏州示例新材料有限公司","i32":"0512-55550003",'
        '"i41":"2026-03-02","i42":"上海市金山区漕泾镇化工路1号","i421":"310116",'
        '"i43":"江苏省苏州市吴中区示例路8号","i431":"320506","i44":0,"i45":"上海示例危险品运输有限公司",'
        '"i451":"310116000001","i452":"021-55550004","i46":"沪A12345","i461":"黄色","i462":"310116012345",'
        '"i47":"沪B1234挂","i471":"310116054321","i48":"GT-1","i481":45.50,'
        '"i49":"张三","i491":"310101198001010010","i492":"13900000001",'
        '"i50":"李四","i501":"310101198101010010","i502":"13900000002",'
        '"i51":{"i510":20.000,"i511":[{"g1":1,"g2":"1203","g3":"汽油","g4":"3","g5":"II","g6":"散装",'
        '"g7":"19.625","g8":"吨"}]},"i52":"备注","i53":"王五","i54":"2026-03-01"}'
    )


@pytest.mark.parametrize("sample", GOOD, ids=str)
def test_a_message_is_read_as_the_document_it_was_made_of(sample):
    data = message.write(sample.document)
    assert message.read(data) == sample.document
    spelled = json.dumps(json.loads(data), indent=2, sort_keys=True, ensure_ascii=True).encode()
    assert message.read(spelled) == sample.document


_WEIGHTS = st.decimals("0.001", "99999.999", places=3)
_NOTES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: "\ufffe" not in text and "\uffff" not in text
)


@given(_WEIGHTS, st.dates(), _NOTES, st.integers(1, 3), _WEIGHTS, _NOTES)
def test_equal_messages_are_equal_documents(weight, day, note, count, other_weight, other_note):
    base = made(lines=[{"g1": str(number)} for number in range(1, count + 1)])
    one = replace(base, header={**base.header, "i510": weight, "i41": day, "i52": note})
    other = replace(base, header={**base.header, "i510": other_weight, "i41": day, "i52": other_note})
    assert message.read(message.write(one)) == one
    assert (message.write(one) == message.write(other)) is (one == other)
    assert (message.write(one) == message.write(other)) is (encode(one, DANGEROUS) == encode(other, DANGEROUS))


def test_a_field_without_value_is_no_member():
    assert b'"i52"' not in message.write(made(i52=""))
    assert b'"i52"' not in message.write(replace(made(), header={**made().header, "i52": ""}))


@pytest.mark.parametrize(
    "header",
    [
        {"i510": Decimal("19.6251")},
        {"i510": "19.625"},
        {"i41": "2026-03-02"},
        {"i44": "x"},
        {"i99": "x"},
        {"i1": "x"},
    ],
)
def test_a_document_that_was_not_checked_has_no_message(header):
    document = replace(made(), header={**made().header, **header})
    assert DANGEROUS.check(document, Context())
    with pytest.raises(ValueError, match=next(iter(header))):
        message.write(document)


def test_nothing_of_a_line_is_passed_over():
    with pytest.raises(ValueError, match="g9"):
        message.write(made(lines=[{"g9": "x"}]))


def test_a_document_of_another_format_has_no_message():
    with pytest.raises(ValueError, match="crossBorderWaybill"):
        message.write(Document(format=CROSS_BORDER.name, header={}))


def sent(**changes):
    """The base message with changed members; `...` takes one away."""
    members = json.loads(message.write(made()))
    for path, value in changes.items():
        target = members if path.startswith("i") and path not in ("i510", "i511") else members["i51"]
        if path.startswith("g"):
            target = members["i51"]["i511"][0]
        if value is ...:
            del target[path]
        else:
            target[path] = value
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (sent(i1=...), ["i1 is missing"]),
        (sent(i51=...), ["i510 is missing", "lines is empty; at least one line is needed"]),
        (sent(i51={"i510": 1, "i511": []}), ["lines is empty; at least one line is needed"]),
        (sent(i41="2026-02-30"), ["i41 is `2026-02-30`, not a date"]),
        (sent(i41="20260302"), ["i41 is `20260302`, not a date"]),
        (sent(i41="2026-W10-1"), ["i41 is `2026-W10-1`, not a date"]),
        (sent(i44=2), ["i44 is `2`, but must be one of 0, 1"]),
        (sent(i44=1.5), ["i44 is `1.5`, which has 3 characters; the type is n1"]),
        (sent(i510=19.6251), ["i510 is 19.6251, which has 4 decimals; n..8.3 allows 3"]),
        (sent(g1=0), ["lines[1].g1 is 0, but must be at least 1", "lines[1].g1 is 0, but must be 1"]),
        (sent(i12="\x00"), ["i12 has the character U+0000, which is not text"]),
    ],
)
def test_what_is_wrong_with_a_value_is_for_a_finding_to_tell(data, found):
    findings = DANGEROUS.check(message.read(data), Context())
    assert [f"{f.field} {messages.render(f.text, f.values)}" for f in findings] == found


UNFIT = "SA1080 the waybill's message cannot be read at "
UNNAMED = "SA1082 the waybill's message has "


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", UNFIT + "`1:1`: expected JSON"),
        (b"{", UNFIT + "`1:2`: expected JSON"),
        (b'{"i1":"\xff"}', UNFIT + "`byte 8`: expected UTF-8"),
        (b"[]", UNFIT + "``: expected Object"),
        (b"[" * 100_000, UNFIT + "``: expected JSON"),
        (b'{"a":' * 100_000, UNFIT + "``: expected JSON"),
        (b" " * ((1 << 20) + 1), UNFIT + "``: expected ≤ 1048576 bytes"),
        (sent().replace(b'"i44": 0', b'"i44": NaN'), UNFIT + "`NaN`: expected Number"),
        (sent().replace(b'"i44": 0', b'"i44": ' + b"9" * 5000), UNFIT + f"`{'9' * 40}…`: expected Number"),
        (sent().replace(b'"i44": 0', b'"i44": 0, "i44": 1'), "SA1083 the waybill's message has `i44` twice"),
        (sent(i44="0"), UNFIT + "`i44`: expected Number"),
        (sent(i510="19.625"), UNFIT + "`i51.i510`: expected Number"),
        (sent(i44=True), UNFIT + "`i44`: expected Number"),
        (sent(i1=1), UNFIT + "`i1`: expected String"),
        (sent(i1=None), UNFIT + "`i1`: expected String"),
        (sent(i1={"i11": "x"}), UNFIT + "`i1`: expected String"),
        (sent(i1=["x"]), UNFIT + "`i1`: expected String"),
        (sent(g7=100), UNFIT + "`i511[1].g7`: expected String"),
        (sent(i51=[]), UNFIT + "`i51`: expected Object"),
        (sent(i511={}), UNFIT + "`i511`: expected Array"),
        (sent(i511=[1]), UNFIT + "`i511[1]`: expected Object"),
        (sent(i99="x"), UNNAMED + "`i99`, which the profile does not name there"),
        (sent(g9="x"), UNNAMED + "`i511[1].g9`, which the profile does not name there"),
        (sent(i51={"i1": "x"}), UNNAMED + "`i51.i1`, which the profile does not name there"),
        (
            sent().replace(b'"i44": 0', b'"i44": 0, "i510": 1'),
            UNNAMED + "`i510`, which the profile does not name there",
        ),
        (sent(**{"i" + "9" * 100: "x"}), UNNAMED + f"`i{'9' * 39}`, which the profile does not name there"),
    ],
)
def test_a_message_of_another_form_is_refused_with_its_place(data, said):
    with pytest.raises(MessageInvalid) as caught:
        message.read(data)
    assert str(caught.value).splitlines()[0] == said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["i1", "i51", "i510", "i511", "g1", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_no_json_breaks_the_reader(value):
    try:
        document = message.read(json.dumps(value).encode())
    except MessageInvalid:
        return
    assert DANGEROUS.check(document, Context())


def test_the_profile_may_lay_the_members_out_otherwise():
    flat = DEFAULT.message.model_copy(update={"inside": {}, "dates": "YYYYMMDD", "lines": "goods"})
    data = message.write(made(), flat)
    assert data.endswith(b'"g8":"\xe5\x90\xa8"}]}')
    read = json.loads(data)
    assert (read["i510"], read["i41"], read["goods"][0]["g2"]) == (19.625, "20260302", "1203")
    assert message.read(data, flat) == made()
    with pytest.raises(MessageInvalid):
        message.read(data)


# --- the status -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("current", "wanted"), [("new", "running"), ("running", "done"), ("new", "void")])
def test_a_waybill_goes_its_way(current, wanted):
    assert status.follow(current, wanted) == wanted


STEPS = {"new": "running (运输中), void (作废)", "running": "done (已完成)", "done": "", "void": "", "lost": ""}
NAMED = {"new": "new (新建未开始)", "running": "running (运输中)", "done": "done (已完成)", "void": "void (作废)"}


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ("new", "new"),
        ("new", "done"),
        ("new", "lost"),
        ("running", "new"),
        ("running", "running"),
        ("running", "void"),
        *(("done", wanted) for wanted in NAMED),
        *(("void", wanted) for wanted in NAMED),
        ("lost", "new"),
    ],
)
def test_every_other_step_is_refused(current, wanted):
    with pytest.raises(BusinessError) as caught:
        status.follow(current, wanted)
    assert str(caught.value).splitlines()[0] == (
        f"SA1079 a waybill that is {NAMED.get(current, current)} cannot become {NAMED.get(wanted, wanted)}; "
        f"it can become: {STEPS[current]}"
    )


def test_a_waybill_begins_as_new_and_ends_done_or_void():
    assert status.first() == "new"
    assert [name for name in DEFAULT.statuses if status.final(name)] == ["done", "void"]


def test_a_status_is_known_by_its_code():
    assert {status.of_code(each.code) for each in DEFAULT.statuses.values()} == set(DEFAULT.statuses)
    with pytest.raises(BusinessError) as caught:
        status.of_code("9")
    assert str(caught.value).splitlines()[0] == (
        "SA1078 there is no waybill status with the code `9`; there are 0 新建未开始, 1 运输中, 2 已完成, 3 作废"
    )


# --- the profile ----------------------------------------------------------------------------------------------------


def own(tmp_path, *changes):
    text = SOURCE
    for was, now in changes:
        assert was in text
        text = text.replace(was, now)
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return profile.load(path)


def test_codes_and_steps_are_data(tmp_path):
    loaded = own(tmp_path, ('code: "1", next: [done]', "code: Y, next: [done, void]"))
    assert status.of_code("Y", loaded.statuses) == "running"
    assert status.follow("running", "void", loaded.statuses) == "void"


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('separator: "#"', 'separator: "##"', "`##` cannot separate values"),
        ('separator: "#"', 'separator: "＃"', "`＃` cannot separate values"),
        ('separator: "#"', 'separator: "A"', "`A` cannot separate values"),
        ('separator: "#"', 'separator: "="', "`=` cannot separate values"),
        ('separator: "#"', 'separator: "|"', "`|` separates other things already: `goods`"),
        ('separator: "#"', 'separator: ","', "`,` separates other things already: `values`"),
        ('people: ";"', 'people: ","', "`,` separates other things already: `people`"),
        ("waybill: i1", "waybill: i0", "the header has no field `i0`"),
        ("escort: [i50, i501]", "escort: [i50, i509]", "the header has no field `i509`"),
        ("cargo: [g2, g5, g7, g8]", "cargo: [g2, g5, g7, i1]", "the lines have no field `i1`"),
        ("g1: 0}", "g1: 0, g9: 0}", "the format has no field `g9`"),
        ("inside: {i510: i51", "inside: {i519: i51", "the header has no field `i519`"),
        ("inside: {i510: i51, i511: i51}", "inside: {i510: i52}", "`i52` is a field: nothing can be inside it"),
        (
            "inside: {i510: i51, i511: i51}\n  lines: i511",
            "inside: {}\n  lines: i54",
            "`i54` is a field: nothing can be inside it",
        ),
        ('code: "1"', 'code: "0"', "the code `0` is that of `new` already"),
        ("next: [running, void]", "next: [running, lost]", "there is no status `lost`"),
    ],
)
def test_a_profile_that_cannot_be_is_told_where_it_stands(tmp_path, was, now, said):
    with pytest.raises(SourceErrors) as caught:
        own(tmp_path, (was, now))
    assert [messages.render(p.text, p.values) for p in caught.value.problems] == [said]


def test_a_profile_needs_a_status(tmp_path):
    before, rest = SOURCE.split("statuses:\n")
    path = tmp_path / "own.yaml"
    path.write_text(before + "statuses: {}\n\n" + rest.partition("\n\n")[2], encoding="utf-8")
    with pytest.raises(SourceErrors, match="a waybill needs a status to begin with"):
        profile.load(path)


def test_a_problem_of_the_profile_has_its_place(tmp_path):
    with pytest.raises(SourceErrors) as caught:
        own(tmp_path, ("escort: [i50, i501]", "escort: [i50, i509]"))
    at = caught.value.problems[0].at
    assert caught.value.source.splitlines()[at.line - 1][at.column - 1 :] == "i509]"
