"""What makes functions the commands of a Typer application: grouped options, printed answers, exit codes for errors."""

import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.models import OptionInfo

from bench.errors import INPUT_ERRORS
from bench.text import printable

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


def option(text: str, *names: str, panel: str, default: str | bool = True, least: int | None = None) -> OptionInfo:
    """An option of a command, for `Annotated`.

    Args:
        text: help text, printed as it stands.
        names: such as "--json"; none for the name of the parameter. A flag needs one, or it gets a --no- form as well.
        panel: title of the group under which the help lists it.
        default: what applies if the option is not given, in words, if its default value does not say it.
        least: smallest number that is allowed.
    """
    literal = text.replace("[", r"\[")  # otherwise Rich reads W[i, j] as markup and omits the bracket
    made: OptionInfo = typer.Option(*names, help=literal, rich_help_panel=panel, show_default=default, min=least)
    return made


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

    Exit codes: those of the command; 2 for wrong input, told in one line on stderr without a traceback; 130 if
    interrupted; 1 if the reader of stdout has left.

    Args:
        application: all commands.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks is escaped, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = application(standalone_mode=False)
        sys.stdout.flush()
    except INPUT_ERRORS as error:
        _fail(str(error))
    except UsageError as error:
        _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except OSError as error:
        if error.filename is not None:  # stdout has no name: the error is of another file
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _fail(f"the output cannot be written: {error.strerror or error}")
    if code == 130:
        sys.stderr.write("interrupted; what has finished is kept, the same command goes on there (train: --resume)\n")
    sys.exit(code)


def _fail(message: str) -> NoReturn:
    if message:  # empty if the help was shown
        sys.stderr.write(f"error: {printable(message)}\n")
    sys.exit(2)
