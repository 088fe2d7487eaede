"""What makes functions the commands of a Typer application: grouped options, printed answers, exit codes for errors."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.models import OptionInfo

from bench.errors import INPUT_ERRORS
from bench.show.streams import steady_streams
from bench.text import printable, short

if TYPE_CHECKING:
    from bench.show.tables import Table

UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]  # Typer does not export this base class


@dataclass(frozen=True)
class Answer:
    """What a command has to say.

    Args:
        tables: for stdout.
        document: what --json prints instead of the tables; None for the tables themselves as JSON.
        messages: for stderr, one line each.
        exit_code: of the process.
        lines: for stdout, printed as they stand also with --json.
    """

    tables: "Sequence[Table]" = ()
    document: Mapping[str, object] | Sequence[object] | None = None
    messages: Sequence[str] = ()
    exit_code: int = 0
    lines: Sequence[str] = ()

    def show(self, as_json: bool) -> int:
        """Print it and return the exit code.

        Args:
            as_json: one JSON document on stdout instead of tables for people.
        """
        from bench.show.console import print_message, print_table
        from bench.show.tables import to_dict

        if self.tables and as_json:
            told = self.document if self.document is not None else [to_dict(table) for table in self.tables]
            typer.echo(json.dumps(told, ensure_ascii=False, allow_nan=False))
        else:
            for table in self.tables:
                print_table(table)
        for line in self.lines:
            typer.echo(line)
        for message in self.messages:
            print_message(message)
        return self.exit_code


def option(
    text: str,
    *names: str,
    panel: str,
    default: str | bool = True,
    least: int | None = None,
    most: int | None = None,
) -> OptionInfo:
    """An option of a command, for `Annotated`.

    Args:
        text: help text, printed as it stands.
        names: such as "--json"; none for the name of the parameter. A flag needs one, or it gets a --no- form as well.
        panel: title of the group under which the help lists it.
        default: what applies if the option is not given, in words, if its default value does not say it.
        least: smallest number that is allowed; NaN never is.
        most: largest number that is allowed.
    """
    literal = text.replace("[", r"\[")  # otherwise Rich reads W[i, j] as markup and omits the bracket
    made: OptionInfo = typer.Option(
        *names, help=literal, rich_help_panel=panel, show_default=default, min=least, max=most, callback=_number
    )
    return made


def _number(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


output = partial(option, panel="Output")
AsJson = Annotated[bool, output("Print one JSON document on stdout and nothing else.", "--json")]


def command(
    group: typer.Typer, name: str, example: str, *, as_json: bool = True
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a function a command whose options are the function's parameters and whose answer is printed.

    A parameter whose type is a dataclass stands for the fields of that class: each field is an option.

    Args:
        group: application that the command belongs to.
        name: of the command within its group.
        example: arguments of an example, which the help shows.
        as_json: whether the command has the option --json.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        bundles: dict[str, Callable[..., object]] = {}
        options: list[Parameter] = []
        for parameter in signature(function).parameters.values():
            stands_for_fields = is_dataclass(parameter.annotation)
            if stands_for_fields:
                bundles[parameter.name] = parameter.annotation
                options += signature(parameter.annotation).parameters.values()
            else:
                options.append(parameter)
        if as_json:
            options.append(Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=AsJson))
        options = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in options]

        @wraps(function)
        def called(**given: object) -> int:
            shown_as_json = bool(given.pop("as_json", False))
            bundled = {
                bundle: kind(**{field: given.pop(field) for field in signature(kind).parameters})
                for bundle, kind in bundles.items()
            }
            return function(**bundled, **given).show(shown_as_json)

        called.__signature__ = Signature(options)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in options}
        words = ("python cli.py", group.info.name, name, example)
        group.command(name, epilog=f"Example: {' '.join(filter(None, words))}")(called)
        return function

    return register


def print_version(wanted: bool) -> None:
    """Print the version of the installed package and end the command.

    Args:
        wanted: whether --version was given.
    """
    from bench.cells.provenance import version_of

    if wanted:
        typer.echo(version_of("causalrec-repro") or "unknown: causalrec-repro is not installed")
        raise typer.Exit


def run_application(application: typer.Typer) -> NoReturn:
    """Run the command that the process was started with and end the process.

    Exit codes: those of the command, whether or not stdout and stderr are read to their end; 2 for wrong input, a file
    that cannot be read or written, or stdout that cannot be written, told in one line on stderr without a traceback;
    130 if interrupted.

    Args:
        application: all commands.
    """
    with steady_streams() as out:
        code, message = _ended(application)
        out.flush()
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            code, message = 2, message or f"the output cannot be written: {out.error.strerror}"
        if message:
            sys.stderr.write(f"error: {printable(message)}\n")
        if code == 130:
            sys.stderr.write(
                "interrupted; what has finished is kept, the same command goes on there (train: --resume)\n"
            )
    sys.exit(code)


def _ended(application: typer.Typer) -> tuple[int, str]:
    """Run the command: its exit code, and what was wrong with its input; empty also where the help was shown."""
    try:
        return application(standalone_mode=False) or 0, ""
    except INPUT_ERRORS as error:
        return 2, str(error)
    except UsageError as error:
        return 2, error.format_message()
    except (KeyboardInterrupt, typer.Abort):
        return 130, ""
    except MemoryError:
        return 2, "memory ran out; ask for less at a time, or free some"
    except OSError as error:
        place = f"{short(error.filename)}: " if error.filename is not None else ""
        return 2, f"{place}{error.strerror or error}; check the path, its permissions and the free space"
