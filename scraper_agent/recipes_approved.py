"""Recipes are approved before use: who proposed which edition, who said yes to it, and whether that still holds.

An edition (see `authoring/edition.py`) may be used once an administrator has approved it. An older edition that was
approved may be used again; `decline` takes an approval back. The approval is a statement under the installation's key,
whose payload is canonical JSON, see `signing/statement.py`. It is checked anew at each use: the key must have been
trusted when the log took the approval in, so that revoking a key takes back nothing that was approved before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from scraper_agent import canonical, people
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.authoring import difference, edition
from scraper_agent.authoring.difference import Change
from scraper_agent.authoring.edition import Edition
from scraper_agent.errors import AgentError, BusinessError, NeedsPerson, SourceErrors
from scraper_agent.format import Format
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.policy import Policy
from scraper_agent.ports import Clock, Signer
from scraper_agent.signing import statement
from scraper_agent.values import Digest, JobId, RecipeDecided, RecipeProposed

TYPE = "application/vnd.scraper-agent.recipe+v1"

FEWEST_DIGITS = 4
"""Of a digest that name an edition."""

_MOST_BYTES = 65_536


class Said(BaseModel):
    """What the statement of an approval says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    version: str
    digest: str
    approved_by: str
    """`person:` and the account name."""
    time: AwareDatetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One that approvals may be signed with. `until`: what is signed from then on does not count; None: no end."""

    public_key: str
    until: datetime | None = None


class State(StrEnum):
    """Where an edition stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"
    VOID = "void"  # approved, but the approval does not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One edition of a recipe, as the log tells it."""

    recipe_id: str
    version: str
    digest: Digest
    files: Mapping[str, Digest]
    state: State
    authors: tuple[str, ...]
    """Everybody who proposed it, as `person:` and name."""
    proposed_at: datetime
    proposed_because: str
    decided_by: str = ""
    decided_at: datetime | None = None
    decided_because: str = ""
    why: str = ""
    """Why an approval does not hold, in the language chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Between an edition and the one that was approved last. `texts`: of the files, line by line."""

    since: Standing | None
    """None: nothing of the recipe was ever approved, or no approval holds."""
    changes: tuple[Change, ...] | None
    """None: the approved one cannot be read any more by this version of the program."""
    texts: tuple[str, ...]


def job_id(recipe_id: str) -> JobId:
    return JobId(f"recipe/{recipe_id}")


@dataclass(frozen=True, kw_only=True)
class Approvals:
    """What one archive knows of recipes. Names of people are without `person:` where they are given."""

    archive: SqliteArchive
    policy: Policy
    keys: Callable[[], Mapping[str, Key]]
    """By `sk`; asked for only where there is an approval to check."""
    signer: Callable[[], Signer]
    now: Clock

    # --- asking -----------------------------------------------------------------------------------------------------

    def recipes(self) -> list[Standing]:
        """Of each recipe that was ever proposed, the edition that was proposed last."""
        ids = (id.removeprefix("recipe/") for id in self.archive.recipes())
        return [self.editions(id)[-1] for id in ids]

    def editions(self, recipe_id: str) -> list[Standing]:
        """Every edition of a recipe that was proposed, the newest last: by the last time it was proposed."""
        job = job_id(recipe_id)
        facts = list(zip(self.archive.job(job).facts, self.archive.times(job), strict=True))
        proposed = [(fact, at) for fact, at in facts if isinstance(fact, RecipeProposed)]
        decided = {fact.digest: (fact, at) for fact, at in facts if isinstance(fact, RecipeDecided)}
        newest = {fact.digest: number for number, (fact, _) in enumerate(proposed)}
        return [
            self._standing([each for each in proposed if each[0].digest == digest], decided.get(digest))
            for digest in sorted(newest, key=newest.__getitem__)
        ]

    def edition(self, recipe_id: str, digest: str) -> Standing:
        """The edition with this digest, or the one whose digest begins so.

        Raises:
            BusinessError: none does, or several do.
        """
        known = self.editions(recipe_id)
        wanted = digest.removeprefix("sm3:")
        found = [each for each in known if each.digest[4:] == wanted]
        if not found and len(wanted) >= FEWEST_DIGITS:
            found = [each for each in known if each.digest[4:].startswith(wanted)]
        if len(found) == 1:
            return found[0]
        raise BusinessError(
            "SA6071",
            N_("{count} editions of the recipe {recipe} that were proposed have a digest that begins with {digest}"),
            hint=N_("`scraper-agent recipe propose {recipe}` proposes the recipe as it is now"),
            count=len(found),
            recipe=recipe_id,
            digest=wanted,
        )

    def approved(self, recipe_id: str) -> Standing | None:
        """The edition that was approved last, of those whose approval holds."""
        able = [each for each in self.editions(recipe_id) if each.state is State.APPROVED and each.decided_at]
        return max(able, key=lambda each: each.decided_at or each.proposed_at, default=None)

    def standing(self, of: Edition) -> Standing | None:
        """None if nobody has proposed it."""
        known = {each.digest: each for each in self.editions(of.recipe.recipe)}
        return known.get(of.digest)

    def recalled(self, of: Standing) -> Edition:
        """The edition as it was.

        Raises:
            SourceErrors: this version of the program does not read it any more.
            AgentError: the archive does not have its files any more.
        """
        return edition.recall(self._files(of))

    def difference(self, wanted: Edition, format: Format | None = None) -> Difference:
        """What is new in it since the recipe was last approved. Raises AgentError if the archive lacks that edition."""
        since = self.approved(wanted.recipe.recipe)
        if since is None:
            return Difference(since=None, changes=(), texts=())
        before = self._files(since)
        try:
            changes = difference.differences(edition.recall(before), wanted, format)
        except SourceErrors:
            changes = None
        return Difference(since=since, changes=changes, texts=difference.texts(before, wanted.files))

    # --- doing ------------------------------------------------------------------------------------------------------

    def require(self, wanted: Edition, by: str) -> Digest | None:
        """The digest of an edition that may be used; None where the policy asks for no approval.

        What nobody has proposed yet is proposed in the name of who wants to use it.

        Raises:
            NeedsPerson: it is not approved.
            BusinessError: nobody has proposed it, and this person may not either.
        """
        if self.policy.recipes.approved_by == "nobody":
            return None
        found = self.standing(wanted) or self.propose(wanted, by, "")
        if found.state is State.APPROVED:
            return found.digest
        raise self._refusal(found, changed=self.approved(found.recipe_id) is not None)

    def propose(self, wanted: Edition, by: str, reason: str) -> Standing:
        """Ask for the approval of an edition, and keep its files. Who has done so before is not noted twice.

        Raises:
            BusinessError: this person neither runs recipes nor administers them.
        """
        if Role.ADMINISTRATOR not in people.roles(self.policy.people, by):
            people.require(self.policy.people, by, Role.OPERATOR)
        recipe, known = wanted.recipe, self.standing(wanted)
        if known is not None and f"person:{by}" in known.authors:
            return known
        job = job_id(recipe.recipe)
        with self.archive.together():
            fact = RecipeProposed(
                recipe_id=recipe.recipe,
                version=recipe.version,
                digest=self.archive.put(edition.manifest(wanted.files)),
                files={name: self.archive.put(body) for name, body in wanted.files.items()},
                by=f"person:{by}",
                reason=reason,
            )
            self.archive.append(job, self.archive.length(job), fact)
        return self.edition(recipe.recipe, wanted.digest)

    def approve(self, recipe_id: str, digest: str, by: str, reason: str) -> Standing:
        """Let an edition be used, under the installation's signature.

        Raises:
            BusinessError: no such edition; it is approved already; this person is no administrator; or is its author,
                and the policy wants a second person.
            NeedsPerson: the key's passphrase is wrong or nobody gives it.
            UsageError: no key signs now.
        """
        people.require(self.policy.people, by, Role.ADMINISTRATOR)
        found = self.edition(recipe_id, digest)
        if found.state is State.APPROVED:
            raise BusinessError(
                "SA6073",
                N_("the recipe {recipe}, version {version}, is approved already, by {by}"),
                recipe=recipe_id,
                version=found.version,
                by=_name(found.decided_by),
            )
        if self._own(f"person:{by}", found):
            raise BusinessError(
                "SA6072",
                N_("{by} proposed the recipe {recipe}, and the policy wants it approved by a second person"),
                hint=self._who(found),
                **self._told(found),
            )
        said = Said(
            recipe=recipe_id,
            version=found.version,
            digest=found.digest,
            approved_by=f"person:{by}",
            time=self.now(),
        )
        signed = statement.sign(canonical.dumps(said.model_dump(mode="python")), TYPE, [self.signer()])
        self._decide(recipe_id, found.digest, by, reason, signed)
        return self.edition(recipe_id, found.digest)

    def decline(self, recipe_id: str, digest: str, by: str, reason: str) -> Standing:
        """Let an edition not be used, or no more.

        Raises:
            BusinessError: no such edition; no reason; or this person is no administrator.
        """
        people.require(self.policy.people, by, Role.ADMINISTRATOR)
        found = self.edition(recipe_id, digest)
        if not reason.strip():
            raise BusinessError("SA6074", N_("a recipe is declined only with a reason"), hint=N_("add --reason TEXT"))
        self._decide(recipe_id, found.digest, by, reason, None)
        return self.edition(recipe_id, found.digest)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _files(self, of: Standing) -> dict[str, bytes]:
        return {name: self.archive.get(digest) for name, digest in of.files.items()}

    def _decide(self, recipe_id: str, digest: Digest, by: str, reason: str, signed: bytes | None) -> None:
        job = job_id(recipe_id)
        with self.archive.together():
            fact = RecipeDecided(
                digest=digest,
                granted=signed is not None,
                by=f"person:{by}",
                reason=reason,
                statement=None if signed is None else self.archive.put(signed),
            )
            self.archive.append(job, self.archive.length(job), fact)

    def _standing(
        self, proposals: list[tuple[RecipeProposed, datetime]], decision: tuple[RecipeDecided, datetime] | None
    ) -> Standing:
        first, proposed_at = proposals[0]
        authors = tuple(dict.fromkeys(fact.by for fact, _ in proposals))
        found = Standing(
            recipe_id=first.recipe_id,
            version=first.version,
            digest=first.digest,
            files=first.files,
            state=State.WAITING,
            authors=authors,
            proposed_at=proposed_at,
            proposed_because=first.reason,
        )
        if decision is None:
            return found
        fact, at = decision
        why = next(self._flaws(found, fact, at), "") if fact.granted else ""
        state = State.DECLINED if not fact.granted else State.VOID if why else State.APPROVED
        return replace(found, state=state, decided_by=fact.by, decided_at=at, decided_because=fact.reason, why=why)

    def _flaws(self, of: Standing, decision: RecipeDecided, at: datetime) -> Iterator[str]:
        """Why an approval that the log took in `at` does not hold."""
        try:
            data = b"" if decision.statement is None else self.archive.get(decision.statement)
            signed = statement.read(data, TYPE, most_bytes=_MOST_BYTES)
            said = Said.model_validate_json(signed.payload)
        except AgentError as error:
            yield error.sentence
            return
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            yield render(N_("its statement is damaged: {reason}"), {"reason": first["msg"]})
            return
        except ValueError as error:
            yield render(N_("its statement is damaged: {reason}"), {"reason": error})
            return
        wanted = (of.recipe_id, of.version, of.digest, decision.by)
        if (said.recipe, said.version, said.digest, said.approved_by) != wanted:
            seen = f"{said.recipe} {said.version} {said.digest} {said.approved_by}"
            yield render(N_("its statement is about something else: {seen}"), {"seen": seen})
        keys = self.keys()
        signers = statement.signed_by(signed, {sk: key.public_key for sk, key in keys.items()})
        if not signers:
            seen = ", ".join(each.keyid for each in signed.signatures)
            yield render(N_("no key of this installation has signed its statement; it names {seen}"), {"seen": seen})
        elif not any((end := keys[sk].until) is None or at < end for sk in signers):
            told = {"seen": ", ".join(signers)}
            yield render(N_("the key {seen} was not to be trusted any more when it signed the statement"), told)
        if self._own(decision.by, of):
            told = {"by": _name(decision.by)}
            yield render(N_("{by} proposed it too, and the policy wants a second person"), told)

    def _own(self, by: str, of: Standing) -> bool:
        """Whether the policy forbids this person to approve it, as one of its authors."""
        return self.policy.recipes.approved_by == "second_person" and by in of.authors

    def _refusal(self, of: Standing, *, changed: bool) -> NeedsPerson:
        match of.state:
            case State.DECLINED:
                text = N_("the recipe {recipe}, version {version}, was declined by {decided_by}: {reason}")
            case State.VOID:
                text = N_("the approval of the recipe {recipe}, version {version}, does not hold: {why}")
            case _ if changed:
                text = N_("the recipe {recipe} has changed since it was approved, and waits for approval; by {by}")
            case _:
                text = N_("the recipe {recipe}, version {version}, waits for approval; proposed by {by}")
        return NeedsPerson("SA6070", text, hint=self._who(of), **self._told(of))

    def _who(self, of: Standing) -> str:
        if self._approvers(of):
            return N_(
                "`scraper-agent recipe diff {recipe}` shows what it reads; {approvers} may approve it: "
                "`scraper-agent recipe approve {recipe}`"
            )
        if self.policy.recipes.approved_by == "second_person":
            return N_(
                "`scraper-agent recipe diff {recipe}` shows what it reads; an administrator other than {by} approves "
                "it, from an account of their own; where one person works alone, write `recipes: {{approved_by: one}}` "
                "into the policy and sign it: `scraper-agent policy sign`"
            )
        return N_(
            "`scraper-agent recipe diff {recipe}` shows what it reads, and `scraper-agent recipe approve {recipe}` "
            "approves it"
        )

    def _approvers(self, of: Standing) -> list[str]:
        """Those whom the policy names."""
        named = [name for name, person in self.policy.people.items() if Role.ADMINISTRATOR in person.roles]
        return sorted(name for name in named if not self._own(f"person:{name}", of))

    def _told(self, of: Standing) -> dict[str, object]:
        return {
            "recipe": of.recipe_id,
            "version": of.version,
            "by": ", ".join(map(_name, of.authors)),
            "decided_by": _name(of.decided_by),
            "reason": of.decided_because,
            "why": of.why,
            "approvers": ", ".join(self._approvers(of)),
        }


def _name(by: str) -> str:
    return by.removeprefix("person:")
