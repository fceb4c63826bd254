"""A recipe's parameters as options of `run`: `--since 2026-01-01` is `--set since=2026-01-01`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scraper_agent.authoring.load import Loaded
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_


def split(tokens: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """What stands on the command line beside the known options: names of recipes, and options with one value each.

    Raises:
        UsageError: an option has no value, stands twice, or is written with one dash; or no recipe is named. No error
            quotes a value: somebody may have typed a password there.
    """
    names: list[str] = []
    options: dict[str, str] = {}
    rest = iter(tokens)
    for token in rest:
        if not token.startswith("-"):
            names.append(token)
            continue
        option, sign, value = token.partition("=")
        name = option.removeprefix("--")
        if option == token and not sign:
            value = next(rest, "")
        if not token.startswith("--") or not name or (not sign and (not value or value.startswith("--"))):
            raise UsageError(
                "SA7115",
                N_("`{seen}` is no option, or has no value"),
                hint=N_("a parameter of a recipe is written `--name value`; `recipe explain RECIPE` lists them"),
                seen=option,
            )
        if name in options:
            raise _twice(name)
        options[name] = value
    if not names:
        raise UsageError("SA7117", N_("name a recipe, such as demo/order"))
    return names, options


def given(recipes: Iterable[Loaded], options: dict[str, str], assigned: dict[str, str]) -> dict[str, str]:
    """`assigned` (by `--set`) and `options`, by the names that the recipes give their parameters.

    Raises:
        UsageError: no recipe has such a parameter, or it is given twice.
    """
    known = {name.replace("_", "-"): name for loaded in recipes for name in loaded.recipe.parameters}
    values = dict(assigned)
    for option, value in options.items():
        name = known.get(option.replace("_", "-"))
        if name is None:
            raise UsageError(
                "SA7116",
                N_("there is no option `--{seen}`; the parameters of the recipe are: {known}"),
                hint=N_("a secret is never an option: the config says where it is, under `erps: … secrets:`"),
                seen=option,
                known=", ".join(f"--{each}" for each in known) or "-",
            )
        if name in values:
            raise _twice(option)
        values[name] = value
    return values


def _twice(name: str) -> UsageError:
    return UsageError("SA7118", N_("the parameter `{name}` is given twice"), name=name)
