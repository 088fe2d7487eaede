"""CausalRec, its rivals and the graph learners: the public Python API.

`import causalrec` is enough in a notebook: every name of `causalrec.api` is an attribute of this package. All are
imported when one of them is first used, so that `causalrec.errors` and `causalrec.interactions` need no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalrec.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    import causalrec.api as api  # `from causalrec import api` would ask this function

    if name not in ("__all__", *api.__all__):
        raise AttributeError(f"module 'causalrec' has no attribute {name!r}; it offers {', '.join(api.__all__)}")
    return getattr(api, name)


def __dir__() -> list[str]:
    import causalrec.api as api

    return sorted([*globals(), "__all__", *api.__all__])
