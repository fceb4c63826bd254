"""Which policy is in force: the newest that was used under a signature. The job `policy` of the log tells them all.

A policy that was in force once is no more in force once a newer one was, whoever puts its files back.
"""

from __future__ import annotations

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.ports import Archive
from scraper_agent.values import JobId, PolicyAdopted

JOB = JobId("policy")


def history(archive: Archive) -> tuple[PolicyAdopted, ...]:
    """All policies that ever were in force, oldest first."""
    return tuple(fact for fact in archive.job(JOB).facts if isinstance(fact, PolicyAdopted))


def newest(archive: Archive) -> PolicyAdopted | None:
    """The policy in force; None if there never was one."""
    return next(reversed(history(archive)), None)


def admit(known: PolicyAdopted | None, version: int, policy: str) -> bool:
    """Whether a policy, by version and digest, is a new one; False if it is the one in force.

    Raises:
        UsageError: it is older than the one in force, or another of the same version.
    """
    if known is None or version > known.version:
        return True
    if version < known.version:
        raise UsageError(
            "SA6030",
            N_("the policy of version {seen} is older than the one in force, version {expected}"),
            hint=N_("put the newer one back; or raise `version` above {expected}, and `scraper-agent policy sign`"),
            seen=version,
            expected=known.version,
        )
    if policy != known.policy:
        raise UsageError(
            "SA6031",
            N_("another policy of version {seen} is in force"),
            hint=N_(
                "raise `version`, then `scraper-agent policy sign`; `scraper-agent policy diff` shows what changed"
            ),
            seen=version,
        )
    return False


def adopt(archive: Archive, adopted: PolicyAdopted, source: bytes, statement: bytes) -> None:
    """Put this policy in force, if it is not yet. `source`: the policy file; `statement`: that of its signature.

    Raises:
        UsageError: as `admit`.
    """
    if not admit(newest(archive), adopted.version, adopted.policy):
        return
    with archive.together():
        archive.put(source)
        archive.put(statement)
        archive.append(JOB, archive.length(JOB), adopted)
