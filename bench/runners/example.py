"""The paper's example as a world: who takes a phone comes to take a cable and a case, which cause nothing.

Lift, one-hot regression and CausalRec's W are made from the same training steps.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.cells.unit import Cell, Outcome
from causalrec.interactions import Sequences, from_rows, leave_one_out
from causalrec.methods.streams import generator, torch_generator
from causalrec.model import CausalRec, CausalRecOptions
from causalrec.training import TrainingOptions, train
from synth.behaviour import BehaviourWorld
from synth.behaviour_controls import lift, onehot_regression

ITEMS = ("phone", "cable", "case", "bread", "milk", "soap")
PHONE, CABLE, CASE = 1, 2, 3
# Without a phone in sight: phones and what goes with them are rare, as they must be for lift to see a common cause.
POPULARITY = (0.04, 0.02, 0.02, 0.32, 0.32, 0.28)
CAUSAL_SHARE, HORIZON, DECAY = 0.7, 5, 1.0
WRONG_DECAY = 0.5  # a regression that weighs the past otherwise than the world; right for the other experiments


def make_world() -> BehaviourWorld:
    """Phone → cable and phone → case, of the items `ITEMS` with the numbers 1 to 6.

    While one of the last `HORIZON` items is a phone, a step is with chance `CAUSAL_SHARE` a cable or a case, as often
    the one as the other; all other steps are drawn by `POPULARITY`. (With one parent, `DECAY` changes nothing.)
    """
    children, child_law = np.zeros((len(ITEMS) + 1, 2), dtype=np.int64), np.zeros((len(ITEMS) + 1, 2))
    children[PHONE], child_law[PHONE] = (CABLE, CASE), 0.5
    popularity = np.array(POPULARITY)
    return BehaviourWorld(
        children,
        child_law,
        popularity,
        segment_laws=popularity[None],
        confounding=0.0,
        causal_share=CAUSAL_SHARE,
        decay=DECAY,
        horizon=HORIZON,
        hidden_rate=0.0,
    )


def run(cell: Cell) -> Outcome:
    """Sample and score the world of one seed.

    Arrays, each (items, items) float64 in the order of `ITEMS`, row the effect and column the cause: truth, the share
    of steps that a cause turns to its effect; lift; regression, and regression_decayed with `WRONG_DECAY`; w, the item
    graph of CausalRec in its default reading.

    Args:
        cell: its params are those of the experiment `example`.
    """
    p = cell.params
    axes = {"root": p["root"], "seed": p["seed"]}
    world = make_world()
    behaviour = world.sample(generator(**axes, stream="example"), p["users"], p["length"])
    seen, items = behaviour.items[:, :-2], len(ITEMS)
    arrays = {
        "truth": world.causal_share * world.transition,
        "lift": lift(seen, items, horizon=HORIZON),
        "regression": onehot_regression(seen, items, horizon=HORIZON, decay=DECAY),
        "regression_decayed": onehot_regression(seen, items, horizon=HORIZON, decay=WRONG_DECAY),
    }
    model = _train(p, from_rows(behaviour.items, num_items=items))
    arrays["w"] = model.item_graph().double().numpy()
    return Outcome({"steps": int(seen.size)}, arrays)


def _train(p: Mapping[str, Any], sequences: Sequences) -> CausalRec:
    axes = {"root": p["root"], "seed": p["seed"]}
    options = CausalRecOptions(sequences.num_items, **p["options"])
    model = CausalRec(options, torch_generator(**axes, stream="example initial"))
    train(
        model,
        leave_one_out(sequences),
        TrainingOptions(**p["training"]),
        shuffle=generator(**axes, stream="example batches"),
        dropout=torch_generator(**axes, stream="example dropout"),
    )
    return model
