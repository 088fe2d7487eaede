"""What seq2cause finds in a model of ours: run by an interpreter that has seq2cause and SciPy.

`ROOT IN.npz OUT.npy OPTIONS SEED`: ROOT is the folder of `causalrec`, IN holds a trained CausalRec's weights and rows
of items, OPTIONS its options as JSON. OUT gets, per pair of items, the largest conditional mutual information over the
places of all rows where the cause stands before the effect: (items, items), row = effect. One thread.
"""

import json
import sys
from typing import Any

import numpy as np
import torch
from seq2cause.diagnostics import compute_cmi_matrix

CONTEXT = 1  # the first items of a row, which are never a cause: seq2cause needs one before what it predicts


class Adapter:
    """A model of ours as seq2cause asks one: tokens 0..items-1, logits of the next token at every position.

    Args:
        model: a trained recommender.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.vocab_size = model, model.options.items

    def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (..., l, items) of the token after each.

        Args:
            input_ids: (..., l) tokens.
        """
        tokens = input_ids.flatten(0, -2) + 1
        with torch.inference_mode():
            hidden, _ = self.model.encode(tokens)
            logits = hidden @ self.model.item.weight[1:].T
        return {"logits": logits.view(*input_ids.shape, self.vocab_size)}


def main(root: str, given: str, out: str, asked: str, seed: str) -> None:
    """Read, ask seq2cause row by row, write.

    Args:
        root: folder of `causalrec`.
        given: file of weights and rows.
        out: file of the result.
        asked: options of the model, JSON.
        seed: of PyTorch's global generator, which seq2cause draws from.
    """
    sys.path.insert(0, root)  # where the imports below are found
    from causalrec.model import CausalRec, CausalRecOptions

    torch.set_num_threads(1)
    torch.manual_seed(int(seed))
    model = CausalRec(CausalRecOptions(**json.loads(asked)), torch.Generator())
    with np.load(given, allow_pickle=False) as found:
        parts = {kind: {n.removeprefix(f"{kind} "): found[n] for n in found if n.startswith(kind)}
                 for kind in ("weight", "row")}  # fmt: skip
    model.load_state_dict({name: torch.from_numpy(value) for name, value in parts["weight"].items()})
    model.eval()
    W = np.zeros((model.options.items,) * 2)
    for row in parts["row"].values():
        tokens = torch.from_numpy(row - 1)
        information = compute_cmi_matrix(Adapter(model), tokens, context_len=CONTEXT).numpy()
        cause, effect = np.triu_indices(len(information), 1)
        later = row[CONTEXT:] - 1
        np.maximum.at(W, (later[effect], later[cause]), information[cause, effect])
    np.save(out, W, allow_pickle=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
