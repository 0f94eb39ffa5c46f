"""How the bundled nano models are made (`scripts/nano`), in the small, and what the shipped one keeps of it."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import signal
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wideseek
from nano.build import ROOT, build, build_start, nano_roles, train
from nano.curve import draw, read
from nano.demos import write_demos
from nano.figures import runs_of
from nano.recipe import FILES, claim, recipe
from tests.helpers import QUESTION, MemorySource, team
from wideseek.assets import SPLITS, bundled_model, world_pages, world_tasks
from wideseek.errors import RunDirError
from wideseek.files import DRAFT
from wideseek.policy.base import ToolSchema
from wideseek.policy.scripted import TEACHING, Expert
from wideseek.policy.template import ChatTemplate
from wideseek.policy.token import sequence
from wideseek.records import Message, Page, Rollout, Task, Trajectory, read_jsonl
from wideseek.roles import Profile
from wideseek.synth.spliced import known_lists
from wideseek.synth.world import WorldList
from wideseek.train.log import Log, read_metrics
from wideseek.train.model import load_model
from wideseek.train.settings import load_settings
from wideseek.train.sft import run_sft


@cache
def lists(*splits: str) -> list[WorldList]:
    return known_lists(
        read_jsonl(world_pages(), Page), [task for split in splits or SPLITS for task in world_tasks(split)]
    )


def build_small_start(home: Path) -> None:
    build_start(home / "start", lists("train")[:20], spliced=20)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build that was killed while it wrote the first weights."""
    home = tmp_path_factory.mktemp("killed")

    def killed_by_a_file_of_more_than_a_megabyte() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        build_small_start(home)

    child = multiprocessing.get_context("fork").Process(target=killed_by_a_file_of_more_than_a_megabyte)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGXFSZ
    return home


@pytest.fixture(scope="module")
def start(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizer and first weights, made from a few lists in the folder of a killed build."""
    home = Path(shutil.copytree(killed, tmp_path_factory.mktemp("nano") / "home"))
    build_small_start(home)
    return home / "start"


@pytest.fixture(scope="module", params=["shipped", "made anew"])
def template(request: pytest.FixtureRequest) -> ChatTemplate:
    return ChatTemplate.load(bundled_model("nano") if request.param == "shipped" else request.getfixturevalue("start"))


# ----------------------------------------------------------------------------------------------------------- tokenizer


def encoded(template: ChatTemplate, texts: Iterable[str]) -> list[list[int]]:
    return [one.ids for one in template.tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)]


@cache
def names() -> list[str]:
    return sorted({member.name for one in lists() for member in one.members})


def test_every_question_name_and_cell_of_the_pocket_world_comes_back_from_its_tokens(template: ChatTemplate) -> None:
    cells = {cell for one in lists() for member in one.members for cell in member.values}
    words = {text for one in lists() for text in (one.phrase, *(column.name for column in one.columns))}
    texts = sorted({*names(), *cells, *words, *(task.question for task in world_tasks())})
    assert len(texts) > 20_000
    decoded = template.tokenizer.backend_tokenizer.decode_batch(encoded(template, texts), skip_special_tokens=False)
    assert [(text, back) for text, back in zip(texts, decoded, strict=True) if text != back] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#1 ", "\n#2 Hanstholm"),
        ('<tool_call>\n{"name": "search", "arguments": {"query": "', '"}}\n</tool_call>'),
        ('["get #3 ', ' | height", "get #4 Hanstholm | height'),
        ("| #3 | ", " | 26 m |"),
    ],
    ids=["in a list", "in a query", "in a subtask", "in a row"],
)
def test_a_name_is_the_same_tokens_wherever_it_stands(template: ChatTemplate, before: str, after: str) -> None:
    opening, end = encoded(template, [before.rstrip(" "), after])
    alone, there = encoded(template, names()), encoded(template, (f"{before}{name}{after}" for name in names()))
    assert len(alone) > 3_000
    assert [name for name, own, ids in zip(names(), alone, there, strict=True) if ids != [*opening, *own, *end]] == []


# ------------------------------------------------------------------------------------------------------------ template


def whole(run: Trajectory, template: ChatTemplate, tools: list[ToolSchema]) -> list[int]:
    """What the template makes of a conversation that has ended in one piece, tokenised at once."""
    chat: list[dict[str, Any]] = []
    for said in run.messages():
        if isinstance(said, Message):
            chat.append({"role": said.role, "content": said.text})
        else:
            calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in said.tool_calls]
            thought = f"<think>\n{said.reasoning}\n</think>\n\n" if said.reasoning else ""
            chat.append({"role": "assistant", "content": thought + said.text, "tool_calls": calls})
    functions = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in tools]
    return encoded(template, [template.tokenizer.apply_chat_template(chat, tools=functions, tokenize=False)])[0]


async def demonstration(**options: Any) -> Rollout:
    expert = Expert(TEACHING)
    return await team(expert, expert, MemorySource(), profile=Profile.load("nano")).solve(
        Task(question=QUESTION), **options
    )


async def test_the_deltas_of_every_agent_together_are_its_whole_conversation(template: ChatTemplate) -> None:
    runs = [*(await demonstration()).trajectories, *(await demonstration(workflow="single")).trajectories]
    assert [run.role for run in runs] == ["lead", "sub", "sub", "sub", "sub", "single"]
    assert all(len(run.turns) > 2 for run in runs)
    profile = Profile.load("nano")
    for run in runs:
        tools = [face.schema for face in profile.faces(nano_roles()[run.role]).values()]
        line_end = encoded(template, ["\n"])[0]  # what follows the end of a turn belongs to the next delta
        assert sequence(run, template, tools) + line_end == whole(run, template, tools)
        opening = template.opening(run.turns[0].messages, tools)
        assert opening[1:-1] == encoded(template, [run.prompt])[0], "one token before the question, one after it"


# --------------------------------------------------------------------------------------------------------------- build


def test_a_kill_amid_the_start_leaves_nothing_that_counts_as_done(killed: Path, start: Path) -> None:
    [draft] = killed.iterdir()
    assert draft.name.startswith(DRAFT)
    assert (draft / "config.json").exists(), "it was killed amid the files"
    assert [path.name for path in start.parent.iterdir()] == ["start"]
    assert load_model(start).num_parameters() == load_model(bundled_model("nano")).num_parameters()


def test_a_start_that_is_there_is_not_made_again(start: Path) -> None:
    build_start(start, [])


def test_a_small_build_demonstrates_and_learns(start: Path, tmp_path: Path) -> None:
    def demonstrated() -> dict[str, int]:
        """When each file was written."""
        out, real = tmp_path / "rollouts", lists("train")[:20]
        write_demos(out, real, nano_roles(), worlds=1, lists=4, seed=0, tasks=4)
        return {path.name.removesuffix(".jsonl.gz"): path.stat().st_mtime_ns for path in out.iterdir()}

    made = demonstrated()
    tests = {f"tests-{world}" for world in range(3)}
    assert made.keys() == {
        "real", "held-out", "single", "narrow", "contract", "weak-real", "weak-spliced", "spliced-0", *tests
    }  # fmt: skip
    rollouts = list(read_jsonl(tmp_path / "rollouts" / "real.jsonl.gz", Rollout))
    assert [rollout.task.instance_id for rollout in rollouts] == [t.instance_id for t in world_tasks("train")][:4]
    assert all(rollout.stop == "answer" for rollout in rollouts)
    assert demonstrated() == made, "nothing is made twice"

    settings = load_settings(
        ROOT / "configs" / "nano-sft.toml",
        {
            "model": str(start), "out": str(tmp_path / "sft"), "steps": 2, "tokens_per_step": 500, "eval_samples": 4,
            "data.rollouts": [str(tmp_path / "rollouts" / "*real.jsonl.gz")],
            "data.held_out": [str(tmp_path / "rollouts" / "held-out.jsonl.gz")], "threads": 1,
        },
    )  # fmt: skip
    run_sft(settings, quiet=True)
    (learnt,) = [line for line in read_metrics(tmp_path / "sft" / "metrics.jsonl") if "held_out_loss" in line]
    assert learnt["step"] == 2
    train("no-such.toml", tmp_path / "sft")  # it has ended: nothing is left to do


# ---------------------------------------------------------------------------------------------------------- stale work


def test_the_supervised_parts_of_a_build_follow_each_other() -> None:
    first, more, base = (load_settings(ROOT / "configs" / f"nano-{part}.toml", {}) for part in ("sft", "more", "base"))
    home = Path("runs/nano")
    assert (Path(first.model), first.out, more.out, base.out) == (
        home / "start",
        *(home / n for n in ("sft", "more", "base")),
    )
    assert {Path(more.model), Path(base.model)} == {first.out / "model"}


def test_the_recipe_names_files_that_are_there_and_follows_what_they_say(tmp_path: Path) -> None:
    assert [files for files in FILES if not list(ROOT.glob(files))] == []
    file = tmp_path / "scripts" / "nano" / "demos.py"
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "nano" / "demos.py", file)
    assert recipe(tmp_path).items() <= recipe().items()
    file.write_text(file.read_text().replace("TESTED = 3", "TESTED = 4"))
    assert recipe(tmp_path)["scripts/nano/demos.py"] != recipe()["scripts/nano/demos.py"]


def test_a_build_goes_on_with_the_work_of_its_own_recipe_only(tmp_path: Path) -> None:
    home, first, second = tmp_path / "nano", {"demos.py": "1", "seed": "0"}, {"demos.py": "2", "seed": "0"}
    claim(home, first)
    claim(home, second)  # no work is there yet
    (home / "rollouts").mkdir()
    claim(home, second)
    for _ in range(2):
        with pytest.raises(RunDirError) as refused:
            claim(home, first)
        assert str(refused.value) == (
            f"{home}: holds the work of another recipe (since then changed: demos.py): move it away (mv {home} "
            f"{home}-old), or go on with it as it is with --adopt"
        )
    claim(home, first, adopt=True)
    claim(home, first)


def test_work_of_which_nobody_knows_the_recipe_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "sft" / "model").mkdir(parents=True)
    with pytest.raises(RunDirError, match=r"another recipe \(it has no recipe\.json\)"):
        build(tmp_path, ["start"])
    assert [path.name for path in tmp_path.iterdir()] == ["sft"]


def test_evaluations_of_other_weights_are_not_reused(tmp_path: Path) -> None:
    model, figures = tmp_path / "nano", tmp_path / "runs" / "figures.json"
    shutil.copytree(bundled_model("nano"), model)
    before = runs_of(model, figures)
    assert before == runs_of(bundled_model("nano"), figures)
    assert before.parent == figures.parent
    (model / "README.md").write_text("Another card.")
    assert runs_of(model, figures) == before
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert runs_of(model, figures) != before


# --------------------------------------------------------------------------------------------------------------- curve


def test_the_curve_of_a_training_with_skipped_steps_is_drawn(tmp_path: Path) -> None:
    for sitting in ("first", "second"):
        (tmp_path / sitting).mkdir()
        log = Log(tmp_path / sitting)
        held_out = {"held_out_loss": 0.5, "held_out_tokens": 0.9, "held_out_turns": 0.5, "held_out_turns_lead": 0.4}
        for step, loss in ((10, 2.0), (20, float("nan")), (30, 1.0)):
            log.write(step, loss=loss)
        log.write(30, **held_out)
        log.close()
    lines = read([tmp_path / sitting / "metrics.jsonl" for sitting in ("first", "second")])
    assert [line["loss"] for line in lines if "loss" in line] == [2.0, None, 1.0] * 2
    assert [line["step"] for line in lines] == [10, 20, 30, 30, 40, 50, 60, 60]
    draw(lines, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------------------------------------------------- as shipped


def test_nano_says_that_a_question_is_outside_of_its_world() -> None:
    result = wideseek.ask("Which moons of Jupiter are there? Give radius and year of discovery.", model="nano")
    assert (result.status, result.rows) == ("failed", [])
    assert result.reason.startswith(
        "The bundled model nano, which knows the bundled pocket world only, could not answer this: "
    )
    assert "--model openai/NAME" in result.reason
    assert "`wideseek tasks pocket` shows what can be asked here" in result.reason


def test_nano_answers_a_question_of_its_world() -> None:
    task = next(task for task in world_tasks("train") if task.kind == "wide")
    result = wideseek.ask(task.question, model="nano")
    assert (result.status, result.reason) == ("complete", "answered")
    assert len(result.rows) > 1
    assert result.supported == 1.0
