"""Random streams, each derived by hash from the root seed and named axes."""

from typing import TYPE_CHECKING

import numpy as np

from causalrec.methods.canonical import digest

if TYPE_CHECKING:
    import torch


def derive_seed(*, root: int, **axes: object) -> np.random.SeedSequence:
    """The seed of one named stream: a hash of the root seed and the named axes, in whatever order.

    A number thus depends on what it is for, never on which worker draws it or what was drawn before.

    Args:
        root: root seed of the run.
        axes: what the stream is for, such as stream="scm", draw=3.

    Raises:
        InputError: an axis without canonical form.
    """
    return np.random.SeedSequence(int(digest({"root": root, "axes": axes}), 16))


def generator(*, root: int, **axes: object) -> np.random.Generator:
    """A NumPy generator on the stream of `derive_seed`.

    Args:
        root: as for `derive_seed`.
        axes: as for `derive_seed`.
    """
    return np.random.default_rng(derive_seed(root=root, **axes))


def torch_generator(*, root: int, **axes: object) -> "torch.Generator":
    """A torch generator on the CPU, seeded with the first 63 bits of the stream's hash.

    Args:
        root: as for `derive_seed`.
        axes: as for `derive_seed`.
    """
    import torch

    return torch.Generator().manual_seed(int(digest({"root": root, "axes": axes})[:16], 16) >> 1)
