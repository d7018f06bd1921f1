"""nanoGPT's config: every value with its origin, nothing executed, nothing impossible believed, no silent default."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import BadConfig, BadSettings, InputError, UsageError
from auscult.readers import given_by_options, read, reread_config
from auscult.readers.nanogpt_keys import sniff_keys as sniff_config
from auscult.readers.python_config import parse_config
from auscult.run import Known, Quantity, Recipe, Run, Unknown

T = TypeVar("T")
RECORD = "iter 10: loss 7.1234, time 90.00ms, mfu 30.00%\n"
CONFIG = """\
# GPT-2 (124M)
wandb_run_name = 'narrow-40M'
dataset = 'fineweb'
batch_size = 16
gradient_accumulation_steps = 4 * 8
n_layer = 12
n_embd = 384  # ~125M parameters
learning_rate = 1e-3
max_iters = 20000
compile = False
"""


def run_of(folder: Path, config: str, *, log: str | None = None, settings_text: str | None = None) -> Run:
    """Write a run into the folder and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_x.py").write_text(config, encoding="utf-8", newline="")
    if log is not None:
        (folder / "train.log").write_text(log, encoding="utf-8")
    if settings_text is not None:
        (folder / "auscult.toml").write_text(settings_text, encoding="utf-8")
    return read(folder)


def text_of(config: str) -> Run:
    """Read a config's text alone."""
    return reread_config(config, "train_x.py")


def known(quantity: Quantity[T]) -> Known[T]:
    assert isinstance(quantity, Known), quantity
    return quantity


def shape(run: Run) -> tuple[Quantity[int], Quantity[int], Quantity[int]]:
    architecture = run.recipe.architecture
    return architecture.n_layer, architecture.n_head, architecture.d_model


def test_values_carry_their_line(tmp_path: Path) -> None:
    """What the config sets is known with file, line and text; arithmetic is evaluated."""
    recipe = run_of(tmp_path, CONFIG).recipe
    assert repr(recipe.batch_size) == "Known(16, train_x.py:4)"
    assert repr(recipe.gradient_accumulation_steps) == "Known(32, train_x.py:5)"
    assert repr(recipe.architecture.d_model) == "Known(384, train_x.py:7)"
    assert known(recipe.architecture.d_model).source.text == "n_embd = 384  # ~125M parameters"
    assert repr(recipe.learning_rate) == "Known(0.001, train_x.py:8)"
    assert repr(recipe.compile) == "Known(False, train_x.py:10)"
    assert known(recipe.dataset).value == "fineweb"
    assert known(recipe.run_name).value == "narrow-40M"
    for quantity in (recipe.batch_size, recipe.learning_rate, recipe.dataset):
        assert known(quantity).source.how == "read"


def test_defaults_say_so(tmp_path: Path) -> None:
    """What the config leaves out comes from nanoGPT's train.py, and its source says that it is a default."""
    recipe = run_of(tmp_path, CONFIG).recipe
    expected: list[tuple[Quantity[object], object]] = [
        (recipe.architecture.n_head, 12),
        (recipe.architecture.context, 1024),
        (recipe.architecture.bias, False),
        (recipe.architecture.vocab_size, 50_304),
        (recipe.dropout, 0.0),
        (recipe.warmup_steps, 2000),
        (recipe.decay_steps, 600_000),
        (recipe.min_lr, 6e-5),
        (recipe.beta1, 0.9),
        (recipe.beta2, 0.95),
        (recipe.weight_decay, 0.1),
        (recipe.grad_clip, 1.0),
        (recipe.eval_interval, 2000),
        (recipe.eval_iters, 200),
        (recipe.log_interval, 1),
        (recipe.schedule, "cosine"),
    ]
    for quantity, value in expected:
        assert known(quantity).value == value
        assert known(quantity).source.how == "default"
        assert known(quantity).source.file is None


def test_without_a_config_nothing_is_assumed(tmp_path: Path) -> None:
    """A log alone leaves the recipe unknown: no default is invented for a config that nobody showed."""
    log = tmp_path / "train.log"
    log.write_text(RECORD)
    recipe = read(log).recipe
    quantities: list[Quantity[object]] = [
        recipe.batch_size,
        recipe.learning_rate,
        recipe.architecture.n_layer,
        recipe.architecture.vocab_size,
    ]
    for quantity in quantities:
        assert isinstance(quantity, Unknown)
        assert "config" in quantity.reason


def test_the_last_assignment_is_in_force() -> None:
    """A key that is set twice has its last value, with that line."""
    assert repr(text_of("n_layer = 6\nn_layer = 8\n").recipe.architecture.n_layer) == "Known(8, train_x.py:2)"
    assert repr(text_of("n_layer = depth()\nn_layer = 8\n").recipe.architecture.n_layer) == "Known(8, train_x.py:2)"


def test_the_command_line_in_the_log_wins(tmp_path: Path) -> None:
    """What the log echoes of the command line overrides the config, with its line in the log."""
    log = "Overriding config with config/train_x.py:\n" + CONFIG + "\n"
    log += (
        "Overriding: batch_size = 8\nOverriding: dataset = openwebtext\nOverriding: learning_rate = 0.0006\n" + RECORD
    )
    recipe = run_of(tmp_path, CONFIG, log=log).recipe
    first = log.splitlines().index("Overriding: batch_size = 8") + 1
    assert repr(recipe.batch_size) == f"Known(8, train.log:{first})"
    assert repr(recipe.dataset) == f"Known('openwebtext', train.log:{first + 1})"
    assert repr(recipe.learning_rate) == f"Known(0.0006, train.log:{first + 2})"
    assert repr(recipe.architecture.n_layer) == "Known(12, train_x.py:6)"


def test_comments_and_names_are_kept_for_their_claims() -> None:
    """Comments and the run's name are kept with column and line, so that their claims can be judged and rewritten."""
    run = text_of(CONFIG)
    found = {comment.text: comment for comment in run.comments}
    assert found["# GPT-2 (124M)"].source.line == 1
    assert (found["# ~125M parameters"].source.line, found["# ~125M parameters"].column) == (7, 14)
    name = found["narrow-40M"]
    assert (name.key, name.source.line) == ("wandb_run_name", 2)
    line = CONFIG.splitlines()[1]
    assert line[name.column : name.column + len("narrow-40M")] == "narrow-40M"


# --- never executed ---------------------------------------------------------------------------------------------------

ATTACKS = [
    "open({path!r}, 'w').close()",
    "n_layer = open({path!r}, 'w').close()",
    "exec(\"open({path!r}, 'w')\")",
    "eval(\"open({path!r}, 'w')\")",
    "import os; os.system('touch ' + {path!r})",
    "__import__('pathlib').Path({path!r}).touch()",
    "n_layer = __import__('os').system('touch {path}')",
    "n_layer = [open({path!r}, 'w') for _ in (1,)]",
    "n_layer = (lambda: open({path!r}, 'w'))()",
    "n_layer: open({path!r}, 'w') = 12",
    "def f(x=open({path!r}, 'w')): pass",
    "class A:\n    open({path!r}, 'w')",
    "@open({path!r}, 'w').write\ndef f(): pass",
    "if open({path!r}, 'w'): n_layer = 1",
    "with open({path!r}, 'w') as f: f.write('x')",
    'f"{{open({path!r}, chr(119))}}"',
    'n_layer = f"{{open({path!r}, chr(119))}}"',
    "assert open({path!r}, 'w')",
    "for x in open({path!r}, 'w'): pass",
    "n_layer = 1 if open({path!r}, 'w') else 2",
    "n_layer = 12 and open({path!r}, 'w')",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_executed(tmp_path: Path, attack: str) -> None:
    """A config that would create a file creates none, and what else it sets is read."""
    target = tmp_path / "created"
    config = "n_head = 6\nbatch_size = 3\n" + attack.format(path=str(target)) + "\nn_embd = 384\n"
    run = run_of(tmp_path / "run", config)
    assert not target.exists()
    assert known(run.recipe.batch_size).value == 3
    assert known(run.recipe.architecture.d_model).value == 384


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attacks_are_real(tmp_path: Path, attack: str) -> None:
    """The control: executed by Python, each of these configs does create the file."""
    target = tmp_path / "created"
    subprocess.run([sys.executable, "-c", attack.format(path=str(target))], capture_output=True, check=False)
    assert target.exists()


def test_an_encoding_cookie_hides_no_statement(tmp_path: Path) -> None:
    """A comment that a coding cookie would turn into statements stays a comment: the text is read as UTF-8 alone."""
    target = tmp_path / "created"
    config = f"# coding: unicode_escape\\nopen({str(target)!r}, 'w')\\nn_layer = 99\nn_head = 6\nn_embd = 384\n"
    run = run_of(tmp_path / "run", config)
    assert not target.exists()
    assert known(run.recipe.architecture.n_layer).source.how == "default"


def test_an_echoed_config_is_not_executed_either(tmp_path: Path) -> None:
    """A config quoted in a log, and an override in one, are parsed and never run."""
    target = tmp_path / "created"
    log = tmp_path / "train.log"
    log.write_text(
        f"Overriding config with config/x.py:\nn_layer = 3\nopen({str(target)!r}, 'w')\n"
        f"Overriding: n_head = open({str(target)!r}, 'w')\n{RECORD}"
    )
    run = read(log)
    assert not target.exists()
    assert known(run.recipe.architecture.n_layer).value == 3


# --- what cannot be evaluated -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("n_layer = 12\nn_embd = = 768\n", 2),
        ("\n\nn_embd = (768\n", 3),
        ("n_layer = 12\n  n_head = 12\n", 2),
        ("n_embd = '768\n", 1),
    ],
)
def test_a_syntax_error_names_file_and_line(tmp_path: Path, config: str, line: int) -> None:
    """A config that is not Python raises BadConfig with the line, the text that stands there, and what to do."""
    with pytest.raises(BadConfig, match=rf"^train_x\.py:{line}: the config is not valid Python .*Next: mend that line"):
        run_of(tmp_path, config + "batch_size = 1\ndropout = 0.1\n")


@pytest.mark.parametrize(
    "value", ["width", "int('768')", "os.environ['W']", "[768][0]", "768 if big else 384", "9**9**9"]
)
def test_a_value_that_needs_execution_is_unknown(value: str) -> None:
    """A value beyond literals is unknown for that key alone, with its line as the reason and a problem."""
    run = text_of(f"n_layer = 6\nn_embd = {value}\nn_head = 6\n")
    n_layer, n_head, d_model = shape(run)
    assert (known(n_layer).value, known(n_head).value) == (6, 6)
    assert isinstance(d_model, Unknown)
    assert "train_x.py:2" in d_model.reason
    assert isinstance(run.recipe.architecture.d_ff, Unknown)
    assert [(problem.kind, problem.source.line) for problem in run.problems] == [("not_evaluated", 2)]


@pytest.mark.parametrize(
    "setting",
    [
        "n_layer = n_head = 6",
        "n_layer, n_head = 6, 6",
        "if True:\n    n_layer = 6\n    n_head = 6",
        "from shape import n_layer, n_head",
        "try:\n    n_layer = n_head = 6\nfinally:\n    pass",
    ],
)
def test_a_key_set_in_another_way_is_not_a_default(setting: str) -> None:
    """A key that any statement may set is read or unknown: nanoGPT's default of 12 is not claimed for it."""
    for quantity in shape(text_of(f"{setting}\nbatch_size = 4\n"))[:2]:
        assert isinstance(quantity, Unknown) or quantity.value == 6, quantity


@pytest.mark.parametrize(
    "change",
    ["n_layer += 2", "n_layer *= 2", "if big:\n    n_layer = 12", "from shape import n_layer", "n_layer = n_head = 8"],
)
def test_a_value_changed_later_is_not_the_old_one(change: str) -> None:
    """After a later statement that may change a key, its earlier value is no longer claimed."""
    quantity = text_of(f"n_layer = 6\n{change}\n").recipe.architecture.n_layer
    assert isinstance(quantity, Unknown) or quantity.value != 6, quantity


def test_a_training_script_that_computes_a_value_has_no_stock_default(tmp_path: Path) -> None:
    """A train.py whose depth is computed does not have stock nanoGPT's depth "not set in the config"."""
    script = "n_layer = depth()\nn_head = 6\nn_embd = 384\nexec(open('configurator.py').read())\n"
    (tmp_path / "train.py").write_text(script)
    assert isinstance(read(tmp_path).recipe.architecture.n_layer, Unknown)


def test_a_training_script_gives_the_defaults_under_a_config(tmp_path: Path) -> None:
    """Beside a config of overrides, a train.py's values stand where the config is silent, each with its file."""
    (tmp_path / "train.py").write_text("n_layer = 4\nn_head = 4\nn_embd = 128\nexec(open('configurator.py').read())\n")
    run = run_of(tmp_path, "n_layer = 6\nbatch_size = 2\n")
    assert [repr(quantity) for quantity in shape(run)] == [
        "Known(6, train_x.py:1)",
        "Known(4, train.py:2)",
        "Known(128, train.py:3)",
    ]


def test_an_unrelated_python_file_is_not_a_config(tmp_path: Path) -> None:
    """A file that sets nothing nanoGPT knows is an error, not a GPT-2 made of defaults."""
    path = tmp_path / "hello.py"
    path.write_text("print('hello')\n")
    with pytest.raises(InputError, match=r"hello\.py"):
        read(path)


# --- impossible values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["n_layer", "n_head", "n_embd"])
@pytest.mark.parametrize(
    "value", ["0", "-1", "1e9", "'768'", "True", "None", "12.5", "1e999", "1e999 - 1e999", "(12,)", "10**60"]
)
def test_impossible_shapes_are_unknown(key: str, value: str) -> None:
    """A depth, head count or width that no model has is unknown, and a problem names value and line."""
    run = text_of(f"batch_size = 4\n{key} = {value}\n")
    quantity = dict(zip(("n_layer", "n_head", "n_embd"), shape(run), strict=True))[key]
    assert isinstance(quantity, Unknown)
    assert "train_x.py:2" in quantity.reason
    assert [(problem.kind, problem.source.line) for problem in run.problems] == [("impossible_value", 2)]
    assert key in run.problems[0].message


def test_a_whole_float_is_a_whole_number() -> None:
    """1e3 for a number of steps is a thousand, an int."""
    value = known(text_of("max_iters = 2e4\n").recipe.max_steps).value
    assert value == 20_000
    assert type(value) is int


def test_a_bad_override_does_not_leave_the_old_value(tmp_path: Path) -> None:
    """An impossible value on the command line makes the key unknown: the config's value was not in force."""
    run = run_of(tmp_path, CONFIG, log="Overriding: n_layer = 0\n" + RECORD)
    assert isinstance(run.recipe.architecture.n_layer, Unknown)
    assert [problem.source.place for problem in run.problems] == ["train.log:1"]


# --- hostile sizes ----------------------------------------------------------------------------------------------------


def test_nested_names_do_not_blow_up() -> None:
    """A tuple of tuples of tuples (a billion laughs) is refused in few words, not spelt out in the message."""
    lines = ["a0 = ('lol', 'lol')"] + [f"a{i + 1} = ({', '.join([f'a{i}'] * 10)})" for i in range(5)]
    run = text_of("\n".join(lines) + "\nn_layer = a5\n")
    assert isinstance(run.recipe.architecture.n_layer, Unknown)
    assert len(run.recipe.architecture.n_layer.reason) < 1000
    assert all(len(problem.message) < 1000 for problem in run.problems)


@pytest.mark.parametrize(
    "config",
    [
        "x" + ".a" * 1000 + "()\n",
        "x" + ".a" * 100_000 + "()\n",
        "f(" * 90 + ")" * 90 + "\n",
        "n_layer = " + "-" * 1000 + "1\n",
        "n_layer = " + "-" * 100_000 + "1\n",
        "n_layer = " + "+".join(["1"] * 5000) + "\n",
        "n_layer = " + "(" * 150 + "1" + ")" * 150 + "\n",
        "n_layer = " + "[" * 5000 + "\n",
        "if 1:\n" + "".join(" " * i + "if 1:\n" for i in range(1, 120)) + " " * 120 + "pass\n",
    ],
    ids=[
        "1,000 attributes",
        "100,000 attributes",
        "calls",
        "1,000 signs",
        "100,000 signs",
        "5,000 terms",
        "parentheses",
        "brackets",
        "indents",
    ],
)
def test_deep_nesting_gives_a_run_or_our_error(config: str) -> None:
    """Nesting of any depth gives an unknown value or BadConfig, never a RecursionError."""
    try:
        run = text_of(config)
    except BadConfig as error:
        message = str(error)
    else:
        assert isinstance(run.recipe.architecture.n_layer, Known | Unknown)
        return
    assert "train_x.py" in message


def test_many_statements_do_not_hang() -> None:
    """20,000 values and 20,000 that cannot be evaluated end in seconds; time that grows with the square would not."""
    config = "".join(f"key_{i} = {i}\n" for i in range(20_000)) + "".join(f"bad_{i} = f()\n" for i in range(20_000))
    start = time.perf_counter()
    text_of(config)
    assert time.perf_counter() - start < 12


def test_many_statements_on_one_line_do_not_hang() -> None:
    """20,000 statements on one line end in seconds; time that grows with the square would not."""
    config = "".join(f"k{i}=1;" for i in range(20_000)) + "\n"
    start = time.perf_counter()
    text_of(config)
    assert time.perf_counter() - start < 12


@pytest.mark.parametrize("breaker", ["\x0c", "\u2028", "\x85", "\x0b", "\x1c"])
def test_lines_are_counted_as_python_counts_them(breaker: str) -> None:
    """A form feed or a Unicode line separator inside a comment does not shift the text that a value's source quotes."""
    run = text_of(f"# page{breaker}break\nn_layer = 6\nn_embd = 384\n")
    source = known(run.recipe.architecture.d_model).source
    assert (source.line, source.text) == (3, "n_embd = 384")


def test_columns_are_characters() -> None:
    """After letters of several bytes, the place of a value still cuts it out of its line."""
    config, _problems = parse_config("wandb_run_name = 'größe'; n_layer = 12\n", "train_x.py")
    item = config.get("n_layer")
    assert item is not None
    assert "wandb_run_name = 'größe'; n_layer = 12"[item.column : item.end_column] == "12"


@settings(database=None, derandomize=True, deadline=None, max_examples=200)
@given(
    body=st.one_of(
        st.text(max_size=120),
        st.lists(
            st.sampled_from(
                [
                    "n_layer",
                    " = ",
                    "12",
                    "\n",
                    "(",
                    ")",
                    "'",
                    "#",
                    " ",
                    "f",
                    ",",
                    ":",
                    "lambda",
                    "if ",
                    "\\",
                    '"""',
                    "-",
                    "*",
                ]
            ),
            max_size=40,
        ).map("".join),
    )
)
def test_any_text_is_a_run_or_bad_config(body: str) -> None:
    """Whatever text stands in a config, reading it gives a run or BadConfig."""
    try:
        run = text_of(body)
    except BadConfig as error:
        message = str(error)
    else:
        assert isinstance(run.recipe, Recipe)
        return
    assert "train_x.py" in message


# --- auscult.toml -----------------------------------------------------------------------------------------------------


def test_settings_are_given_with_their_line(tmp_path: Path) -> None:
    """An auscult.toml gives the card, the tokens and the printed MFU, each with its line."""
    run = run_of(
        tmp_path,
        CONFIG,
        settings_text='# facts\ngpu = "RTX 4070 x2"\nval_tokens = "5.3k"\ntrain_tokens = 1_000_000\n'
        "mfu_logged = [0.12, 0.11]\n",
    )
    assert repr(run.machine.gpu_name) == "Known('RTX 4070', auscult.toml:2)"
    assert repr(run.machine.gpu_count) == "Known(2, auscult.toml:2)"
    assert repr(run.data.val_tokens) == "Known(5300, auscult.toml:3)"
    assert repr(run.data.train_tokens) == "Known(1000000, auscult.toml:4)"
    assert repr(run.logged.mfu_range) == "Known((0.11, 0.12), auscult.toml:5)"
    assert known(run.machine.gpu_name).source.how == "given"


@pytest.mark.parametrize(
    ("written", "name", "count"),
    [
        ("RTX 4070", "RTX 4070", None),
        ("RTX 4070 x2", "RTX 4070", 2),
        ("RTX 4070 × 2", "RTX 4070", 2),
        ("RTX 4070x8", "RTX 4070", 8),
        ("H100 SXM*8", "H100 SXM", 8),
        ("rtx 4070", "rtx 4070", None),
        ("rtx4070", "rtx4070", None),
        ("gtx 1080 ti", "gtx 1080 ti", None),
        ("gtx1080", "gtx1080", None),
        ("nvidia geforce rtx 3090", "nvidia geforce rtx 3090", None),
        ("rtx 4090 x4", "rtx 4090", 4),
        ("MI250X", "MI250X", None),
        ("A100-SXM4-80GB", "A100-SXM4-80GB", None),
    ],
)
def test_a_card_and_how_many(written: str, name: str, count: int | None) -> None:
    """A count after × or x is told from the card's name, in which an x stands too: "rtx 4070" is one card."""
    facts = given_by_options(gpu=written)
    assert known(facts.gpu).value == name
    assert (facts.gpus.value if isinstance(facts.gpus, Known) else None) == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('gppu = "RTX 4070"\n', ("auscult.toml:1", "unknown key 'gppu'", "did you mean gpu")),
        ("\nval_token = 5300\n", ("auscult.toml:2", "did you mean val_tokens")),
        ("colour = 1\n", ("unknown key 'colour'", "known keys: gpu, gpus")),
        ("gpu = 4070\n", ("auscult.toml:1", "gpu has a value", "found 4070")),
        ('gpus = "two"\n', ("auscult.toml:1", "a positive whole number", "'two'")),
        ("gpus = 0\n", ("auscult.toml:1", "found 0")),
        ("gpus = true\n", ("auscult.toml:1", "found True")),
        ("val_tokens = -5\n", ("auscult.toml:1", "a positive count", "found -5")),
        ("mfu_logged = 12\n", ("auscult.toml:1", "a fraction")),
        ("mfu_logged = [0.1]\n", ("auscult.toml:1", "a fraction")),
        ("gpu = \n", ("auscult.toml", "not valid TOML")),
        ('gpu = "   "\n', ("auscult.toml:1", "gpu has a value")),
        ('gpu = "x2"\n', ("auscult.toml:1", "gpu has a value")),
        ('val_tokens = "0"\n', ("auscult.toml:1", "a positive count")),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """An unknown key names its nearest neighbour; a value of the wrong kind names line, expectation and finding."""
    with pytest.raises(BadSettings) as caught:
        run_of(tmp_path, CONFIG, settings_text=text)
    for word in words:
        assert word in str(caught.value)


def test_options_win_over_settings(tmp_path: Path) -> None:
    """What is given as an option stands before what the auscult.toml says, key by key."""
    run_of(tmp_path, CONFIG, settings_text='gpu = "RTX 4070"\nval_tokens = 5300\n')
    run = read(tmp_path, given=given_by_options(gpu="RTX 4090"))
    assert repr(run.machine.gpu_name) == "Known('RTX 4090', --gpu)"
    assert repr(run.data.val_tokens) == "Known(5300, auscult.toml:2)"


@pytest.mark.parametrize(
    ("key", "value"), [("gpu", ""), ("gpu", "x0"), ("val_tokens", "many"), ("val_tokens", "0"), ("train_tokens", "-1B")]
)
def test_options_that_cannot_be_used(key: str, value: str) -> None:
    """A bad option raises UsageError, which names the option and what it found."""
    with pytest.raises(UsageError, match=f"--{key.replace('_', '-')}"):
        given_by_options(**{key: value})


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["run", "parent"])
def test_tokens_are_counted_from_the_bin_files(tmp_path: Path, where: str) -> None:
    """train.bin and val.bin under data/<dataset>, beside the config or one folder up, hold a token per two bytes."""
    folder = tmp_path / "project" / "config"
    data = (folder if where == "run" else folder.parent) / "data" / "fineweb"
    data.mkdir(parents=True)
    (data / "val.bin").write_bytes(bytes(10_600))
    with (data / "train.bin").open("wb") as file:
        file.truncate(20 * 10**9)
    run = run_of(folder, CONFIG)
    assert repr(run.data.val_tokens) == "Known(5300, data/fineweb/val.bin)"
    assert known(run.data.train_tokens).value == 10**10
    assert known(run.data.val_tokens).source.how == "read"


def test_given_tokens_win_over_the_bin_file(tmp_path: Path) -> None:
    """What a person says about the data stands before the file's size."""
    data = tmp_path / "data" / "fineweb"
    data.mkdir(parents=True)
    (data / "val.bin").write_bytes(bytes(1000))
    assert known(run_of(tmp_path, CONFIG, settings_text="val_tokens = 77\n").data.val_tokens).value == 77


@pytest.mark.parametrize(
    "dataset", ["../secret", "../../secret", "x/../../secret", "{absolute}", "a\\x00b", "", ".", "é" * 300]
)
def test_a_dataset_name_cannot_leave_the_data_folder(tmp_path: Path, dataset: str) -> None:
    """A dataset's name that climbs out, is absolute or is no name finds no file."""
    folder = tmp_path / "run"
    for place in (tmp_path / "secret", folder / "secret", folder / "data" / "x"):
        place.mkdir(parents=True)
        (place / "val.bin").write_bytes(bytes(1000))
    config = CONFIG.replace("'fineweb'", "'" + dataset.format(absolute=tmp_path / "secret") + "'")
    assert isinstance(run_of(folder, config).data.val_tokens, Unknown)


def test_an_empty_bin_file_tells_nothing(tmp_path: Path) -> None:
    """A val.bin without a whole token, as a failed prepare.py leaves, is no known number of tokens."""
    data = tmp_path / "data" / "fineweb"
    data.mkdir(parents=True)
    for size in (0, 1):
        (data / "val.bin").write_bytes(bytes(size))
        assert isinstance(run_of(tmp_path, CONFIG).data.val_tokens, Unknown), size


# --- pretrained and vocabulary ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", (12, 12, 768)),
        ("gpt2-medium", (24, 16, 1024)),
        ("gpt2-large", (36, 20, 1280)),
        ("gpt2-xl", (48, 25, 1600)),
    ],
)
def test_a_pretrained_start_sets_the_shape(name: str, expected: tuple[int, int, int]) -> None:
    """init_from = 'gpt2…' sets shape, vocabulary and biases whatever the config says, derived from that line."""
    run = text_of(f"n_layer = 6\nn_embd = 384\ninit_from = '{name}'\n")
    assert tuple(known(quantity).value for quantity in shape(run)) == expected
    architecture = run.recipe.architecture
    assert (known(architecture.vocab_size).value, known(architecture.bias).value) == (50_257, True)
    assert known(architecture.d_ff).value == 4 * expected[2]
    assert {source.place for source in known(architecture.n_layer).source.leaves()} == {"train_x.py:3"}


def test_the_logs_vocabulary_wins(tmp_path: Path) -> None:
    """A vocabulary that the log prints stands before the default of 50,304."""
    run = run_of(tmp_path, CONFIG, log="found vocab_size = 65 (inside data/x/meta.pkl)\n" + RECORD)
    assert repr(run.recipe.architecture.vocab_size) == "Known(65, train.log:1)"


def test_a_character_dataset_has_no_default_vocabulary() -> None:
    """shakespeare_char has its own meta.pkl: the vocabulary is unknown rather than GPT-2's."""
    assert isinstance(text_of("dataset = 'shakespeare_char'\n").recipe.architecture.vocab_size, Unknown)


def test_a_constant_rate_is_not_a_cosine() -> None:
    """decay_lr = False makes the schedule constant, with the line that says so."""
    assert repr(text_of("decay_lr = False\n").recipe.schedule) == "Known('constant', train_x.py:1)"


def test_sniffing() -> None:
    """Two of nanoGPT's keys make a config; one, or none, does not."""
    assert sniff_config(CONFIG) == 1.0
    assert sniff_config("n_layer = 12\nn_head = 12\n") >= 0.5
    assert sniff_config("batch_size = 12\n") < 0.5
    assert sniff_config("x = 1\n# n_layer = 12, n_head = 12\n") == 0.0
