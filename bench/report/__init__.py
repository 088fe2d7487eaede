"""The files of a run: JSON, HTML page, comparison, export. For a notebook: `bench.report.load_run(folder)`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.report.frames import Run, load_run

__all__ = ["Run", "load_run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bench.report' has no attribute {name!r}; it offers {', '.join(__all__)}")
    import bench.report.frames as frames  # pandas is imported when it is needed

    return getattr(frames, name)
