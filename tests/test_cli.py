"""The command line: frozen as a whole; every wrong input one line on stderr, exit code 2, and nothing written."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.main import get_command

import cli
from bench.cells.fingerprint import ROOT
from bench.cells.store import Store
from bench.datasets.catalogue import DATASETS
from bench.experiments import EXPERIMENTS
from bench.judge.claims import read_register
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup, make_setup
from bench.plan.sizes import World
from bench.plan.table import plan_table
from bench.reproduce import plan_cells
from bench.selftest import suite as selftest
from bench.selftest.checks import Measured, ndcg_by_hand
from bench.selftest.faults import Fault
from causalrec import ranking
from tests.bench.report.test_compare import RUN, other_verdict

IDS = tuple(read_register().claims)
GOLDEN = Path(__file__).parent / "golden" / "cli.json"


def command_line() -> dict:
    """Commands with their arguments and options: names, defaults, whether needed. To renew the golden file:

    python -c "from tests.test_cli import *; GOLDEN.write_text(json.dumps(command_line(), indent=1) + chr(10))"
    """

    def told(command) -> dict:
        if hasattr(command, "commands"):
            return {name: told(sub) for name, sub in command.commands.items()}
        return {
            " ".join(param.opts): {
                "default": None if param.default is None else str(param.default), "required": param.required,
            }
            for param in command.params
        }  # fmt: skip

    return told(get_command(cli.app))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty working folder, and no data anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setenv("CAUSALREC_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CAUSALREC_OWN_FILE", "")
    return tmp_path


@pytest.fixture
def call(home, call) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process, in an empty home."""
    return call


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_command_line_is_frozen():
    assert command_line() == json.loads(GOLDEN.read_text())


def leaves(command, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Every command that is no group, by the words that call it."""
    if not hasattr(command, "commands"):
        return {words: command}
    return {
        path: leaf for name, sub in command.commands.items() for path, leaf in leaves(sub, (*words, name)).items()
    }  # fmt: skip


COMMANDS = leaves(get_command(cli.app))
PARAMETERS = [(words, param) for words, command in COMMANDS.items() for param in command.params]


def test_no_command_shows_help(call):
    for words in ((), ("data",), ("results",)):
        code, out, err = call(*words)
        assert code == 2
        assert "Usage" in out + err
        assert "error:" not in err


def shown(call, monkeypatch, words: tuple[str, ...]) -> str:
    """The help of a command in a terminal so wide that nothing is broken into lines; blanks are single."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", None)
    code, out, err = call(*words, "--help")
    assert (code, err) == (0, "")
    return re.sub(" +", " ", out)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_commands_help_shows_what_it_does_and_an_example_that_is_right(call, monkeypatch, words):
    out = shown(call, monkeypatch, words)
    command = COMMANDS[words]
    assert re.search(rf"Usage: .+ {' '.join(words)} \[OPTIONS\]", out)
    assert " ".join(command.help.split()) in " ".join(out.split())
    program, *given = re.search(r"^ Example: python (.*)$", out, re.MULTILINE)[1].split()
    assert (program, *given[: len(words)]) == ("cli.py", *words)
    with command.make_context(" ".join(words), given[len(words):]) as context:  # parsed, not run
        assert context.params


@pytest.mark.parametrize(("words", "param"), PARAMETERS, ids=[f"{' '.join(w)} {p.opts[0]}" for w, p in PARAMETERS])
def test_the_help_of_an_option_arrives_whole(call, monkeypatch, words, param):
    """With every bracket that the text has, its default where there is one to show, and a group of its own."""
    assert param.help
    (line,) = [
        line for line in shown(call, monkeypatch, words).splitlines()
        if line.startswith("│") and re.search(rf"[ ,]{re.escape(param.opts[0])}[ ,]", line)
        and param.help.split("[")[0].rstrip("\\") in line
    ]  # fmt: skip
    assert param.help.replace("\\[", "[") in line
    if isinstance(param.show_default, str):
        assert f"[default: ({param.show_default})]" in line
    elif param.required:
        assert "[required]" in line
    elif param.default is not None and param.default is not False:
        assert f"[default: {param.default}]" in line
    else:
        assert "[default" not in line
    if param.param_type_name == "option":
        assert param.rich_help_panel


def test_no_text_of_the_help_says_a_default_by_hand():
    """What is written there cannot be wrong only where Typer writes it."""
    assert not [(words, param.name) for words, param in PARAMETERS if "default:" in param.help]


def test_help_needs_no_library_that_takes_long_to_import():
    program = "import sys, cli; sys.argv = ['', '--help']\ntry: cli.main()\nfinally: sys.exit(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "reproduce" in done.stdout
    assert not {"torch", "pandas", "scipy", "numpy", "matplotlib"} & set(done.stderr.split())


def test_the_version_is_that_of_the_package(call, monkeypatch):
    expected = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    monkeypatch.setattr("bench.cells.provenance.version", {"causalrec-repro": expected}.__getitem__)
    assert call("--version") == (0, f"{expected}\n", "")

    def version(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("bench.cells.provenance.version", version)
    assert call("--version") == (0, "unknown: causalrec-repro is not installed\n", "")


# Wrong input

SAMPLES = "rain,wet\n0,0.1\n1,2.3\n-1,-1.7\n2,4.4\n-2,-3.9\n0.5,0.8\n"
RUN_FILES = {
    "listed": "[1]",
    "not_a_number": '{"preset": "smoke", "seed": NaN}',
    "keyless": '{"preset": "smoke"}',
    "nested": '{"preset": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "other": json.dumps(RUN | {"preset": "none such"}),
    "mine": json.dumps(RUN),
    "by_other_rules": json.dumps(RUN | {"register": RUN["register"] | {"sha256": "cd" * 32}}),
}
RATINGS = "".join(f"{user}\t{item}\t3\t{item}\n" for user in range(1, 7) for item in range(1, 7))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("reproduce --preset big", "preset 'big' is unknown; choose one of smoke, quick, hour, standard, paper"),
        ("plan --preset big", "preset 'big' is unknown"),
        ("plan --rival sasrek", "rival 'sasrek' is unknown; choose among fpmc, fpmc_full"),
        ("run recommend --dataset ml-10m", "there is no dataset 'ml-10m'; choose from ml-100k"),
        ("run recovry", "experiment 'recovry' is unknown; choose one of recovery, sizes, variance"),
        ("run", "Missing argument"),
        ("reprodce", "No such command 'reprodce'"),
        ("reproduce --prest smoke", "No such option: --prest"),
        ("reproduce --jobs 0", "Invalid value for '--jobs'"),
        ("plan --jobs two", "Invalid value for '--jobs'"),
        ("reproduce --seed -1", "Invalid value for '--seed'"),
        ("reproduce --device tpu", "device 'tpu' is not available here; choose auto, cpu or, with a GPU, cuda"),
        ("reproduce --preset smoke --repeats maybe", "repeats must be one of kept, dropped, got 'maybe'"),
        ("reproduce --preset smoke --split random", "split must be one of leave_one_out, temporal, got 'random'"),
        ("plan --user-core 0", "user_core must be at least 1, got 0"),
        ("run recommend --item-core 0", "item_core must be at least 1, got 0"),
        ("run recommend --preset smoke --data good.csv --split temporal", r"good\.csv has no times"),
        ("run recovery --preset smoke --repeats maybe", "repeats must be one of kept, dropped, got 'maybe'"),
        ("reproduce --preset smoke --out taken", "taken: Not a directory; choose another place"),
        ("plan --data-dir cut", r"cut/ml-100k/u\.data, line 36: the last line has no line end"),
        ("reproduce --data-dir cut", r"cut/ml-100k/u\.data, line 36: the last line has no line end"),
        ("plan --data-dir bad", r"bad/ml-100k/u\.data, line 2: the rating is '9'; expected a rating from 1 to 5"),
        ("data show ml-100k --data-dir bad", r"bad/ml-100k/u\.data, line 2: the rating is '9'"),
        ("data show ml-100k", "MovieLens-100K is not there: sought .*nowhere/ml-100k/u.data; run `python cli.py data"),
        ("data show ml-9", "there is no dataset 'ml-9'; choose from ml-100k"),
        ("data show own.csv", r"own\.csv, line 1: no column is named as users are; .*; the columns are 'who, what'"),
        ("data show own.csv --user who --item who", "must name three different columns"),
        ("data show own.csv --user who --item what", "nothing is left of 1 actions at user_core=5"),
        ("data show ml-100k --data-dir whole --repeats maybe", "repeats must be one of kept, dropped, got 'maybe'"),
        ("data get ml-9", "there is no dataset 'ml-9'; choose from ml-100k"),
        ("data get beauty", "beauty"),
        ("run recommend --preset smoke --data own.csv", r"own\.csv, line 1: no column is named as users are"),
        ("run recommend --preset smoke --data none.csv", r"none\.csv: there is no such file; check the path"),
        ("run recommend --preset smoke --data own.xls", r"own\.xls, line 1: no column is named as users are"),
        ("data show none.csv", r"none\.csv: there is no such file; check the path"),
        ("data show good.csv --format csv", "--format is 'csv'; choose one of table, pairs, lists"),
        ("evaluate cut --data good.csv --delimiter x", r"cut/model\.json: there is no such file"),
        ("run recovery --preset smoke --data good.csv", "would not use --data; .* it: acyclicity, recommend, audit"),
        ("run discovery --preset smoke --learner eqvar_lasso", "would not use --learner eqvar_lasso; .* recovery"),
        ("run recovery --preset smoke --learner eqva", "no learner is called 'eqva'; choose one of .*eqvar_lasso"),
        ("plan --learner none_such:fit", "'none_such:fit': none_such cannot be imported from .*ModuleNotFoundError"),
        ("reproduce --preset smoke --learner json:nothing", "'json:nothing': json has no function nothing"),
        ("reproduce --preset smoke --learner peer.nobody", r"no learner is called 'peer\.nobody'; choose .*dagma"),
        ("learn samples.csv", "give a file of samples and --out FILE for W, or --list"),
        ("learn none.csv --out W.csv", r"none\.csv: there is no such file; check the path"),
        ("learn taken --out W.csv", "taken: there is a header and no rows; give one line per sample"),
        ("learn samples.csv --out W.txt", r"W\.txt: W is written as \.csv or \.npy; end its name so"),
        ("learn samples.csv --out samples.csv", r"samples\.csv: is the file that W is learned from; choose another"),
        ("learn samples.csv --out no/W.csv", r"no/W\.csv: cannot be written \(No such file or directory\)"),
        ("learn samples.csv --out W.csv --graphml no/G.graphml", r"no/G\.graphml: cannot be written"),
        ("learn samples.csv --out W.csv --method nope", "no learner is called 'nope'; choose one of"),
        ("learn samples.csv --out W.csv --method oracle", "--method oracle needs the true causal order"),
        ("learn samples.csv --out W.csv --method math:sqrt", "math:sqrt failed: TypeError"),
        ("learn samples.csv --out W.csv --option sparsity=x", "notears: option sparsity is 'x'; give a number"),
        ("learn samples.csv --out W.csv --option depth=1", "notears has no option depth; its options: sparsity"),
        ("learn samples.csv --out W.csv --threshold -1", "--threshold is -1; give a number of 0 or more"),
        ("learn samples.csv --out W.csv --time-limit 0", "--time-limit is 0; give seconds above 0, at most 1e.06"),
        ("learn samples.csv --out W.csv --bootstrap 0", "0 resamples are asked for; give 1 to 100000"),
        ("learn samples.csv --out W.csv --resample halves", "--resample and --calibrate .* say how many with --boots"),
        ("learn samples.csv --out W.csv --samples 9", "--samples goes with --covariance"),
        ("learn samples.csv --out W.csv --covariance", r"has 6 rows and 2 columns; a covariance is square"),
        ("learn samples.csv --out W.csv --delimiter space", "--delimiter is 'space'; choose one of comma, tab"),
        ("learn own.csv --out W.csv", r"own\.csv, line 2: column 'who' is 'a'; expected a number"),
        ("run recommend --preset smoke --recommender none_such:M", "none_such cannot be imported from .*ModuleNotF"),
        ("plan --recommender json:loads", "'json:loads': json has no class loads"),
        ("reproduce --preset smoke --recommender json:JSONDecoder", "JSONDecoder has no method fit; a recommender has"),
        ("train --data good.csv --model sasrec", "Missing option '--out'"),
        ("train --data good.csv --model sasrek --out m", "model 'sasrek' is none that is trained here; choose one"),
        ("train --data none.csv --model sasrec --out m", r"none\.csv: there is no such file; check the path"),
        ("train --data ml-9 --model sasrec --out m", "there is no dataset 'ml-9'; choose from ml-100k"),
        ("train --data own.csv --model sasrec --out m", r"own\.csv, line 1: no column is named as users are"),
        ("train --data good.csv --model sasrec --out m --option depth=3", "sasrec has no option depth; its options"),
        ("train --data good.csv --model sasrec --out m --learning-rate 0", "learning_rate"),
        ("train --data good.csv --model sasrec --out m --precision half", "precision = 'half'; expected one"),
        ("train --data good.csv --model sasrec --out m --epochs 0", "Invalid value for '--epochs'"),
        ("train --data good.csv --model sasrec --out m --split temporal", "needs times"),
        ("train --data good.csv --model sasrec --out m --device tpu", "device 'tpu' is not available here"),
        ("train --data good.csv --model sasrec --out taken", "taken: is no folder; choose another --out"),
        ("evaluate nowhere --data good.csv", r"nowhere/model\.json: there is no such file; name the folder"),
        ("evaluate cut --data good.csv", r"cut/model\.json: there is no such file"),
        ("evaluate cut", "Missing option '--data'"),
        ("recommend nowhere --data good.csv", "say whose history: --data FILE --user ID, or --history ITEM,ITEM"),
        ("recommend nowhere --history 1,2", r"nowhere/model\.json: there is no such file"),
        ("recommend nowhere --history 1,2 --seen all", "seen must be one of kept, filtered, got 'all'"),
        ("report", "Missing argument"),
        ("report nowhere", r"nowhere/run\.json: there is no such file; name a folder that `reproduce`"),
        ("report taken", r"taken/run\.json: there is no such file"),
        ("recommend nowhere --history 1,2 -k 0", "Invalid value for '-k'"),
        ("compare", "Missing argument"),
        ("compare nowhere", r"nowhere: there is no such file; name a folder that `reproduce` or `run` wrote"),
        ("compare cut", r"cut/run\.json: there is no such file"),
        ("compare samples.csv", r"samples\.csv: cannot be read as JSON"),
        ("compare listed", r"listed/run\.json: is a list; expected an object"),
        ("compare not_a_number", r"not_a_number/run\.json: cannot be read as JSON \(NaN is no JSON\)"),
        ("compare keyless", r"keyless/run\.json: object missing required field `seed`"),
        ("compare nested", r"nested/run\.json: cannot be read as JSON"),
        ("compare other", "there is no reference of preset 'none such' in .*, only of .*quick.*; name the run to"),
        ("compare other listed", r"listed/run\.json: is a list"),
        ("compare mine by_other_rules", "mine/run.json was judged by register ababab.*, .* by cdcdcd.*; judge the rec"),
        ("reproduce --preset smoke --expect mine", "mine/run.json was judged by another register than this version's"),
        ("judge nowhere", "nowhere: holds no run; name a folder that `reproduce` or `run` wrote, or one of several"),
        ("judge other", "other has neither records nor archives; name the folder that"),
        ("results pack other kept", "other has neither records nor archives; name the folder that"),
        ("spot-check other", "other has neither records nor archives; name the folder that"),
        ("reproduce --preset smoke --hours 0", "--hours 0: give more than 0, and not together with --shard"),
        ("severity --preset big", "preset 'big' is unknown"),
        ("severity --run nowhere", "nowhere: there is no such file; name a folder"),
        ("reproduce --preset smoke --expect nowhere", "nowhere: there is no such file; name a folder"),
        ("reproduce --preset smoke --expect listed", r"listed/run\.json: is a list"),
        ("run recovery --preset smoke --expect keyless", r"keyless/run\.json: object missing required field `seed`"),
        ("reproduce --engine slurm", "engine 'slurm' is unknown; choose one of local, ray; job arrays take --shard"),
        ("run recovery --preset smoke --address auto", "an address is that of a Ray cluster; give --engine ray"),
        ("reproduce --engine ray --address nowhere", "address is 'nowhere'; give HOST:PORT, or auto for the Ray that"),
        ("run recovery --preset smoke --shard 3/2", "shard is '3/2'; give i/n, such as 1/4 for the first of four"),
        ("results ls --out nowhere", "nowhere: there are no records; name a folder that `reproduce` or `run` wrote"),
        ("results export all.csv --out nowhere", "nowhere: there are no records"),
        ("claims --show cubic", "claim 'cubic' is unknown; choose one of equal-variance-identifies, .*, cubic-cost"),
        ("claims --show cubic-cost --preset big", "preset 'big' is unknown"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(call, home, arguments, told):
    put(home / "cut" / "ml-100k" / "u.data", RATINGS[:-1])
    put(home / "bad" / "ml-100k" / "u.data", RATINGS.replace("1\t2\t3\t2\n", "1\t2\t9\t2\n"))
    put(home / "whole" / "ml-100k" / "u.data", RATINGS)
    put(home / "own.csv", "who,what\na,b\n")
    pairs = [f"{user},{item}" for user in range(6) for item in range(6)]
    put(home / "good.csv", "user,item\n" + "\n".join(pairs) + "\n")
    put(home / "own.xls", "who,what\na,b\n")
    put(home / "samples.csv", SAMPLES)
    put(home / "taken", "a file in the place of the results folder")
    for folder, text in RUN_FILES.items():
        put(home / folder / "run.json", text)
    before = files(home)
    code, out, err = call(*arguments.split())
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert re.search(told, err)
    assert files(home) == before


def test_garbage_in_the_place_of_a_run_is_one_line(call, home):
    put(home / "garbage" / "run.json", "%" * 10_000_000)
    code, out, err = call("compare", "garbage")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: garbage/run\.json: cannot be read as JSON .{,99}\n", err)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_that_is_not_there_is_refused(call, home):
    for command in ("reproduce", "plan"):
        code, out, err = call(command, "--preset", "smoke", "--device", "cuda")
        assert (code, out) == (2, "")
        assert err == "error: device 'cuda' is not available here; choose auto, cpu or, with a GPU, cuda\n"
    assert files(home) == set()


def test_an_interrupt_is_told_and_is_130(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.judge.claims.read_register", interrupted)
    assert call("claims") == (
        130, "", "interrupted; what has finished is kept, the same command goes on there (train: --resume)\n"
    )  # fmt: skip


def test_a_reader_that_leaves_early_is_no_traceback_and_no_other_exit_code():
    pipe = subprocess.Popen(
        [sys.executable, ROOT / "cli.py", "claims"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    pipe.stdout.close()
    assert pipe.stderr.read() == b""
    pipe.stderr.close()
    assert pipe.wait() == 0


def piped(*arguments: object, stdout: object) -> tuple[int, str]:
    """Run a command in a process of its own: exit code and stderr."""
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, check=False,
        text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", ["claims", "claims --json", "data list"])
def test_output_that_cannot_be_written_is_one_line(home, arguments):
    with Path("/dev/full").open("w") as full:
        assert piped(*arguments.split(), stdout=full) == (
            2, "error: the output cannot be written: No space left on device\n"
        )  # fmt: skip


def test_what_is_no_unicode_is_escaped_on_stdout(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    Store(folder)
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, ROOT / "cli.py", "results", "ls", "--out", folder, *more], capture_output=True, check=True,
            env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        )  # fmt: skip
        assert rb"\udcff" in done.stdout


# What commands show


def test_claims_lists_the_register(call):
    code, out, err = call("claims")
    assert (code, err) == (0, "")
    assert all(f"{name}  " in out for name in IDS)
    code, out, err = call("claims", "--json")
    assert (code, err) == (0, "")
    (table,) = json.loads(out)
    assert [row[0] for row in table["rows"]] == list(IDS)


def test_claims_show_is_one_claim_whole_with_what_the_committed_run_says_of_it(call, home):
    put(home / "runs" / "damaged" / "run.json", "{")
    shown = ("claims", "--show", "attention-is-scm", "--out", "runs")
    code, out, err = call(*shown)
    assert code == 0
    assert err.startswith("passed over: runs/damaged/run.json: cannot be read as JSON")
    assert re.search(r"^command +python cli\.py run audit --preset quick$", out, re.MULTILINE)
    told = json.loads((ROOT / "results" / "reference" / "quick" / "run.json").read_text())
    (verdict,) = [verdict for verdict in told["verdicts"] if verdict["claim"] == "attention-is-scm"]
    assert re.search(rf"^last verdict +{verdict['verdict']}$", out, re.MULTILINE)
    for finding in verdict["findings"]:
        assert re.search(rf"^{finding['part']}\S* .*{finding['outcome']} ", out, re.MULTILINE)
    code, out, _ = call(*shown, "--json")
    assert (code, [table["name"] for table in json.loads(out)]) == (0, ["claim", "findings"])
    code, out, _ = call("claims", "--show", "alpha-window", "--out", "runs")
    assert re.search(r"^left out here +the preset quick leaves sensitivity out", out, re.MULTILINE)
    assert re.search(r"^command +python cli\.py reproduce --preset hour$", out, re.MULTILINE)
    told = call("plan", "--preset", "hour", "--json")[1]
    cells = sum(row[2] for row in json.loads(told)[0]["rows"])
    assert re.search(rf"^time +.* for {cells} cells, and then", out, re.MULTILINE)


def test_compare_tells_equal_from_different_by_its_exit_code(call, home):
    """What differs within noise is told and is no difference; nor is what is judged by other rules, where asked."""
    near = {"estimate": 0.4, "low": -0.1, "high": 0.9, "n": 5, "level": 0.95}
    runs = RUN_FILES | {"near": json.dumps(other_verdict(near)), "far": json.dumps(other_verdict(near | {"low": 0.1}))}
    for folder, text in runs.items():
        put(home / folder / "run.json", text)
    told = "beats-rivals is undecided, in the reference no effect\n"
    code, out, err = call("compare", "mine", "mine")
    assert (code, err) == (0, "")
    assert "Verdicts of mine/run.json and mine/run.json" in out
    assert call("compare", "near", "mine")[0::2] == (0, f"within noise: {told}")
    assert call("compare", "mine", "by_other_rules", "--across-registers")[0::2] == (0, "")
    code, out, err = call("compare", "far/run.json", "mine", "--json")
    assert (code, err) == (1, told)
    assert [table["name"] for table in json.loads(out)] == [
        "compared_verdicts", "compared_findings", "compared_tables", "compared_times", "compared_made_with",
    ]  # fmt: skip


def test_compare_takes_the_committed_run_of_the_preset_where_no_other_is_named(call, home):
    assert call("compare", ROOT / "results" / "reference" / "hour")[0::2] == (0, "")


@pytest.mark.parametrize("command", [("reproduce",), ("run", "recovery")])
def test_a_run_is_held_against_what_was_expected_and_its_data_demanded(call, home, monkeypatch, command):
    """One experiment stands for all; nothing is computed twice, and nothing drawn, which would take most time."""
    smoke = PRESETS["smoke"]
    small = replace(smoke.structure, families=(("er", 1),), nodes=(5,), samples=(100, 200), draws=5)
    wanting = replace(smoke, structure=small, real=replace(smoke.real, datasets=("ml-100k", "beauty")))
    monkeypatch.setitem(PRESETS, "smoke", wanting)
    monkeypatch.setattr("bench.experiments.EXPERIMENTS", {"recovery": EXPERIMENTS["recovery"]})
    drawn = lambda figure, to: [put(to / f"{figure.name}.svg", '<svg viewBox="0 0 9 9"/>')]  # noqa: E731
    monkeypatch.setattr("bench.report.write.write_figure", drawn)
    put(home / "data" / "ml-100k" / "u.data", RATINGS)
    asked = (*command, "--preset", "smoke", "--jobs", 1, "--out", "runs", "--data-dir", "data")
    code, tables, err = call(*asked)
    assert (code, "--expect" in err, "--require-data" in err) == (0, False, False)
    (file,) = home.glob("runs/*/run.json")
    document = json.loads(file.read_text())
    assert document["experiments"] == ["recovery"]

    def expect(name: str, **more) -> Path:
        return put(home / name / "run.json", json.dumps(document | more)).parent

    same, others = expect("same"), {verdict["claim"]: verdict for verdict in document["verdicts"]}
    others["beats-rivals"]["verdict"] = "as claimed"  # of an experiment that is not run here
    whole = expect("whole", experiments=list(EXPERIMENTS))
    others["equal-variance-identifies"]["verdict"] = "opposite"
    near = expect("near")
    for finding in others["equal-variance-identifies"]["findings"]:
        finding["estimate"] |= {"estimate": -2.0, "low": -3.0, "high": -1.0}
    other = expect("other")
    elsewhere = expect("elsewhere", register=document["register"] | {"sha256": "0" * 64})
    assert call(*asked, "--expect", same)[:2] == (0, tables)
    for folder, how, code in ((whole, "", 0), (near, ", within noise", 0), (other, "", 1)):
        ended, out, err = call(*asked, "--expect", folder)
        assert (ended, out) == (code, tables)
        told = [line for line in err.splitlines() if line.startswith("--expect")]
        assert len(told) == (folder != whole)
        said = rf"--expect{how}: equal-variance-identifies is .*, in the reference opposite"
        assert all(re.fullmatch(said, line) for line in told)
    assert call(*asked, "--expect", elsewhere)[:2] == (2, "")
    assert call(*asked, "--expect", elsewhere, "--across-registers")[0] == 1

    code, out, err = call(*asked, "--require-data", "--expect", other)
    assert (code, out) == (3, tables)  # before the 1 of a verdict
    assert told[0] in err.splitlines()
    (lacking,) = [line for line in err.splitlines() if line.startswith("--require-data: ")]
    assert lacking.startswith("--require-data: beauty: Amazon Beauty is not there: sought data")
    assert call(*asked, "--require-data", "--dataset", "ml-100k", "--expect", same)[0] == 0


def test_plan_says_what_is_missing_and_that_is_no_error(call, home):
    code, out, err = call("plan", "--preset", "hour", "--jobs", "2")
    assert (code, err) == (0, "")
    assert "Datasets found: none; MovieLens-100K is not there: sought" in out
    assert all(name in out for name in EXPERIMENTS)
    put(home / "data" / "ml-100k" / "u.data", RATINGS)
    code, out, _ = call("plan", "--preset", "quick", "--data-dir", "data")
    assert (code, "recovery" in out, "sensitivity" in out) == (0, True, False)
    assert "Datasets found: ml-100k; Foursquare New York (TSMC2014) is not there" in out
    code, out, _ = call("plan", "--preset", "smoke", "--json")
    (table,) = json.loads(out)
    assert [row[0] for row in table["rows"]] == list(EXPERIMENTS)
    assert files(home) == {home / "data", home / "data" / "ml-100k", home / "data" / "ml-100k" / "u.data"}


def test_plan_lists_the_key_and_label_of_every_cell(call, home):
    """Of the first cells of all experiments, each key once, in the order of the plan; nothing else on stdout."""
    setup = make_setup(PRESETS["smoke"], 3, None, "cpu")
    cells = dict.fromkeys(cell for cells in plan_cells(setup, EXPERIMENTS).values() for cell in cells)
    asked = ("plan", "--keys", "--preset", "smoke", "--seed", 3, "--device", "cpu")
    assert call(*asked) == (0, "".join(f"{cell.key}\t{cell.label}\n" for cell in cells), "")
    assert call(*asked, "--json", "--out", "runs", "--jobs", 2) == call(*asked)
    code, out, err = call("plan", "--keys")
    assert (code, err) == (0, "")
    keys = [re.fullmatch(r"([0-9a-f]{64})\t(.+)", line)[1] for line in out.splitlines()]
    assert len(set(keys)) == len(keys) > len(cells)
    assert files(home) == set()


@pytest.mark.parametrize(("preset", "device", "said"), [
    ("smoke", "cpu", False), ("smoke", "cuda", True), ("paper", "cpu", True),
])  # fmt: skip
def test_plan_says_that_its_time_is_for_a_cpu_where_a_gpu_is_meant(preset, device, said):
    table = plan_table(Setup(PRESETS[preset], 0, device), {}, None, 1)
    assert ("This time is an estimate for CPU" in table.note) == said


def test_data_list_and_check(call, home):
    code, out, _ = call("data", "list", "--json")
    assert code == 0
    (table,) = json.loads(out)
    assert [row[:2] for row in table["rows"]] == [[name, "missing"] for name in DATASETS]
    assert call("data", "check")[0] == 0

    put(home / "data" / "ml-100k" / "u.data", RATINGS)
    code, out, _ = call("data", "list", "--data-dir", "data", "--json")
    assert (code, json.loads(out)[0]["rows"][0][1]) == (0, "present")
    code, out, _ = call("data", "check", "--data-dir", "data", "--json")
    row = json.loads(out)[0]["rows"][0]
    assert code == 3
    assert row[1] == "differs from the known file (the official file)"
    assert row[4:] == ["6 / 6 / 36", "943 / 1,682 / 100,000"]

    put(home / "data" / "ml-100k" / "u.data", RATINGS[:-1])
    code, out, _ = call("data", "check", "--data-dir", "data")
    assert code == 3
    assert "ml-100k/u.data, line 36: the last line has no line end" in out


def test_data_show_prepares_a_named_dataset_and_an_own_file(call, home):
    put(home / "data" / "ml-100k" / "u.data", RATINGS)
    put(home / "own.tsv", "who\twhat\n" + "".join(f"u{u}\ti{i}\n" for u in range(6) for i in range(6)))
    code, out, err = call("data", "show", "ml-100k", "--data-dir", "data", "--json")
    assert (code, err) == (0, "")
    (table,) = json.loads(out)
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert [row[name] for name in ("data", "users", "items", "actions")] == ["ml-100k", 6, 6, 36]
    code, out, _ = call("data", "show", "own.tsv", "--user", "who", "--item", "what", "--json")
    row = dict(zip(table["columns"], json.loads(out)[0]["rows"][0], strict=True))
    assert [row[name] for name in ("data", "users", "items", "actions")] == ["own file", 6, 6, 36]
    assert row["order"] == "file order (no column is named as times are)"


def test_doctor_tells_a_healthy_machine_from_a_bad_results_folder(call, home):
    code, out, _ = call("doctor", "--json")
    machine, data = json.loads(out)
    assert code == 0
    assert {row[0] for row in machine["rows"]} >= {"python", "torch", "device", "workers by default", "results"}
    assert [row[0] for row in data["rows"]] == list(DATASETS)
    assert files(home) == set()
    put(home / "taken", "a file")
    code, out, err = call("doctor", "--out", "taken")
    assert (code, err) == (3, "")
    assert "Not a directory; choose another results folder" in out


UNNOTICED = Fault("NDCG as it is", ranking, "ndcg", lambda ndcg: lambda ranks, k=10: ndcg(ranks, k))
DOUBLED = Fault("NDCG doubled", ranking, "ndcg", lambda ndcg: lambda ranks, k=10: 2 * ndcg(ranks, k))


def two_is_three() -> Measured:
    """Two is three."""
    return Measured(False, "2")


@pytest.mark.parametrize(
    ("checks", "faults", "ended", "tables", "told", "said"),
    [
        ([ndcg_by_hand], [DOUBLED], 0, 2, r"NDCG doubled +causalrec\.ranking\.ndcg +ndcg by hand +2", "ndcg by hand"),
        ([ndcg_by_hand], [DOUBLED, UNNOTICED], 3, 2, r"NDCG as it is +causalrec\.ranking\.ndcg +NOTHING", "NOTHING"),
        ([two_is_three], [DOUBLED], 3, 1, "Without any fault these do not hold: two is three", "1 do not hold"),
    ],
)
def test_doctor_tests_the_suite_itself(call, home, monkeypatch, checks, faults, ended, tables, told, said):
    monkeypatch.setattr(selftest, "run", partial(selftest.run, checks, faults))
    code, out, err = call("doctor", "--self-test")
    assert code == ended
    assert re.search(told, out)
    assert err.endswith(f": {said}\n")
    code, out, _ = call("doctor", "--self-test", "--json")
    assert code == ended
    assert [table["name"] for table in json.loads(out)] == ["selftest_checks", "selftest_faults"][:tables]
    assert files(home) == set()


# A graph from a file, and a learner, of the user's own


def test_learn_says_how_it_read_what_it_found_and_what_is_doubtful(call, home):
    source = put(home / "samples.csv", SAMPLES)
    code, out, err = call("learn", source, "--method", "eqvar", "--out", "W.csv", "--graphml", "G.graphml")
    assert code == 0
    assert "6 samples (rows) of 2 variables (columns), separated by comma (the only one in line 1)" in out
    assert "names from line 1 (it holds no number)" in out
    assert re.search(r"rain +wet +2\.0\d\d", out)
    assert "warning: few samples (6) for 2 variables" in err
    assert err.endswith("W in W.csv: W[i, j] is the effect of j on i\n")
    lines = (home / "W.csv").read_text().splitlines()
    assert lines[:2] == ["effect \\ cause,rain,wet", "rain,0.0,0.0"]
    assert lines[2].startswith("wet,2.0")
    assert '<edge source="rain" target="wet">' in (home / "G.graphml").read_text()
    assert source.read_text() == SAMPLES

    code, out, err = call("learn", source, "--method", "eqvar", "--out", "W.npy", "--transpose", "--json")
    told = json.loads(out)
    assert (code, told["names"], told["warnings"]) == (0, ["rain", "wet"], [err.splitlines()[0][len("warning: "):]])
    assert "W[i, j] is the effect of i on j" in err
    assert np.array_equal(np.load("W.npy", allow_pickle=False), np.array(told["W"]).T)
    assert files(home) == {home / name for name in ("samples.csv", "W.csv", "G.graphml", "W.npy")}


def test_a_learner_of_the_users_own_stands_beside_ours_with_its_failures(call, home, monkeypatch):
    smoke = PRESETS["smoke"]
    small = replace(smoke.structure, families=(("er", 1),), nodes=(5,), samples=(100, 200), draws=20)
    monkeypatch.setitem(PRESETS, "smoke", replace(smoke, structure=small))
    put(home / "mine_of_the_cli.py", OWN_LEARNER)
    asked = ("--preset", "smoke", "--jobs", 1, "--out", "runs", "--learner", "mine_of_the_cli:regress", "--json")
    code, out, err = call("run", "recovery", *asked)
    assert code == 0, err
    tables = {table["name"]: table for table in json.loads(out)["tables"]}
    assert tables["recovery_shd"]["columns"][-1] == "mine_of_the_cli:regress"
    assert tables["recovery_shd"]["rows"][0][-1] is not None
    assert [row[-1] is None for row in tables["recovery_rate"]["rows"]] == [False, False, True]
    failures = [
        record.metrics["failures"] for record in Store(home / "runs").records()
        if record.params["learner"] == "mine_of_the_cli:regress"
    ]  # fmt: skip
    assert len(failures) == 2
    assert 0 < sum(failures) < 40

    def there() -> int:
        (table,) = json.loads(call("plan", *asked)[1])
        return dict(zip(table["columns"], table["rows"][0], strict=True))["there already"]

    before = there()
    put(home / "mine_of_the_cli.py", OWN_LEARNER + "# edited\n")
    assert there() == before - 2


OWN_LEARNER = """
import numpy as np


def regress(X):
    if X[0, 0] > 1:
        raise RuntimeError("no luck")
    order = np.argsort(X.var(0))
    W = np.zeros((X.shape[1],) * 2)
    for k, i in enumerate(order[1:], 1):
        W[i, order[:k]] = np.linalg.lstsq(X[:, order[:k]], X[:, i], rcond=None)[0]
    return W
"""


# A model trained on the user's own data, and a recommender of the user's own


def ring(home: Path) -> Path:
    rows = [f"u{user},{chr(97 + (user + at) % 9)},{at}" for user in range(20) for at in range(7)]
    return put(home / "ring.csv", "user,item,when\n" + "\n".join(rows) + "\n")


TINY = (
    "--option", "width=8", "--option", "length=6", "--batch", "8", "--epochs", "2", "--learning-rate", "0.01",
    "--schedule", "constant",
    "--device", "cpu",
)  # fmt: skip


def test_a_model_is_trained_ranks_the_same_and_recommends(call, home):
    ring(home)
    trained = ("train", "--data", "ring.csv", "--time", "when", "--model", "sasrec", "--out", "m", *TINY)
    code, out, err = call(*trained)
    assert code == 0, err
    assert re.findall(r"^epoch \d", err, re.MULTILINE) == ["epoch 1", "epoch 2"]
    assert re.findall(r"^(validation|test) +(kept|filtered) +20 ", out, re.MULTILINE) == [
        ("validation", "kept"), ("validation", "filtered"), ("test", "kept"), ("test", "filtered"),
    ]  # fmt: skip
    assert "leave-one-out" in out
    tests = [line for line in out.splitlines() if line.startswith("test ")]

    code, out, err = call("evaluate", "m", "--data", "ring.csv", "--device", "cpu")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines() if line.startswith("test ")] == [t.split() for t in tests]
    assert "the data that the model was trained on. Held out and asked: one action of each of 20 users" in out

    asked = ("-k", 3, "--seen", "kept", "--device", "cpu")
    code, out, err = call("recommend", "m", "--data", "ring.csv", "--user", "u3", *asked, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [item["rank"] for item in told["items"]] == [1, 2, 3]
    code, out, err = call("recommend", "m", "--history", "d,e,f,g,h,i,a", *asked)
    assert (code, err) == (0, "")
    assert re.findall(r"^ +\d  (\w) ", out, re.MULTILINE) == [item["item"] for item in told["items"]]

    before = {file: file.read_bytes() for file in (home / "m").iterdir()}
    code, out, err = call(*trained)
    assert (code, out) == (2, "")
    assert err.startswith("error: m: holds model.json, training.json, checkpoint.safetensors; go on with --resume, or")
    assert {file: file.read_bytes() for file in (home / "m").iterdir()} == before
    code, out, err = call(*trained, "--resume", "--epochs", 3, "--json")
    assert (code, json.loads(out)["epochs"]) == (0, 3)


def test_a_trained_model_moves_to_another_process_and_a_hostile_one_is_one_line(call, home):
    ring(home)
    code, told, _ = call("train", "--data", "ring.csv", "--model", "causalrec", "--out", "m", *TINY, "--json")
    assert code == 0
    with Path("there.json").open("w") as out:
        assert piped("evaluate", "m", "--data", "ring.csv", "--device", "cpu", "--json", stdout=out) == (0, "")
    here = [figures for figures in json.loads(told)["figures"] if figures["part"] == "test"]
    assert json.loads(Path("there.json").read_text())["figures"] == here
    (home / "m" / "model.safetensors").write_bytes(b"\x80\x04\x95 pickle")
    code, err = piped("recommend", "m", "--history", "a", stdout=None)
    assert code == 2
    assert re.fullmatch(r"error: m/model\.safetensors is not the file that m/model\.json was written with.*\n", err)


def test_a_recommender_of_the_users_own_stands_beside_ours(call, home, monkeypatch):
    smoke = PRESETS["smoke"]
    world = World(items=12, users=40, length=8, width=8, epochs=1)
    monkeypatch.setitem(PRESETS, "smoke", replace(smoke, world=world))
    put(home / "my_model_of_the_cli.py", OWN_RECOMMENDER)
    names = ("my_model_of_the_cli:Last", "my_model_of_the_cli:Broken")
    asked = [word for name in names for word in ("--recommender", name)]
    code, out, err = call("run", "recommend", "--preset", "smoke", "--device", "cpu", "--jobs", 1, "--out", "runs",
                          *asked, "--json")  # fmt: skip
    assert code == 3
    assert "RuntimeError: no luck" in err
    tables = {table["name"]: table for table in json.loads(out)["tables"]}
    assert names[0] in {row[1] for row in tables["recommend"]["rows"]}
    assert names[1] not in {row[1] for row in tables["recommend"]["rows"]}
    failed = [record for record in Store(home / "runs").records() if not record.ok]
    assert {record.params["model"] for record in failed} == {names[1]}


OWN_RECOMMENDER = """
import numpy as np


class Last:
    def fit(self, train, num_items, generator):
        self.items = num_items

    def scores(self, histories):
        scores = np.zeros((len(histories), self.items))
        for row, history in zip(scores, histories):
            row[history[-1] - 1] = 1
        return scores


class Broken(Last):
    def scores(self, histories):
        raise RuntimeError("no luck")
"""


# Shards and records


def test_shards_copied_together_are_a_whole_run(call, home):
    """The same numbers as in one run, and nothing is run again."""
    whole = json.loads(call("run", "mixing", "--preset", "smoke", "--out", "whole", "--json")[1])
    for index in (1, 2):
        code, out, err = call("run", "mixing", "--preset", "smoke", "--out", f"part{index}", "--shard", f"{index}/2")
        assert (code, out) == (0, "")
        assert f"shard {index}/2: " in err
        shutil.copytree(home / f"part{index}", home / "both", dirs_exist_ok=True)
    code, out, err = call("run", "mixing", "--preset", "smoke", "--out", "both", "--json")
    assert code == 0
    together = json.loads(out)
    assert together["cells"] == whole["cells"] > 1
    assert f"{whole['cells']} cached" in err
    assert together["tables"] == whole["tables"]


def test_records_are_looked_at_by_commands(call, home):
    assert call("run", "mixing", "--preset", "smoke", "--out", "runs", "--shard", "1/1")[0] == 0
    code, out, _ = call("results", "ls", "--out", "runs", "--json")
    ((runner, status, count, _),) = json.loads(out)[0]["rows"]
    assert (code, runner, status) == (0, "mixing", "ok")
    listed = json.loads(call("results", "ls", "--out", "runs", "--runner", "mixing", "--json")[1])[0]["rows"]
    assert len(listed) == count
    assert call("results", "show", listed[0][0], "--out", "runs")[0] == 0
    assert call("results", "verify", "--out", "runs")[0] == 0
    assert call("results", "gc", "--out", "runs")[0] == 0
    assert f"{count} records in all.csv" in call("results", "export", "all.csv", "--out", "runs")[2]
    next((home / "runs/records").glob("??/*.json")).write_text("{}")
    assert call("results", "verify", "--out", "runs")[0] == 3
