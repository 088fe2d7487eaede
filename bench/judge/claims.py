"""The register of claims, and the rule by which findings become a verdict."""

import hashlib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from bench.errors import InputError
from bench.judge.bars import AGAINST, FOR, ORDER, Outcome, Part, settle_words
from bench.judge.intervals import Interval

REGISTER = Path(__file__).with_name("claims.toml")
BLOCKED: Literal["not testable here"] = "not testable here"
NOT_RUN: Literal["not run"] = "not run"
Judgement: TypeAlias = Outcome | Literal["not testable here", "not run"]
Kind: TypeAlias = Literal["test", "theory", "check"]
Tier: TypeAlias = Literal["same data and protocol", "same data, other protocol", "our reading", "synthetic"]
Typed = TypeVar("Typed")


@dataclass(frozen=True)
class Claim:
    """An entry of the register.

    Args:
        id: The claim's name, such as "cubic-cost".
        kind: "test" of the model, "theory" about SCMs and learners, or "check" of what is true by construction.
        statement: What the paper claims.
        source: Where the paper claims it.
        tier: How near the test is to the paper's own.
        experiment: The experiment that tests it.
        right_if: What has to come out for the paper to be right, in one sentence.
        rule: How it is tested, in words.
        parts: What is measured, by name; one at least is essential.
        combine: "all" where every essential finding has to come out, "any" where one is enough.
        gates: Names of what the run has to have shown before the claim can be judged. Default none.
        figures: Other figures that the rule names, by name. Default none.
        cap: Why more runs cannot make the rule decide, where that is so. Default "".
    """

    id: str
    kind: Kind
    statement: str
    source: str
    tier: Tier
    experiment: str
    right_if: str
    rule: str
    parts: Mapping[str, Part]
    combine: Literal["all", "any"] = "all"
    gates: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    cap: str = ""

    def __post_init__(self) -> None:
        if not any(part.essential for part in self.parts.values()):
            raise ValueError("no part is essential; one at least has to decide")
        if not all(math.isfinite(figure) for figure in self.figures.values()):
            raise ValueError("figures must be finite numbers")


@dataclass(frozen=True)
class GateRule:
    """What a run has to have shown before claims behind it are judged.

    Args:
        what: What is asked, in words.
        reason: Why.
        least: The least figure that passes; 0 where the experiment itself says whether it passed.
    """

    what: str
    reason: str
    least: float = 0.0


@dataclass(frozen=True)
class Register:
    """All claims and gates as declared.

    Args:
        claims: By id, in the order of the file.
        gates: By name.
        sha256: Of the file.
    """

    claims: Mapping[str, Claim]
    gates: Mapping[str, GateRule]
    sha256: str

    def blocked(self, gate: str, figure: float) -> str:
        """Why a finding is not testable, empty where the gate passes.

        Args:
            gate: A gate's name.
            figure: What the run has to show for it.
        """
        rule = self.gates[gate]
        return "" if figure >= rule.least else f"{rule.what}: {figure:.3g}, under {rule.least:g}"


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
    """What a run measured for one part of a claim.

    Args:
        claim: The claim's id.
        part: The part's name in the register.
        estimate: What was found, in the part's unit; None where a gate left nothing to measure.
        where: Which of several: a dataset, a learner, a boost. Default "".
        detail: What the estimate rests on: model, sizes, number of seeds. Default "".
        blocked: The gate that this finding did not pass, in words; "" where it did.
        outcome: What the estimate comes to; `judge` fills it in.
    """

    claim: str
    part: str
    estimate: Interval | None
    where: str = ""
    detail: str = ""
    blocked: str = ""
    outcome: Judgement = "undecided"

    @property
    def title(self) -> str:
        """The part and where, in words."""
        return ", ".join(filter(None, (self.part, self.where)))


@dataclass(frozen=True)
class Verdict:
    """A claim's judgement with the findings behind it.

    Args:
        claim: The claim.
        judgement: The verdict in a few words.
        findings: What was measured, each with its outcome.
        note: What was not run, or why it is not testable.
        why: What other experiments show of the causes; it has no part in the judgement.
    """

    claim: Claim
    judgement: Judgement
    findings: tuple[Finding, ...]
    note: str = ""
    why: str = ""


def read_register(path: Path = REGISTER) -> Register:
    """Read the register.

    Args:
        path: A TOML file with one table per claim, and one of gates.

    Raises:
        InputError: A file that is not there or not TOML, unknown or missing fields, wrong types, a part that cannot
            decide, or a gate that is not declared.
    """
    try:
        content = path.read_bytes()
        raw = tomllib.loads(content.decode())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, a number of too many digits, nested too deep
        raise InputError(f"{path}: {error}") from error
    declared = raw.pop("gates", {})
    gates = _convert(declared, dict[str, GateRule], f"{path}: [gates]")
    claims = {name: _claim(name, entry, path) for name, entry in raw.items()}
    for claim in claims.values():
        if unknown := sorted(set(claim.gates) - set(gates)):
            raise InputError(f"{path}: [{claim.id}] names the gate {unknown[0]!r}; declare [gates.{unknown[0]}]")
    return Register(claims, gates, hashlib.sha256(content).hexdigest())


def _claim(name: str, entry: object, path: Path) -> Claim:
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {name} is not a table; write [{name}]")
    known = Claim.__dataclass_fields__
    if unknown := sorted(set(entry) - set(known) | ({"id"} & set(entry))):
        raise InputError(f"{path}: [{name}] has the unknown fields {', '.join(unknown)}")
    parts = entry.get("parts")
    for part, fields in parts.items() if isinstance(parts, dict) else ():
        if isinstance(fields, dict) and (unknown := sorted(set(fields) - set(Part.__dataclass_fields__))):
            raise InputError(f"{path}: [{name}.parts.{part}] has the unknown fields {', '.join(unknown)}")
    return _convert({"id": name} | entry, Claim, f"{path}: [{name}]")


def _convert(entry: object, kind: type[Typed], where: str) -> Typed:
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{where} {error}") from error


def judge(
    register: Register,
    findings: Iterable[Finding],
    gaps: Mapping[str, str],
    reasons: Mapping[str, str] | None = None,
    gates: Mapping[str, Gate] | None = None,
) -> list[Verdict]:
    """Judge every claim of the register.

    The essential findings decide, those that their gate blocks left out. Where every one has to come out, the worst is
    the verdict; where one is enough, the best. "not testable here": a gate of the claim did not pass in this run or was
    not tried, every essential finding is blocked, or every part has to come out and one could not be tested while the
    others speak for the claim. "not run": there are no essential findings.

    Args:
        register: The claims and gates.
        findings: What the run measured, in any order.
        gaps: What the run left out, by claim; it is shown and judges nothing.
        reasons: Why a claim comes out as it does, by claim; shown with the verdict, without a part in it.
        gates: What the run had to show first, by name.

    Returns:
        One verdict per claim, in the order of the register.
    """
    by_claim: dict[str, list[Finding]] = {name: [] for name in register.claims}
    for finding in findings:
        by_claim[finding.claim].append(_settled(finding, register.claims[finding.claim].parts[finding.part]))
    verdicts = [
        _verdict(claim, tuple(by_claim[name]), gaps.get(name, ""), gates or {})
        for name, claim in register.claims.items()
    ]
    return [replace(v, why=(reasons or {}).get(v.claim.id, "")) for v in verdicts]


def _settled(finding: Finding, part: Part) -> Finding:
    """The finding with its outcome and, where it is undecided, what would settle it."""
    if finding.blocked or finding.estimate is None:
        return replace(finding, outcome=BLOCKED)
    outcome = part.judge(finding.estimate)
    said = settle_words(part, finding.estimate) if outcome == "undecided" else ""
    return replace(finding, outcome=outcome, detail="; ".join(filter(None, (finding.detail, said))))


def _verdict(claim: Claim, findings: tuple[Finding, ...], gap: str, gates: Mapping[str, Gate]) -> Verdict:
    deciding = [f for f in findings if claim.parts[f.part].essential]
    if not deciding:
        return Verdict(claim, NOT_RUN, findings, gap or f"run `python cli.py run {claim.experiment}`")
    for name in claim.gates:
        if name not in gates or not gates[name].passed:
            said = f"{name} failed: {gates[name].detail}" if name in gates else f"{name} was not part of this run"
            return Verdict(claim, BLOCKED, findings, ". ".join(filter(None, (said.rstrip("."), gap))))
    judgement = combine(claim, [f.outcome for f in deciding])
    tested = {f.part for f in deciding if f.outcome != BLOCKED}
    untested = [name for name, part in claim.parts.items() if part.essential and name not in tested]
    if untested and claim.combine == "all" and judgement in FOR:
        said = f"{', '.join(untested)} could not be tested, and every part has to come out"
        return Verdict(claim, BLOCKED, findings, ". ".join(filter(None, (said, gap))))
    return Verdict(claim, judgement, findings, gap)


def combine(claim: Claim, outcomes: Iterable[Judgement]) -> Judgement:
    """What the outcomes of essential findings come to.

    Args:
        claim: The claim, whose `combine` decides.
        outcomes: One per finding, at least one.
    """
    found = [ORDER.index(outcome) for outcome in outcomes if outcome != BLOCKED]
    if not found:
        return BLOCKED
    return ORDER[(max if claim.combine == "all" else min)(found)]


def headline(verdicts: Iterable[Verdict]) -> str:
    """How many tests and how many claims of theory came out how, apart; checks are no evidence.

    Args:
        verdicts: One per claim; of a kind that has none nothing is said.
    """
    every, said = list(verdicts), []
    for kind, word in (("test", "tests"), ("theory", "claims of theory")):
        of_kind = [v.judgement for v in every if v.claim.kind == kind]
        words: tuple[Judgement, ...] = (*ORDER, BLOCKED, NOT_RUN)
        counts = [(of_kind.count(what), what) for what in words]
        if of_kind:
            said.append(f"Of {len(of_kind)} {word}: {', '.join(f'{n} {what}' for n, what in counts if n)}.")
    checks = [v for v in every if v.claim.kind == "check"]
    failed = [v.claim.id for v in checks if v.judgement in AGAINST]
    ran = sum(v.judgement != NOT_RUN for v in checks)
    if checks:
        said.append(f"Of {len(checks)} checks of our own code: {ran} run, {', '.join(failed) or 'none'} failed.")
    return " ".join(said)
