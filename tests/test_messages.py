"""The catalogue of messages, and the codes of errors.

A code is `SA` and four digits; the first two say whose it is:

    SA10  YAML files and formats    yamlfile.py, errors.py, formats/, waybill/
    SA12  what a recipe says        authoring/load.py
    SA13  samples, overlays, flows  authoring/
    SA20  frozen pages and files    page.py, relations.py, panes.py, files.py
    SA21  finding a browser         capture/discovery.py
    SA22  driving the browser       capture/
    SA23  mapping and notations     mapping.py, notation.py, inference.py, twin.py, importing/
    SA30  signing; business cases   signing/; cases.py, analysis/
    SA40  envelopes and sending     envelope/, sending/ (and SA41)
    SA42  receivers of the config   config.py
    SA50  archive and report        archive/, report/
    SA60  approval and advancing    approval.py, pipeline.py, outbox.py
    SA70  the wired program         app.py, accounts.py, vault.py
    SA71  the command line          cli/
    SA72  `recipe …`                cli/recipe.py
    SA73  `demo`                    cli/demo.py, cli/exchange.py
    SA77  the console               console/
    SA78  `console …`               cli/console.py

A code has one text. Another area may raise it too, but only with that same text.
"""

from __future__ import annotations

import ast
import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

from scraper_agent import messages
from scraper_agent.errors import AgentError
from tests import catalogue

AREAS = {
    "yamlfile.py": "SA10",
    "errors.py": "SA10",
    "formats/": "SA10",
    "waybill/": "SA10",
    "authoring/load.py": "SA12",
    "authoring/": "SA13",
    "page.py": "SA20",
    "relations.py": "SA20",
    "panes.py": "SA20",
    "files.py": "SA20",
    "capture/discovery.py": "SA21",
    "capture/": "SA22",
    "mapping.py": "SA23",
    "notation.py": "SA23",
    "inference.py": "SA23",
    "twin.py": "SA23",
    "importing/": "SA23",
    "signing/": "SA30",
    "cases.py": "SA30",
    "analysis/": "SA30",
    "envelope/trail.py": "SA11",
    "envelope/": "SA40",
    "sending/": "SA4",
    "config.py": "SA42",
    "archive/": "SA50",
    "audit/bundle.py": "SA51",
    "exporting.py": "SA51",
    "report/": "SA50",
    "control.py": "SA76",
    "orders.py": "SA76",
    "desk.py": "SA76",
    "approval.py": "SA60",
    "people.py": "SA60",
    "policy.py": "SA60",
    "leaving.py": "SA60",
    "preview.py": "SA60",
    "adoption.py": "SA60",
    "pipeline.py": "SA60",
    "outbox.py": "SA60",
    "recipes_approved.py": "SA60",
    "app.py": "SA70",
    "accounts.py": "SA70",
    "vault.py": "SA70",
    "cli/recipe.py": "SA72",
    "cli/demo.py": "SA73",
    "cli/exchange.py": "SA73",
    "cli/crossborder.py": "SA75",
    "console/": "SA77",
    "cli/console.py": "SA78",
    "cli/export.py": "SA78",
    "cli/": "SA71",
}
"""By where a path begins; the first that fits."""

CARRIERS = {
    "SA1022": "what a validator of a model says of one value",
    "SA1050": "what is wrong inside a format's own file",
    "SA2302": "why the text of a place is no value of its field",
}
"""Codes of a kind of trouble whose sentence comes from where it was found."""

WITHOUT_CHINESE = {"en", "{part} of {all}"}

_CODE = re.compile(r"SA\d{4}")
_QUOTED = re.compile(r"`[^`]*`")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_ENGLISH = re.compile(r"[A-Za-z]+(?: [a-z]+){2,}")


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    yield
    messages.use("en")


# --- the catalogue --------------------------------------------------------------------------------------------------


def test_the_catalogue_is_complete_and_has_nothing_obsolete():
    assert str(catalogue.difference()) == "", "run `make messages`, then translate what is missing"


def test_the_file_is_what_extraction_writes():
    assert catalogue.CATALOGUE.read_text(encoding="utf-8") == catalogue.text(), "run `make messages`"


def test_extraction_finds_every_place_that_marks_a_text():
    marks = [n for tree in _trees().values() for n in ast.walk(tree) if _is_mark(n)]
    literal = {n.args[0].value for n in marks if isinstance(n.args[0], ast.Constant)}
    assert literal | catalogue.said() == catalogue.marked()
    assert all(isinstance(n.args[0], ast.Constant) for n in marks), "only literal texts can be found"


def test_nothing_is_fuzzy_or_left_over_from_a_tool():
    read = catalogue.translated()
    assert [m.id for m in read if m.id and m.fuzzy] == []
    assert list(read.obsolete) == []


def test_every_translation_has_exactly_the_placeholders_of_its_original():
    wrong = {
        id: said for id, said in catalogue.translations().items() if said and _placeholders(id) != _placeholders(said)
    }
    assert not wrong


def test_every_translation_keeps_what_stands_in_backquotes():
    wrong = {
        id: said
        for id, said in catalogue.translations().items()
        if said and Counter(_QUOTED.findall(id)) != Counter(_QUOTED.findall(said))
    }
    assert not wrong


def test_every_translation_is_indented_as_its_original():
    wrong = {
        id: said
        for id, said in catalogue.translations().items()
        if said and len(id) - len(id.lstrip()) != len(said) - len(said.lstrip())
    }
    assert not wrong


def test_every_translation_is_chinese():
    wrong = {
        id: said
        for id, said in catalogue.translations().items()
        if said
        and id not in WITHOUT_CHINESE
        and _words(id)
        and (not _CHINESE.search(said) or _ENGLISH.search(_words(said)))
    }
    assert not wrong


def test_every_translation_can_be_filled_in():
    messages.use("zh")
    for id in catalogue.translations():
        values = dict.fromkeys(_placeholders(id), "×")
        assert "{×" not in messages.render(id, values)


def test_the_report_names_its_language():
    messages.use("zh")
    assert messages.render("en") == "zh-CN"


# --- keeping it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue that lacks one message and has one too many."""
    monkeypatch.setattr(catalogue, "CATALOGUE", tmp_path / "zh_CN.po")
    monkeypatch.setattr(catalogue, "marked", lambda: frozenset({"kept", "of long ago"}))
    catalogue.main([])
    _translate("kept", "译")
    _translate("of long ago", "旧")
    monkeypatch.setattr(catalogue, "marked", lambda: frozenset({"kept", "new"}))
    return catalogue.CATALOGUE


def _translate(id: str, said: str) -> None:
    written = catalogue.CATALOGUE.read_text(encoding="utf-8")
    before, after = (f'msgid "{id}"\nmsgstr "{text}"\n' for text in ("", said))
    assert before in written
    catalogue.CATALOGUE.write_text(written.replace(before, after), encoding="utf-8")


def test_check_names_what_is_missing_and_obsolete(stale: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    before = stale.read_bytes()
    assert catalogue.main(["--check"]) == 1
    assert capsys.readouterr() == ("", "missing: 'new'\nobsolete: 'of long ago'\n")
    assert stale.read_bytes() == before


def test_an_update_adds_the_new_untranslated_and_removes_the_gone(stale: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert catalogue.main([]) == 0
    assert capsys.readouterr() == ("", "missing: 'new'\n")
    assert catalogue.translations() == {"kept": "译", "new": ""}
    once = stale.read_bytes()
    catalogue.main([])
    assert stale.read_bytes() == once


def test_check_is_content_once_all_is_translated(stale: Path, capsys: pytest.CaptureFixture[str]):
    catalogue.main([])
    _translate("new", "新")
    capsys.readouterr()
    assert catalogue.main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


# --- codes ----------------------------------------------------------------------------------------------------------


def test_a_code_has_one_text():
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for use in _uses():
        if use.text is not None:
            texts[use.code].setdefault(use.text, use.where)
    assert not {code: said for code, said in texts.items() if len(said) > 1 and code not in CARRIERS}


def test_only_carriers_take_their_text_from_elsewhere():
    assert not [f"{u.where} {u.code}" for u in _uses() if u.text is None and u.code not in CARRIERS]
    assert {u.code for u in _uses() if u.text is None} == set(CARRIERS)


def test_a_code_is_of_the_area_that_raises_it():
    at_home = {(u.code, u.text) for u in _uses() if u.code.startswith(u.area)}
    assert not [f"{u.where} {u.code}, expected {u.area}xx" for u in _uses() if (u.code, u.text) not in at_home]


def test_every_error_is_raised_with_a_code_and_a_marked_text():
    kinds = _error_classes()
    assert "ReceiptInvalid" in kinds  # one that is defined outside of errors.py
    raised = [
        (where, node) for where, node in _calls() if _name(node.func) in kinds and _name(node.func) not in _WITHOUT_CODE
    ]
    assert len(raised) > 80
    wrong = [where for where, node in raised if not (node.args and _is_code(node.args[0]))]
    assert not wrong


def test_no_hint_or_text_of_a_problem_is_unmarked():
    wrong = [
        f"{where} {keyword.arg}={keyword.value.value!r}"
        for where, node in _calls()
        if _name(node.func) in _error_classes() | {"Problem", "Finding", "Wrong"}
        for keyword in node.keywords
        if keyword.arg in ("hint", "text") and isinstance(keyword.value, ast.Constant) and keyword.value.value
    ]
    assert not wrong


# --- showing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh", "zh-CN", "zh_CN", "zh_CN.UTF-8", "ZH_cn.utf8", "zh_CN.GB18030", "zh-Hans"])
def test_a_chinese_locale_shows_chinese(language: str):
    messages.use(language)
    assert messages.render("hint: ") == "提示："
    assert messages.render("{path} does not exist", {"path": "a.yaml"}) == "a.yaml 不存在"


@pytest.mark.parametrize("language", ["en", "en_US.UTF-8", "C", "C.UTF-8", "POSIX", "", "de_DE.UTF-8"])
def test_any_other_locale_shows_english(language: str):
    messages.use("zh_CN.UTF-8")
    messages.use(language)
    assert messages.render("hint: ") == "hint: "


def test_what_is_compared_or_kept_is_english_in_any_language():
    messages.use("zh")
    assert messages.english("{path} does not exist", {"path": "a.yaml"}) == "a.yaml does not exist"


def test_a_text_that_the_catalogue_lacks_is_shown_as_it_is():
    messages.use("zh")
    assert messages.render("said by {whom}", {"whom": "nobody"}) == "said by nobody"


def test_nothing_is_said_of_an_empty_text():
    messages.use("zh")
    assert messages.render("") == ""  # gettext would give the head of the catalogue


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_missing_value_shows_its_placeholder(language: str):
    messages.use(language)
    shown = messages.render("{path} cannot be read: {reason}", {"path": "a.yaml"})
    assert "a.yaml" in shown
    assert "{reason}" in shown


@pytest.mark.parametrize("language", ["en", "zh"])
def test_braces_in_a_value_are_text(language: str):
    messages.use(language)
    shown = messages.render("{path} cannot be read: {reason}", {"path": "{reason}", "reason": "{0} {path} }{"})
    assert "{reason}" in shown
    assert "{0} {path} }{" in shown


@pytest.mark.parametrize("language", ["en", "zh"])
def test_braces_of_a_text_are_shown_once(language: str):
    messages.use(language)
    text = "an address begins with a parameter of type url, such as `${{base}}`; seen: `{seen}`"
    assert "`${base}`" in messages.render(text, {"seen": "/list"})


def test_an_error_prints_its_code_sentence_and_hint_in_the_chosen_language():
    error = AgentError("SA1001", "{path} does not exist", hint="try again", path="a.yaml")
    assert str(error) == "SA1001 a.yaml does not exist\nhint: try again"
    messages.use("zh")
    assert str(error) == "SA1001 a.yaml 不存在\n提示：请重试"


# --- reading the code -----------------------------------------------------------------------------------------------

_WITHOUT_CODE = {"SourceErrors", "_All"}
"""They carry problems, each with a code of its own."""


@dataclass(frozen=True, slots=True)
class _Use:
    """A place that gives a text a code; `text` is None if it comes from elsewhere."""

    code: str
    text: str | None
    where: str
    area: str


@cache
def _trees() -> dict[str, ast.Module]:
    """By path below the package."""
    return {
        path.relative_to(catalogue.PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(catalogue.PACKAGE.rglob("*.py"))
    }


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield f"{path}:{node.lineno}", node


@cache
def _uses() -> tuple[_Use, ...]:
    return tuple(
        use
        for path, tree in _trees().items()
        if not path.startswith("sandbox/")  # it only names the codes that its faults lead to
        for use in _uses_in(path, tree)
    )


def _uses_in(path: str, tree: ast.Module) -> Iterator[_Use]:
    area = next((area for start, area in AREAS.items() if path.startswith(start)), "no area")
    whole = _named_texts(tree.body)
    for top in tree.body:
        yield from _uses_under(top, whole, path, area)


def _uses_under(node: ast.AST, texts: dict[str, str], path: str, area: str) -> Iterator[_Use]:
    match node:
        case ast.FunctionDef(args=ast.arguments(args=given)):
            names = {a.arg for a in given}
            texts = {name: text for name, text in texts.items() if name not in names}
        case ast.Assign():
            texts |= _named_texts([node])
        case ast.Call():
            for argument in (*node.args, *(k.value for k in node.keywords)):
                if _is_code(argument):
                    yield _Use(ast.literal_eval(argument), _text(node, texts), f"{path}:{node.lineno}", area)
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        yield from _uses_under(child, texts, path, area)


def _named_texts(body: list[ast.stmt]) -> dict[str, str]:
    return {
        name: text
        for node in body
        if isinstance(node, ast.Assign)
        for name, text in ((_name(node.targets[0]), _marked(node.value)),)
        if text is not None
    }


def _text(call: ast.Call, texts: dict[str, str]) -> str | None:
    """The text beside the code: marked on the spot, or under a name given just before."""
    named = [k.value for k in call.keywords if k.arg == "text"]
    for argument in (*call.args, *named):
        found = texts.get(argument.id) if isinstance(argument, ast.Name) else _marked(argument)
        if found is not None:
            return found
    return None


def _marked(node: ast.AST) -> str | None:
    if _is_mark(node) and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return None


def _is_mark(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and _name(node.func) == "N_"


def _is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_CODE.fullmatch(node.value))


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


@cache
def _error_classes() -> frozenset[str]:
    """`AgentError` and every class of the package below it."""
    found = {"AgentError"}
    classes = [n for tree in _trees().values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    while more := {c.name for c in classes if found & {_name(b) for b in c.bases}} - found:
        found |= more
    return frozenset(found)


def _placeholders(text: str) -> Counter[str]:
    return Counter(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def _words(text: str) -> str:
    """`text` without placeholders and without what is quoted; empty if no letter is left."""
    plain = re.sub(r"\{\w*\}", "", _QUOTED.sub("", text))
    return plain if re.search(r"[^\W\d_]", plain) else ""
