"""The registry of recommenders: every entry is what its module says, and none is in another's key."""

import json
import subprocess
import sys

import pytest

from bench.cells.fingerprint import ROOT
from bench.errors import InputError
from bench.experiments.model.recommend import plan
from bench.methods import recommenders as models
from bench.methods.recommenders import CONTROLS, ENTRIES, PEERS, RIVALS, TRAINED, load
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from causalrec.recommender import Recommender


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_what_its_role_says(name):
    entry = ENTRIES[name]
    kind, options = load(entry.place)
    assert kind.__module__ == entry.module
    assert bool(entry.grid) == (name in CONTROLS)
    if name in CONTROLS:
        assert options is None
    if name in TRAINED:
        assert options is not None
        assert issubclass(kind, Recommender) != entry.pairs


def test_every_name_has_one_title_and_one_role():
    assert len({entry.title for entry in ENTRIES.values()}) == len(ENTRIES)
    assert sorted((*CONTROLS, *RIVALS, *PEERS, "causalrec", "best_possible")) == sorted(ENTRIES)


@pytest.mark.parametrize("place", ["causalrec.model:Magic", "causalrec.magic:Model", "causalrec.model"])
def test_a_class_that_is_not_there_is_refused(place):
    with pytest.raises(InputError, match="no class of a recommender"):
        load(place)


CHANGED = """
import json
from bench import models
from bench.plan import Setup
from bench.presets import PRESETS
from bench.trials import plan
print(json.dumps(sorted(cell.key for cell in plan(Setup(PRESETS["smoke"], 0, "cpu")))))
"""


def test_a_new_entry_leaves_every_other_key_as_it_is(tmp_path):
    """In a copy of the tree with one more control, all cells planned before are planned with the same keys."""
    for part in ("bench", "causalrec", "synth"):
        for path in (ROOT / part).rglob("*"):
            if path.suffix in (".py", ".toml", ".css"):
                place = tmp_path / path.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
    registry = tmp_path / "bench" / "models.py"
    text = registry.read_text()
    place = '    "item_knn": Entry('
    entry = '    "first": Entry("first", "causalrec.rivals.first:First", "control", grid=({},)),'
    assert text.count(place) == 1
    registry.write_text(text.replace(place, f"{entry}\n{place}"))
    (tmp_path / "causalrec" / "rivals" / "first.py").write_text("class First: pass\n")
    ran = subprocess.run([sys.executable, "-c", CHANGED], cwd=tmp_path, capture_output=True, text=True, check=True)
    before, after = {cell.key for cell in plan(Setup(PRESETS["smoke"], 0, "cpu"))}, set(json.loads(ran.stdout))
    assert before < after
    assert len(after - before) == PRESETS["smoke"].world_seeds
    assert models.__file__ == str(ROOT / "bench" / "models.py")
