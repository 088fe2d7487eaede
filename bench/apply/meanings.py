"""What the diagnostics of a learned graph mean for the learner that found it, in one sentence each."""

from collections.abc import Mapping
from typing import Any

from bench.methods.learners import ENTRIES

ORDERED = ("eqvar", "exact", "r2_sort", "random_order", "variance_sort")  # they choose an order first
PENALISED = (
    "notears", "dagma", "golem_ev", "golem_nv", "colide_ev", "colide_nv", "attention_free",
    "peer.notears", "peer.dagma", "peer.golem",
)  # fmt: skip
UNIT_FREE = ("r2_sort", "random_order", "peer.lingam", "peer.pc", "peer.ges", "peer.boss")
EQUAL = ("eqvar", "exact", "golem_ev", "peer.golem")  # they assume equal noise variances
LEAST_SQUARES = ("notears", "dagma", "peer.notears", "peer.dagma")


def meanings(method: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence by the name that `causalrec.graph.Graph.told` gives a diagnostic.

    Args:
        method: The learner's name.
        options: Its options that were given.
    """
    entry = ENTRIES.get(method)
    kind = method if entry is None else str(entry.kind.name)
    score = options.get("score", entry.options.get("score") if entry else None)
    unequal = score == "unequal" or options.get("equal_variances") is False
    return {
        "varsortability of the graph": f"Near 1, variances rise from cause to effect; {_units(method, kind, score)}.",
        "R2-sortability of the graph": "Near 1, the share of its variance that all others explain rises from cause to "
        f"effect, in any units; {_shares(method, kind)}.",
        "edges that stay when standardised": "Of all edges found as given or from standardised variables, the share in "
        f"both; {_staying(method, kind, score)}.",
        "ratio of residual variances": "Largest over smallest of what the causes leave of a variable's variance; "
        f"{_noises(method, kind, unequal)}.",
        "ratio at least (95 %)": "Well above 1, noise variances differ, or edges are wrong or missing; near 1 they "
        "hardly differ, however small p is.",
        "ratio at most (95 %)": "Near 1, noise variances are all but equal; far from it, the samples are too few to "
        "say so.",
        "p of equal residual variances": "Below 0.05, noise variances differ, or edges are wrong or, as those under "
        f"the threshold, missing; {_rejected(method, kind, unequal)}.",
        "margin of the order": "Above 1, an order by conditional variances finds this graph in its own model; "
        f"{_margin(method, kind)}.",
        "margin in standard errors": f"Below 2, other samples may turn the order; {_errors(method, kind, unequal)}.",
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
        return "if your learner uses the units of the variables, see how many edges stay when standardised"
    return f"{method} uses the units of the variables, which may then have decided: see what stays when standardised"


def _shares(method: str, kind: str) -> str:
    if kind == "r2_sort":
        return f"{method} orders by it, so 1 is no evidence"
    return f"then the control r2_sort should find much of what {method} finds"


def _staying(method: str, kind: str, score: object) -> str:
    if kind in UNIT_FREE or score == "unequal":
        return f"1 by construction, as {method} does not use units"
    if ":" in method:
        return "below 1, your learner uses the units of the variables"
    return f"below 1, the units of the variables decided the rest for {method}"


def _noises(method: str, kind: str, unequal: bool) -> str:
    if kind in EQUAL and not unequal:
        return f"{method} assumes a true ratio of 1"
    if kind in LEAST_SQUARES:
        return f"{method} fits by least squares, which finds the order for sure only at a true ratio of 1"
    return "see whether your learner assumes 1" if ":" in method else f"{method} does not assume 1"


def _rejected(method: str, kind: str, unequal: bool) -> str:
    if kind in (*EQUAL, *LEAST_SQUARES) and not unequal:
        return f"either speaks against the order of {method}"
    return "see whether your learner allows for the first" if ":" in method else f"{method} allows for the first alone"


def _margin(method: str, kind: str) -> str:
    if kind == "eqvar":
        return f"{method} sought this order, so look how far above"
    return f"otherwise eqvar disagrees with {method}"


def _errors(method: str, kind: str, unequal: bool) -> str:
    if kind in (*EQUAL, *LEAST_SQUARES) and not unequal:
        return f"above 3, the samples suffice for {method} where noise variances are equal"
    return f"it says what eqvar could tell, and {method} goes by other things"


def _acyclic(method: str, kind: str) -> str:
    if kind in ORDERED:
        return f"{method} chooses an order first, so it is 0 whatever the data"
    if kind in PENALISED:
        return f"{method} drives it towards 0, what is left are cycles of small weights or a search that ended early"
    return f"nothing is known to make {method} free of cycles, so above 0 the threshold decides"


def _converged(method: str, kind: str) -> str:
    if kind in PENALISED and not method.startswith("peer."):
        return f"If not, {method} ended before it met its tolerance; change that by --option, or --standardize"
    if kind in ORDERED or kind == "attention_closed":
        return f"{method} needs no iterations, so only data that allow no regression would make it a no"
    return f"As far as {method} tells; a W without an error counts as a yes"
