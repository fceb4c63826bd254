"""What the policy forbids does not happen, whatever a recipe, a config or an approval says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from loguru import logger
from pydantic import SecretStr

from scraper_agent import approval, cli, hours, messages
from scraper_agent.app import App
from scraper_agent.approval import by_person
from scraper_agent.errors import BusinessError, SourceErrors
from scraper_agent.formats import FORMATS
from scraper_agent.policy import Limit, Policy, Window
from scraper_agent.ports import Done, PersonNeeded
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from scraper_agent.values import Attempt, Outcome, Parked, Snapshot, State, Verdict, state
from tests import policies
from tests.world import AK, NOW, PASSPHRASE, PLAN, PROFILE, RECIPE, RUN, World, frozen, page, seeing

LIMIT = {"purchaseOrder": Limit(amounts={"USD": Decimal(1000)})}
"""Orders of the world are dated 2026-05-04 and read on 2026-05-06, at 09:30 in China, a Wednesday."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture
def platform(keys: Path) -> Iterator[Platform]:
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, keys: Path, platform: Platform) -> Iterator[World]:
    with https.HttpsTransport(https.Config(kind="https", url=platform.url)) as transport:
        yield World(tmp_path, keys, transport, platform.public_keys)


def blocked(world: World) -> list[tuple[str, str, str]]:
    """Codes and sentences of what the policy found, of every document; with the field."""
    last = [job.last for job in world.jobs()]
    found = [finding for fact in last if isinstance(fact, Verdict) for finding in fact.findings]
    return [(f.code, f.field, messages.english(f.text, f.values)) for f in found if f.code.startswith("POL-")]


# --- windows, documents ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["test", "purchaseOrder"])
@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"oldest_days": 2}, None),
        ({"oldest_days": 1}, "2026-05-04 is before 2026-05-05, the first day that the policy allows"),
        ({"from": date(2026, 5, 4), "to": date(2026, 5, 4)}, None),
        ({"from": date(2026, 5, 5)}, "2026-05-04 is before 2026-05-05, the first day that the policy allows"),
        ({"to": date(2026, 5, 3)}, "2026-05-04 is after 2026-05-03, the last day that the policy allows"),
    ],
)
def test_a_document_of_another_day_is_blocked_and_says_so(
    world: World, scope: str, window: dict[str, Any], told: str | None
) -> None:
    """By the ERP as by the format; and nobody can approve it."""
    world.policy = Policy(automatic=LIMIT, windows={scope: Window.model_validate(window)})
    (job,) = world.everything(frozen())
    if told is None:
        assert state(job) is State.RECEIPTED
        return
    assert state(job) is State.BLOCKED
    assert blocked(world) == [("POL-02", "orderDate", told)]
    with world.pipeline() as pipeline, pytest.raises(BusinessError, match="SA6001"):
        pipeline.decide(job.id, lambda verdict: by_person(verdict, shown=verdict.document, by="A", reason=""))


def test_a_document_does_not_grow_too_old_by_waiting(world: World) -> None:
    world.policy = Policy(windows={"test": Window(oldest_days=2)})
    (job,) = world.everything(frozen())
    world.later(timedelta(days=10))
    (job,) = world.send()
    assert state(job) is State.HELD


def test_a_format_that_is_not_named_does_not_leave(world: World) -> None:
    world.policy = Policy(automatic=LIMIT, documents=("goodsReceipt",))
    (job,) = world.everything(frozen())
    assert state(job) is State.BLOCKED
    assert blocked(world) == [("POL-01", "", "the policy does not allow documents of the format purchaseOrder")]


def approved(world: World) -> None:
    world.policy = Policy()
    (job,) = world.everything(frozen())
    with world.pipeline() as pipeline:
        pipeline.decide(job.id, lambda v: approval.by_person(v, shown=v.document, by="A", reason=""))


def test_what_was_approved_before_the_policy_forbade_it_does_not_leave(world: World) -> None:
    approved(world)
    world.policy = Policy(windows={"test": Window.model_validate({"from": date(2026, 5, 5)})})
    with world.pipeline() as pipeline:
        (id,) = pipeline.archive.documents()
        with pytest.raises(BusinessError, match="SA6034") as caught:
            pipeline.advance(id)
        assert "2026-05-04 is before 2026-05-05" in caught.value.sentence
        ((text, values),) = pipeline.held_because(pipeline.archive.job(id))
    assert messages.english(text, values) == "2026-05-04 is before 2026-05-05, the first day that the policy allows"
    world.policy = Policy()
    assert [state(job) for job in world.send()] == [State.RECEIPTED], "and leaves once the policy allows it"


# --- documents per day ----------------------------------------------------------------------------------------------


def departed(world: World) -> int:
    return sum(any(isinstance(fact, Attempt) for fact in job.facts) for job in world.jobs())


@pytest.mark.parametrize("scope", ["all", "purchaseOrder"])
def test_no_more_documents_leave_on_a_day_than_the_policy_allows(world: World, scope: str) -> None:
    world.policy = Policy(automatic=LIMIT, documents_per_day={scope: 2})
    world.everything(*(frozen(n) for n in (1, 2, 3, 4, 5)))
    assert departed(world) == 2
    world.send()
    assert departed(world) == 2, "of another process, too"
    assert [state(job) for job in world.jobs()].count(State.APPROVED) == 3, "a signature would grow old until tomorrow"
    with world.pipeline() as pipeline:
        told = [pipeline.held_because(job) for job in world.jobs()]
    assert [messages.english(*each[0]) for each in told if each] == 3 * [
        f"2 document(s) left today, as many as the policy allows ({scope}); it leaves tomorrow"
    ]
    world.now = datetime(2026, 5, 6, 15, 59, tzinfo=UTC)
    world.send()
    assert departed(world) == 2, "a minute before midnight in China"
    world.now = datetime(2026, 5, 6, 16, 0, tzinfo=UTC)
    world.send()
    assert departed(world) == 4
    world.policy = Policy(automatic=LIMIT)
    world.send()
    assert departed(world) == 5


def test_what_is_signed_already_waits_as_well(world: World) -> None:
    world.policy = Policy(automatic=LIMIT)
    with world.pipeline() as pipeline:
        (id,) = pipeline.harvest(RUN, PLAN, seeing(frozen())).documents
        assert state(pipeline.advance(id, send=False)) is State.SIGNED
    world.policy = Policy(automatic=LIMIT, documents_per_day={"all": 0})
    assert [state(job) for job in world.send()] == [State.SIGNED]
    world.policy = Policy(automatic=LIMIT)
    assert [state(job) for job in world.send()] == [State.RECEIPTED]


def test_a_limit_of_one_format_holds_no_other(world: World) -> None:
    world.policy = Policy(automatic=LIMIT, documents_per_day={"goodsReceipt": 0})
    assert [state(job) for job in world.everything(frozen())] == [State.RECEIPTED]


# --- hours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "at", "open_", "next_"),
    [
        (["mon-fri 08:00-18:00"], "2026-05-06 08:00", True, "2026-05-07 08:00"),
        (["mon-fri 08:00-18:00"], "2026-05-06 18:00", False, "2026-05-07 08:00"),
        (["mon-fri 08:00-18:00"], "2026-05-08 18:00", False, "2026-05-11 08:00"),
        (["mon-fri 08:00-18:00", "sat 09:00-12:00"], "2026-05-09 11:59", True, "2026-05-11 08:00"),
        (["22:00-06:00"], "2026-05-06 05:59", True, "2026-05-06 22:00"),
        (["22:00-06:00"], "2026-05-06 06:00", False, "2026-05-06 22:00"),
        (["fri 22:00-06:00"], "2026-05-09 05:59", True, "2026-05-15 22:00"),
        (["fri 22:00-06:00"], "2026-05-08 05:59", False, "2026-05-08 22:00"),
        (["sat-mon 00:00-24:00"], "2026-05-10 23:59", True, "2026-05-11 00:00"),
        (["sat-mon 00:00-24:00"], "2026-05-12 00:00", False, "2026-05-16 00:00"),
    ],
)
def test_hours_of_the_week(spans: list[str], at: str, open_: bool, next_: str) -> None:
    moment = datetime.fromisoformat(at)
    assert hours.is_open(spans, moment) is open_
    assert hours.opens(spans, moment) == datetime.fromisoformat(next_)


def test_no_hours_are_never(world: World) -> None:
    world.policy = Policy(hours={"test": ()})
    with pytest.raises(PersonNeeded, match="SA6032"):
        world.harvest(frozen())
    assert not world.run().facts


def test_a_run_that_comes_to_the_end_of_the_hours_is_parked_and_goes_on_at_the_same_record(world: World) -> None:
    world.policy = Policy(automatic=LIMIT, hours={"test": ("09:00-09:31",)})
    times = iter([NOW + timedelta(seconds=20 * n) for n in range(1, 100)])

    with world.pipeline() as pipeline:
        pipeline.now = lambda: next(times)  # 20 s go by between two looks at the clock
        sightings = [each for n in range(1, 9) for each in (page(frozen(n)), Done(str(n)))]
        with pytest.raises(PersonNeeded) as caught:
            pipeline.harvest(RUN, PLAN, seeing(*sightings))
    assert (caught.value.code, caught.value.outcome) == ("SA6032", Outcome.HOURS)
    parked = world.run().last
    assert isinstance(parked, Parked)
    assert parked.values["next"] == "2026-05-07 09:00"
    read = sum(isinstance(fact, Snapshot) for fact in world.run().facts)
    assert 0 < read < 8
    world.now = datetime(2026, 5, 7, 1, 0, tzinfo=UTC)
    with world.pipeline() as pipeline:
        found = pipeline.harvest(RUN, PLAN, seeing())
    assert len(found.documents) >= read - 1, "what was read counts"


# --- through the command line ---------------------------------------------------------------------------------------

Agent = Callable[..., tuple[int, str]]
"""Exit code, and what was told."""


@pytest.fixture
def home(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("LIMITS_KEY", PASSPHRASE)
    config = {
        "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
        "erps": {"test": {"parameters": {"base": "http://127.0.0.1:9", "user": "u"}, "pace": {"tabs": 3}}},
        "signing": {"kind": "file", "folder": str(keys)},
        "passphrase": {"env": "LIMITS_KEY"},
        "receiver": {"ak": AK, "transport": {"kind": "https", "url": "http://127.0.0.1:9/in"}, "public_keys": {}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    recipe = RECIPE.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    recipe["parameters"]["from_date"] = {"type": "date", "default": "2026-01-01"}
    (tmp_path / "recipes/test").mkdir(parents=True)
    text = yaml.safe_dump(recipe, allow_unicode=True)
    (tmp_path / "recipes/test/order.yaml").write_text(text, encoding="utf-8")
    yield tmp_path
    messages.use("en")


def limited(home: Path, **policy: object) -> None:
    known = {"requests": {"test": {"addresses": ["http://127.0.0.1:9"]}}, "recipes": {"approved_by": "nobody"}}
    (home / "policy.yaml").write_text(yaml.safe_dump(known | policy), encoding="utf-8")
    policies.sign(home, PASSPHRASE)


@pytest.fixture
def agent(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agent:
    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["scraper-agent", "-c", str(home / "config.yaml"), *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logger.remove()
        return code, capsys.readouterr().err

    return call


def closed() -> str:
    """Hours of a day of the week that is not near."""
    return f"{hours.DAYS[(datetime.now(UTC).weekday() + 3) % 7]} 08:00-09:00"


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"documents": ["goodsReceipt"]}, "SA7095 the policy does not allow documents of the format purchaseOrder"),
        (
            {"windows": {"test": {"from": "2026-02-01"}}},
            "SA7096 the policy does not allow the recipe test/order to be run with `from_date`: 2026-01-01 is before",
        ),
        ({"hours": {"test": [closed()]}}, "SA6032 the policy does not allow test to be read now, at "),
    ],
    ids=["documents", "windows", "hours"],
)
def test_what_may_not_be_read_is_refused_before_a_browser_starts(
    agent: Agent, home: Path, policy: dict[str, Any], told: str
) -> None:
    limited(home, **policy)
    code, err = agent("run", "test/order")
    assert code != 0
    assert told in err
    with App.load(home / "config.yaml").archive(read_only=True) as archive:
        assert archive.runs() == []


def test_the_policy_limits_what_the_config_says_of_pace_and_images(home: Path) -> None:
    limited(home, pace={"test": {"tabs": 2, "pages_per_minute": 6}}, evidence={"images": "drop"})
    browser = App.load(home / "config.yaml").browser("test")
    assert (browser.settings.tabs, browser.pace.most, browser.settings.images) == (2, 6, False)
    limited(home, pace={"test": {"tabs": 8}})
    browser = App.load(home / "config.yaml").browser("test")
    assert (browser.settings.tabs, browser.pace.most, browser.settings.images) == (3, None, True)


@pytest.mark.parametrize(
    ("named", "goes"),
    [
        ({"all": ["127.0.0.1"]}, True),
        ({"purchaseOrder": ["http://127.0.0.1:9"]}, True),
        ({"all": ["customs.example"]}, False),
        ({"all": ["127.0.0.1"], "purchaseOrder": ["http://127.0.0.1:10"]}, False),
        ({"goodsReceipt": ["127.0.0.1"]}, False),
    ],
)
def test_a_document_goes_nowhere_that_the_policy_does_not_name(
    agent: Agent, home: Path, world: World, named: dict[str, Any], goes: bool
) -> None:
    approved(world)
    limited(home, destinations=named)
    _, err = agent("send")
    assert ("SA6033 the policy does not let purchaseOrder go to 127.0.0.1" in err) is not goes, err
    (job,) = world.jobs()
    assert any(isinstance(fact, Attempt) for fact in job.facts) is goes
    assert state(job) is (State.WAITING if goes else State.APPROVED)


def test_a_folder_is_a_destination(agent: Agent, home: Path, world: World) -> None:
    approved(world)
    config = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    config["receiver"]["transport"] = {"kind": "folder", "path": "out", "content": "json"}
    (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (home / "out").mkdir()
    limited(home, destinations={"all": ["elsewhere"]})
    assert "SA6033" in agent("send")[1]
    limited(home, destinations={"all": ["./out"]})
    agent("send")
    assert [state(job) for job in world.jobs()] == [State.DELIVERED]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("documents: [order]", "1:13: SA7006 there is no format `order`"),
        ("documents_per_day: {order: 1}", "1:21: SA7006 there is no format `order`"),
        ("destinations: {order: [x]}", "1:16: SA7006 there is no format `order`"),
        ("windows: {order: {oldest_days: 1}}", "1:11: SA7006 there is no format `order`"),
        ("hours: {demo: [08:00-18:00]}", "1:9: SA7094 there is no ERP `demo` under `requests`"),
        ("pace: {demo: {tabs: 1}}", "1:8: SA7094 there is no ERP `demo` under `requests`"),
        ("requests: {demo: {}}\nhours: {demo: [8-18]}", "2:16: SA1022 `8-18` is no hours of the week"),
        ("retention: {logs_days: 30}", "1:24: SA10"),
    ],
)
def test_a_limit_of_what_there_is_not_is_told_with_its_place(home: Path, policy: str, told: str) -> None:
    (home / "policy.yaml").write_text(policy, encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        App.load(home / "config.yaml")
    assert str(caught.value).startswith(f"{home / 'policy.yaml'}:{told}")
