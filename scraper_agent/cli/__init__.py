"""The command line: parses, calls, prints; decides nothing. stdout is data, stderr is talk.

Exit codes: 0 done; 1 a defect of the agent; 2 usage; 3 business (documents blocked, pages refused); 4 application
(machine, network, log); 5 a person is needed, also to lift a stop; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import io
import locale
import os
import sys
from functools import cache

import typer

from scraper_agent import messages
from scraper_agent.errors import AgentError, causes
from scraper_agent.messages import N_


def main() -> None:
    """Entry point. The language is chosen before the commands are loaded, so that their help is in it."""
    messages.use(_language(sys.argv[1:]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Chinese must not end a run
    from scraper_agent.cli import commands, show  # noqa: PLC0415 - after the language

    try:
        build()()
    except AgentError as error:
        commands.log_error(error)
        sys.stderr.write(f"{show.visible(str(error))}\n")
        sys.exit(error.exit_code)
    except Exception as error:
        if not _interrupted(error):
            raise
        sys.exit(INTERRUPTED)


INTERRUPTED = 130
"""What shells give a program that Ctrl-C ended."""


def _interrupted(error: BaseException) -> bool:
    """Whether `error` came up only while Ctrl-C was being obeyed: the browser hears Ctrl-C as well, and is gone."""
    return any(isinstance(each, KeyboardInterrupt) for each in causes(error))


@cache
def build() -> typer.Typer:
    """All commands, in the language chosen before."""
    from scraper_agent.cli import (  # noqa: PLC0415 - after the language
        audit,
        canary,
        case,
        commands,
        console,
        control,
        crossborder,
        demo,
        export,
        format,
        key,
        outbox,
        policy,
        recipe,
        report,
        sandbox,
        session,
        waybill,
        witnessing,
    )

    told = N_("Write documents with all that proves them: facts, proof, bodies, and a program that checks them.")
    line = 'log export may.zip --since 2026-05-01 --until 2026-05-31 --reason "audit of May"'
    commands.log.command("export", help=messages.render(told), epilog=commands.example(line))(export.export)
    commands.cli.add_typer(key.commands, name="key")
    audit.add_to(commands.log)

    told = N_("Take every open document as far as it goes: sign, send, ask for receipts.")
    commands.cli.command("send", help=messages.render(told), epilog=commands.example("send", "send --wait 60"))(
        outbox.send
    )
    commands.cli.add_typer(outbox.job, name="job")
    told = N_("Be a witness of other agents' logs until Ctrl-C: sign each checkpoint that grew out of the one before.")
    commands.cli.command(
        "witness",
        help=messages.render(told),
        epilog=commands.example("witness /srv/w --name w1 --passphrase-file p --log 91350100M000100Y43/310001=KEY"),
    )(witnessing.witness)
    control.add_to(commands.cli)
    commands.cli.add_typer(recipe.commands, name="recipe")
    commands.cli.add_typer(policy.commands, name="policy")
    commands.cli.add_typer(format.commands, name="format")
    told = N_("Open a browser in which a person logs in, and keep the session, encrypted, for runs to come.")
    commands.cli.command("login", help=messages.render(told), epilog=commands.example("login demo/order"))(
        session.login
    )
    commands.cli.add_typer(session.commands, name="session")
    commands.cli.add_typer(session.secret, name="secret")
    commands.cli.add_typer(case.commands, name="case")
    commands.cli.add_typer(waybill.commands, name="waybill")
    commands.cli.add_typer(crossborder.commands, name="crossborder")
    commands.cli.add_typer(console.commands, name="console")
    commands.cli.add_typer(sandbox.commands, name="sandbox")
    told = N_("Look for the secrets that this installation knows in all that it has written.")
    commands.log.command("canary", help=messages.render(told), epilog=commands.example("log canary"))(canary.canary)
    commands.cli.add_typer(report.commands)
    commands.cli.add_typer(demo.commands)
    return commands.cli


def _language(arguments: list[str]) -> str:
    """`--lang`, else the locale."""
    for at, argument in enumerate(arguments):
        if argument == "--lang" and at + 1 < len(arguments):
            return arguments[at + 1]
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):  # noqa: TID251 - the locale is the environment's
            return os.environ[name]  # noqa: TID251
    return locale.getlocale()[0] or "en"
