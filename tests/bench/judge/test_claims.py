"""The register, and the rule by which findings become a verdict."""

import json
import re
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.experiments import EXPERIMENTS
from bench.judge.claims import REGISTER, Claim, Finding, Gate, Margins, judge, read_register
from bench.show.tables import to_csv, to_dict, to_markdown, to_text
from bench.show.verdicts import register_table, verdict_table
from tests.bench.made_up import bare, judged, recovered
from tests.strategies import claims, findings

IDS = (
    "equal-variance-identifies", "layernorm-identifies", "attention-is-scm", "acyclicity-converges",
    "discovery-recovers", "beats-rivals", "foursquare-gain", "beats-each-rival", "booster-matters",
    "boost-beats-filter", "alpha-window", "lambda-saturates", "unequal-variance-breaks", "false-edges-hurt",
    "cubic-cost", "graph-is-not-popularity",
)  # fmt: skip
BETTER = ("contradicted", "inconclusive", "partly", "reproduced")
CLAIM = Claim("c", "It is so", "Sec. 1", "recovery", "It holds where it holds.")


def verdict(outcomes, gap="", combine="parts"):
    found = [Finding("c", str(number), outcome, None) for number, outcome in enumerate(outcomes)]
    (only,) = judge({"c": replace(CLAIM, combine=combine)}, found, {"c": gap} if gap else {})
    return only


COMBINE = st.sampled_from(["parts", "all"])


def test_the_register_has_its_claims():
    register = read_register()
    assert tuple(register) == IDS
    for name, claim in register.items():
        assert claim.id == name
        assert claim.statement
        assert claim.source
        assert claim.rule
        assert claim.right_if
        assert bool(claim.experiment) != bool(claim.why_not)
        assert claim.margin is None or (claim.margin > 0 and claim.reason)
        assert claim.combine in ("parts", "all")


def without_experiment(register: dict[str, Claim]) -> dict[str, str]:
    """By claim, the experiment that it names and that does not exist."""
    return {claim.id: claim.experiment for claim in register.values() if claim.experiment not in (*EXPERIMENTS, "")}


def test_every_claim_names_an_experiment_that_exists(tmp_path):
    assert without_experiment(read_register()) == {}
    wrong = copy_of_register(tmp_path, 'experiment = "recovery"', 'experiment = "recvery"')
    assert without_experiment(read_register(wrong)) == {"equal-variance-identifies": "recvery"}


def test_the_papers_figures_are_the_papers():
    register = read_register()
    assert register["beats-rivals"].claimed == {"hr10": 0.0721, "ndcg10": 0.0865}
    assert register["foursquare-gain"].claimed == {"hr10": 0.1465, "ndcg10": 0.1549}


@pytest.mark.parametrize(
    ("outcomes", "gap", "by_parts", "all_claimed"),
    [
        ("h", "", "reproduced", "reproduced"),
        ("hh", "", "reproduced", "reproduced"),
        ("h", "a dataset", "partly", "partly"),
        ("hf", "", "partly", "contradicted"),
        ("hu", "", "partly", "inconclusive"),
        ("hfu", "", "partly", "contradicted"),
        ("hf", "a dataset", "partly", "contradicted"),
        ("hu", "a dataset", "partly", "inconclusive"),
        ("f", "", "contradicted", "contradicted"),
        ("ff", "", "contradicted", "contradicted"),
        ("f", "a dataset", "contradicted", "contradicted"),
        ("u", "", "inconclusive", "inconclusive"),
        ("fu", "", "inconclusive", "contradicted"),
        ("u", "a dataset", "inconclusive", "inconclusive"),
        ("", "", "not run", "not run"),
        ("", "a dataset", "not run", "not run"),
    ],
)
def test_the_rule_as_a_table(outcomes, gap, by_parts, all_claimed):
    said = [{"h": "holds", "f": "fails", "u": "unclear"}[letter] for letter in outcomes]
    assert verdict(said, gap).judgement == by_parts
    assert verdict(said, gap, "all").judgement == all_claimed


@pytest.mark.parametrize(("outcomes", "by_parts"), [("h", "reproduced"), ("fu", "inconclusive"), ("", "not run")])
def test_a_claim_behind_a_gate_is_judged_only_where_the_run_passed_it(outcomes, by_parts):
    said = [{"h": "holds", "f": "fails", "u": "unclear"}[letter] for letter in outcomes]
    found = [Finding("c", str(number), outcome, None) for number, outcome in enumerate(said)]
    register = {"c": replace(CLAIM, gate="control")}

    def judged(**gates):
        (only,) = judge(register, found, {"c": "a gap"} if outcomes == "fu" else {}, gates=gates)
        return only

    shut = "not testable here" if outcomes else "not run"
    assert judged(control=Gate(True, "seen")).judgement == by_parts
    for verdict, why in ((judged(control=Gate(False, "unseen")), "unseen"), (judged(), "not part of this run")):
        assert verdict.judgement == shut
        assert (why in verdict.note) == bool(outcomes)
        assert ("a gap" in verdict.note) == (outcomes == "fu")
        assert len(verdict.findings) == len(outcomes)


OUTCOMES = st.lists(st.sampled_from(["holds", "fails", "unclear"]), min_size=1, max_size=5)


@given(OUTCOMES, st.sampled_from(["", "a gap"]), COMBINE)
def test_one_more_failure_never_helps(outcomes, gap, combine):
    before, after = verdict(outcomes, gap, combine), verdict([*outcomes, "fails"], gap, combine)
    assert BETTER.index(after.judgement) <= BETTER.index(before.judgement)


@given(OUTCOMES, COMBINE)
def test_what_was_left_out_never_helps(outcomes, combine):
    without, whole = verdict(outcomes, "a gap", combine), verdict(outcomes, "", combine)
    assert BETTER.index(without.judgement) <= BETTER.index(whole.judgement)


@given(OUTCOMES, st.sampled_from(["", "a gap"]))
def test_to_claim_all_parts_is_never_judged_more_kindly(outcomes, gap):
    assert BETTER.index(verdict(outcomes, gap, "all").judgement) <= BETTER.index(verdict(outcomes, gap).judgement)


def test_only_a_claim_all_of_whose_parts_hold_is_reproduced():
    for count in (1, 2, 3):
        for outcomes in combinations_with_replacement(("holds", "fails", "unclear"), count):
            assert (verdict(outcomes).judgement == "reproduced") == (set(outcomes) == {"holds"})
            assert (verdict(outcomes).judgement == "contradicted") == (set(outcomes) == {"fails"})
            assert (verdict(outcomes, "", "all").judgement == "contradicted") == ("fails" in outcomes)


@given(st.data(), claims(), st.lists(findings(), max_size=6), st.sampled_from(["", "a gap"]))
def test_order_is_irrelevant_and_nothing_is_lost(data, claim, found, gap):
    gaps = {claim.id: gap} if gap else {}
    (before,) = judge({claim.id: claim}, found, gaps)
    (after,) = judge({claim.id: claim}, data.draw(st.permutations(found)), gaps)
    assert (after.judgement, after.note) == (before.judgement, before.note)
    assert before.findings == tuple(found)
    assert sorted(map(repr, after.findings)) == sorted(map(repr, found))


def test_no_findings_is_not_run_with_the_reason():
    assert verdict([]).note == "run `python cli.py run recovery`"
    assert verdict([], "no data").note == "no data"
    untested = Claim("c", "It is so", "Sec. 1", "", "It holds.", why_not="nothing measures it")
    (only,) = judge({"c": untested}, [], {})
    assert (only.judgement, only.note) == ("not run", "nothing measures it")


def test_every_claim_has_one_verdict_in_the_registers_order():
    register = read_register()
    verdicts = judge(register, [], {})
    assert [v.claim.id for v in verdicts] == list(register)
    assert all(v.judgement == "not run" and v.note for v in verdicts)


@given(st.lists(findings(), max_size=5), claims(), st.sampled_from(["", "a gap"]), st.sampled_from(["", "a cause"]))
def test_the_table_shows_every_part_and_renders(found, claim, gap, why):
    (verdict,) = judge({claim.id: claim}, found, {claim.id: gap} if gap else {}, {claim.id: why} if why else {})
    assert verdict.judgement == judge({claim.id: claim}, found, {claim.id: gap} if gap else {})[0].judgement
    table = verdict_table([verdict])
    assert sum(row[2] not in ("left out", "why") for row in table.rows) == max(1, len(found))
    assert [row[5] for row in table.rows if row[2] == "why"] == ([why] if why else [])
    assert [row[0] for row in table.rows if row[0]] == [claim.id]
    if gap:
        assert any(gap in row for row in table.rows)
    for render in (to_text, to_markdown, to_csv):
        assert render(table)
    json.dumps(to_dict(table), allow_nan=False)


def test_the_register_for_readers():
    table = register_table(read_register())
    assert [row[0] for row in table.rows] == list(IDS)
    assert {row[3] for row in table.rows} <= {*EXPERIMENTS, "none yet"}
    rules = register_table(read_register(), rules=True)
    assert [row[0] for row in rules.rows] == list(IDS)
    told = [(row[1], *row[3:5]) for row in rules.rows]
    assert told == [(c.right_if, c.rule, c.margin) for c in read_register().values()]


# Margins


def copy_of_register(folder: Path, old: str, new: str) -> Path:
    text = REGISTER.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / "claims.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("margin", "judgement"), [("0.9", "reproduced"), ("0.999", "inconclusive"), ("0.5", "reproduced")]
)
def test_an_edited_margin_changes_the_verdict(tmp_path, margin, judgement):
    """All of 60 graphs of each kind recovered: the lower bound is 0.94, over 0.9 and under 0.999."""
    register = read_register(copy_of_register(tmp_path, "margin = 0.9\n", f"margin = {margin}\n"))
    setup = bare()
    found = recovered(setup, lambda n: 0.5 if n == setup.preset.structure.samples[0] else 1.0)
    assert judged("recovery", setup, found, register)["equal-variance-identifies"].judgement == judgement


def test_a_margin_that_is_asked_for_must_be_declared(tmp_path):
    register = read_register(copy_of_register(tmp_path, "margin = 0.9\n", ""))
    with pytest.raises(InputError, match=r"'equal-variance-identifies' needs a margin in claims\.toml"):
        Margins(register).of("equal-variance-identifies")


# A register that is wrong

GOOD = 'statement = "s"\nsource = "s"\nexperiment = "recovery"\nrule = "r"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a\n", "line 1"),
        ("a = 1\n", r"a is not a table; write \[a\]"),
        ("[a]\n" + GOOD.replace('rule = "r"\n', ""), r"\[a\] Object missing required field `rule`"),
        ("[a]\n" + GOOD.replace('"r"', "3"), r"\[a\] Expected `str`, got `int` - at `\$\.rule`"),
        ("[a]\n" + GOOD + "margn = 0.1\n", r"\[a\] has the unknown fields margn"),
        ("[a]\n" + GOOD + 'id = "b"\n', r"\[a\] has the unknown fields id"),
        ("[a]\n" + GOOD + "margin = 0.1\n", r"\[a\] margin must be a positive number and carry a reason"),
        ("[a]\n" + GOOD + 'margin = 0.1\nreason = ""\n', r"\[a\] margin must be"),
        ("[a]\n" + GOOD + 'margin = "0.1"\nreason = "r"\n', r"\[a\] .* got `str` - at `\$\.margin`"),
        ("[a]\n" + GOOD + 'margin = true\nreason = "r"\n', r"\[a\] .* got `bool` - at `\$\.margin`"),
        ("[a]\n" + GOOD + 'margin = 0\nreason = "r"\n', r"\[a\] margin must be"),
        ("[a]\n" + GOOD + 'margin = nan\nreason = "r"\n', r"\[a\] margin must be"),
        ("[a]\n" + GOOD + 'margin = inf\nreason = "r"\n', r"\[a\] margin must be"),
        ("[a]\n" + GOOD + 'combine = "any"\n', r'\[a\] combine must be "parts" or "all"'),
        ("[a]\n" + GOOD + "reason = 1\n", r"\[a\] Expected `str`, got `int` - at `\$\.reason`"),
        ("[a]\n" + GOOD + "claimed = 0.1\n", r"\[a\] Expected `object`, got `float` - at `\$\.claimed`"),
        ("[a]\n" + GOOD + 'claimed = { hr10 = "7 %" }\n', r"\[a\] .* got `str` - at `\$\.claimed\[\.\.\.\]`"),
        ("[a]\n" + GOOD + "claimed = { hr10 = nan }\n", r"\[a\] claimed must be a table of finite numbers"),
        ("[a]\n" + GOOD.replace("recovery", ""), r"\[a\] names no experiment; say why_not"),
    ],
)
def test_a_wrong_register_is_refused_by_file_and_claim(tmp_path, text, told):
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*{told}"):
        read_register(path)


def test_a_register_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read \(No such file"):
        read_register(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes\.toml: "):
        read_register(tmp_path / "bytes.toml")
