"""What strangers hand over, as any bytes and any JSON: each boundary gives what it promises or one of its own errors."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers import lighthouse_pages
from tests.test_local_models import tiny
from wideseek.errors import BadInput, PolicyRejected, ToolError, WideseekError
from wideseek.policy.base import sound
from wideseek.policy.failures import FailedTry
from wideseek.policy.local.weights import Shape, read
from wideseek.policy.remote import RemoteSampler, _read_sglang
from wideseek.policy.sheet import ModelSheet
from wideseek.policy.template import ChatTemplate
from wideseek.records import Completion, Page, Task, read_jsonl
from wideseek.scoring.tasks import read_tasks
from wideseek.tools.corpus import Corpus

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FEW = settings(max_examples=60)


def in_one_line(error: WideseekError, about: str = "") -> None:
    assert "\n" not in str(error), str(error)
    assert about in str(error)
    assert len(str(error)) < 2_000


@contextmanager
def copy_of(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        yield Path(shutil.copytree(folder, Path(home) / "copy"))


# ------------------------------------------------------------------------------------------------- pages and tasks


def records(data: bytes, kind: Any, suffix: str) -> list[Any] | None:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / f"records{suffix}"
        path.write_bytes(data)
        try:
            return list(read_jsonl(path, kind))
        except BadInput as error:
            in_one_line(error)
            return None


@given(st.binary(max_size=200), st.sampled_from([Page, Task]), st.sampled_from([".jsonl", ".jsonl.gz"]))
def test_any_bytes_as_a_file_of_pages_or_tasks_are_records_or_one_line(data, kind, suffix):
    for record in records(data, kind, suffix) or ():
        assert isinstance(record, kind)


@given(anything, st.sampled_from([Page, Task]))
def test_any_json_as_a_page_or_a_task_is_a_record_or_one_line(value, kind):
    for record in records(json.dumps(value).encode(), kind, ".jsonl") or ():
        assert isinstance(record, kind)


@FEW
@given(st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_anything_as_a_task_file_of_the_commands_is_tasks_or_one_line(data):
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "tasks.jsonl"
        path.write_bytes(data)
        try:
            tasks = read_tasks(path)
        except BadInput as error:
            in_one_line(error)
        else:
            assert all(isinstance(task, Task) for task in tasks)


@settings(max_examples=25)
@given(
    st.lists(st.builds(Page, st.text(max_size=9), st.text(max_size=9), st.text(max_size=60)), max_size=4),
    st.text(max_size=20),
)
@example([Page("\ud800", "\udfff", "a \ud800 b")], "\ud800")
@example([Page("", "", "")], "\x00")
def test_pages_of_any_text_can_be_indexed_searched_and_read(pages, query):
    with tempfile.TemporaryDirectory() as home:
        Corpus.build(pages, Path(home) / "index")
        corpus = Corpus.open(Path(home) / "index")

        async def look() -> None:
            assert len(await corpus.search(query, 3)) <= 3
            found = [await corpus.page(page.url) for page in pages]
            assert all(page is None or isinstance(page.text, str) for page in found)
            await corpus.close()

        asyncio.run(look())


# --------------------------------------------------------------------------------------------------- index folders


@functools.cache
def an_index() -> Path:
    folder = Path(tempfile.mkdtemp()) / "index"
    Corpus.build(lighthouse_pages(), folder)
    return folder


def look_into(folder: Path) -> None:
    """Open, search and read: each may end in the error that it promises."""

    async def look() -> None:
        try:
            corpus = Corpus.open(folder)
        except BadInput as error:
            in_one_line(error)
            return
        try:
            await corpus.search("lighthouses of denmark", 3)
            for page in lighthouse_pages():
                found = await corpus.page(page.url)
                assert found is None or (isinstance(found.text, str) and isinstance(found.title, str))
            list(corpus.pages())
        except ToolError as error:
            in_one_line(error)
        finally:
            await corpus.close()

    asyncio.run(look())


@FEW
@given(st.binary(max_size=99) | anything.map(lambda value: json.dumps(value).encode()))
def test_anything_as_the_description_of_an_index_is_an_index_or_one_line(data):
    with copy_of(an_index()) as folder:
        (folder / "meta.json").write_bytes(data)
        look_into(folder)


@FEW
@given(st.dictionaries(st.sampled_from(["format", "made_by", "generation", "pages", "files"]), anything, min_size=1))
def test_a_description_with_values_of_any_type_is_an_index_or_one_line(changes):
    with copy_of(an_index()) as folder:
        meta = json.loads((folder / "meta.json").read_bytes())
        (folder / "meta.json").write_text(json.dumps({**meta, **changes}))
        look_into(folder)


@FEW
@given(st.data())
def test_an_index_with_any_bytes_changed_gives_pages_or_one_line(data):
    with copy_of(an_index()) as folder:
        files = sorted(
            file for file in folder.rglob("*") if file.is_file() and file.stat().st_size and file.name != "meta.json"
        )
        file = data.draw(st.sampled_from(files))
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 20))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.unlink()  # a hard link may stand elsewhere
        file.write_bytes(content)
        look_into(folder)


# --------------------------------------------------------------------------------------------------- model folders


@functools.cache
def a_model() -> Path:
    return tiny(Path(tempfile.mkdtemp()) / "model")


def load(folder: Path) -> None:
    """Load the tokenizer and the weights: each may end in `BadInput`."""
    for part in (ChatTemplate.load, read, ModelSheet.of):
        try:
            part(folder)
        except BadInput as error:
            in_one_line(error, about=str(folder))


FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "model.safetensors",
    "wideseek.json",
)


@FEW
@given(st.sampled_from(FILES), st.binary(max_size=99) | anything.map(lambda value: json.dumps(value).encode()))
@example("config.json", b"[]")
@example("generation_config.json", b'{"eos_token_id": "x"}')
@example("model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}")
@example("wideseek.json", b'{"about": "\xff"}')
def test_a_model_folder_with_anything_in_one_file_is_a_model_or_one_line(name, data):
    with copy_of(a_model()) as folder:
        (folder / name).write_bytes(data)
        load(folder)


@FEW
@given(st.data())
@example(None)
def test_a_model_folder_with_values_of_any_type_is_a_model_or_one_line(data):
    with copy_of(a_model()) as folder:
        for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
            path = folder / name
            said = json.loads(path.read_bytes()) if path.exists() else {}
            keys = sorted(said)
            if data is None:
                said |= {"num_hidden_layers": 10**12} if name == "config.json" else {}
            elif keys:
                said[data.draw(st.sampled_from(keys))] = data.draw(anything | st.integers(-2, 10**18))
            path.write_text(json.dumps(said))
        load(folder)


@FEW
@given(st.data())
def test_weights_and_a_tokenizer_with_any_bytes_changed_are_a_model_or_one_line(data):
    with copy_of(a_model()) as folder:
        path = folder / data.draw(st.sampled_from(["model.safetensors", "tokenizer.json"]))
        content = bytearray(path.read_bytes())
        most = 2_000 if path.suffix == ".safetensors" else len(content)  # the header, and what follows it at once
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, most - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        load(folder)


SIZES = {
    "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "intermediate_size": 32, "vocab_size": 9, "rms_norm_eps": 1e-6, "max_position_embeddings": 64, "rope_theta": 1e6,
    "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "layer_types": None, "rope_parameters": None,
}  # fmt: skip


@given(st.sampled_from(sorted(SIZES)), anything)
@example("num_hidden_layers", 10**9)
@example("num_key_value_heads", 0)
@example("num_attention_heads", 3.0)
def test_a_configuration_with_anything_in_it_is_a_shape_of_sound_numbers_or_one_line(name, value):
    try:
        shape = Shape.of(SimpleNamespace(**{**SIZES, name: value}), "m")
    except BadInput as error:
        in_one_line(error)
    else:
        assert 1 <= shape.layers <= 1_000
        assert shape.heads % shape.kv_heads == 0
        assert shape.head_dim % 2 == 0


# --------------------------------------------------------------------------------------------------- token servers

ids = st.lists(st.integers(-3, 12) | anything, max_size=4)
vllm_choice = st.fixed_dictionaries(
    {},
    optional={
        "finish_reason": st.sampled_from(["stop", "length", None, "error"]) | anything,
        "token_ids": ids | anything,
        "logprobs": st.fixed_dictionaries(
            {},
            optional={
                "tokens": st.lists(st.sampled_from(["token_id:3", "token_id:" + "9" * 5_000, "token_id:٣", "x"]))
                | anything,
                "token_logprobs": ids,
            },
        )
        | anything,
    },
)
sglang_meta = st.fixed_dictionaries(
    {"finish_reason": st.fixed_dictionaries({"type": st.sampled_from(["stop", "length", "abort"])}) | anything},
    optional={
        "output_token_logprobs": st.lists(st.tuples(scalars, st.integers() | scalars, st.none()).map(list), max_size=4)
        | anything
    },
)


def read_answer(kind: str, body: bytes) -> tuple[list[int], list[float | None]] | None:
    sampler = RemoteSampler(base_url="http://127.0.0.1:9/v1")
    try:
        found = sampler._read_vllm(body) if kind == "vllm" else _read_sglang(body)
        sampler._check_ids(found.ids, 4)
        return found.ids, sampler._all_known(found.ids, found.logprobs)
    except (
        FailedTry,
        PolicyRejected,
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
    ):  # what `Server.ask` knows
        return None


def assert_sound(answer: Any) -> None:
    if answer is not None:
        assert all(type(id) is int and 0 <= id < 2**31 for id in answer[0])
        assert all(type(logprob) is float and logprob <= 1e-3 for logprob in answer[1])
        assert len(answer[0]) == len(answer[1])


@given(
    st.sampled_from(["vllm", "sglang"]), st.binary(max_size=99) | anything.map(lambda value: json.dumps(value).encode())
)
def test_anything_as_the_answer_of_a_token_server_is_ids_or_an_error_that_is_known(kind, body):
    assert_sound(read_answer(kind, body))


@given(vllm_choice)
@example({"logprobs": {"tokens": ["token_id:" + "9" * 5_000], "token_logprobs": [-0.5]}})
@example({"token_ids": [-1], "logprobs": {"token_logprobs": [-0.5]}})
@example({"token_ids": [1], "logprobs": {"token_logprobs": [0.5]}})
def test_any_types_in_an_answer_of_vllm_are_ids_or_an_error_that_is_known(choice):
    assert_sound(read_answer("vllm", json.dumps({"choices": [choice]}).encode()))


@given(sglang_meta)
@example({"finish_reason": {"type": "stop"}, "output_token_logprobs": [[-0.5, 2**70, None]]})
def test_any_types_in_an_answer_of_sglang_are_ids_or_an_error_that_is_known(meta):
    assert_sound(read_answer("sglang", json.dumps({"meta_info": meta}).encode()))


# -------------------------------------------------------------------------------------------------------- policies


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
@example("\ud800", "a\udfffb")
def test_what_a_policy_says_is_what_a_journal_can_keep(text, reasoning):
    said = sound(Completion(text=text, reasoning=reasoning), "m")
    assert msgspec.json.decode(msgspec.json.encode(said), type=Completion) == said


def test_a_policy_that_says_what_json_cannot_carry_is_refused_in_one_line():
    with pytest.raises(PolicyRejected, match="^m: said what JSON cannot carry"):
        sound(Completion(text=object()), "m")  # type: ignore[arg-type]
