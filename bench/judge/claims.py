"""The register of claims, and the rule by which findings become a verdict."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from bench.errors import InputError
from bench.judge.bars import Bar, Outcome, power_words
from bench.judge.intervals import Interval, Value

REGISTER = Path(__file__).with_name("claims.toml")
Judgement: TypeAlias = Literal["reproduced", "partly", "contradicted", "inconclusive", "not run"]


@dataclass(frozen=True)
class Claim:
    """An entry of the register.

    `claimed` are the paper's figures, `why_not` says what is missing to test it. `combine` is "parts" where each part
    stands on its own, "all" where the claim is that every part holds.
    """

    id: str
    statement: str
    source: str
    experiment: str
    rule: str
    margin: float | None = None
    reason: str = ""
    claimed: Mapping[str, float] = field(default_factory=dict)
    why_not: str = ""
    combine: str = "parts"


@dataclass(frozen=True)
class Finding:
    """What a run says of one part of a claim: the outcome, the estimate with its interval, and what it rests on."""

    claim: str
    part: str
    outcome: Outcome
    estimate: Value
    detail: str = ""


def held(claim: str, part: str, found: Interval, bar: Bar, detail: str, units: str | None = None) -> Finding:
    """The finding of an interval held against a bar; it also says what it could have seen, see `power_words`."""
    return Finding(claim, part, bar.judge(found), found, f"{detail}; {power_words(found, bar, units)}")


@dataclass(frozen=True)
class Verdict:
    """A claim's judgement with the findings behind it.

    `note` says what was not run and why; `why` what other experiments show of the causes, which judges nothing.
    """

    claim: Claim
    judgement: Judgement
    findings: tuple[Finding, ...]
    note: str = ""
    why: str = ""


class Margins:
    """The register's declared figures, as experiments ask for them."""

    def __init__(self, register: Mapping[str, Claim]) -> None:
        self._register = register

    def of(self, claim: str) -> float:
        """The margin of a claim; InputError where the register declares none."""
        margin = self._register[claim].margin
        if margin is None:
            raise InputError(f"claim {claim!r} needs a margin in {REGISTER.name}")
        return margin

    def claimed(self, claim: str) -> Mapping[str, float]:
        """The paper's figures for a claim."""
        return self._register[claim].claimed


def read_register(path: Path = REGISTER) -> dict[str, Claim]:
    """The register by claim id, in its own order.

    Raises InputError for a file that is not there or not TOML, unknown or missing fields, wrong types, and a claim
    with neither an experiment nor a `why_not`.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of too many digits, nested too deep
        raise InputError(f"{path}: {error}") from error
    return {name: _claim(name, entry, path) for name, entry in raw.items()}


def _claim(name: str, entry: object, path: Path) -> Claim:
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {name} is not a table; write [{name}]")
    texts = {key: entry.get(key) for key in ("statement", "source", "experiment", "rule")}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise InputError(f"{path}: [{name}] needs the text fields {', '.join(wrong)}")
    if unknown := sorted(set(entry) - {*texts, "margin", "reason", "claimed", "why_not", "combine"}):
        raise InputError(f"{path}: [{name}] has the unknown fields {', '.join(unknown)}")
    margin, claimed = entry.get("margin"), entry.get("claimed", {})
    if not all(isinstance(entry.get(key, ""), str) for key in ("reason", "why_not")):
        raise InputError(f"{path}: [{name}] reason and why_not must be text")
    if not texts["experiment"] and not entry.get("why_not"):
        raise InputError(f"{path}: [{name}] names no experiment; say why_not")
    if margin is not None and not (_is_number(margin) and margin > 0 and entry.get("reason")):
        raise InputError(f"{path}: [{name}] margin must be a positive number and carry a reason")
    if entry.get("combine", "parts") not in ("parts", "all"):
        raise InputError(f"{path}: [{name}] combine must be \"parts\" or \"all\"")
    if not isinstance(claimed, dict) or not all(_is_number(figure) for figure in claimed.values()):
        raise InputError(f"{path}: [{name}] claimed must be a table of numbers")
    return Claim(id=name, **entry)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def judge(
    register: Mapping[str, Claim],
    findings: Iterable[Finding],
    gaps: Mapping[str, str],
    reasons: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """One verdict a claim, in the register's order; `gaps` says by claim what was left out, `reasons` why it came so.

    reproduced: every part holds and nothing was left out. partly: some parts hold, others fail, are open or were left
    out. contradicted: every part fails. inconclusive: no part holds and one is open. not run: no findings.
    A claim that every part holds (`combine = "all"`) is contradicted by one part that fails, inconclusive with one
    that is open, and partly reproduced only where parts were left out.
    """
    by_claim: dict[str, list[Finding]] = {name: [] for name in register}
    for finding in findings:
        by_claim[finding.claim].append(finding)
    return [
        replace(_verdict(claim, tuple(by_claim[name]), gaps.get(name, "")), why=(reasons or {}).get(name, ""))
        for name, claim in register.items()
    ]


def _verdict(claim: Claim, findings: tuple[Finding, ...], gap: str) -> Verdict:
    outcomes = {finding.outcome for finding in findings}
    judgement: Judgement
    if not findings:
        return Verdict(claim, "not run", (), gap or claim.why_not or f"run `python cli.py run {claim.experiment}`")
    if claim.combine == "all" and outcomes != {"holds"}:
        judgement = "contradicted" if "fails" in outcomes else "inconclusive"
    elif "holds" in outcomes:
        judgement = "reproduced" if outcomes == {"holds"} and not gap else "partly"
    else:
        judgement = "contradicted" if outcomes == {"fails"} else "inconclusive"
    return Verdict(claim, judgement, findings, gap)


