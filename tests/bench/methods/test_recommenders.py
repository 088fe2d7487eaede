"""The registry of recommenders: every entry is what its role says."""

import pytest
import torch

from bench.methods.recommenders import CONTROLS, ENTRIES, OWN, PEERS, TIMED, TRAINED, code, find
from causalrec.attention import Boost
from causalrec.methods.recommenders import OFFERED
from causalrec.model import CausalRecOptions
from causalrec.recommender import Recommender


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_what_its_role_says(name):
    entry = ENTRIES[name]
    assert bool(entry.grid) == (name in CONTROLS)
    assert (entry.options_of is not None) == (name in TRAINED)
    if name in TRAINED:
        assert entry.options_of.__name__ == f"{entry.kind.__name__}Options"
        assert issubclass(entry.kind, Recommender) != entry.pairs


def test_every_name_has_one_title_and_one_role():
    assert len({entry.title for entry in ENTRIES.values()}) == len(ENTRIES)
    assert sorted((*CONTROLS, *TRAINED, *PEERS, "best_possible", "best_without_r", OWN)) == sorted(ENTRIES)


def test_a_class_of_a_users_own_is_found_by_its_form_and_is_code_of_its_own():
    assert find("my.module:Mine") is ENTRIES[OWN]
    assert code("my.module:Mine") == ("bench.methods.user_recommender:UserScorer",)
    assert code("rectools_sasrec") == ("bench.methods.rectools:RecTools", "bench.methods.rectools_script")


def test_twins_and_leaks_are_settings_of_rivals_and_of_causalrec():
    rivals = {entry.kind for entry in ENTRIES.values() if entry.role in ("rival", "causalrec")}
    marked = {name: entry for name, entry in ENTRIES.items() if entry.role in ("twin", "leak")}
    assert list(marked) == ["sasrec_uniform", "hstu_time", "causalrec_off"]
    assert all(entry.kind in rivals and entry.options and name in TRAINED for name, entry in marked.items())
    assert "(leak)" in marked["hstu_time"].title
    off = ENTRIES["causalrec_off"]
    assert CausalRecOptions(9, **off.options) == CausalRecOptions(9, boost=Boost(alpha=0.0))
    assert (off.beside, "causalrec_off" in OFFERED) == ("causalrec", False)


def test_what_needs_times_is_known_before_it_is_made():
    assert set(TIMED) == {"tisasrec", "hstu_time"}
    for name in TRAINED:
        entry = ENTRIES[name]
        if not entry.pairs:
            made = entry.kind(entry.options_of(9, **entry.options), torch.Generator())
            assert made.needs_times == (name in TIMED)
            assert made.needs_next_time == (entry.role == "leak")


def test_what_is_saved_is_one_name_per_class():
    kinds = sorted(entry.kind.__name__ for entry in OFFERED.values())
    assert kinds == sorted({entry.kind.__name__ for entry in OFFERED.values()})
    assert set(OFFERED) <= {*TRAINED, *CONTROLS}
