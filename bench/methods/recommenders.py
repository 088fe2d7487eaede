"""Every recommender that an experiment can name: those of `causalrec`, the bounds, other packages', a user's own."""

from bench.errors import InputError
from bench.methods.rectools import RecTools
from bench.methods.user_code import definition
from bench.methods.user_recommender import UserScorer
from causalrec.methods.recommenders import ENTRIES as SHIPPED
from causalrec.methods.recommenders import Entry, Role
from causalrec.registry import Registry
from synth.behaviour import BehaviourWorld

OWN = "own"  # the entry of every class of a user's own

ENTRIES: Registry[Entry] = {
    **SHIPPED,
    "best_possible": Entry("best possible", BehaviourWorld, None, "bound"),
    "best_without_r": Entry("best possible without R", BehaviourWorld, None, "bound"),
    "rectools_sasrec": Entry("SASRec (RecTools)", RecTools, None, "peer", cost=4.0),
    "rectools_bert4rec": Entry("BERT4Rec (RecTools)", RecTools, None, "peer", cost=6.0),
    OWN: Entry("your own", UserScorer, None, "own"),
}


def find(name: str) -> Entry:
    """The entry of a recommender.

    Args:
        name: a name of `ENTRIES`, or a user's `package.module:Class`.

    Raises:
        InputError: no such recommender; the message lists the valid ones.
    """
    entry = ENTRIES.get(OWN if ":" in name else name)
    if entry is None:
        raise InputError(f"no recommender is called {name!r}; choose one of {', '.join(ENTRIES)}")
    return entry


def code(name: str) -> tuple[str, ...]:
    """The definitions that make a recommender's results, for `bench.cells.fingerprint`.

    Args:
        name: the recommender.
    """
    kind = find(name).kind
    return (definition(kind), *(("bench.methods.rectools_script",) if kind is RecTools else ()))


def named(*roles: Role) -> tuple[str, ...]:
    """The names of all recommenders in some roles, in the order of tables.

    Args:
        roles: the roles.
    """
    return tuple(name for name, entry in ENTRIES.items() if entry.role in roles)


CONTROLS, RIVALS, PEERS = named("control"), named("rival"), named("peer")
TRAINED = named("rival", "twin", "leak", "causalrec")
NEURAL = tuple(name for name in TRAINED if not ENTRIES[name].pairs)  # what `fit` trains, on any device
# What needs the time of every action.
TIMED = tuple(
    name for name, entry in ENTRIES.items() if getattr(entry.kind, "needs_times", False) or "times" in entry.options
)
