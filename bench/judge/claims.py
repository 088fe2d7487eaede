"""The register of claims, and the rule by which findings become a verdict."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from bench.errors import InputError
from bench.judge.bars import Bar, Outcome, power_words
from bench.judge.intervals import Interval, Value

REGISTER = Path(__file__).with_name("claims.toml")
Judgement: TypeAlias = Literal["reproduced", "partly", "contradicted", "inconclusive", "not testable here", "not run"]


@dataclass(frozen=True)
class Claim:
    """An entry of the register.

    Args:
        id: The claim's name, such as "cubic-cost".
        statement: What the paper claims.
        source: Where the paper claims it.
        experiment: The experiment that tests it; "" where none does.
        rule: The rule by which each part holds or fails, in words.
        margin: The figure that the rule calls the margin, > 0, if it has one.
        reason: Why the margin is what it is.
        claimed: The paper's figures, and others that the rule names, by name.
        why_not: What is missing to test a claim without an experiment.
        combine: "parts" where each part stands on its own, "all" where the claim is that every part holds.
        gate: The name of what the run has to have shown before the claim can be judged, "" for nothing.
        right_if: What has to come out for the paper to be right, in one sentence.
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
    gate: str = ""
    right_if: str = ""


@dataclass(frozen=True)
class Gate:
    """Whether a run could have seen what claims say: a finding about the experiment, never about the paper.

    Args:
        passed: Whether it did.
        detail: What it rests on.
    """

    passed: bool
    detail: str


@dataclass(frozen=True)
class Finding:
    """What a run says of one part of a claim.

    Args:
        claim: The claim's id.
        part: What was measured, in a few words.
        outcome: Whether the part holds, fails or is unclear.
        estimate: What was found, with its interval where it has one.
        detail: What the estimate rests on: model, sizes, number of seeds.
    """

    claim: str
    part: str
    outcome: Outcome
    estimate: Value
    detail: str = ""


def held(claim: str, part: str, found: Interval, bar: Bar, detail: str, units: str | None = None) -> Finding:
    """Return the finding of an interval held against a bar; its detail also says what the run could have seen.

    Args:
        claim: The claim's id.
        part: What was measured, in a few words.
        found: The measured interval.
        bar: The bar that decides the outcome.
        detail: What the interval rests on.
        units: What the interval's `n` counts, such as "seeds"; see `power_words`.
    """
    return Finding(claim, part, bar.judge(found), found, f"{detail}; {power_words(found, bar, units)}")


@dataclass(frozen=True)
class Verdict:
    """A claim's judgement with the findings behind it.

    Args:
        claim: The claim.
        judgement: The verdict in a word or two.
        findings: One finding per part that was measured.
        note: What was not run and why.
        why: What other experiments show of the causes; it has no part in the judgement.
    """

    claim: Claim
    judgement: Judgement
    findings: tuple[Finding, ...]
    note: str = ""
    why: str = ""


class Margins:
    """The figures that the register declares, as experiments ask for them.

    Args:
        register: The claims by id.
    """

    def __init__(self, register: Mapping[str, Claim]) -> None:
        self._register = register

    def of(self, claim: str) -> float:
        """The margin of a claim.

        Args:
            claim: The claim's id.

        Raises:
            InputError: The register declares no margin for it.
        """
        margin = self._register[claim].margin
        if margin is None:
            raise InputError(f"claim {claim!r} needs a margin in {REGISTER.name}")
        return margin

    def claimed(self, claim: str) -> Mapping[str, float]:
        """The paper's figures for a claim, by name.

        Args:
            claim: The claim's id.
        """
        return self._register[claim].claimed


def read_register(path: Path = REGISTER) -> dict[str, Claim]:
    """Read the register.

    Args:
        path: A TOML file with one table per claim.

    Returns:
        The claims by id, in the order of the file.

    Raises:
        InputError: A file that is not there or not TOML, unknown or missing fields, wrong types, a margin without a
            reason, or a claim with neither an experiment nor a `why_not`.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, a number of too many digits, nested too deep
        raise InputError(f"{path}: {error}") from error
    return {name: _claim(name, entry, path) for name, entry in raw.items()}


def _claim(name: str, entry: object, path: Path) -> Claim:
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {name} is not a table; write [{name}]")
    if unknown := sorted(set(entry) - {known.name for known in fields(Claim)[1:]}):
        raise InputError(f"{path}: [{name}] has the unknown fields {', '.join(unknown)}")
    try:
        claim = msgspec.convert({"id": name} | entry, Claim)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: [{name}] {error}") from error
    if not (claim.experiment or claim.why_not):
        raise InputError(f"{path}: [{name}] names no experiment; say why_not")
    if claim.margin is not None and not (0 < claim.margin < math.inf and claim.reason):
        raise InputError(f"{path}: [{name}] margin must be a positive number and carry a reason")
    if claim.combine not in ("parts", "all"):
        raise InputError(f'{path}: [{name}] combine must be "parts" or "all"')
    if not all(math.isfinite(figure) for figure in claim.claimed.values()):
        raise InputError(f"{path}: [{name}] claimed must be a table of finite numbers")
    return claim


def judge(
    register: Mapping[str, Claim],
    findings: Iterable[Finding],
    gaps: Mapping[str, str],
    reasons: Mapping[str, str] | None = None,
    gates: Mapping[str, Gate] | None = None,
) -> list[Verdict]:
    """Judge every claim of the register.

    - reproduced: every part holds and nothing was left out.
    - partly: some parts hold; others fail, are open or were left out.
    - contradicted: every part fails.
    - inconclusive: no part holds and one is open.
    - not testable here: there are findings, but the claim's gate did not pass in this run, or was not tried.
    - not run: there are no findings.

    A claim that every part holds (`combine = "all"`) is contradicted by one part that fails, inconclusive with one
    that is open, and partly reproduced only where parts were left out.

    Args:
        register: The claims by id.
        findings: What the run found, in any order.
        gaps: What the run left out, by claim.
        reasons: Why a claim comes out as it does, by claim; shown with the verdict, without a part in it.
        gates: What the run had to show first, by name.

    Returns:
        One verdict per claim, in the order of the register.
    """
    by_claim: dict[str, list[Finding]] = {name: [] for name in register}
    for finding in findings:
        by_claim[finding.claim].append(finding)
    verdicts = [_verdict(claim, tuple(by_claim[name]), gaps.get(name, "")) for name, claim in register.items()]
    return [_gated(replace(v, why=(reasons or {}).get(v.claim.id, "")), gates or {}) for v in verdicts]


def _gated(verdict: Verdict, gates: Mapping[str, Gate]) -> Verdict:
    """The verdict, unless its findings come from a run that could not have seen what the claim says."""
    name = verdict.claim.gate
    if not name or verdict.judgement == "not run" or (name in gates and gates[name].passed):
        return verdict
    said = f"{name} failed: {gates[name].detail}" if name in gates else f"{name} was not part of this run"
    note = ". ".join(filter(None, (said, verdict.note)))
    return replace(verdict, judgement="not testable here", note=note)


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
