import pytest

from bench import mutation
from bench.cell import ROOT
from bench.mutation import Mutant, read_reasons, write_table

DIFF = """--- a.py
+++ a.py
@@ -3,4 +3,4 @@
     x = 1
     return f(
-        x,
+        None,
     )"""


def test_a_change_is_found_at_its_line():
    assert mutation._change(DIFF) == (4, "x, → None,")


def test_functions_and_methods_are_found_by_name():
    starts, lines = mutation._starts("bench/statistics.py"), (ROOT / "bench/statistics.py").read_text().split("\n")
    assert lines[starts["holm"] - 1].startswith("def holm(")
    assert lines[starts["Interval.within"] - 1].startswith("    def within(")


@pytest.mark.parametrize(
    ("code", "status"), [(1, "killed"), (-24, "timeout"), (0, "survived"), (33, "survived"), (None, "not run")]
)
def test_exit_codes(code, status):
    assert mutation._status(code) == status


def test_the_table_counts_and_says_what_is_not_explained():
    mutants = [Mutant("f", 3, "a → b", "killed"), Mutant("f", 4, "b → c", "survived")] + [
        Mutant("g", 9, "a → b", "timeout")
    ] * 6
    text, good = write_table({"m.py": mutants}, {"m.py": {"f: b → c": ("equivalent", "b is c")}})
    assert "| `m.py` | 8 | 1 | 6 | 1 | 0 | 87.5 % |" in text
    assert "**equivalent** (1): b is c\n\n- 4 `f`: `b → c`" in text
    assert good
    text, good = write_table({"m.py": mutants}, {})
    assert "**unexplained** (1)" in text
    assert not good
    assert not write_table({"m.py": mutants[:2]}, {"m.py": {"f: b → c": ("equivalent", "b is c")}})[1]


def test_every_reason_is_of_a_class_and_names_a_function_that_is_there():
    for module, known in read_reasons().items():
        assert module in mutation._modules()
        starts = mutation._starts(module)
        for label, (kind, why) in known.items():
            assert kind in ("equivalent", "message", "performance", "device")
            assert why
            assert label.partition(":")[0] in starts, label


def test_without_mutmut_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(mutation.shutil, "which", lambda *_, **__: None)
    assert mutation.main() == 2
    assert 'pip install -e ".[mutation]"' in capsys.readouterr().err
