"""Train one recommender on one dataset with one seed; store every user's rank, the traces, and the graph's audit.

Initial weights, the order of batches and dropout depend on dataset and seed alone, so that models and settings are
compared under the same draws.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.cells.checkpoint import cpu_seconds, open_checkpoint
from bench.cells.unit import Cell, Outcome
from bench.datasets.load import load, load_own
from bench.datasets.titles import TITLED
from bench.errors import InputError
from bench.methods import recommenders
from bench.runners.audit import audit, item_edges, items_seen, lift_edges
from bench.runners.given import draw_relation
from causalrec.acyclicity import is_acyclic
from causalrec.attention import Block, Boost, causal_mask
from causalrec.checkpoints import Checkpoint
from causalrec.discovery import admissible, implied_weights
from causalrec.interactions import (
    Sequences,
    Split,
    Targets,
    check_leaks,
    from_rows,
    pad_left,
    shuffle_histories,
    train_on_validation,
)
from causalrec.methods.fit import SPLITS, fit, make_model, make_split
from causalrec.methods.streams import generator, torch_generator
from causalrec.model import CausalRec, SASRec, two_way_mask
from causalrec.ranking import Scorer, hit_rate, ndcg, rank_targets, reciprocal_rank
from causalrec.recommender import Recommender
from causalrec.training import Progress, TrainingOptions, make_scorer
from synth.behaviour import Behaviour, BehaviourWorld, draw_world
from synth.behaviour_controls import lift, onehot_regression
from synth.scoring import average_precision, edge_auprc, orientation_accuracy, parent_is_row_maximum

DATA_VARIABLE, OWN_VARIABLE = "CAUSALREC_DATA", "CAUSALREC_OWN_FILE"
NEGATIVES = 100
MOVED_USERS = 1024  # whose rankings are compared with and without the boost
Params: TypeAlias = Mapping[str, Any]
Arrays: TypeAlias = dict[str, NDArray[Any]]


class Asked(NamedTuple):
    """Users who are asked for their next item.

    Args:
        part: what metrics and arrays of them are called.
        targets: their histories and next items.
        law: the behaviour world that they come from, None for real data.
        segments: of every user whose targets these are, None for real data.
    """

    part: str
    targets: Targets
    law: BehaviourWorld | None
    segments: NDArray[np.int64] | None


def run(cell: Cell) -> Outcome:
    """Fit `params.model` on `params.dataset` and rank validation and test.

    Further params, if given: `half`, 0 or 1, the half of the users that is all the data; `restart`, a name for other
    initial weights, batches and dropout; `perturb`, the size of relative noise on the initial weights; `relation`, the
    W of source `fixed`, see `given.draw_relation`. A `dataset` whose `order` is "shuffled" has the actions of every
    training row and history in random order. One with `refit` is trained on validation too, and ranks test alone. A
    behaviour world with `fresh` also asks as many users that nobody trained on: users of the world itself ("fresh")
    and, with as little noise, of the world after a shift ("shift"), in which popularity and segments are drawn anew.

    Args:
        cell: its params are those that `bench.plan` makes for this runner.
    """
    p = cell.params
    world, behaviour, sequences = read_data(p, cell.data)
    split = make_split(sequences, p["dataset"].get("split", SPLITS[0]))
    check_leaks(split, sequences)
    if refit := p["dataset"].get("refit", False):
        split = train_on_validation(split)
    if shuffled := p["dataset"].get("order") == "shuffled":
        rng = generator(root=p["root"], stream="order", dataset=p["dataset"]["name"], seed=p["seed"])
        split = shuffle_histories(split, rng)
    start, checkpoint = cpu_seconds(), open_checkpoint()
    score, metrics, arrays, model = _fit(p, split, cell.device, checkpoint, world)
    metrics["fit_cpu_s"] = cpu_seconds() - start + (0.0 if checkpoint is None else checkpoint.earlier_cpu_s)
    segments = None if behaviour is None else behaviour.segments
    asked = [Asked("test", split.test, world, segments)]
    asked += [] if refit else [Asked("valid", split.validation, world, segments)]
    for part, targets, law, groups in (*asked, *fresh_users(p, world)):
        rng = generator(root=p["root"], stream="negatives", part=part)
        negatives = NEGATIVES if part == "test" and _unseen(sequences) > NEGATIVES else None
        of_part = score or best_possible(p["model"], law, groups)
        ranks = rank_targets(of_part, targets, negatives=negatives, generator=rng)
        found = {"kept": ranks.kept, "filtered": ranks.filtered, f"u{NEGATIVES}": ranks.sampled}
        for seen, rank in found.items():
            if rank is None:
                continue
            arrays[f"{part}_{seen}"] = rank
            metrics[f"{part}_hr10_{seen}"] = float(hit_rate(rank).mean())
            metrics[f"{part}_ndcg10_{seen}"] = float(ndcg(rank).mean())
            metrics[f"{part}_mrr_{seen}"] = float(reciprocal_rank(rank).mean())
    metrics["data_density"] = sequences.statistics()["density"]
    if isinstance(model, SASRec) and "relation" not in p:
        arrays |= audit(model, split.test.history, generator(root=p["root"], stream="audit", seed=p["seed"]))
    if isinstance(model, CausalRec):
        metrics |= _audit(model, split.test.history) | _moved(model, split.test)
        if model.has_item_graph and "relation" not in p:
            arrays |= item_edges(model)
        if p["dataset"]["name"] in TITLED:
            arrays |= items_seen(split.train) | lift_edges(split.train)
        if world is not None and behaviour is not None and not shuffled:
            metrics |= _recovery(model, world, behaviour, p)
            if model.has_item_graph:
                arrays["item_graph"] = model.item_graph().cpu().numpy()
    return Outcome(metrics, arrays)


def read_data(p: Params, content: str | None) -> tuple[BehaviourWorld | None, Behaviour | None, Sequences]:
    """The world and what it was seen to do, both None on real data, and the users' sequences.

    Args:
        p: the cell's parameters.
        content: the hash of the dataset's content that the plan was made for; None in a world.

    Raises:
        InputError: the file changed since.
    """
    world, behaviour, sequences = _read_whole(p, content)
    if "half" in p:
        users = np.arange(p["half"], len(sequences), 2)
        sequences = sequences.take(users, sequences.lengths()[users])
        if behaviour is not None:
            behaviour = Behaviour(**{name: rows[users] for name, rows in vars(behaviour).items()})
    return world, behaviour, sequences


def _read_whole(p: Params, content: str | None) -> tuple[BehaviourWorld | None, Behaviour | None, Sequences]:
    d = p["dataset"]
    if d["name"] == "behaviour":
        sizes = {name: value for name, value in d.items() if name not in ("order", "fresh")}
        rng = generator(root=p["root"], stream="world", world=sizes, seed=p["seed"])
        world = draw_world(rng, d["items"], **d["knobs"])
        behaviour = world.sample(rng, d["users"], d["length"])
        return world, behaviour, from_rows(behaviour.items, num_items=d["items"])
    cores = {name: d[name] for name in ("repeats", "user_core", "item_core")}
    if d["name"] == "own file":
        place = json.loads(os.environ[OWN_VARIABLE])
        loaded = load_own(**place | {"path": Path(place["path"])}, **cores)
    else:
        loaded = load(d["name"], Path(os.environ[DATA_VARIABLE]), **cores)
    if loaded.provenance.content_hash != content:
        raise InputError(f"{d['name']}: {loaded.provenance.file} changed since the plan was made; start again")
    return None, None, loaded.sequences


def fresh_users(p: Params, world: BehaviourWorld | None) -> list[Asked]:
    """Users that nobody trained on, asked for their last item: of the world, and of the world after a shift.

    Args:
        p: the cell's parameters.
        world: None for real data, where there are none.
    """
    d = p["dataset"]
    if "fresh" not in d or world is None:
        return []
    axes = {"root": p["root"], "world": {"items": d["items"], "knobs": d["knobs"]}, "seed": p["seed"]}
    laws = {"fresh": world, "shift": world.shifted(generator(stream="shift", **axes))}
    asked = []
    for part, law in laws.items():
        drawn = law.sample(generator(stream=part, **axes), d["fresh"], d["length"])
        rows = from_rows(drawn.items, num_items=d["items"])
        whole = np.arange(len(rows))
        targets = Targets(rows.take(whole, rows.lengths() - 1), drawn.items[:, -1], whole, None)
        asked.append(Asked(part, targets, law, drawn.segments))
    return asked


def _fit(
    p: Params, split: Split, device: str, checkpoint: Checkpoint | None, world: BehaviourWorld | None
) -> tuple[Scorer | None, dict[str, Any], Arrays, Recommender | None]:
    """The fitted scorer, None for a bound, whose scores follow from the law of those who are asked."""
    name, options = p["model"], p["options"]
    streams = {"dataset": p["dataset"]["name"], "seed": p["seed"]}
    if "restart" in p:
        streams["restart"] = p["restart"]
    entry = recommenders.find(name)
    if entry.role == "own":
        return entry.kind(name, split.train, generator(root=p["root"], stream="own", **streams)), {}, {}, None
    if entry.role == "peer":
        seed = int(generator(root=p["root"], stream="rectools", **streams).integers(2**31))
        return entry.kind(name, split, options, p["training"], seed), {}, {}, None
    if entry.role == "bound":
        return None, {}, {}, None
    if entry.options_of is None:
        return entry.kind(split.train, **options), {}, {}, None
    training = TrainingOptions(**p["training"])
    if not issubclass(entry.kind, Recommender):
        initial = torch_generator(root=p["root"], stream="initial", **streams)
        trained = entry.kind(split, entry.options_of(**options), training, initial, checkpoint)
        return trained, *_course(trained.progress), None
    model = make_model(entry.kind, entry.options_of(split.num_items, **options), device, p["root"], streams)
    if "perturb" in p:
        _perturb(model, p["perturb"], torch_generator(root=p["root"], stream="perturb", **streams))
    if "relation" in p and isinstance(model, CausalRec):
        rng = generator(root=p["root"], stream="relation", kind=p["relation"]["kind"], **streams)
        truth = None if world is None else world.graph
        model.fix(torch.from_numpy(draw_relation(p["relation"], truth, split.train, rng)))
    progress = fit(model, split, training, p["root"], streams, checkpoint)
    return make_scorer(model), *_course(progress), model


def _perturb(model: Recommender, size: float, draws: torch.Generator) -> None:
    """Multiply every initial weight by 1 + `size` times a normal draw, as another processor's rounding would."""
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1 + size * torch.randn(weights.shape, generator=draws).to(weights.device))


def _course(progress: Progress) -> tuple[dict[str, Any], Arrays]:
    """How training went, as metrics and traces."""
    metrics = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch or progress.epoch,
        "skipped_steps": progress.skipped_steps,
    }
    names = sorted({name for epoch in progress.trace for name in epoch})
    arrays = {f"trace_{name}": np.array([epoch[name] for epoch in progress.trace]) for name in names}
    return metrics, arrays


def best_possible(bound: str, world: BehaviourWorld | None, segments: NDArray[np.int64] | None) -> Scorer:
    """The best ranking of all, or of all that ignore which item caused which.

    Args:
        bound: "best_possible" or "best_without_r".
        world: None for real data.
        segments: of the users who are asked, (users,); None for real data.

    Raises:
        InputError: real data.
    """
    if world is None or segments is None:
        raise InputError("the best possible ranking is known only in the behaviour world")
    law, groups = (world if bound == "best_possible" else replace(world, persistence=0.0)), segments

    def score(history: Sequences, rows: slice) -> Tensor:
        past = [history.row(user) for user in range(rows.start, rows.stop)]
        return torch.from_numpy(law.best_ranking_scores(pad_left(past, max(map(len, past))), groups[rows])[:, 1:])

    return score


def _unseen(sequences: Sequences) -> int:
    """The fewest items that a user has not seen, the target apart."""
    return sequences.num_items - int(sequences.lengths().max())


def _chunks(model: SASRec, history: Sequences, size: int = 128) -> list[Tensor]:
    padded = torch.from_numpy(pad_left(history, model.options.length)).to(model.item.weight.device)
    return [padded[start : start + size] for start in range(0, len(padded), size)]


def _audit(model: CausalRec, history: Sequences) -> dict[str, float]:
    """What W and R are on every test history: h, density, empty rows, cycles of W above tau (time left aside).

    Where a W has exploded, so that its h overflows float32, h is the largest number of float32: far above any bar.
    """
    tau, h, cyclic, admitted, edges, rows, empty = model.options.tau, [], 0, 0, 0, 0, 0
    with torch.inference_mode():
        for items in _chunks(model, history):
            graph = model.graph(items)
            most = torch.finfo(graph.acyclicity_b.dtype).max
            h.append(graph.acyclicity_b.nan_to_num(nan=most, posinf=most).cpu())
            strength, related = graph.weights_bij.abs(), graph.relation_bij != 0
            strong = (strength >= tau) & (strength > 0)
            cyclic += int((~is_acyclic(strong.double())).sum())
            possible = admissible(items, model.options.repeats).tril(-1)
            admitted += int(possible.sum())
            edges += int(related.sum())
            has_past = possible.any(-1)
            rows += int(has_past.sum())
            empty += int((has_past & ~related.any(-1)).sum())
    values = torch.cat(h).double()
    return {
        "h_mean": float(values.mean()),
        "h_max": float(values.max()),
        "cyclic_share": cyclic / len(values),
        "density": edges / max(1, admitted),
        "empty_rows": empty / max(1, rows),
    }


def _moved(model: CausalRec, test: Targets, k: int = 10) -> dict[str, float]:
    """The share of test histories whose list of `k` items the boost changes, of the same weights."""
    boost, score, rows = model.options.boost, make_scorer(model), slice(0, min(MOVED_USERS, len(test)))
    if not boost.active:
        return {"moved_rankings": 0.0}
    lists = []
    for at in (boost, Boost(alpha=0.0)):
        model.options = replace(model.options, boost=at)
        lists.append(score(test.asked(), rows).topk(min(k, model.options.items)).indices)
    model.options = replace(model.options, boost=boost)
    return {"moved_rankings": float((lists[0] != lists[1]).any(1).double().mean())}


def _recovery(model: CausalRec, world: BehaviourWorld, behaviour: Behaviour, p: Params) -> dict[str, float | None]:
    """Scores of W and of the controls against the world's graph; all see the training steps alone.

    At item level those of W are None where a W of each sequence is all that there is; `auprc_positions` is of W_ij
    with j < i, in every sequence, against the pointers, and of all readings.
    """
    items, seen = model.options.items, behaviour.items[:, :-2]
    controls: dict[str, Callable[[], NDArray[Any]]] = {
        "attention": lambda: _over_pairs(model, seen, lambda weights: weights),
        "implied": lambda: _over_pairs(model, seen, _implied),
        "lift": lambda: lift(seen, items),
        "regression": lambda: onehot_regression(seen, items),
        "random": lambda: generator(root=p["root"], stream="random", seed=p["seed"]).random((items, items)),
    }
    metrics: dict[str, float | None] = dict.fromkeys(
        ("auprc_w", "orientation_w", "parent_w", "precision", "recall"), None
    )
    metrics["auprc_positions"] = _at_positions(model, behaviour)
    if model.has_item_graph:
        controls["w"] = lambda: model.item_graph().cpu().numpy()
    for name, make in controls.items():
        scores = make()
        metrics[f"auprc_{name}"] = edge_auprc(world.graph, scores)
        metrics[f"orientation_{name}"] = orientation_accuracy(world.graph, scores)
        metrics[f"parent_{name}"] = parent_is_row_maximum(world.graph, scores)
    if model.has_item_graph:
        truth, found = world.graph, model.item_graph().abs().cpu().numpy() >= model.options.tau
        hits = int((truth & found).sum())
        metrics["precision"] = hits / int(found.sum()) if found.any() else None
        metrics["recall"] = hits / int(truth.sum()) if truth.any() else None
    return metrics


def _at_positions(model: CausalRec, behaviour: Behaviour, users: int = 512) -> float | None:
    """Average precision of W_ij, j < i, for the true pointers of the first `users`, over all of their pairs."""
    seen = behaviour.items[:users, :-2]
    length, histories = seen.shape[1], from_rows(seen, num_items=model.options.items)
    past = np.tri(length, k=-1, dtype=bool)
    with torch.inference_mode():
        parts = [model.graph(batch).weights_bij[:, -length:, -length:].cpu() for batch in _chunks(model, histories)]
    weights = torch.cat(parts).numpy()
    pointed = behaviour.relation[:users, :-2, :-2]
    return average_precision(pointed[:, past].ravel(), np.nan_to_num(weights[:, past].ravel()))


def _over_pairs(
    model: CausalRec, sequences: NDArray[np.int64], of: Callable[[Tensor], Tensor]
) -> NDArray[np.float64]:
    """Mean of a matrix `of` first-layer attention, by pair of items, over all places where both stand in order.

    The mean over heads is taken after `of`, which maps (b, heads, l, l) to the same shape.
    """
    items = model.options.items
    total, count = torch.zeros(2, items + 1, items + 1, dtype=torch.float64)
    first = cast(Block, model.blocks[0])
    seen = two_way_mask if model.options.bidirectional else causal_mask
    with torch.inference_mode():
        for batch in _chunks(model, from_rows(sequences, num_items=items)):
            _, x = model.embed(batch)
            weights = of(first.attention(x, seen(batch != 0, x.dtype)).double()).mean(1)
            b, i, j = torch.nonzero(admissible(batch).tril(-1), as_tuple=True)
            place, found = (batch[b, i].cpu(), batch[b, j].cpu()), weights[b, i, j].cpu()
            total.index_put_(place, found, accumulate=True)
            count.index_put_(place, torch.ones_like(found), accumulate=True)
    return np.asarray((total / count.clamp(min=1))[1:, 1:])


def _implied(attention: Tensor) -> Tensor:
    """|B| / (1 + |B|) of the B that A = (I − B)⁻¹Λ implies: sizes without bound would leave the mean to a few places.
    """
    effects = implied_weights(attention.flatten(0, 1)).abs().view_as(attention)
    return torch.nan_to_num(effects / (1 + effects), nan=1.0)
