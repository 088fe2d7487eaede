"""Every Hypothesis strategy of the suite, by the room it serves."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bench.judge.bars import Part
from bench.judge.claims import Claim, Finding, Register, Verdict
from bench.judge.intervals import Interval
from bench.report.run_files import Part as Shown
from bench.report.run_files import RunFile
from bench.show.figures import Column, Curves, Forest, Grid, Link, Links, Map, Mark, Network, Panel, Series
from bench.show.tables import Table
from causalrec.attention import causal_mask
from causalrec.interactions import Interactions, Targets, from_rows, leave_one_out
from synth.behaviour import BehaviourWorld, draw_world
from synth.scm import NOISES, LinearSCM, draw_scm

# causalrec: attention, models, ranking


@st.composite
def attention_inputs(draw: st.DrawFn, values: int = 4) -> tuple[torch.Tensor, ...]:
    """q, k, v (b, h, l, f), the causal mask of left-padded rows and R (b, l, l) bool below the diagonal; float64."""
    batch, heads, length = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([0.1, 1.0, 4.0]))
    q, k, v = (
        torch.randn(batch, heads, length, width, dtype=torch.float64, generator=generator) * scale
        for width in (4, 4, values * 4)
    )
    padding = torch.randint(length, (batch, 1), generator=generator)
    mask = causal_mask(torch.arange(length) >= padding, torch.float64)
    relation = (torch.rand(batch, length, length, generator=generator) < 0.5).tril(-1)
    return q, k, v, mask, relation


@st.composite
def item_batches(draw: st.DrawFn, items: int = 12, length: int = 6) -> torch.Tensor:
    """Left-padded sequences (b, l) int64 of items 1..items, at least one real item in each."""
    batch = draw(st.integers(1, 4))
    rows = draw(
        st.lists(st.lists(st.integers(1, items), min_size=1, max_size=length), min_size=batch, max_size=batch)
    )
    return torch.tensor([[0] * (length - len(row)) + row for row in rows])


@st.composite
def timed_batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of `item_batches` and their times (b, l) float64, whole numbers that never fall, 0 at padding."""
    items = draw(item_batches())
    gaps = draw(hnp.arrays(np.int64, tuple(items.shape), elements=st.sampled_from([0, 1, 3, 7, 1000])))
    return items, torch.from_numpy(gaps.cumsum(1)).double() * (items != 0)


@st.composite
def score_tables(draw: st.DrawFn) -> tuple[torch.Tensor, Targets]:
    """Scores (users, items) with ties, and the test targets of leave-one-out on random sequences."""
    items = draw(st.integers(3, 9))
    rows = draw(st.lists(st.lists(st.integers(1, items), min_size=3, max_size=8), min_size=1, max_size=9))
    values = st.lists(st.integers(-3, 3), min_size=items, max_size=items)
    scores = draw(st.lists(values, min_size=len(rows), max_size=len(rows)))
    return torch.tensor(scores, dtype=torch.float64), leave_one_out(from_rows(rows, num_items=items)).test


# --- synth: graphs, SCMs, behaviour worlds ---


def generators() -> st.SearchStrategy[np.random.Generator]:
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def digraphs(draw: st.DrawFn, nodes: int | None = None) -> NDArray[np.bool_]:
    """Any graph without self-loops; [i, j] says j -> i."""
    n = draw(st.integers(1, 8)) if nodes is None else nodes
    return draw(hnp.arrays(np.bool_, (n, n))) & ~np.eye(n, dtype=bool)


@st.composite
def dags(draw: st.DrawFn, nodes: int | None = None) -> NDArray[np.bool_]:
    n = draw(st.integers(1, 8)) if nodes is None else nodes
    order = np.array(draw(st.permutations(range(n))))
    return np.tril(draw(hnp.arrays(np.bool_, (n, n))), k=-1)[np.ix_(order, order)]


@st.composite
def linear_scms(draw: st.DrawFn, nodes: int | None = None, equal_variances: bool = False) -> LinearSCM:
    graph, rng = draw(dags(nodes)), draw(generators())
    noise = draw(st.sampled_from(sorted(NOISES)))
    if equal_variances:
        scm = draw_scm(rng, graph, noise=noise)
        return LinearSCM(scm.B, scm.noise_scale * draw(st.floats(0.1, 10)), noise)
    return draw_scm(rng, graph, noise=noise, profile="random", ratio=draw(st.floats(1, 256)))


@st.composite
def worlds(draw: st.DrawFn, persistent: bool = False) -> BehaviourWorld:
    """Small behaviour worlds, with and without hidden parents and a forced item; causes persist only if asked for.

    A persistent world has parents that act often, so that what caused a step is worth knowing.
    """
    least = 0.3 if persistent else 0.0
    world = draw_world(
        draw(generators()),
        items=draw(st.integers(6, 15)),
        parents=draw(st.floats(least, 0.5)),
        segments=draw(st.integers(1, 3)),
        confounding=draw(st.floats(0, 1)),
        causal_share=draw(st.floats(least, 1)),
        decay=draw(st.floats(0.1, 1)),
        horizon=draw(st.integers(1, 4)),
        hidden_parents=draw(st.integers(0, 3)),
        hidden_rate=draw(st.floats(0, 1)),
        persistence=draw(st.floats(least, 1)) if persistent else 0.0,
    )
    forced = draw(st.integers(0, world.num_items))
    return world.force(forced, draw(st.floats(0, 0.9))) if forced else world


# causalrec.interactions, bench.datasets


@st.composite
def interactions(draw: st.DrawFn, timed: bool | None = None) -> Interactions:
    """Up to 60 actions of few users on few items, so that repeats, ties and cores occur; labels not in order."""
    rows = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(-4, 20)), max_size=60))
    users, items, times = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    with_times = draw(st.booleans()) if timed is None else timed
    user_labels = draw(st.permutations(["9", "10", "11", "ab", "b", "Z"]))
    item_labels = draw(st.permutations(["1", "2", "30", "4", "é", "x y", "007", "a"]))
    clock = times.astype(np.float64) if with_times else None
    return Interactions(users.copy(), items.copy(), clock, tuple(user_labels), tuple(item_labels))


# bench: cells, records, statistics


def json_values() -> st.SearchStrategy:
    """What a parameter or a metric may be: scalars, and lists and dicts of them."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    )


def json_objects() -> st.SearchStrategy[dict]:
    """Parameters of a cell or metrics of a record."""
    return st.dictionaries(st.text(max_size=6), json_values(), max_size=4)


@st.composite
def named_arrays(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Arrays as a cell returns them: any name, dtype and small shape, NaN and infinity included."""
    arrays = {}
    for name in draw(st.lists(st.text("abcdef_0123", min_size=1, max_size=5), unique=True, max_size=3)):
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        generator = np.random.default_rng(draw(st.integers(0, 2**31)))
        array = np.asarray(generator.normal(size=shape) * 100).astype(draw(st.sampled_from(["f8", "f4", "i8", "?"])))
        if array.size and array.dtype.kind == "f":
            array.flat[0] = draw(st.sampled_from([np.nan, np.inf, -0.0, 1.5]))
        arrays[name] = array
    return arrays


def samples(min_size: int = 1, max_size: int = 30) -> st.SearchStrategy[list[float]]:
    """Finite values, constant ones and repeats among them."""
    values = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float)
    return st.lists(values, min_size=min_size, max_size=max_size)


@st.composite
def crossed_matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Values (seeds, users), 2 to 6 of each, with seeds, users and the rest each large, small or nothing."""
    seeds, users, rng = draw(st.integers(2, 6)), draw(st.integers(2, 6)), draw(generators())
    scales = [draw(st.sampled_from([0.0, 0.1, 1.0, 5.0])) for _ in range(3)]
    parts = (rng.normal(size=(seeds, 1)), rng.normal(size=(1, users)), rng.normal(size=(seeds, users)))
    return np.asarray(sum((scale * part for scale, part in zip(scales, parts, strict=True)), np.zeros((seeds, users))))


def number_ids() -> st.SearchStrategy[str]:
    """Ids as the published files write them: whole numbers."""
    return st.integers(0, 10**6).map(str)


LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def ids(unfit: str = "") -> st.SearchStrategy[str]:
    """Every id that there may be: text without line ends, or without other characters as well."""
    unfit += "\0\ufeff" + LINE_ENDS
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters=unfit), min_size=1, max_size=6)


def text_ids() -> st.SearchStrategy[str]:
    """Ids that fit a field of any separated file without quotes."""
    return ids('\t,;"')


@st.composite
def action_rows(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> list[tuple[str, str, int]]:
    """User, item and whole unix time of 1 to 12 actions."""
    pool = draw(st.lists(ids, min_size=1, max_size=5))
    times = st.integers(0, 2**31)
    return draw(st.lists(st.tuples(st.sampled_from(pool), st.sampled_from(pool), times), min_size=1, max_size=12))


# causalrec: acyclicity, graph learners


@st.composite
def weighted(draw: st.DrawFn, graphs: st.SearchStrategy[NDArray[np.bool_]], largest: float = 1.2) -> torch.Tensor:
    """W (n, n) float64 on a drawn graph, |W[i, j]| in [0.1, largest] and of either sign on its edges."""
    graph, rng = draw(graphs), draw(generators())
    return torch.from_numpy(graph * rng.uniform(0.1, largest, graph.shape) * rng.choice([-1, 1], graph.shape))


@st.composite
def covariances(draw: st.DrawFn, problems: int = 3) -> NDArray[np.float64]:
    """Sample covariances (problems, n, n) of 60 rows of equal-variance SCMs with n in 2..5."""
    nodes = draw(st.integers(2, 5))
    samples = [draw(linear_scms(nodes, equal_variances=True)).sample(draw(generators()), 60) for _ in range(problems)]
    return np.stack([np.cov(X, rowvar=False) for X in samples])


# bench: claims


@st.composite
def parts(draw: st.DrawFn, essential: bool | None = None) -> Part:
    """An effect with and without a claimed size, or a bound from either side; one that decides if that is asked for."""
    about = {
        "units": draw(st.sampled_from(["", "worlds"])),
        "essential": draw(st.booleans()) if essential is None else essential,
        "interval": draw(st.sampled_from(["t", "share", "crossed"])),
    }
    if draw(st.booleans()):
        truths = {"stated": 0.9, "none": 0.1, "opposite": 0.0}
        return Part("m", "", "why", bar=draw(st.floats(-2, 2)), large=draw(st.booleans()), truths=truths, **about)
    sesoi = draw(st.floats(0.1, 2))
    claimed = draw(st.none() | st.floats(sesoi, 9))
    return Part("m", draw(st.sampled_from(["", "%"])), "why", sesoi=sesoi, claimed=claimed, **about)


@st.composite
def claims(draw: st.DrawFn, name: str = "some-claim") -> Claim:
    """A claim of any kind with the parts "first", which decides, and "second", behind a gate or none."""
    return Claim(
        name, draw(st.sampled_from(["test", "theory", "check"])), "It is so", "Sec. 1", "synthetic", "recovery", "So",
        "It holds where it holds.", {"first": draw(parts(essential=True)), "second": draw(parts())},
        draw(st.sampled_from(["all", "any"])), draw(st.sampled_from([(), ("control",)])),
    )  # fmt: skip


@st.composite
def findings(draw: st.DrawFn, claim: str = "some-claim") -> Finding:
    """What a run measured for a part of one of `claims`: an interval, of width 0 as well, or nothing behind a gate."""
    low, width, blocked = draw(st.floats(-9, 9)), draw(st.floats(0, 9)), draw(st.sampled_from(["", "", "no edge"]))
    estimate = None if blocked and draw(st.booleans()) else Interval(low + width / 2, low, low + width, 5)
    where, detail = draw(st.text("abc =+|", max_size=4)), draw(st.text("xyz|", max_size=4))
    return Finding(claim, draw(st.sampled_from(["first", "second"])), estimate, where, detail, blocked)


# bench: a user's own file, graphs for other tools


@st.composite
def sample_matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Samples (s, n) of which no column is constant and no two are equal, whole numbers and large ones among them."""
    rows, columns, rng = draw(st.integers(2, 12)), draw(st.integers(1, 5)), draw(generators())
    X = rng.normal(size=(rows, columns)) * 10.0 ** rng.integers(-20, 20, columns)
    return np.where(rng.random(columns) < 0.3, np.arange(rows)[:, None] * np.arange(2, columns + 2), X)


@st.composite
def column_names(draw: st.DrawFn, columns: int) -> list[str]:
    """Different names that can be shown, none of which reads as a number or a missing one; quotes and delimiters."""
    character = st.sampled_from("abz é=@-_#'\",;|") | st.characters(categories=["Lu", "Ll", "Lo"])
    name = st.lists(character, max_size=6).map(lambda parts: "v" + "".join(parts).rstrip())
    return draw(st.lists(name, min_size=columns, max_size=columns, unique=True))


def hostile_files() -> st.SearchStrategy[bytes]:
    """Bytes that may or may not be a table of numbers."""
    fields = st.sampled_from(
        ["1", "2.5", "-3e4", "1e999", "nan", "", "NA", "inf", "a", '"', '"1"', '"1,5"', " 7 ", "1_0", "0x1p3", "1,5",
         "\0", "\x1b[2J", "é", "\u2028", "\r", "True", "٣", "1e-200", "1e200", "#", "--"]
    )  # fmt: skip
    lines = st.lists(st.lists(fields, max_size=4), max_size=6)
    separators, ends = st.sampled_from([",", ";", "\t", ", ", "  "]), st.sampled_from(["\n", "\r\n", "\n\n", "\r"])
    joined = st.tuples(lines, separators, ends)
    text = joined.map(lambda part: part[2].join(part[1].join(line) for line in part[0]).encode())
    numpy_file = st.binary(max_size=80).map(lambda tail: b"\x93NUMPY\x01\x00" + tail)
    return text | text.map(lambda data: b"\xef\xbb\xbf" + data + b"\n") | st.binary(max_size=60) | numpy_file


def node_names(nodes: int) -> st.SearchStrategy[list[str]]:
    """As many different names, of any characters that XML 1.0 can hold: specials, line ends and spaces among them."""
    hostile = st.sampled_from(["<", ">", "&", '"', "'", "]]>", "&amp;", " ", "\t", "\n", "\r", "é", "𝔛", ",", ";", "="])
    plain = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    name = st.lists(hostile | plain, min_size=1, max_size=5).map("".join)
    return st.lists(name, min_size=nodes, max_size=nodes, unique=True)


# bench: figures


@st.composite
def _series(draw: st.DrawFn) -> Series:
    """Any finite x; y and its bounds with gaps, bounds infinite as well or none."""
    size = draw(st.integers(0, 5))
    finite = st.floats(-1e9, 1e9)

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=size, max_size=size))

    y, gaps = column(finite), column(st.just(float("nan")) | st.just(0.0))
    bounds = (column(finite | st.sampled_from([-np.inf, np.inf, np.nan])) for _ in range(2 * draw(st.booleans())))
    return Series(draw(st.text(max_size=6)), tuple(column(finite)), tuple(np.add(y, gaps)), *map(tuple, bounds))


@st.composite
def curve_figures(draw: st.DrawFn) -> Curves:
    """Up to three panels on linear axes, empty ones among them, with rules and levels."""
    lines = st.lists(st.tuples(st.floats(-1e3, 1e3), st.text(max_size=4)), max_size=2).map(tuple)
    panel = st.builds(Panel, st.text(max_size=4), st.lists(_series(), max_size=3).map(tuple), lines, lines)
    panels = st.lists(panel, max_size=3).map(tuple)
    return draw(st.builds(Curves, st.just("f"), st.text(max_size=9), st.just("x"), st.just("y"), panels))


@st.composite
def grid_figures(draw: st.DrawFn) -> Grid:
    """Up to two maps, cells not run and marks with gaps among them."""
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    cells = hnp.arrays(np.float64, (rows, columns), elements=st.floats(0, 1) | st.just(np.nan))
    matrix = cells.map(lambda a: tuple(map(tuple, a.tolist())))
    place = st.tuples(st.floats(-0.5, 3) | st.just(np.nan), st.floats(-0.5, 3))
    marks = st.lists(st.lists(place, min_size=1, max_size=3), max_size=2)
    panels = []
    for _ in range(draw(st.integers(0, 2))):
        bounds = [draw(matrix), draw(matrix)] if draw(st.booleans()) else [(), ()]
        lines = tuple(Mark(draw(st.text(max_size=4)), *zip(*points, strict=True)) for points in draw(marks))
        panels.append(Map(draw(st.text(max_size=4)), draw(matrix), *bounds, lines))
    ticks = (tuple(map(str, range(size))) for size in (columns, rows))
    return Grid("f", draw(st.text(max_size=9)), "x", "y", *ticks, tuple(panels))


@st.composite
def forest_figures(draw: st.DrawFn) -> Forest:
    """Up to three panels of up to four rows; an interval may be missing, of width 0 or without bounds."""
    low, width = st.floats(-1e3, 1e3), st.floats(0, 1e3)
    known = st.builds(lambda a, w: Interval(a + w / 2, a, a + w, 5), low, width)
    open_ended = low.map(lambda a: Interval(a, -np.inf, np.inf, 1))
    rows = draw(st.lists(st.text(max_size=9), max_size=4))
    intervals = st.tuples(*[st.none() | known | open_ended for _ in rows])
    panel = st.builds(Column, st.text(max_size=4), intervals, st.none() | low)
    return Forest("f", draw(st.text(max_size=9)), "x", tuple(rows), tuple(draw(st.lists(panel, max_size=3))))


@st.composite
def network_figures(draw: st.DrawFn) -> Network:
    """Up to three panels on up to seven nodes, without nodes and without links among them; any weights above 0."""
    nodes = draw(st.lists(st.text(max_size=9), max_size=7))
    pairs = [(j, i) for j in range(len(nodes)) for i in range(len(nodes)) if i != j]
    weights = st.floats(0, 1e9, exclude_min=True)
    link = st.builds(lambda ends, *more: Link(*ends, *more), st.sampled_from(pairs or [(0, 0)]), weights, st.booleans())
    ends = st.lists(link, max_size=8 if pairs else 0, unique_by=lambda link: (link.cause, link.effect)).map(tuple)
    panels = draw(st.lists(st.builds(Links, st.text(max_size=4), ends), max_size=3).map(tuple))
    return Network("f", draw(st.text(max_size=9)), "x", "y", tuple(nodes), panels, "faint")


# causalrec: attention read as an SCM


@st.composite
def softmax_attentions(draw: st.DrawFn, causal: bool = True) -> NDArray[np.float64]:
    """A (n, n), n in 1..7: A ≥ 0, A1 = 1; if causal, lower triangular. Some rows attend to themselves alone."""
    nodes, rng = draw(st.integers(1, 7)), draw(generators())
    weights = np.exp(rng.standard_normal((nodes, nodes)) * draw(st.sampled_from([0.0, 0.5, 1.0])))
    alone = rng.random(nodes) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    A = np.where(alone[:, None], np.eye(nodes), np.tril(weights) if causal else weights)
    return np.asarray(A / A.sum(1, keepdims=True))


# causalrec: readings


@st.composite
def effect_batches(draw: st.DrawFn, length: int = 5) -> torch.Tensor:
    """W (b, l, l) float64 of up to 3 sequences: a zero diagonal, some zeros, both signs, no ties but those zeros."""
    batch, size = draw(st.integers(1, 3)), draw(st.integers(1, length))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.normal(size=(batch, size, size)) * (rng.random((batch, size, size)) < draw(st.floats(0, 1)))
    return torch.from_numpy(weights * ~np.eye(size, dtype=bool))


# bench: files of a trained model


def damages(text: str) -> st.SearchStrategy[str]:
    """A JSON document with one place of it, at any depth, dropped, renamed or put in the place of another value."""
    odd = st.sampled_from(
        [None, True, -1, 0, 1, 2**40, 10**30, 0.5, -3.5, "", "../../etc/passwd", "\x1b[2J", [], {}, [1], {"a": 1}]
    )
    nested = st.integers(1, 30).map(lambda depth: "[" * depth * 4000 + "]" * depth * 4000)
    broken = st.sampled_from(["", "{", "null", "[]", "NaN", '{"format": NaN}', '{"seed": ' + "9" * 5000 + "}"])

    @st.composite
    def edited(draw: st.DrawFn) -> str:
        document = json.loads(text)
        inside: dict | list = document
        while True:
            keys = sorted(inside) if isinstance(inside, dict) else list(range(len(inside)))
            key = draw(st.sampled_from(keys))
            if isinstance(inside[key], dict | list) and inside[key] and draw(st.booleans()):
                inside = inside[key]
                continue
            action = draw(st.sampled_from(["drop", "replace", "add"]))
            if action == "add" and isinstance(inside, dict):
                inside[draw(st.text(max_size=5))] = draw(odd)
            elif action == "drop":
                del inside[key]
            else:
                inside[key] = draw(odd)
            return json.dumps(document)

    return edited() | nested | broken


# bench: runs read back


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    """Intervals around their estimate, of two levels, some of width zero or unbounded on a side."""
    estimate = draw(st.integers(-3, 3).map(float) | st.floats(-9, 9))
    half = st.just(0.0) | st.just(math.inf) | st.floats(0, 5)
    level = draw(st.sampled_from([0.95, 0.95, 0.99]))
    return Interval(estimate, estimate - draw(half), estimate + draw(half), 5, level)


@st.composite
def runs(draw: st.DrawFn) -> RunFile:
    """A run as its file tells it, all by one register: few claims, findings and tables, so that two runs share some."""
    values = intervals() | st.floats(-9, 9) | st.sampled_from(["a", None, 3])
    asked = {"p": Part("m", "", "why", sesoi=1.0), "q": Part("m", "", "why", sesoi=1.0, essential=False)}
    names = ("beats-rivals", "cubic-cost", "of-another-version")
    told = ("test", "", "", "synthetic", "recovery", "", "", asked)
    register = Register({name: Claim(name, *told) for name in names}, {}, "0" * 64)

    def judged(name: str) -> Verdict:
        places = draw(st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from(["", "x"])), unique=True, max_size=3))
        found = tuple(Finding(name, part, draw(intervals() | st.none()), where) for part, where in places)
        verdict = draw(st.sampled_from(["as claimed", "no effect", "not run"]))
        return Verdict(register.claims[name], verdict, found)

    def table(name: str) -> Shown:
        columns = draw(st.lists(st.sampled_from("klmn"), unique=True, min_size=1, max_size=4))
        row = st.tuples(st.sampled_from("ab"), *[values for _ in columns[1:]])
        made = Table(name, name, tuple(columns), tuple(draw(st.lists(row, max_size=4))))
        return Shown("table", name, name, "", None, made)

    def some(among: Sequence[str]) -> list[str]:
        return draw(st.lists(st.sampled_from(among), unique=True))

    return RunFile(
        path=Path("run.json"),
        preset=draw(st.sampled_from(["smoke", "quick"])),
        seed=draw(st.integers(0, 1)),
        device="cpu",
        cells=1,
        failed=0,
        experiments=("recovery",),
        headline="",
        register=register,
        code="",
        asked={},
        verdicts=tuple(map(judged, some(names))),
        parts=tuple(map(table, some(["one", "two"]))),
        datasets={},
        provenance={},
        missing={},
        environment={"torch": draw(st.sampled_from(["2.13.0", None]))},
    )


# --- causalrec: rows that rivals and losses are tried on ---


def item_rows(items: int = 6) -> st.SearchStrategy[list[list[int]]]:
    """One to six rows of up to six items 1..items; some rows may be empty or hold an item twice."""
    return st.lists(st.lists(st.integers(1, items), max_size=6), min_size=1, max_size=6)


def successor_rows(rng: np.random.Generator, users: int = 120, items: int = 12) -> list[list[int]]:
    """Each item is always followed by the same one, of a cycle through all in random order, from a random start."""
    cycle = rng.permutation(items) + 1
    return [np.take(cycle, rng.integers(items) + np.arange(20), mode="wrap").tolist() for _ in range(users)]


def second_order_rows(rng: np.random.Generator, users: int = 120, items: int = 7) -> list[list[int]]:
    """The next item is the sum of the last two, modulo `items`: the last alone tells nothing."""
    rows = []
    for _ in range(users):
        row = rng.integers(items, size=2).tolist()
        while len(row) < 14:
            row.append((row[-1] + row[-2] + 1) % items)
        rows.append([item + 1 for item in row])
    return rows


def pair_rows(rng: np.random.Generator, users: int = 120, pairs: int = 15) -> list[list[int]]:
    """Each user takes five random pairs, an item of 1..pairs and then the one that belongs to it."""
    firsts = [rng.permutation(pairs)[:5] + 1 for _ in range(users)]
    return [np.stack([first, first + pairs], axis=1).ravel().tolist() for first in firsts]


def block_rows(rng: np.random.Generator, users: int = 120, blocks: int = 3, size: int = 4) -> list[list[int]]:
    """Each user takes the items of one block, all of them, in random order."""
    return [(rng.integers(blocks) * size + rng.permutation(size) + 1).tolist() for _ in range(users)]
