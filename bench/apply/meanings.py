"""What the diagnostics of a learned graph mean for the learner that found it, in one sentence each."""

from collections.abc import Mapping
from typing import Any

from bench.methods.learners import ENTRIES

ORDERED = ("boss", "eqvar", "exact", "r2_sort", "random_order", "variance_sort")  # they choose an order first
PENALISED = ("notears", "dagma", "golem_ev", "golem_nv", "attention_free", "peer.notears", "peer.dagma", "peer.golem")
UNIT_FREE = ("boss", "r2_sort", "random_order", "peer.lingam", "peer.pc", "peer.ges", "peer.boss")


def meanings(method: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence by the name that `causalrec.graph.Graph.told` gives a diagnostic.

    Args:
        method: The learner's name.
        options: Its options that were given.
    """
    entry = ENTRIES.get(method)
    kind = method if entry is None else str(entry.kind.name)
    score = options.get("score", entry.options.get("score") if entry else None)
    return {
        "varsortability of the graph": f"Near 1, variances rise from cause to effect; {_units(method, kind, score)}.",
        "R2-sortability of the graph": "Near 1 or 0, the share of its variance that all others explain orders the "
        f"variables, in any units; {_shares(method, kind)}.",
        "h of W before the threshold": f"0 without a cycle; {_acyclic(method, kind)}.",
        "nodes on a cycle before the threshold": f"0 where the W that {method} found is a DAG already.",
        "nodes on a cycle after it": "Above 0, the weakest edges of cycles had to be removed, and the direction of the "
        "rest is doubtful.",
        "converged": f"{_converged(method, kind)}.",
    }


def _units(method: str, kind: str, score: object) -> str:
    if kind == "variance_sort":
        return f"{method} orders by variance, so 1 is no evidence"
    if kind in UNIT_FREE or score == "unequal":
        return f"{method} does not use the units of the variables"
    if ":" in method:
        return "if your learner uses the units of the variables, see whether the graph stays with --standardize"
    return f"{method} uses the units of the variables, which may then have decided: see what stays with --standardize"


def _shares(method: str, kind: str) -> str:
    if kind == "r2_sort":
        return f"{method} orders by it, so 1 is no evidence"
    return f"then the control r2_sort should find much of what {method} finds"


def _acyclic(method: str, kind: str) -> str:
    if kind in ORDERED:
        return f"{method} chooses an order first, so it is 0 whatever the data"
    if kind in PENALISED:
        return f"{method} drives it towards 0, what is left are cycles of small weights or a search that ended early"
    return f"nothing is known to make {method} free of cycles, so above 0 the threshold decides"


def _converged(method: str, kind: str) -> str:
    if kind in PENALISED and not method.startswith("peer."):
        return f"If not, {method} ended before it met its tolerance; change that by --option, or --standardize"
    if kind == "boss":
        return f"{method} ends only where no variable has a better place in the order, so it is always a yes"
    if kind in ORDERED or kind == "attention_closed":
        return f"{method} needs no iterations, so only data that allow no regression would make it a no"
    return f"As far as {method} tells; a W without an error counts as a yes"
