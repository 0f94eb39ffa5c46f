"""LLMJudge: a chat policy at temperature 0 as judge, with strict answers, retries and a cache on disk.

    what equals in `norm_str`  ->  decided without the model
    the rest, 100 at a time    ->  prompt (prompts/*.md, in the task's language) -> JSON, checked against what was asked
                                   not what was asked: told so and asked again; no answer: asked again
                                   after `attempts`: JudgeFailed, which leaves the item unscored

A verdict is kept in `cache_dir` under a digest of the model, the sampling and the whole prompt: what has been judged
once is judged the same for ever, and a change of prompts asks anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import msgspec

from wideseek.concurrency import together
from wideseek.errors import BadInput, PolicyError, PolicyRejected
from wideseek.files import write_whole
from wideseek.policy.base import Policy
from wideseek.records import Message, Trajectory
from wideseek.scoring.judge import Case, JudgeFailed, Pair, equal_names, same

PROMPTS = Path(__file__).parent / "prompts"
PER_QUESTION = 100  # names or pairs in one prompt
CONTEXT_TOKENS = 128_000

T = TypeVar("T")
_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


class LLMJudge:
    """`policy` as judge. Its sampling has to say temperature 0, which is then sent with every request.

    `attempts` counts tries of one question, on top of the policy's own retries; `cache_dir` is made where it is not
    there, and `None` keeps nothing. Raises `BadInput` for a policy at another temperature.
    """

    def __init__(self, policy: Policy, cache_dir: Path | None = None, attempts: int = 3) -> None:
        if policy.sampling.temperature != 0:
            raise BadInput(
                f"judge {policy.name}: its temperature is {policy.sampling.temperature}, and a judge's has to be 0: "
                "open the policy with Sampling(temperature=0)"
            )
        self._policy, self._attempts = policy, attempts
        self._verdicts = _Verdicts(cache_dir)

    @property
    def pin(self) -> str:
        """The model, and which prompts it is asked with."""
        return f"{self._policy.name}, prompts {prompt_version()}"

    async def map_columns(self, case: Case, names: Sequence[str], required: Sequence[str]) -> dict[str, str]:
        return await self._map(case, "columns", names, required, {})

    async def map_keys(self, case: Case, column: str, keys: Sequence[str], references: Sequence[str]) -> dict[str, str]:
        return await self._map(case, "keys", keys, references, {"column": column})

    async def agree(self, case: Case, column: str, pairs: Sequence[Pair], criterion: str) -> Sequence[float]:
        asked = list(dict.fromkeys(pair for pair in pairs if not same(*pair)))
        chunks = [asked[i : i + PER_QUESTION] for i in range(0, len(asked), PER_QUESTION)]
        answers = await together(self._agree(case, column, chunk, criterion) for chunk in chunks)
        agreed = {pair for chunk, answer in zip(chunks, answers, strict=True) for pair in chunk if answer[pair]}
        return [float(same(*pair) or pair in agreed) for pair in pairs]

    async def accepts(self, case: Case, answer: str, accepted: Sequence[str]) -> bool:
        if any(same(answer, text) for text in accepted):
            return True
        values = {"accepted": _json(list(accepted)), "answer": _json(answer)}
        return (await self._ask(case, "answer", values, msgspec.json.Decoder(_Right).decode)).right

    async def _map(
        self, case: Case, prompt: str, names: Sequence[str], references: Sequence[str], values: dict[str, str]
    ) -> dict[str, str]:
        """Names onto references: the equal ones, and those that the model matches."""
        mapping = equal_names(names, references)
        distinct = list(dict.fromkeys(references))
        asked = [name for name in dict.fromkeys(names) if name not in mapping]
        chunks = [asked[i : i + PER_QUESTION] for i in range(0, len(asked), PER_QUESTION)]

        async def ask(chunk: list[str]) -> dict[str, int | None]:
            listed = {**values, "names": _numbered(chunk), "references": _numbered(distinct)}
            return await self._ask(case, prompt, listed, lambda text: _read_map(text, len(chunk), len(distinct)))

        for chunk, answer in zip(chunks, await together(map(ask, chunks)), strict=True):
            for number, name in enumerate(chunk, 1):
                if (onto := answer[str(number)]) is not None:
                    mapping[name] = distinct[onto - 1]
        return mapping

    async def _agree(self, case: Case, column: str, pairs: list[Pair], criterion: str) -> dict[Pair, bool]:
        listed = _numbered([{"said": said, "reference": gold} for said, gold in pairs])
        values = {"column": column, "criterion": criterion, "pairs": listed}
        answer = await self._ask(case, "cells", values, lambda text: _read_verdicts(text, len(pairs)))
        return {pair: answer[str(number)] for number, pair in enumerate(pairs, 1)}

    async def _ask(self, case: Case, prompt: str, values: dict[str, str], read: Callable[[str], T]) -> T:
        """The model's answer as `read` reads it, from the cache if it is there."""
        messages = _messages(prompt, case, values)
        key = _digest(self._policy.name, self._policy.version, self._policy.sampling, messages)
        if (known := self._verdicts.get(key)) is not None:
            case.cached += 1
            return read(known)
        run = Trajectory(role="judge", path="judge", context_tokens=CONTEXT_TOKENS, pending=messages)
        problem = ""
        for _ in range(self._attempts):
            try:
                completion = await self._policy.complete(run, [])
            except PolicyRejected as refusal:
                raise JudgeFailed(str(refusal)) from refusal
            except PolicyError as failure:
                problem = str(failure)
                continue
            case.usage += completion.usage
            text = _bare(completion.text)
            try:
                verdict = read(text)
            except ValueError as error:
                problem = f"not the JSON that was asked for: {error}"
                run.add(completion)
                run.pending = [Message("user", f"That was {problem}. Answer again, with that JSON object alone.")]
                continue
            self._verdicts.put(key, text)
            return verdict
        raise JudgeFailed(f"no usable verdict in {self._attempts} attempts; the last: {problem}")


# ------------------------------------------------------------------------------------------------------------- prompts


@cache
def _prompt(name: str, language: str) -> tuple[Template, Template]:
    system, _, user = (PROMPTS / f"{name}.{language}.md").read_text(encoding="utf-8").partition("<!-- user -->")
    return Template(system.strip()), Template(user.strip())


@cache
def prompt_version() -> str:
    """Eight digits that change when a prompt does."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(PROMPTS.glob("*.md"))]
    return _digest(*texts)[:8]


def _messages(prompt: str, case: Case, values: dict[str, str]) -> list[Message]:
    system, user = _prompt(prompt, case.task.language or "en")
    filled = {"question": _json(case.task.question), **values}
    return [Message("system", system.substitute(filled)), Message("user", user.substitute(filled))]


def _numbered(values: Sequence[Any]) -> str:
    return _json({str(number): value for number, value in enumerate(values, 1)})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------------------- answers


class _Right(msgspec.Struct, forbid_unknown_fields=True):
    right: bool


_decode_map = msgspec.json.Decoder(dict[str, int | None]).decode
_decode_verdicts = msgspec.json.Decoder(dict[str, bool]).decode


def _bare(text: str) -> str:
    """The JSON of an answer that may stand in a fence."""
    fenced = _FENCED.findall(text)
    return str(fenced[-1]) if fenced else text.strip()


def _read_verdicts(text: str, count: int) -> dict[str, bool]:
    verdicts = _decode_verdicts(text)
    _check_numbers(verdicts, count)
    return verdicts


def _read_map(text: str, count: int, references: int) -> dict[str, int | None]:
    mapping = _decode_map(text)
    _check_numbers(mapping, count)
    if strange := [onto for onto in mapping.values() if onto is not None and not 1 <= onto <= references]:
        raise ValueError(f"there is no reference {strange[0]}")
    return mapping


def _check_numbers(answer: dict[str, Any], count: int) -> None:
    if set(answer) != {str(number) for number in range(1, count + 1)}:
        raise ValueError(f"its keys have to be the numbers from 1 to {count}")


# --------------------------------------------------------------------------------------------------------------- cache


class _Verdicts:
    """Answers on disk, one small file each, written whole or not at all: many processes may share a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> str | None:
        if self._folder is None:
            return None
        try:
            return self._path(self._folder, key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self._folder}: the judge's cache cannot be read: {error}") from error

    def put(self, key: str, text: str) -> None:
        if self._folder is None:
            return
        path = self._path(self._folder, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole({path: text.encode()})
        except OSError as error:
            raise BadInput(f"{self._folder}: the judge's cache cannot be written: {error}") from error

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.json"


def _digest(*parts: Any) -> str:
    return blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
