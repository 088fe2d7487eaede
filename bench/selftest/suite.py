"""The suite tested by breaking it: every check holds as it is, and each fault put in on purpose makes one fail.

A check that holds whatever is broken proves nothing; this shows for each fault which checks notice it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.errors import INPUT_ERRORS
from bench.judge.intervals import Value
from bench.selftest.checks import CHECKS as MODEL_CHECKS
from bench.selftest.checks import Check, Measured
from bench.selftest.faults import FAULTS, Fault
from bench.selftest.patching import path_of, replaced
from bench.selftest.verdicts import CHECKS as VERDICT_CHECKS
from bench.show.tables import Table

CHECKS: tuple[Check, ...] = (*MODEL_CHECKS, *VERDICT_CHECKS)
Outcome: TypeAlias = Literal["holds", "fails", "crashed"]
NOTHING = "NOTHING"


@dataclass(frozen=True)
class Told:
    """What one check said.

    Args:
        check: the check's name.
        outcome: whether it holds, fails, or crashed and so measured nothing.
        measured: its figures, or its error, in words.
    """

    check: str
    outcome: Outcome
    measured: str


def run(
    checks: Iterable[Check] = CHECKS,
    faults: Iterable[Fault] = FAULTS,
    on_step: Callable[[str], object] = lambda _: None,
) -> tuple[list[Table], bool]:
    """Run the checks on the suite as it is, then under each fault alone.

    If a check does not hold on the suite as it is, no fault is tried: nobody could tell what caught it.

    Args:
        checks: all of the suite by default.
        faults: all of the suite by default.
        on_step: called with a line of text after each step.

    Returns:
        A table of the checks, one of the faults with what caught them, and whether every check holds and every fault
        is caught.
    """
    checks, faults = tuple(checks), tuple(faults)
    whole = [_ask(check) for check in checks]
    wrong = sum(told.outcome != "holds" for told in whole)
    on_step(f"{len(checks)} checks on the suite as it is: {f'{wrong} do not hold' if wrong else 'all hold'}")
    first = _check_table(checks, whole, len(faults))
    if wrong:
        return [first], False
    found = []
    for count, fault in enumerate(faults, start=1):
        with replaced(fault.owner, fault.target, fault.make):
            found.append([_ask(check) for check in checks])
        catchers = [told.check for told in found[-1] if told.outcome == "fails"]
        on_step(f"fault {count}/{len(faults)}, {fault.name}: {', '.join(catchers) or NOTHING}")
    missed = [fault for fault, told in zip(faults, found, strict=True) if all(t.outcome != "fails" for t in told)]
    return [first, _fault_table(faults, found, len(missed))], not missed


def _ask(check: Check) -> Told:
    """Run a check. A typed error of the suite is a refusal, so the check fails; any other error is a crash."""
    try:
        measured: Measured = check()
    except INPUT_ERRORS as error:
        return Told(name_of(check), "fails", f"refused: {error}")
    except Exception as error:  # noqa: BLE001 - a fault may break anything; what broke is in the table
        return Told(name_of(check), "crashed", f"{type(error).__name__}: {error}")
    return Told(name_of(check), "holds" if measured.holds else "fails", measured.words)


def name_of(check: Check) -> str:
    """A check's name in words.

    Args:
        check: any check.
    """
    return check.__name__.replace("_", " ")


def _check_table(checks: tuple[Check, ...], whole: list[Told], faults: int) -> Table:
    rows = [
        (told.check, " ".join((check.__doc__ or "").split()), told.measured, told.outcome)
        for check, told in zip(checks, whole, strict=True)
    ]
    wrong = [told.check for told in whole if told.outcome != "holds"]
    note = ""
    if wrong:
        said = ", ".join(wrong)
        note = f"Without any fault these do not hold: {said}. None of the {faults} faults was tried: mend this first."
    columns = ("check", "what must hold", "measured", "outcome")
    return Table("selftest_checks", "Checks on the suite as it is", columns, tuple(rows), note)


def _fault_table(faults: tuple[Fault, ...], found: list[list[Told]], missed: int) -> Table:
    """One row per fault and check that caught it; for a fault that none caught, what crashed, if anything did."""
    rows: list[tuple[Value, ...]] = []
    for fault, told in zip(faults, found, strict=True):
        head = (fault.name, path_of(fault.owner, fault.target))
        crashed = "; ".join(f"{t.check} crashed, {t.measured}" for t in told if t.outcome == "crashed")
        catchers = [t for t in told if t.outcome == "fails"]
        for catcher in catchers or [Told(NOTHING, "holds", crashed or "every check holds")]:
            rows.append((*head, catcher.check, catcher.measured))
            head = ("", "")
    note = (
        f"{len(faults)} faults, each put in alone under all checks; {len(faults) - missed} caught, {missed} missed. "
        "A check that crashes has measured nothing and does not count."
    )
    columns = ("fault", "broken", "caught by", "measured")
    return Table("selftest_faults", "Faults put in on purpose, and what caught them", columns, tuple(rows), note)
