"""The register, and the rule by which findings become a verdict."""

import hashlib
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.experiments import EXPERIMENTS
from bench.judge.bars import AGAINST, FOR, ORDER, Part
from bench.judge.claims import (
    BLOCKED,
    NOT_RUN,
    REGISTER,
    Claim,
    Finding,
    Gate,
    Register,
    combine,
    headline,
    judge,
    read_register,
)
from bench.judge.intervals import Interval
from bench.show.tables import to_csv, to_dict, to_markdown, to_text
from bench.show.verdicts import register_table, verdict_table

CHECKS = ("eq6-identity", "layernorm-equal-variances")
THEORY = (
    "equal-variance-identifies", "layernorm-identifies", "unequal-variance-breaks", "cubic-cost",
)  # fmt: skip
IDS = (
    "equal-variance-identifies", "layernorm-identifies", "attention-is-scm", *CHECKS, "acyclicity-converges",
    "discovery-recovers", "beats-rivals", "foursquare-gain", "beats-each-rival", "booster-matters",
    "boost-beats-filter", "alpha-window", "lambda-saturates", "unequal-variance-breaks", "false-edges-hurt",
    "cubic-cost", "graph-is-not-popularity",
)  # fmt: skip
ENDS = {
    "as claimed": (2, 4), "smaller than claimed": (1.2, 1.4), "undecided": (-2, 2), "not above the bar": (-2, 0),
    "no effect": (-0.5, 0.5), "opposite": (-3, -2),
}  # fmt: skip
PART = Part("gain", "%", "noise", "worlds", sesoi=1.0, claimed=2.0)
CLAIM = Claim(
    "c", "test", "It is so", "Sec. 1", "synthetic", "recovery", "It holds.", "By hand.",
    {"p": PART, "q": PART, "beside": replace(PART, essential=False)},
)  # fmt: skip


def interval(outcome: str) -> Interval:
    low, high = ENDS[outcome]
    return Interval((low + high) / 2, low, high, 9)


def found(outcome: str, part: str = "p", **more) -> Finding:
    return Finding("c", part, None if outcome == BLOCKED else interval(outcome), **more)


def verdict(findings, claim: Claim = CLAIM, gap: str = "", **gates: Gate):
    (only,) = judge(Register({"c": claim}, {}, ""), findings, {"c": gap} if gap else {}, {}, gates)
    return only


OUTCOMES = st.sampled_from([*ORDER, BLOCKED])
PARTS = st.sampled_from(["p", "q", "beside"])
FINDINGS = st.lists(st.builds(found, OUTCOMES, PARTS, where=st.text("abc|", max_size=2)))
COMBINE = st.sampled_from(["all", "any"])


# The register


def test_the_register_has_its_claims_of_three_kinds():
    claims = read_register().claims
    assert tuple(claims) == IDS
    assert {name: claim.kind for name, claim in claims.items()} == {
        name: "check" if name in CHECKS else "theory" if name in THEORY else "test" for name in IDS
    }
    assert [name for name, claim in claims.items() if claim.combine == "any"] == ["unequal-variance-breaks"]


@pytest.mark.parametrize("name", IDS)
def test_every_claim_says_what_it_must(name):
    register = read_register()
    claim = register.claims[name]
    assert claim.id == name
    assert all((claim.statement, claim.source, claim.tier, claim.right_if, claim.rule))
    assert claim.experiment in EXPERIMENTS
    assert set(claim.gates) <= set(register.gates)
    assert any(part.essential for part in claim.parts.values())
    for part in claim.parts.values():
        assert all((part.measure, part.reason))
        assert part.units in ("worlds", "sweep worlds", "draws", "seeds", "repeats", "runs") or claim.kind == "check"
        assert part.unit in ("%", "share", "edges", "decades", "")


def test_the_gates_and_figures_of_the_paper():
    register = read_register()
    behind = [name for name, claim in register.claims.items() if "positive_control" in claim.gates]
    assert behind == ["booster-matters", "boost-beats-filter", "alpha-window", "false-edges-hurt"]
    assert all(gate.what and gate.reason and 0 <= gate.least <= 1 for gate in register.gates.values())
    claimed = {
        f"{name}.{at}": part.claimed for name, claim in register.claims.items() for at, part in claim.parts.items()
    }
    assert {name: figure for name, figure in claimed.items() if figure is not None} == {
        "beats-rivals.hr10": 7.21, "beats-rivals.ndcg10": 8.65, "foursquare-gain.hr10": 14.65,
        "foursquare-gain.ndcg10": 15.49, "boost-beats-filter.filter_hurts": 3.0,
    }  # fmt: skip


def test_a_gate_s_figure_passes_from_its_least():
    register = read_register()
    assert register.blocked("rows_with_edge", 0.5) == ""
    assert register.blocked("rows_with_edge", 0.49) == "share of R's rows with an edge: 0.49, under 0.5"


# A figure of the register decides

ESSENTIAL = [
    (name, at) for name, claim in read_register().claims.items() for at, part in claim.parts.items() if part.essential
]


@pytest.mark.parametrize(("claim", "name"), ESSENTIAL)
def test_an_edited_figure_changes_the_verdict(tmp_path, claim, name):
    """One and a half times the smallest effect of interest is found, or a bound is cleared, until the bar is moved."""
    before = read_register()
    every = before.claims[claim].parts
    estimates = {at: part.sesoi * 1.5 if part.sesoi else part.truth("stated") for at, part in every.items()}
    findings = [Finding(claim, at, Interval(e, e - 1e-9, e + 1e-9, 9)) for at, e in estimates.items()]
    part = every[name]
    figure, value = ("sesoi", 2 * part.sesoi) if part.sesoi else ("bar", estimates[name] + (1 if part.large else -1))
    head, body = REGISTER.read_text(encoding="utf-8").split(f"[{claim}.parts.{name}]\n")
    body = re.sub(rf"^{figure} = .*$", f"{figure} = {value}", body, count=1, flags=re.MULTILINE)
    path = tmp_path / "claims.toml"
    path.write_text(f"{head}[{claim}.parts.{name}]\n{body}", encoding="utf-8")
    after = read_register(path)
    passed = {gate: Gate(True, "") for gate in before.gates}
    said = [
        {v.claim.id: v.judgement for v in judge(register, findings, {}, {}, passed)}[claim]
        for register in (before, after)
    ]
    assert said[0] in FOR
    assert said[1] in AGAINST
    assert before.sha256 != after.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


# Findings become a verdict


def test_of_all_the_worst_decides_and_of_any_the_best():
    for first, second in product(ORDER, ORDER):
        both = [found(first), found(second, "q")]
        assert verdict(both).judgement == max(first, second, key=ORDER.index)
        assert verdict(both, replace(CLAIM, combine="any")).judgement == min(first, second, key=ORDER.index)
        assert combine(CLAIM, [first, BLOCKED]) == first
    assert combine(CLAIM, [BLOCKED]) == BLOCKED


def test_findings_are_settled_by_their_part():
    said = verdict([found(outcome, detail="5 worlds") for outcome in ORDER]).findings
    assert [finding.outcome for finding in said] == list(ORDER)
    details = {finding.outcome: finding.detail for finding in said}
    assert details.pop("undecided") == "5 worlds; about 36 worlds would settle it"
    assert set(details.values()) == {"5 worlds"}
    (closed,) = verdict([found("as claimed", blocked="the boost is off")]).findings
    assert (closed.outcome, closed.blocked, closed.title) == (BLOCKED, "the boost is off", "p")
    assert replace(closed, where="ml-1m").title == "p, ml-1m"


@given(FINDINGS, st.randoms(use_true_random=False), COMBINE)
def test_parts_beside_blocked_findings_and_order_judge_nothing(findings, random, how):
    claim, tested = replace(CLAIM, combine=how), [*findings, found("as claimed"), found("as claimed", "q")]
    more = [*tested, *(found(outcome, "beside") for outcome in ORDER), found(BLOCKED), found("opposite", blocked="off")]
    random.shuffle(more)
    after = verdict(more, claim)
    assert after.judgement == verdict(tested, claim).judgement
    assert [replace(f, outcome="undecided", detail="") for f in after.findings] == more


@given(FINDINGS, st.sampled_from(ORDER))
def test_one_more_outcome_never_helps_of_all_and_never_hurts_of_any(findings, outcome):
    both = [found("undecided"), found("undecided", "q"), *findings]
    for how, helps in (("all", False), ("any", True)):
        claim = replace(CLAIM, combine=how)
        before, after = (ORDER.index(verdict(each, claim).judgement) for each in (both, [*both, found(outcome)]))
        assert after <= before if helps else after >= before


def test_a_part_that_was_not_tested_may_not_be_taken_for_one_that_came_out():
    for outcome in ORDER:
        for rest in ([], [found(BLOCKED, "q")], [found("as claimed", "q", blocked="a gate")]):
            judged = verdict([found(outcome), *rest], gap="a gap")
            assert judged.judgement == (BLOCKED if outcome in FOR else outcome)
            assert ("q could not be tested" in judged.note) == (outcome in FOR)
            assert judged.note.endswith("a gap")
            assert verdict([found(outcome), *rest], replace(CLAIM, combine="any")).judgement == outcome


def test_a_claim_behind_a_gate_is_judged_only_where_the_run_passed_it():
    behind, both = replace(CLAIM, gates=("control",)), [found("as claimed"), found("opposite", "q")]
    assert verdict(both, behind, control=Gate(True, "seen")).judgement == "opposite"
    for gates, why in (({"control": Gate(False, "unseen.")}, "control failed: unseen. A gap"),
                       ({"other": Gate(True, "")}, "control was not part of this run. A gap")):  # fmt: skip
        shut = verdict(both, behind, "A gap", **gates)
        assert (shut.judgement, shut.note) == (BLOCKED, why)
        assert [finding.outcome for finding in shut.findings] == ["as claimed", "opposite"]
        assert verdict([found("as claimed", "beside")], behind, **gates).judgement == NOT_RUN


def test_a_claim_that_nothing_deciding_was_measured_for_is_not_run():
    assert (verdict([]).judgement, verdict([]).note) == (NOT_RUN, "run `python cli.py run recovery`")
    assert verdict([found("opposite", "beside")], gap="no data").note == "no data"
    assert verdict([found(BLOCKED), found(BLOCKED, "q")]).judgement == BLOCKED


@given(FINDINGS, COMBINE)
def test_a_gap_and_a_reason_are_shown_and_judge_nothing(findings, how):
    claim = replace(CLAIM, combine=how)
    plain, gapped = verdict(findings, claim), verdict(findings, claim, "A gap")
    assert (plain.judgement, plain.findings) == (gapped.judgement, gapped.findings)
    assert gapped.note.endswith("A gap")
    (told,) = judge(Register({"c": claim}, {}, ""), findings, {}, {"c": "a cause", "d": "another"})
    assert told == replace(plain, why="a cause")


def test_every_claim_has_one_verdict_in_the_register_s_order():
    verdicts = judge(read_register(), [], {})
    assert tuple(v.claim.id for v in verdicts) == IDS
    assert all(v.judgement == NOT_RUN and v.claim.experiment in v.note for v in verdicts)


def test_the_headline_counts_tests_and_theory_apart_and_checks_not_at_all():
    kinds = (
        ("test", "as claimed"), ("test", "opposite"), ("test", "as claimed"), ("test", NOT_RUN),
        ("theory", "as claimed"), ("theory", BLOCKED), ("check", "as claimed"), ("check", "undecided"),
    )  # fmt: skip
    verdicts = [replace(verdict([]), claim=replace(CLAIM, kind=kind), judgement=said) for kind, said in kinds]
    counted = (
        "Of 4 tests: 2 as claimed, 1 opposite, 1 not run. "
        "Of 2 claims of theory: 1 as claimed, 1 not testable here. Of {} checks of our own code: {} run, {} failed."
    )
    assert headline(verdicts) == counted.format(2, 2, "none")
    broken = replace(verdicts[-1], claim=replace(CLAIM, id="identity", kind="check"), judgement="not above the bar")
    idle = replace(broken, judgement=NOT_RUN)
    assert headline([*verdicts, broken, idle]) == counted.format(4, 3, "identity")
    assert headline(verdicts[:4]) == "Of 4 tests: 2 as claimed, 1 opposite, 1 not run."


# Tables


@given(FINDINGS, st.sampled_from(["", "a gap"]), st.sampled_from(["", "a cause"]))
def test_the_table_shows_every_finding_and_renders(findings, gap, why):
    told = replace(verdict(findings, gap=gap), why=why)
    table = verdict_table([told])
    assert sum(row[4] not in ("note", "why") for row in table.rows) == max(1, len(findings))
    assert [row[0] for row in table.rows if row[0]] == ["c"]
    assert [row[8] for row in table.rows if row[4] == "why"] == ([why] if why else [])
    assert any(gap in row[8] for row in table.rows)
    for render in (to_text, to_markdown, to_csv):
        assert render(table)
    json.dumps(to_dict(table), allow_nan=False)


def test_the_register_for_readers():
    register = read_register()
    listed, rules = register_table(register), register_table(register, rules=True)
    assert tuple(row[0] for row in listed.rows) == IDS
    every = [part for claim in register.claims.values() for part in claim.parts.values()]
    assert [row[5:] for row in rules.rows if row[4] != "rule" and row[0] != "gate"] == [
        (part.measure, part.unit, part.asked, part.reason) for part in every
    ]
    assert [row[5] for row in rules.rows if row[4] == "rule"] == [claim.rule for claim in register.claims.values()]
    assert [row[1] for row in rules.rows if row[0] == "gate"] == list(register.gates)


# A register that is wrong

GOOD = """[a]
kind = "test"
statement = "s"
source = "s"
tier = "synthetic"
experiment = "recovery"
right_if = "r"
rule = "r"
[a.parts.p]
measure = "m"
unit = "%"
reason = "r"
sesoi = 1.0
"""


def read(folder: Path, text: str) -> Register:
    path = folder / "claims.toml"
    path.write_text(text)
    return read_register(path)


@pytest.mark.parametrize(("old", "new", "told"), [
    ("[a]", "[a", "line 1"), ("[a]", "b = 1\n[a]", r"b is not a table; write \[b\]"),
    ('rule = "r"\n', "", r"\[a\] Object missing required field `rule`"),
    ('rule = "r"', "rule = 3", r"\[a\] Expected `str`, got `int` - at `\$\.rule`"),
    ('rule = "r"', 'rule = "r"\nrul = 1', r"\[a\] has the unknown fields rul$"),
    ('rule = "r"', 'rule = "r"\nid = "b"', r"\[a\] has the unknown fields id$"),
    ('"test"', '"tset"', r"\[a\] Invalid enum value 'tset' - at `\$\.kind`"),
    ('"synthetic"', '"real"', r"\[a\] Invalid enum value 'real' - at `\$\.tier`"),
    ('rule = "r"', 'rule = "r"\ncombine = "some"', r"\[a\] Invalid enum value 'some' - at `\$\.combine`"),
    ('rule = "r"', 'rule = "r"\ngates = ["g"]', r"\[a\] names the gate 'g'; declare \[gates\.g\]"),
    ('rule = "r"', 'rule = "r"\nfigures = { dense = inf }', r"\[a\] figures must be finite numbers"),
    ("[a.parts.p]", "[a.prts.p]", r"\[a\] has the unknown fields prts"),
    ("[a.parts.p]", "[a.parts]", r"\[a\] Expected `object`, got `str` - at `\$\.parts"),
    ("sesoi = 1.0", "sesoi = 1.0\nseso = 1", r"\[a\.parts\.p\] has the unknown fields seso$"),
    ("sesoi = 1.0", 'sesoi = "1"', r"\[a\] Expected `float \| null`, got `str` - at `\$\.parts"),
    ("sesoi = 1.0", "sesoi = true", r"\[a\] Expected `float \| null`, got `bool` - at `\$\.parts"),
    ("sesoi = 1.0", "sesoi = nan", r"\[a\] its figures must be finite numbers - at `\$\.parts"),
    ("sesoi = 1.0", "sesoi = 0", r"\[a\] sesoi must be above 0"),
    ("sesoi = 1.0", "", r"\[a\] give either sesoi, of an effect, or bar, of a bound"),
    ("sesoi = 1.0", "sesoi = 1.0\nessential = false", r"\[a\] no part is essential"),
    ("sesoi = 1.0", "sesoi = 1.0\nclaimed = 0.5", r"\[a\] claimed is of an effect, and not below sesoi"),
    ('reason = "r"', 'reason = ""', r"\[a\] say the reason"),
    ("[a]", '[gates.g]\nwhat = "w"\n[a]', r"\[gates\] Object missing required field `reason`"),
    ("[a]", "gates = 3\n[a]", r"\[gates\] Expected `object`, got `int`"),
])  # fmt: skip
def test_a_wrong_register_is_refused_by_file_and_field(tmp_path, old, new, told):
    assert list(read(tmp_path, GOOD).claims) == ["a"]
    assert old in GOOD
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'claims.toml'))}: .*{told}"):
        read(tmp_path, GOOD.replace(old, new, 1))


def test_a_register_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read \(No such file"):
        read_register(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes\.toml: "):
        read_register(tmp_path / "bytes.toml")
