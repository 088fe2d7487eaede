"""Quality after a budget of CPU time."""

from bench.dev.speed_quality import quality
from causalrec.interactions import from_rows, leave_one_out


def test_training_stops_when_the_budget_is_spent_and_reports_both_rules_for_seen_items(capsys):
    split = leave_one_out(from_rows([[1 + (user + step) % 5 for step in range(8)] for user in range(20)], num_items=5))
    asked, how = {"length": 6, "width": 8}, {"batch": 8, "learning_rate": 0.01, "seen": "kept"}
    found = quality(split, "sasrec", asked, how, budget=0.01, seed=0)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("epoch    1 ")
    assert len(said) == 2
    assert set(found) == {"kept", "filtered"}
    assert found == quality(split, "sasrec", asked, how, budget=0.01, seed=0)
    longer = quality(split, "sasrec", asked, how | {"epochs": 40}, budget=1e3, seed=0)
    assert longer["kept"][1] > max(0.6, found["kept"][1])
