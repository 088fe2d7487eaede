"""The strategies themselves: what they draw is valid, and they reach the corners that the properties rest on."""

import inspect
import json
import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from bench.judge.bars import TRUTHS
from bench.judge.intervals import Interval
from causalrec.acyclicity import is_acyclic
from causalrec.interactions import to_sequences
from causalrec.methods.canonical import plain
from synth.graphs import is_dag
from synth.scm import NOISES
from tests import strategies

SEARCH = settings(max_examples=5000, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
DOCUMENT = json.dumps({"format": 1, "options": {"width": 8, "names": ["a", "b"]}})


def edges(G) -> int:
    return int(np.asarray(G).sum())


def complete(G) -> bool:
    return edges(G) == len(G) * (len(G) - 1) // 2


def in_order(G) -> bool:
    return bool((np.tril(G, -1) == G).all())


def no_ties(row) -> bool:
    return not repeated(row.tolist())


def finite(array) -> bool:
    return bool(np.isfinite(np.asarray(array, dtype=np.float64)).all())


def whole(array) -> bool:
    values = np.asarray(array)
    return bool((values == np.round(values)).all())


def longest(rows) -> int:
    return max(map(len, rows), default=0)


def repeated(row) -> bool:
    return len(set(row)) < len(row)


def leaves(value) -> list:
    inside = value.values() if isinstance(value, dict) else value
    return [leaf for part in inside for leaf in leaves(part)] if isinstance(value, dict | list) else [value]


def utf8(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


# --- what every value must be ---


def valid_attention(inputs) -> bool:
    q, k, v, mask, relation = inputs
    batch, heads, length, width = q.shape
    return (
        k.shape == q.shape
        and v.shape == (batch, heads, length, 4 * width)
        and relation.shape == (batch, length, length)
        and not relation.triu().any()
        and torch.equal((mask == 0).any(-1), torch.ones_like(mask[..., 0], dtype=torch.bool))
        and all(part.isfinite().all() for part in (q, k, v))
    )


def valid_batch(items, most: int = 12) -> bool:
    real = items > 0
    left_padded = bool((real[:, 1:] >= real[:, :-1]).all())
    known = bool(real.any(1).all()) and 0 <= items.min() <= items.max() <= most
    return items.dtype == torch.int64 and left_padded and known


def valid_timed(batch) -> bool:
    items, times = batch
    real = items > 0
    rising = bool((times.diff(dim=1)[real[:, :-1]] >= 0).all())
    return valid_batch(items) and times.shape == items.shape and rising and not times[~real].any() and whole(times)


def valid_scores(table) -> bool:
    scores, targets = table
    known = (targets.target >= 1) & (targets.target <= scores.shape[1])
    return scores.shape[0] == len(targets.target) and bool(known.all()) and finite(scores)


def valid_scm(scm) -> bool:
    return bool(is_dag(scm.graph)) and finite(scm.covariance) and bool((scm.noise_scale > 0).all())


def valid_world(world) -> bool:
    laws = np.concatenate([world.exogenous_law, world.child_law[world.child_law.any(axis=1)]], axis=None)
    sums = np.r_[world.exogenous_law.sum(axis=1), world.child_law.sum(axis=1)]
    return bool((laws >= 0).all()) and bool((np.isclose(sums, 1) | (sums == 0)).all())


def valid_interactions(rows) -> bool:
    return len(to_sequences(rows).items) == len(rows)


def valid_json(value) -> bool:
    return json.loads(json.dumps(plain(value), allow_nan=False)) == value


def valid_arrays(arrays) -> bool:
    return all(isinstance(name, str) and array.dtype.kind in "fib" for name, array in arrays.items())


def valid_actions(rows) -> bool:
    return 1 <= len(rows) <= 12 and all(user and item and 0 <= time <= 2**31 for user, item, time in rows)


def valid_weights(W, largest: float) -> bool:
    sizes = W[W != 0].abs()
    return W.dtype == torch.float64 and bool(((sizes >= 0.1) & (sizes <= largest)).all()) and not W.diagonal().any()


def valid_covariances(S) -> bool:
    return bool((np.swapaxes(S, 1, 2) == S).all()) and bool((np.linalg.eigvalsh(S) > 0).all())


def valid_samples(X) -> bool:
    different = len(np.unique(X, axis=1).T) == X.shape[1]
    return finite(X) and different and bool((np.ptp(X, axis=0) > 0).all())


def valid_names(names) -> bool:
    return not repeated(names) and all(name.isprintable() and not _number(name) for name in names)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def valid_xml(names) -> bool:
    allowed = all(c in "\t\n\r" or ord(c) >= 32 for name in names for c in name)
    return allowed and not repeated(names) and all(names)


def valid_interval(interval: Interval | None) -> bool:
    return interval is None or interval.low <= interval.estimate <= interval.high


def valid_attention_scm(A) -> bool:
    return bool((A >= 0).all()) and bool(np.allclose(A.sum(1), 1)) and not np.triu(A, 1).any()


def valid_effects(W) -> bool:
    weights = W[W != 0].tolist()
    return W.dtype == torch.float64 and not W.diagonal(dim1=1, dim2=2).any() and not repeated(weights)


def valid_series(figure) -> bool:
    lines = [line for panel in figure.panels for line in panel.series]
    return all(len(line.y) == len(line.x) and finite(line.x) for line in lines)


def valid_links(figure) -> bool:
    links = [link for panel in figure.panels for link in panel.links]
    return all(link.cause != link.effect and max(link.cause, link.effect) < len(figure.nodes) for link in links)


STRATEGIES: dict[str, tuple[st.SearchStrategy, Callable[..., bool], dict[str, Callable[..., bool]]]] = {
    "attention_inputs": (
        strategies.attention_inputs(),
        valid_attention,
        {
            "one position": lambda x: x[0].shape[2] == 1,
            "padding": lambda x: bool((x[3][:, ..., -1, 0] != 0).any()),
            "no padding": lambda x: not bool((x[3][..., -1, :] != 0).any()) and x[0].shape[2] > 2,
            "no relation": lambda x: x[0].shape[2] > 2 and not x[4].any(),
        },
    ),
    "item_batches": (
        strategies.item_batches(),
        valid_batch,
        {
            "one row": lambda x: len(x) == 1,
            "one item in a row": lambda x: bool(((x > 0).sum(1) == 1).any()),
            "a full row": lambda x: bool((x > 0).all(1).any()),
            "an item twice in a row": lambda x: any(repeated([i for i in row if i]) for row in x.tolist()),
            "first and last item": lambda x: {1, 12} <= set(x.flatten().tolist()),
        },
    ),
    "timed_batches": (
        strategies.timed_batches(),
        valid_timed,
        {
            "two actions at once": lambda x: bool(((x[1].diff(dim=1) == 0) & (x[0][:, :-1] > 0)).any()),
            "a long gap": lambda x: bool((x[1].diff(dim=1) >= 1000).any()),
            "padding": lambda x: bool((x[0] == 0).any()),
        },
    ),
    "score_tables": (
        strategies.score_tables(),
        valid_scores,
        {
            "one user": lambda x: len(x[0]) == 1,
            "all scores tie": lambda x: bool((x[0] == x[0][:, :1]).all()),
            "no scores of a user tie": lambda x: any(no_ties(row) for row in x[0]),
            "the target ties": lambda x: bool(((x[0] == _own(x)).sum(1) > 1).any()),
            "the target is first alone": lambda x: bool(((x[0] >= _own(x)).sum(1) == 1).any()),
            "the target is in the history": lambda x: any(
                t in x[1].history.row(u) for u, t in enumerate(x[1].target)
            ),
            "a user of the fewest actions": lambda x: 2 in x[1].history.lengths(),
            "every item seen": lambda x: any(
                len(set(x[1].history.row(u))) == x[0].shape[1] for u in range(len(x[0]))
            ),
        },
    ),
    "generators": (
        strategies.generators(),
        lambda rng: isinstance(rng, np.random.Generator),
        {"the first seed": lambda rng: rng.bit_generator.state == np.random.default_rng(0).bit_generator.state},
    ),
    "digraphs": (
        strategies.digraphs(),
        lambda G: G.dtype == bool and G.shape == (len(G), len(G)) and not G.diagonal().any(),
        {
            "one node": lambda G: len(G) == 1,
            "no edge": lambda G: len(G) > 2 and not G.any(),
            "every edge": lambda G: len(G) > 2 and edges(G) == len(G) * (len(G) - 1),
            "a two-cycle": lambda G: bool((G & G.T).any()),
            "a cycle without a two-cycle": lambda G: not (G & G.T).any() and not is_dag(G),
            "a DAG that is not in order": lambda G: bool(is_dag(G)) and not in_order(G),
            "the most nodes": lambda G: len(G) == 8,
        },
    ),
    "dags": (
        strategies.dags(),
        lambda G: G.dtype == bool and bool(is_dag(G)),
        {
            "one node": lambda G: len(G) == 1,
            "no edge": lambda G: len(G) > 2 and not G.any(),
            "a complete DAG": lambda G: len(G) > 2 and complete(G),
            "a complete DAG that is not in order": lambda G: len(G) > 2 and complete(G) and not in_order(G),
            "a collider": lambda G: bool((G.sum(axis=1) > 1).any()),
            "a fork": lambda G: bool((G.sum(axis=0) > 1).any()),
            "a path of three edges": lambda G: bool(np.linalg.matrix_power(G.astype(int), 3).any()),
            "a node alone beside an edge": lambda G: G.any() and not (G | G.T).any(axis=1).all(),
            "the most nodes": lambda G: len(G) == 8,
        },
    ),
    "linear_scms": (
        strategies.linear_scms(),
        valid_scm,
        {
            **{f"noise {noise}": lambda scm, noise=noise: scm.noise == noise for noise in NOISES},
            "one node": lambda scm: scm.nodes == 1,
            "no effect": lambda scm: scm.nodes > 2 and not scm.B.any(),
            "effects of both signs": lambda scm: (scm.B > 0).any() and (scm.B < 0).any(),
            "equal variances": lambda scm: scm.nodes > 2 and np.ptp(scm.noise_scale) < 1e-9,
            "very unequal variances": lambda scm: scm.noise_scale.max() > 4 * scm.noise_scale.min(),
        },
    ),
    "worlds": (
        strategies.worlds(),
        valid_world,
        {
            "no cause": lambda world: not world.graph.any(),
            "hidden parents": lambda world: len(world.children) > world.num_items + 1 and world.hidden_rate > 0,
            "no hidden parents": lambda world: len(world.children) == world.num_items + 1,
            "a forced item": lambda world: world.forced_item > 0 and world.forced_share > 0,
            "nothing forced": lambda world: world.forced_item == 0,
            "one segment": lambda world: len(world.segment_laws) == 1,
            "no memory beyond the last item": lambda world: world.horizon == 1,
        },
    ),
    "interactions": (
        strategies.interactions(),
        valid_interactions,
        {
            "no action": lambda x: len(x) == 0,
            "one action": lambda x: len(x) == 1,
            "no times": lambda x: x.times is None and len(x) > 0,
            "equal times of one user": lambda x: (
                x.times is not None and repeated([*zip(x.users, x.times, strict=True)])
            ),
            "times that fall": lambda x: x.times is not None and bool((np.diff(x.times) < 0).any()),
            "times before 1970": lambda x: x.times is not None and bool((x.times < 0).any()),
            "a user's item twice": lambda x: repeated([*zip(x.users, x.items, strict=True)]),
            "a user of one action among longer ones": lambda x: {1, 3} <= set(Counter(x.users.tolist()).values()),
            "a label that nobody uses": lambda x: len(x) > 5 and len(set(x.items)) < len(x.item_labels),
            "a user just long enough to be asked": lambda x: 3 in Counter(x.users.tolist()).values(),
        },
    ),
    "json_values": (
        strategies.json_values(),
        valid_json,
        {
            "nothing": lambda x: x is None,
            "a number beyond 64 bits": lambda x: any(isinstance(v, int) and abs(v) > 2**64 for v in leaves(x)),
            "minus zero": lambda x: "-0.0" in map(repr, leaves(x)),
            "a number near 0": lambda x: any(isinstance(v, float) and 0 < abs(v) < 1e-300 for v in leaves(x)),
            "an empty list": lambda x: x == [],
            "an empty key": lambda x: isinstance(x, dict) and "" in x,
            "a list in a dict": lambda x: isinstance(x, dict) and any(isinstance(v, list) for v in x.values()),
            "text that is not ASCII": lambda x: any(isinstance(v, str) and not v.isascii() for v in leaves(x)),
        },
    ),
    "json_objects": (
        strategies.json_objects(),
        lambda x: isinstance(x, dict) and valid_json(x),
        {"empty": lambda x: not x, "nested": lambda x: any(isinstance(v, dict) and v for v in x.values())},
    ),
    "named_arrays": (
        strategies.named_arrays(),
        valid_arrays,
        {
            "none": lambda x: not x,
            "no axis": lambda x: any(array.ndim == 0 for array in x.values()),
            "no entry": lambda x: any(array.size == 0 for array in x.values()),
            "NaN": lambda x: any(array.dtype.kind == "f" and np.isnan(array).any() for array in x.values()),
            "infinity": lambda x: any(array.dtype.kind == "f" and np.isinf(array).any() for array in x.values()),
            **{f"dtype {d}": lambda x, d=d: any(a.dtype == d for a in x.values()) for d in ("f8", "f4", "i8", "?")},
        },
    ),
    "samples": (
        strategies.samples(),
        lambda x: 1 <= len(x) <= 30 and finite(x),
        {
            "one value": lambda x: len(x) == 1,
            "constant": lambda x: len(x) > 2 and len(set(x)) == 1,
            "a repeat": lambda x: repeated(x) and len(set(x)) > 1,
            "no repeat": lambda x: len(x) > 4 and not repeated(x),
            "of both signs": lambda x: min(x) < 0 < max(x),
            "the largest": lambda x: max(map(abs, x)) == 1e6,
        },
    ),
    "crossed_matrices": (
        strategies.crossed_matrices(),
        lambda x: x.ndim == 2 and min(x.shape) >= 2 and finite(x),
        {
            "nothing varies": lambda x: np.ptp(x) == 0,
            "seeds alone vary": lambda x: np.ptp(x) > 0 and np.ptp(x, axis=1).max() < 1e-12,
            "users alone vary": lambda x: np.ptp(x) > 0 and np.ptp(x, axis=0).max() < 1e-12,
            "the rest hides the seeds": lambda x: x.mean(axis=1).var(ddof=1) * x.shape[1] < x.var(axis=1, ddof=1).min(),
        },
    ),
    "number_ids": (
        strategies.number_ids(),
        str.isdigit,
        {"the smallest": lambda x: x == "0", "a long one": lambda x: len(x) == 6},
    ),
    "ids": (
        strategies.ids("x"),
        lambda x: bool(x) and utf8(x) and len(x.splitlines()) == 1 and not set(x) & set("\0\ufeffx"),
        {"a quote": lambda x: '"' in x, "a tab": lambda x: "\t" in x, "blanks alone": str.isspace},
    ),
    "text_ids": (
        strategies.text_ids(),
        lambda x: bool(x) and utf8(x) and not set(x) & set("\0\r\n\t,;\"\ufeff"),
        {"a space": str.isspace, "not ASCII": lambda x: not x.isascii(), "six characters": lambda x: len(x) == 6},
    ),
    "action_rows": (
        strategies.action_rows(strategies.text_ids()),
        valid_actions,
        {
            "one action": lambda x: len(x) == 1,
            "an action twice": repeated,
            "a pair at two times": lambda x: repeated([row[:2] for row in set(x)]),
            "the epoch": lambda x: any(time == 0 for *_, time in x),
        },
    ),
    "weighted": (
        strategies.weighted(strategies.digraphs()),
        lambda W: valid_weights(W, 1.2),
        {
            "no weight": lambda W: len(W) > 2 and not W.any(),
            "a DAG": lambda W: bool(W.any() and is_acyclic(W)),
            "a cycle": lambda W: not is_acyclic(W),
            "both signs": lambda W: bool((W > 0).any() and (W < 0).any()),
        },
    ),
    "covariances": (
        strategies.covariances(),
        valid_covariances,
        {"two nodes": lambda S: S.shape == (3, 2, 2), "five nodes": lambda S: S.shape == (3, 5, 5)},
    ),
    "parts": (
        strategies.parts(),
        lambda part: all(part.truth(truth) is not None for truth in TRUTHS),
        {
            "a bound from above": lambda part: part.bar is not None and part.large,
            "a bound from below": lambda part: part.bar is not None and not part.large,
            "an effect of a claimed size": lambda part: part.claimed is not None,
            "an effect of none": lambda part: part.sesoi is not None and part.claimed is None,
            "beside": lambda part: not part.essential,
        },
    ),
    "claims": (
        strategies.claims(),
        lambda claim: set(claim.parts) == {"first", "second"} and claim.parts["first"].essential,
        {
            "a check": lambda claim: claim.kind == "check",
            "one is enough": lambda claim: claim.combine == "any" and claim.parts["second"].essential,
            "all have to": lambda claim: claim.combine == "all" and claim.parts["second"].essential,
            "a part beside": lambda claim: not claim.parts["second"].essential,
            "behind a gate": lambda claim: bool(claim.gates),
        },
    ),
    "findings": (
        strategies.findings(),
        lambda x: valid_interval(x.estimate) and (x.estimate is not None or x.blocked),
        {
            "no estimate": lambda x: x.estimate is None,
            "blocked beside an estimate": lambda x: x.estimate is not None and x.blocked,
            "an interval of no width": lambda x: x.estimate is not None and x.estimate.half_width == 0,
            "nowhere": lambda x: x.where == "",
        },
    ),
    "sample_matrices": (
        strategies.sample_matrices(),
        valid_samples,
        {
            "two rows": lambda X: len(X) == 2,
            "one column": lambda X: X.shape[1] == 1,
            "whole numbers": whole,
            "huge": lambda X: np.abs(X).max() > 1e15,
            "tiny": lambda X: np.abs(X).max(axis=0).min() < 1e-15,
        },
    ),
    "column_names": (
        strategies.column_names(3),
        lambda names: len(names) == 3 and valid_names(names),
        {
            "a delimiter": lambda names: any(set(name) & set(",;|") for name in names),
            "a quote": lambda names: any(set(name) & set("\"'") for name in names),
            "a space inside": lambda names: any(" " in name for name in names),
        },
    ),
    "hostile_files": (
        strategies.hostile_files(),
        lambda data: isinstance(data, bytes),
        {
            "empty": lambda data: not data,
            "a zero byte": lambda data: b"\0" in data,
            "a byte-order mark": lambda data: data.startswith(b"\xef\xbb\xbf"),
            "a broken NumPy header": lambda data: data.startswith(b"\x93NUMPY"),
            "not UTF-8": lambda data: data.decode("utf-8", "ignore").encode() != data,
            "a number": lambda data: data.strip() in (b"1", b"2.5", b"-3e4", b"7", b"0x1p3"),
            "two columns": lambda data: any(len(line.split(b",")) == 2 for line in data.split(b"\n")),
        },
    ),
    "node_names": (
        strategies.node_names(3),
        lambda names: len(names) == 3 and valid_xml(names),
        {
            "markup": lambda names: any(set(name) & set("<>&") for name in names),
            "the end of CDATA": lambda names: any("]]>" in name for name in names),
            "a line end": lambda names: any(set(name) & set("\r\n") for name in names),
            "beyond 16 bits": lambda names: any(ord(c) > 0xFFFF for name in names for c in name),
        },
    ),
    "curve_figures": (
        strategies.curve_figures(),
        valid_series,
        {
            "no panel": lambda x: not x.panels,
            "an empty panel": lambda x: any(not panel.series for panel in x.panels),
            "an empty line": lambda x: any(not line.x for panel in x.panels for line in panel.series),
            "a gap": lambda x: any(np.isnan(line.y).any() for panel in x.panels for line in panel.series),
            "bounds": lambda x: any(line.low for panel in x.panels for line in panel.series),
        },
    ),
    "grid_figures": (
        strategies.grid_figures(),
        lambda x: all(np.shape(p.values) == (len(x.y_ticks), len(x.x_ticks)) for p in x.panels),
        {
            "no panel": lambda x: not x.panels,
            "a cell not run": lambda x: any(np.isnan(panel.values).any() for panel in x.panels),
            "no cell run": lambda x: any(np.isnan(panel.values).all() for panel in x.panels),
            "marks": lambda x: any(panel.marks for panel in x.panels),
        },
    ),
    "forest_figures": (
        strategies.forest_figures(),
        lambda x: all(len(p.intervals) == len(x.rows) and all(map(valid_interval, p.intervals)) for p in x.panels),
        {
            "no row": lambda x: not x.rows and bool(x.panels),
            "no interval": lambda x: any(None in panel.intervals for panel in x.panels),
            "no width": lambda x: any(i is not None and i.half_width == 0 for p in x.panels for i in p.intervals),
            "no bound": lambda x: any(i is not None and not i.bounded for p in x.panels for i in p.intervals),
        },
    ),
    "network_figures": (
        strategies.network_figures(),
        valid_links,
        {
            "no node": lambda x: not x.nodes and bool(x.panels),
            "no link": lambda x: bool(x.nodes) and any(not panel.links for panel in x.panels),
            "links both ways": lambda x: any(
                repeated([frozenset((link.cause, link.effect)) for link in panel.links]) for panel in x.panels
            ),
        },
    ),
    "softmax_attentions": (
        strategies.softmax_attentions(),
        valid_attention_scm,
        {
            "one node": lambda A: len(A) == 1,
            "every row attends to itself alone": lambda A: len(A) > 2 and np.array_equal(A, np.eye(len(A))),
            "equal weights": lambda A: len(A) > 2 and np.allclose(A[-1], 1 / len(A)),
            "some rows alone": lambda A: 1 < (A.diagonal() == 1).sum() < len(A),
        },
    ),
    "effect_batches": (
        strategies.effect_batches(),
        valid_effects,
        {
            "no effect": lambda W: W.shape[1] > 2 and not W.any(),
            "every effect": lambda W: W.shape[1] > 2 and (W != 0).sum() == W.numel() - len(W) * W.shape[1],
            "one position": lambda W: W.shape[1] == 1,
            "one sequence": lambda W: len(W) == 1,
            "both signs": lambda W: bool((W > 0).any() and (W < 0).any()),
        },
    ),
    "damages": (
        strategies.damages(DOCUMENT),
        lambda text: isinstance(text, str),
        {
            "empty": lambda text: not text,
            "a key dropped": lambda text: _keys(text) == {"options"},
            "a key added": lambda text: len(_keys(text)) == 3,
            "a place inside changed": lambda text: _keys(text) == {"format", "options"} and '"names"' not in text,
            "nested too deep": lambda text: text.startswith("[" * 4000),
            "NaN": lambda text: "NaN" in text,
        },
    ),
    "intervals": (
        strategies.intervals(),
        lambda x: valid_interval(x) and x.level in (0.95, 0.99),
        {
            "no width": lambda x: x.half_width == 0,
            "one bound": lambda x: math.isinf(x.low) != math.isinf(x.high),
            "no bound": lambda x: math.isinf(x.low) and math.isinf(x.high),
            "another level": lambda x: x.level == 0.99,
        },
    ),
    "runs": (
        strategies.runs(),
        lambda run: not repeated([v.claim.id for v in run.verdicts]) and not repeated([p.name for p in run.parts]),
        {
            "no verdict": lambda run: not run.verdicts,
            "a verdict without findings": lambda run: any(not v.findings for v in run.verdicts),
            "a finding beside": lambda run: any({f.part for f in v.findings} == {*"pq"} for v in run.verdicts),
            "no estimate": lambda run: any(f.estimate is None for v in run.verdicts for f in v.findings),
            "a table without rows": lambda run: any(not part.table.rows for part in run.parts),
            "two rows of one name": lambda run: any(repeated([r[0] for r in p.table.rows]) for p in run.parts),
        },
    ),
    "item_rows": (
        strategies.item_rows(),
        lambda rows: 1 <= len(rows) <= 6 and longest(rows) <= 6 and all(1 <= i <= 6 for row in rows for i in row),
        {
            "no item at all": lambda rows: not longest(rows),
            "an empty row beside others": lambda rows: [] in rows and longest(rows) > 0,
            "an item twice in a row": lambda rows: any(map(repeated, rows)),
            "an item twice running": lambda rows: any(a == b for row in rows for a, b in pairwise(row)),
        },
    ),
}


def _own(table) -> torch.Tensor:
    """The score of each user's target, (users, 1)."""
    scores, targets = table
    return scores.gather(1, torch.from_numpy(targets.target - 1)[:, None])


def _keys(text: str) -> set[str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    return set(document) if isinstance(document, dict) else set()


def test_every_strategy_is_tested():
    """A public function of the strategies that draws: all but the makers of rows, which take a generator."""
    public = {
        name
        for name, value in vars(strategies).items()
        if callable(value) and getattr(value, "__module__", "") == strategies.__name__ and not name.startswith("_")
    }
    makers = {name for name in public if "rng" in inspect.signature(getattr(strategies, name)).parameters}
    assert public - makers == set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_drawn_is_valid(name):
    strategy, valid, _ = STRATEGIES[name]

    @given(strategy)
    def check(value):
        assert valid(value)

    check()


CORNERS = [(name, corner) for name, (_, _, corners) in STRATEGIES.items() for corner in corners]


@pytest.mark.parametrize(("name", "corner"), CORNERS)
def test_corners_are_reached(name, corner):
    strategy, _, corners = STRATEGIES[name]
    find(strategy, corners[corner], settings=SEARCH)
