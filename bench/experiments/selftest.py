"""Is the suite able to fail? Its checks as it is, and under each fault that is put in on purpose."""

from bench.cell import Cell
from bench.claims import Finding, Margins
from bench.plan import Result, Setup
from bench.selftest_faults import FAULTS
from bench.tables import Table

SECONDS = 1.3  # a fault


def plan(setup: Setup) -> list[Cell]:
    """One cell, which tries as many faults as the preset says."""
    count = setup.preset.faults
    return [
        Cell(
            "selftest",
            {"faults": count},
            ("bench.runners.selftest", "bench.selftest"),
            cost=5 + SECONDS * (len(FAULTS) if count is None else count),
            timeout=setup.preset.timeout,
            label="self-test",
        )
    ]


def tables(setup: Setup, results: list[Result]) -> list[Table]:  # noqa: ARG001
    """The checks, and the faults with what caught them."""
    return [
        Table(told["name"], told["title"], told["columns"], told["rows"], told["note"])
        for r in results
        if r.ok
        for told in r.metrics["tables"]
    ]


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:  # noqa: ARG001
    """No claim of the register rests on it: it judges the suite."""
    return []
