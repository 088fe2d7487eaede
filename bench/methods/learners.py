"""Every graph learner that an experiment can name: what tables call it, what it costs, which code makes its results.

A name is one of `ENTRIES`, a class of `causalrec.structure` or of `bench.methods.peers`, perhaps with fixed options; or
it is a function of the user's own, `package.module:function`, see `bench.methods.user_learner`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.errors import InputError
from bench.methods import peers, user_learner
from bench.methods.user_code import PEER, definition
from causalrec.registry import Registry
from causalrec.structure import Learner
from causalrec.structure.own import UserLearner
from causalrec.structure.registry import LEARNERS, make


@dataclass(frozen=True)
class Entry:
    """A graph learner as experiments name it.

    Args:
        title: what tables call it.
        kind: its class.
        options: the options that the name fixes.
        seconds: CPU-seconds per graph over nodes^2.2, on one thread in batches of 4.
        search_seconds: CPU-seconds per graph over 2^nodes, for a search over all orders.
        most_nodes: the most nodes that it takes; None is no limit.
    """

    title: str
    kind: type[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 2e-7
    search_seconds: float = 0.0
    most_nodes: int | None = None


SLOW = 1e-2  # `Entry.seconds` of what nobody has measured: peers, and a user's own function
LASSO = {"refit": "lasso_bic"}
ENTRIES: Registry[Entry] = {
    "attention_closed": Entry("attention, closed form", LEARNERS["attention_closed"]),
    "attention_free": Entry("attention, free W", LEARNERS["attention_free"], seconds=4e-4),
    "boss": Entry("BOSS", LEARNERS["boss"], seconds=5e-5),
    "colide_ev": Entry("CoLiDE-EV", LEARNERS["colide_ev"], seconds=4e-5),
    "colide_nv": Entry("CoLiDE-NV", LEARNERS["colide_nv"], seconds=4e-5),
    "dagma": Entry("log-determinant path", LEARNERS["dagma"], seconds=3e-5),
    "eqvar": Entry("EqVar", LEARNERS["eqvar"]),
    "exact": Entry("exact, equal variances", LEARNERS["exact"], search_seconds=2e-6, most_nodes=14),
    "golem_ev": Entry("GOLEM-EV", LEARNERS["golem_ev"], seconds=4e-5),
    "golem_nv": Entry("GOLEM-NV", LEARNERS["golem_nv"], seconds=6e-5),
    "notears": Entry("NOTEARS", LEARNERS["notears"], seconds=4e-5),
    "oracle": Entry("known order (oracle)", LEARNERS["oracle"]),
    "r2_sort": Entry("R2 sort (control)", LEARNERS["r2_sort"]),
    "random_order": Entry("random order (control)", LEARNERS["random_order"]),
    "variance_sort": Entry("variance sort (control)", LEARNERS["variance_sort"]),
    "eqvar_lasso": Entry("EqVar, lasso refit", LEARNERS["eqvar"], LASSO, seconds=1e-6),
    "eqvar_bic": Entry("EqVar, BIC refit", LEARNERS["eqvar"], {"refit": "bic"}, seconds=1e-6),
    "eqvar_bottom_up": Entry("EqVar bottom-up", LEARNERS["eqvar"], {"direction": "bottom_up"}),
    "boss_dag": Entry("BOSS, one DAG of its class", LEARNERS["boss"], {"orient": "dag"}, seconds=5e-5),
    "notears_exponential": Entry(
        "NOTEARS, exponential h", LEARNERS["notears"], {"acyclicity": "exponential"}, seconds=1e-4
    ),
    "exact_l1": Entry(
        "exact, equal variances, L1", LEARNERS["exact"], {"score": "equal_l1"}, search_seconds=3e-5, most_nodes=14
    ),
    "exact_unequal": Entry("exact, BIC", LEARNERS["exact"], {"score": "unequal"}, search_seconds=3e-6, most_nodes=14),
    "attention_root": Entry("attention, root of S", LEARNERS["attention_closed"], {"mixing": "root"}),
    "oracle_lasso": Entry("known order, lasso refit (oracle)", LEARNERS["oracle"], LASSO, seconds=1e-6),
    "peer.dagma": Entry("DAGMA (peer)", peers.Dagma, seconds=SLOW),
    "peer.notears": Entry("NOTEARS (peer)", peers.Notears, seconds=SLOW),
    "peer.golem": Entry("GOLEM (peer)", peers.Golem, seconds=SLOW),
    "peer.lingam": Entry("DirectLiNGAM (peer)", peers.Lingam, seconds=SLOW),
    "peer.pc": Entry("PC (peer)", peers.PC, seconds=SLOW),
    "peer.ges": Entry("GES (peer)", peers.GES, seconds=SLOW),
    "peer.boss": Entry("BOSS (peer)", peers.Boss, seconds=SLOW),
}


def names() -> tuple[str, ...]:
    """Every name that can be listed."""
    return tuple(ENTRIES)


def load(name: str, **options: Any) -> Learner:
    """Make a learner.

    Args:
        name: a name of `ENTRIES`, or a user's `package.module:function`.
        options: fields of the learner's class, beside those that the name fixes.

    Raises:
        InputError: no such learner or option (the message lists the valid ones), or a peer that is not installed.
    """
    if ":" in name:
        if options:
            raise InputError(f"{name} is a function of your own and has no option {', '.join(options)}")
        return user_learner.load(name)
    entry = _entry(name)
    learner: Learner = make(name, entry.kind, **{**entry.options, **options})
    if isinstance(learner, peers.Peer):
        learner.prepare()
    return learner


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise InputError(
            f"no learner is called {name!r}; choose one of {', '.join(names())}, or a function of your own as "
            "package.module:function"
        )
    return ENTRIES[name]


def title(name: str) -> str:
    """What tables call a learner.

    Args:
        name: the learner; a user's function is called by its own name.
    """
    return ENTRIES[name].title if name in ENTRIES else name


def code(name: str) -> tuple[str, ...]:
    """The definitions that make a learner's results, for `bench.cells.fingerprint`.

    Args:
        name: the learner.
    """
    return (definition(UserLearner if ":" in name else _entry(name).kind),)


def identity(name: str) -> str:
    """What else makes a learner's results, for a cell's parameters.

    Args:
        name: the learner.

    Returns:
        a built-in's fixed options, the version of a peer's package, or the hash of a user's source.
    """
    if ":" in name:
        return user_learner.version(name)
    entry = _entry(name)
    if issubclass(entry.kind, peers.Peer):
        return entry.kind.version()
    return " ".join(f"{option}={value}" for option, value in sorted(entry.options.items()))


def needs_rows(name: str) -> bool:
    """Whether a learner needs samples, so that it cannot run on an exact covariance.

    Args:
        name: the learner.
    """
    return ":" in name or name.startswith(PEER)


def can_run(name: str, nodes: int, samples: int | None) -> bool:
    """Whether a learner takes problems of a size.

    Args:
        name: the learner.
        nodes: variables of the graph.
        samples: rows per problem; None is the exact covariance.
    """
    most = ENTRIES[name].most_nodes if name in ENTRIES else None
    return (most is None or nodes <= most) and not (samples is None and needs_rows(name))


def seconds(name: str, nodes: int, samples: int | None) -> float:
    """Expected CPU-seconds per graph.

    Args:
        name: the learner.
        nodes: variables of the graph.
        samples: rows per problem; None is the exact covariance.
    """
    entry = ENTRIES.get(name)
    if entry and entry.search_seconds:
        return entry.search_seconds * 2.0**nodes
    fit: float = (entry.seconds if entry else SLOW) * nodes**2.2
    if entry and entry.options == LASSO and samples and samples < 2 * nodes:  # the path of the plain lasso is longer
        fit *= 1 + nodes / 150
    return fit + 1e-7 * (samples or 0) * nodes
