"""What is not executed rots: generated parts, commands, links, quotations and names of the documentation.

Commands that need no ERP and send nothing are run for real, in the order of their block, in a folder of their own; the
others are parsed by the command line itself and not carried out.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from loguru import logger
from typer.testing import CliRunner

from scraper_agent import policy as policies
from scraper_agent import values, yamlfile
from scraper_agent.cli import build
from scraper_agent.config import Config
from scraper_agent.formats import pack
from tests import docs, docs_formats

ROOT = docs.ROOT
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHIPPED = [p for p in sorted((ROOT / "recipes").glob("*/*.yaml")) if p.name != "lookups.yaml"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    return _FENCE.sub("", text(path))


def blocks(path: Path) -> list[str]:
    """Fenced blocks that a reader may type: neither YAML nor the help of a command."""
    found = [body for language, body in _FENCE.findall(text(path)) if not language]
    return [body for body in found if not body.startswith("Usage:")]


# --- what is generated ----------------------------------------------------------------------------------------------


def test_generated_parts_are_up_to_date_whatever_the_terminal_and_the_locale() -> None:
    elsewhere = {**os.environ, "LC_ALL": "zh_CN.UTF-8", "COLUMNS": "40", "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "tests.docs", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=elsewhere, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"run `python -m tests.docs`: {done.stderr}"


def test_every_command_has_its_section() -> None:
    paths = {context.command_path for context in docs.all_commands()}
    assert set(re.findall(r"^#+ (scraper-agent.*)$", text(docs.COMMANDS), re.MULTILINE)) == paths


def test_every_key_of_a_recipe_is_in_the_table() -> None:
    table = text(docs.KEYS).partition(docs._BEGIN)[2]
    sections = {part.partition("\n")[0]: part for part in table.split("\n### ")[1:]}
    assert sections.keys() == {model.__name__ for model in docs.models()}
    for model in docs.models():
        keys = re.findall(r"^\| `(\w+)` \|", sections[model.__name__], re.MULTILINE)
        assert keys == [field.alias or id for id, field in model.model_fields.items()]


def test_every_format_and_every_rule_has_its_page() -> None:
    made = docs_formats.texts()
    assert {p for p in made if p.parent == docs_formats.FORMAT_PAGES} == set(docs_formats.FORMAT_PAGES.glob("*.md"))
    headings = re.findall(r"^## ([\w-]+)$", text(docs_formats.RULES), re.MULTILINE)
    checks = [get_args(rule.model_fields["check"].annotation)[0] for rule in docs_formats.classes()]
    assert sorted(headings) == sorted([*checks, "fields", "completeness", *pack.PACKS])
    codes = set(re.findall(r"CHK-\d\d", text(docs_formats.RULES)))
    assert codes == {f"CHK-{n:02}" for n in range(1, 23)}


@pytest.mark.parametrize("page", sorted(docs_formats.FORMAT_PAGES.glob("*.md")), ids=name)
def test_every_link_of_a_format_leads_somewhere(page: Path) -> None:
    test_every_link_leads_somewhere(page)


class _Yaml12(yaml.SafeLoader):
    """As editors read YAML: `on` is a word, and only `true` and `false` are booleans."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the loader's own name and shape
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), ["t", "f"])


@pytest.mark.parametrize("recipe", SHIPPED, ids=name)
def test_shipped_recipes_fit_the_schema_that_their_first_line_names(recipe: Path) -> None:
    first = text(recipe).partition("\n")[0]
    named = recipe.parent / first.removeprefix("# yaml-language-server: $schema=")
    schema = json.loads(text(named))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.load(text(recipe), _Yaml12), schema)  # noqa: S506 - it is a SafeLoader


# --- commands -------------------------------------------------------------------------------------------------------

HARMLESS = {
    *(("init",), ("jobs",), ("log", "verify"), ("log", "show"), ("log", "reindex")),
    *(("key", name) for name in ("new", "list", "show", "export-public", "rotate", "revoke")),
    *(("recipe", "check"), ("recipe", "explain"), ("recipe", "schema"), ("recipe", "test")),
}


@dataclass(frozen=True)
class Command:
    where: str
    line: str

    @property
    def words(self) -> list[str]:
        """Arguments of the program; what a shell does with its output is left out."""
        words = shlex.split(self.line, comments=True)
        words = words[: words.index(">")] if ">" in words else words
        return words[1:]

    def __str__(self) -> str:
        return f"{self.where}: {self.line}"


def commands_in(path: Path) -> Iterator[Command]:
    lines = [line for block in blocks(path) for line in block.splitlines()]
    for line in (*lines, *_INLINE.findall(prose(path))):
        typed = line.strip().removeprefix(".venv/bin/")
        if typed.split(" ")[0] == docs.PROGRAM and typed != docs.PROGRAM:
            yield Command(name(path), typed)


def examples() -> Iterator[Command]:
    """Those of the commands' own help."""
    for context in docs.all_commands():
        for line in (context.command.epilog or "").partition(": ")[2].split("; "):
            if line:
                yield Command(context.command_path, line)


COMMANDS = [*(c for page in PAGES for c in commands_in(page)), *examples()]


def parsed(words: list[str]) -> tuple[str, ...]:
    """The command's path; every option and argument was understood. Nothing is carried out.

    Raises:
        Exception: of the command line's own kind: no such command or option, an argument too few or too many.
    """
    command, above, called = docs.program(), None, docs.PROGRAM
    path: tuple[str, ...] = ()
    while True:
        above = command.make_context(called, list(words), parent=above)
        words = [*getattr(above, "_protected_args", ()), *above.args]
        if not hasattr(command, "commands") or not words:
            return path
        called, command, words = command.resolve_command(above, words)
        path = (*path, called)


def test_the_documentation_tells_of_commands() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_that_the_documentation_tells_is_understood(command: Command) -> None:
    parsed(command.words)


@pytest.mark.parametrize("line", ["job", "jobs --status held", "run", "log prove", "send now", "jobs --state sent"])
def test_a_command_that_does_not_exist_is_found_out(line: str) -> None:
    with pytest.raises(Exception, match=r"Missing|No such|is not one of|unexpected"):
        parsed(shlex.split(line))


def test_a_command_named_without_the_program_exists() -> None:
    """`recipe accept`, `log verify`, `key new` in the prose."""
    groups = {c.command.name: c.command for c in docs.all_commands() if hasattr(c.command, "commands") and c.parent}
    told = [code.split() for page in PAGES for code in _INLINE.findall(prose(page))]
    named = [words for words in told if len(words) > 1 and words[0] in groups]
    assert named
    assert [words for words in named if words[1] not in groups[words[0]].commands] == []


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, and a passphrase where the example config looks for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRAPER_AGENT_PASSPHRASE", "correct horse battery staple")
    yield tmp_path
    logger.remove()


def typed(words: list[str]) -> None:
    done = CliRunner().invoke(build(), words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output


def prepare(words: list[str]) -> None:
    """What a reader is supposed to have by now: a recipe of their own with a sample, a log, and a key."""
    if not Path("config.yaml").exists():
        typed(["init"])
    if not Path("recipes/my").exists():
        shutil.copytree(ROOT / "recipes" / "demo", "recipes/my")
    if not Path("archive.db").exists():
        typed(["log", "reindex"])
    if words[0] in ("key", "log") and words != ["key", "new"] and not Path("keys").exists():
        typed(["key", "new"])


@pytest.mark.parametrize(
    ("page", "block"),
    [(p, b) for p in PAGES for b in blocks(p) if docs.PROGRAM in b and "make" not in b],
    ids=lambda it: name(it) if isinstance(it, Path) else "",
)
def test_the_harmless_commands_of_a_block_run_as_they_stand(page: Path, block: str, desk: Path) -> None:
    for line in block.splitlines():
        if line.startswith("cd "):
            os.chdir(line.split()[1])  # the fixture goes back
        elif line.startswith(docs.PROGRAM):
            words = Command(name(page), line).words
            path = parsed(words)
            if path != ("init",):
                prepare(words)
            if path in HARMLESS:
                typed(words)


@pytest.mark.parametrize("command", [c for c in examples() if parsed(c.words) in HARMLESS], ids=str)
def test_the_harmless_examples_of_the_help_run_as_they_stand(command: Command, desk: Path) -> None:
    path = parsed(command.words)
    if path != ("init",):
        prepare(command.words)
        if path == ("key", "rotate"):
            typed(["key", "new", "--planned"])
        shutil.copytree("recipes/my", "recipes/u8")
        if "demo/order" in command.line:
            shutil.copytree("recipes/my", "recipes/demo", dirs_exist_ok=True)
    typed(command.words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_targets_of_make_and_modules_of_python_exist(page: Path) -> None:
    makefile = text(ROOT / "Makefile")
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", text(page), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m (tests[\w.]*)", text(page)):
        assert importlib.util.find_spec(module), module


# --- links, figures, names ------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_was_measured_names_the_machine(page: Path) -> None:
    for section in re.split(r"^#+ ", text(page), flags=re.MULTILINE):
        if re.search(r"\bmeasured\b", section):
            assert re.search(r"x86_64|aarch64|\bcores?\b|\bCPU\b", section), section[:200]


def test_the_readme_begins_with_what_the_program_is() -> None:
    beginning = " ".join(text(ROOT / "README.md").splitlines()[:5])
    for word in ("customs robot", "ERP", "query rights", "orders, invoices and receipts", "standard formats"):
        assert word in beginning.replace("formats;", "formats"), word


def test_every_document_can_be_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", text(ROOT / "README.md")))
    assert linked == {name(page) for page in PAGES[1:]}


ARCHITECTURE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "scraper_agent"


def test_modules_that_the_architecture_names_exist() -> None:
    named = re.findall(r"`((?:[a-z_]+/)*(?:[a-z_*]+\.(?:py|js|yaml|sql)|[a-z_]+/)|[a-z_]+/)`", text(ARCHITECTURE))
    assert len(named) > 20
    assert [path for path in named if not any(PACKAGE.glob(path.rstrip("/")))] == []


def test_the_architecture_names_every_module() -> None:
    told = text(ARCHITECTURE)
    modules = [p.name for p in PACKAGE.glob("*.py") if not p.name.startswith("__")]
    folders = [f"{p.name}/" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()]
    assert [each for each in (*modules, *folders) if f"`{each}" not in told] == []


def test_facts_and_names_of_the_architecture_are_those_of_the_code() -> None:
    told = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)`", text(ARCHITECTURE)))
    facts = {fact.__name__ for fact in get_args(values.Fact)}
    assert facts - told == set()
    assert {word for word in told if not hasattr(values, word)} == set()
    for owner, member in re.findall(r"`([A-Z]\w+)\.(\w+)`", text(ARCHITECTURE)):
        assert member in members_of_port(owner), f"{owner}.{member}"


def members_of_port(owner: str) -> set[str]:
    module = ast.parse(text(PACKAGE / "ports.py"))
    (port,) = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == owner]
    return {_member(node) for node in port.body}


def _member(node: Any) -> str:
    return str(getattr(node, "name", "") or getattr(getattr(node, "target", None), "id", ""))


def test_words_of_the_glossary_for_facts_are_in_the_code() -> None:
    glossary = text(ARCHITECTURE).partition("## Glossary")[2]
    words = {w.strip() for row in re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE) for w in row.split(",")}
    in_code = {w.lower() for w in vars(values)} | {s.value for s in values.State}
    wanted = {"draft", "finding", "verdict", "held", "blocked", "envelope", "receipt", "fact", "job"}
    assert wanted - words == set()
    assert wanted - in_code == set()


# --- quotations and examples ----------------------------------------------------------------------------------------

RECIPES = docs.ROOT / "docs" / "recipes.md"
_QUOTED = re.compile(r"<!-- ((?:recipes|tests)/\S+\.ya?ml) -->\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_recipes_are_quoted_word_for_word() -> None:
    quoted = _QUOTED.findall(text(RECIPES))
    assert len(quoted) == text(RECIPES).count("```yaml")
    assert [(file, body) for file, body in quoted if body not in text(ROOT / file)] == []


def test_the_recipe_that_is_explained_is_quoted_whole() -> None:
    pieces = [body for file, body in _QUOTED.findall(text(RECIPES)) if file == "recipes/demo/order.yaml"]
    whole = text(ROOT / "recipes" / "demo" / "order.yaml")
    assert "".join(pieces).split("\n") == [line for line in whole.split("\n")[:-1] if line] + [""]


def test_the_example_config_and_policy_load() -> None:
    config = yamlfile.load(ROOT / "config.example.yaml", Config)
    assert config.policy == Path("policy.yaml")
    assert yamlfile.load(ROOT / "policy.example.yaml", policies.Policy).automatic


def test_exit_codes_of_the_errors_are_in_the_table() -> None:
    table = text(ROOT / "docs" / "install.md")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    errors = ast.parse(text(PACKAGE / "errors.py"))
    raised = {0, 1, 130}
    for node in ast.walk(errors):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(t, "id", "") == "exit_code" for t in targets):
                with contextlib.suppress(ValueError, TypeError):
                    raised.add(ast.literal_eval(node.value))  # type: ignore[arg-type] # None is suppressed
    assert codes == raised
