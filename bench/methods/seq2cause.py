"""seq2cause's graph of a trained model, by an interpreter of its own.

seq2cause asks for versions of NumPy and pyarrow that are not ours, so it is never imported here: $CAUSALREC_SEQ2CAUSE
names a Python that has it, and `bench/methods/seq2cause_script.py` runs there.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.methods.interpreters import Interpreter
from bench.methods.user_recommender import Ints
from causalrec.model import CausalRec

PEER = Interpreter(
    "seq2cause", "CAUSALREC_SEQ2CAUSE", "seq2cause scipy", ("seq2cause", "seq2cause.diagnostics", "scipy"),
    Path(__file__).with_name("seq2cause_script.py"),
)  # fmt: skip
ROWS = 200  # of training that it looks at, evenly spread over the users


def largest_information(model: CausalRec, train: list[Ints], seed: int) -> NDArray[np.float64]:
    """The largest conditional mutual information between two items, over the places where the cause stands first.

    Args:
        model: trained.
        train: one array of items per user, oldest first.
        seed: of the items that seq2cause puts in the place of a cause.

    Returns:
        (items, items), row = effect; 0 where the pair does not occur in the rows that are looked at.
    """
    python = PEER.python("seq2cause_sasrec")
    long = [row for row in train if len(row) > 1]
    chosen = [long[place] for place in np.unique(np.linspace(0, len(long) - 1, ROWS).astype(int))]
    weights = {f"weight {name}": value.cpu().numpy() for name, value in model.state_dict().items()}
    rows = {f"row {number}": row[-model.options.length :] for number, row in enumerate(chosen)}
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "in.npz", Path(folder) / "out.npy"
        np.savez(given, allow_pickle=False, **weights, **rows)
        PEER.call(python, Path(__file__).parents[2], given, out, json.dumps(asdict(model.options)), seed)
        return np.asarray(np.load(out, allow_pickle=False), dtype=np.float64)
