"""A YAML file is text with places; every mistake in it is told with its place, and all at once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from scraper_agent import yamlfile
from scraper_agent.errors import Problem, SourceErrors, UsageError

PATH = Path("r.yaml")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(Strict):
    label: str | None = None
    css: str | None = None

    @model_validator(mode="after")
    def _one(self):
        if self.label == self.css:
            raise yamlfile.Wrong(
                "give a label or css, not {value}", hint="as in `{example}`", value="both", example="css: a"
            )
        return self


class Click(Strict):
    do: Literal["click"]
    on: Target
    timeout_s: Annotated[float, Field(gt=0)] = 1


class Fill(Strict):
    do: Literal["fill"]
    into: Target
    text: str


class ByLink(Strict):
    link: str


class ByClick(Strict):
    click: str
    back: str


class Recipe(Strict):
    id: str
    steps: list[Annotated[Click | Fill, Field(discriminator="do")]] = []
    fields: dict[str, str | Target] = {}
    rows: ByLink | ByClick | None = None
    mode: Literal["fast", "slow"] = "fast"
    count: int = 0
    limit: Decimal | None = None
    on: bool = False
    last: Annotated[Click | Fill, Field(discriminator="do")] | None = None


def read(text, extra=None):
    return yamlfile.parse(dedent(text), PATH, Recipe, extra)


def told(text, extra=None):
    with pytest.raises(SourceErrors) as caught:
        read(text, extra)
    return str(caught.value)


# --- scalars --------------------------------------------------------------------------------------------------------


def test_scalars_stay_text_until_the_model_reads_them():
    recipe = read(
        """\
        id: 0012
        count: 12
        limit: 0.10
        on: no
        fields: {a: 1e3, b: yes, c: 2024-01-02, 1: x}
        """
    )
    assert recipe.id == "0012"
    assert (recipe.count, recipe.limit, recipe.on) == (12, Decimal("0.10"), False)
    assert recipe.fields == {"a": "1e3", "b": "yes", "c": "2024-01-02", "1": "x"}


def test_nothing_is_null_and_quoted_nothing_is_text():
    assert read("id: ''\nrows:\n").id == ""
    assert read("id: 'null'\nlimit: ~\n").id == "null"
    assert told("id:\n") == ("r.yaml:1:4: SA1022 `id` has no value\n  | id:\n  |    ^")


def test_an_empty_file_lacks_what_the_model_needs():
    assert told("") == "r.yaml:1:1: SA1021 key `id` is missing here"


# --- refused YAML ---------------------------------------------------------------------------------------------------


def test_anchors_aliases_and_tags_are_refused_with_every_place():
    assert (
        told("id: &a x\nmode: *a\ncount: !!int 3\n")
        == """\
r.yaml:1:5: SA1013 `&a` names a part to repeat it; write it out
  | id: &a x
  |     ^
r.yaml:2:7: SA1008 `*a` repeats another part; write it out
  | mode: *a
  |       ^
r.yaml:3:8: SA1009 the tag `tag:yaml.org,2002:int` is not allowed; leave it out
  | count: !!int 3
  |        ^"""
    )


def test_a_billion_laughs_are_not_laughed():
    lines = ["l0: &l0 [x, x]"] + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(SourceErrors) as caught:
        read("\n".join(lines))
    assert {p.code for p in caught.value.problems} == {"SA1008", "SA1013"}


def test_a_key_twice_names_the_line_of_the_first():
    assert (
        told("id: x\nfields:\n  a: 1\n  a: 2\nid: y\n")
        == """\
r.yaml:4:3: SA1012 key `a` is already on line 3
  |   a: 2
  |   ^
r.yaml:5:1: SA1012 key `id` is already on line 1
  | id: y
  | ^"""
    )


def test_depth_is_limited_without_recursion():
    deep = yamlfile.MAX_DEPTH
    assert read(f"id: x\nfields: {{a: {'x'}}}").fields == {"a": "x"}
    assert told("[" * (deep + 1)).startswith(
        f"r.yaml:1:{deep + 1}: SA1007 the file is nested deeper than {deep} levels\n"
    )
    assert "SA1007" in told("[" * 100_000)
    assert "SA1007" not in told("[" * deep + "]" * deep)


def test_size_is_limited(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (yamlfile.MAX_BYTES + 1))
    with pytest.raises(SourceErrors) as caught:
        yamlfile.load(path, Recipe)
    assert str(caught.value) == f"{path}:1:1: SA1003 the file is larger than 1048576 bytes"
    path.write_bytes(b"id: x\n" + b"#" * (yamlfile.MAX_BYTES - 6))
    assert yamlfile.load(path, Recipe).id == "x"


def test_a_file_in_gbk_is_told_at_the_first_wrong_byte(tmp_path):
    path = tmp_path / "gbk.yaml"
    path.write_bytes(b"id: x\nmode: " + "快".encode("gbk") + b"\n")
    with pytest.raises(SourceErrors) as caught:
        yamlfile.load(path, Recipe)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}:2:7: SA1004 the file is not UTF-8"
    assert lines[-1] == "hint: save it as UTF-8 in your editor"


def test_a_byte_order_mark_is_no_character_of_the_file(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfid: x\nmodus: 1\n")
    with pytest.raises(SourceErrors) as caught:
        yamlfile.load(path, Recipe)
    assert str(caught.value).splitlines()[0] == f"{path}:2:1: SA1020 unknown key `modus`"


def test_a_control_character_is_told():
    assert told("id: a\x07b\n").startswith("r.yaml:1:6: SA1005 the character U+0007 is not allowed in YAML\n")


def test_broken_yaml_is_told_at_the_break():
    assert told("id: x\nsteps: [a, b\nmode: y\n").splitlines()[0] == (
        "r.yaml:3:5: SA1006 this is not YAML: did not find expected ',' or ']'"
    )


def test_a_tab_is_named_as_the_likely_cause():
    assert told("id: x\nfields:\n\ta: 1\n").splitlines()[-1] == "hint: indent with spaces, not with tabs"


def test_a_second_document_and_a_key_that_is_no_text_are_refused():
    assert told("id: x\n---\nid: y\n").startswith(
        "r.yaml:2:1: SA1010 a second document begins here; a file holds one\n"
    )
    assert told("? [a]\n: b\n").startswith("r.yaml:1:3: SA1011 a key must be text\n")


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "no.yaml"
    with pytest.raises(UsageError) as caught:
        yamlfile.load(path, Recipe)
    assert str(caught.value) == f"SA1001 {path} does not exist\nhint: check the name, and the folder you are in"
    assert caught.value.exit_code == 2


def test_a_folder_cannot_be_read(tmp_path):
    with pytest.raises(UsageError) as caught:
        yamlfile.load(tmp_path, Recipe)
    assert str(caught.value) == f"SA1002 {tmp_path} cannot be read: Is a directory"


# --- keys -----------------------------------------------------------------------------------------------------------


def test_an_unknown_key_suggests_the_one_that_was_meant():
    assert (
        told("id: x\nmodus: fast\n")
        == """\
r.yaml:2:1: SA1020 unknown key `modus`
  | modus: fast
  | ^
hint: did you mean `mode`?"""
    )


def test_an_unknown_key_like_no_other_lists_those_there_are():
    assert told("id: x\nzzz: 1\n").splitlines()[-1] == (
        "hint: known keys: id, steps, fields, rows, mode, count, limit, on, last"
    )


def test_keys_of_the_tagged_member_are_suggested():
    assert (
        told(
            """\
            id: x
            steps:
              - do: click
                on: {label: a}
                timeout: 3
              - do: fill
                into: {lable: a}
                text: b
            """
        )
        == """\
r.yaml:5:5: SA1020 unknown key `timeout`
  |     timeout: 3
  |     ^
hint: did you mean `timeout_s`?
r.yaml:7:12: SA1020 unknown key `lable`
  |     into: {lable: a}
  |            ^
hint: did you mean `label`?"""
    )


def test_a_key_named_like_the_tag_does_not_mislead():
    assert told("id: x\nlast: {do: click, click: {css: a}, on: {css: a}}\n").splitlines()[0] == (
        "r.yaml:2:19: SA1020 unknown key `click`"
    )


def test_an_unknown_tag_suggests_the_nearest():
    assert (
        told("id: x\nsteps:\n- do: clik\n  on: {css: a}\n- do: jump\n")
        == """\
r.yaml:3:7: SA1023 `steps[1].do` may not be `clik`
  | - do: clik
  |       ^
hint: did you mean `click`?
r.yaml:5:7: SA1023 `steps[2].do` may not be `jump`
  | - do: jump
  |       ^
hint: known values: click, fill"""
    )


def test_a_missing_tag_lists_its_values():
    assert (
        told("id: x\nlast:\n  on: {css: a}\n")
        == """\
r.yaml:3:3: SA1021 key `do` is missing here
  |   on: {css: a}
  |   ^
hint: its values: click, fill"""
    )


def test_a_missing_key_is_told_where_it_should_be():
    assert (
        told("steps:\n- do: fill\n  into: {css: a}\n")
        == """\
r.yaml:1:1: SA1021 key `id` is missing here
  | steps:
  | ^
r.yaml:2:3: SA1021 key `text` is missing here
  | - do: fill
  |   ^"""
    )


# --- unions without a tag -------------------------------------------------------------------------------------------


def test_of_a_union_only_the_member_that_was_meant_complains():
    assert (
        told("id: x\nfields: {a: {csss: b}}\n")
        == """\
r.yaml:2:14: SA1020 unknown key `csss`
  | fields: {a: {csss: b}}
  |              ^
hint: did you mean `css`?"""
    )
    assert told("id: x\nrows: {click: a, bak: b}\n").splitlines()[::3] == [
        "r.yaml:2:7: SA1021 key `back` is missing here",
        "r.yaml:2:18: SA1020 unknown key `bak`",
        "hint: did you mean `back`?",
    ]


def test_what_fits_no_member_is_told_once():
    assert told("id: x\nfields: {a: [b]}\n").splitlines()[0] == (
        "r.yaml:2:13: SA1022 `fields.a` fits nothing that is allowed here: Input should be a valid string; "
        "Input should be a valid dictionary or instance of Target"
    )


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("count: many", "r.yaml:2:8: SA1022 `count` should be a whole number, not `many`"),
        ("limit: 1,5", "r.yaml:2:8: SA1022 `limit` should be a number, not `1,5`"),
        ("on: maybe", "r.yaml:2:5: SA1022 `on` should be true or false, not `maybe`"),
        ("count: [1]", "r.yaml:2:8: SA1022 `count` should be a whole number"),
        ("steps: x", "r.yaml:2:8: SA1022 `steps` should be a list"),
        ("fields: x", "r.yaml:2:9: SA1022 `fields` should be a mapping of keys to values"),
        ("last: {do: click, on: x}", "r.yaml:2:23: SA1022 `last.on` should be a mapping of keys to values"),
        ("last: {do: fill, into: {css: a}, text: {}}", "r.yaml:2:40: SA1022 `last.text` should be text"),
        (
            "last: {do: click, on: {css: a}, timeout_s: 0}",
            "r.yaml:2:44: SA1022 `last.timeout_s` is 0, but should be more than 0.0",
        ),
        ("mode: medium", "r.yaml:2:7: SA1023 `mode` may not be `medium`"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(line, message):
    assert told(f"id: x\n{line}\n").splitlines()[0] == message


def test_a_file_that_is_no_mapping():
    assert told("- a\n") == "r.yaml:1:1: SA1022 the file should hold keys and their values\n  | - a\n  | ^"


def test_a_validator_gives_its_own_words():
    assert (
        told("id: x\nlast: {do: click, on: {}}\n")
        == """\
r.yaml:2:23: SA1022 give a label or css, not both
  | last: {do: click, on: {}}
  |                       ^
hint: as in `css: a`"""
    )


def test_all_problems_are_told_in_file_order():
    with pytest.raises(SourceErrors) as caught:
        read("count: x\nsteps: y\nmode: z\n")
    assert [(p.at.line, p.code) for p in caught.value.problems] == [
        (1, "SA1021"),
        (1, "SA1022"),
        (2, "SA1022"),
        (3, "SA1023"),
    ]


def test_the_caret_stands_under_the_value_after_chinese_text():
    assert told("id: 采购\nfields: {单号: [x]}\n").splitlines()[1:] == [
        "  | fields: {单号: [x]}",
        "  |                ^",
    ]


# --- the caller's own problems --------------------------------------------------------------------------------------


def test_a_caller_adds_problems_at_places():
    def extra(recipe, positions):
        yield Problem(at=positions.of(("steps", 0, "on", "css")), code="SA9", text="value")
        yield Problem(at=positions.key(("steps", 0, "on")), code="SA9", text="key")
        yield Problem(at=positions.key(("steps", 0)), code="SA9", text="entry")
        yield Problem(at=positions.of(("steps", 0, "on", "label")), code="SA9", text="ancestor")

    with pytest.raises(SourceErrors) as caught:
        read("id: x\nsteps:\n  - do: click\n    on: {css: a}\n", extra)
    assert [(p.text, p.at.line, p.at.column) for p in caught.value.problems] == [
        ("entry", 3, 5),
        ("key", 4, 5),
        ("ancestor", 4, 9),
        ("value", 4, 15),
    ]


def test_a_caller_without_complaint_gets_the_model(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("id: x\n", encoding="utf-8")
    assert yamlfile.load(path, Recipe, lambda recipe, positions: ()).id == "x"


@pytest.mark.parametrize("loader", ["SafeLoader", "CSafeLoader"])
def test_both_parsers_of_pyyaml_read_alike(monkeypatch, loader):
    import yaml  # noqa: PLC0415 - only this test knows the parser

    if not hasattr(yaml, loader):
        pytest.skip("this platform has no libyaml")
    monkeypatch.setattr(yamlfile, "_LOADER", getattr(yaml, loader))
    assert read("id: ''\nfields: {a: ~, b: 'x'}\n".replace("~", "null-ish")).fields == {"a": "null-ish", "b": "x"}
    assert told("id: &a x\nrows:\nmodus: 1\n").splitlines()[0] == (
        "r.yaml:1:5: SA1013 `&a` names a part to repeat it; write it out"
    )
    assert told("id: x\nmodus: 1\n").splitlines()[0] == "r.yaml:2:1: SA1020 unknown key `modus`"
