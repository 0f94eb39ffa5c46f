"""A chat template as deltas: each turn's tokens are appended to what was sampled, and nothing is tokenised twice.

    opening(messages, tools)   the system and user messages, tools included, up to where the model begins to speak
    reply(messages)            what follows a turn that ended: the tools' replies, and where the model speaks again
    said(completion)           what a model would have sampled to say this: for turns that came from elsewhere
    delta, sampled             the ids before a turn and of a turn: as they were, else one of the three above
    read(ids, turn)            what sampled tokens say: reasoning, text, tool calls

The template is the tokenizer's own (`chat_template`), rendered by `transformers`; a reply is what it puts after the end
of a probe turn. So any template will do that only ever appends and ends a turn with a token, which is checked when it
is loaded. Qwen3's leaves earlier thinking out once a user has spoken again: here it stays, because it was sampled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wideseek.concurrency import LOADING
from wideseek.errors import BadInput, as_bad_input
from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import CALL, CALL_END, THINK, THINK_END, read_calls, render_call, split_reasoning
from wideseek.policy.dialects import read_written
from wideseek.policy.marks import broken
from wideseek.records import Completion, Message, ToolCall, Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Texts of a probe conversation, of whose rendering only the frame is kept. No template has them in its own words.
_ASKED, _SAID, _REPLIED = "\u2038asked\u2038", "\u2038said\u2038", "\u2038replied\u2038"
_PROBE: list[dict[str, Any]] = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _SAID}]
_PROBE_REPLY: list[dict[str, Any]] = [{"role": "tool", "content": _REPLIED}]

_PROBE_CALL: dict[str, Any] = {"type": "function", "function": {"name": "probe", "arguments": {"of": _REPLIED}}}

_TAG = re.compile(r"<[^<>\s]+>")
_OWN_MARKS = frozenset({THINK, THINK_END, CALL, CALL_END})  # the model's to write, and prompts speak of them


class ChatTemplate:
    """The template of one tokenizer. Raises `BadInput` for a tokenizer whose conversations cannot be told as deltas.

    `eos_id` is the token with which the template ends a turn; `stop_ids` are all that do: it, the tokenizer's eos and
    those in `stop_ids`. `options` are variables of the template (`{"enable_thinking": False}`). `vocab_size` counts the
    tokenizer's tokens, `name` is used in errors.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        name: str = "tokenizer",
        *,
        options: Mapping[str, Any] | None = None,
        stop_ids: Iterable[int] = (),
    ) -> None:
        self.tokenizer: Any = tokenizer
        self.name = name
        self._options = dict(options or {})
        if not getattr(tokenizer, "chat_template", None):
            raise BadInput(f"{name}: the tokenizer has no chat template: use an instruction-tuned model")
        self._learn_frame()
        self.eos_id = self._encode(self._end)[0]
        own = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys((self.eos_id, *own, *stop_ids)))
        self.vocab_size = len(tokenizer)
        self._check_calls()

    @classmethod
    def load(cls, model: str | Path, options: Mapping[str, Any] | None = None) -> ChatTemplate:
        """From a folder or a hub name, with the stop tokens of its `generation_config.json`.

        Raises `BadInput` where no tokenizer can be loaded from there, or none whose template can be used.
        """
        with LOADING:
            try:
                from transformers import AutoTokenizer
            except ImportError as error:
                raise BadInput(f"{model}: needs the transformers package: pip install 'wideseek[local]'") from error
            with as_bad_input(f"{model}: no tokenizer can be loaded from there"):
                tokenizer, stop_ids = AutoTokenizer.from_pretrained(str(model)), _generation_stops(str(model))
                return cls(tokenizer, str(model), options=options, stop_ids=stop_ids)

    # --------------------------------------------------------------------------------------------------- rendering

    def opening(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """The ids of a conversation's first messages, up to where the model begins to speak."""
        return self._encode(self._render(_chat(messages, self._safe), tools, speak=True))

    def reply(self, messages: Sequence[Message]) -> list[int]:
        """The ids between two turns: from the end of what was sampled to where the model speaks again."""
        rendered = self._render([*_PROBE, *_chat(messages, self._safe)], (), speak=True)
        return self._encode(rendered.partition(_SAID)[2].removeprefix(self._end))

    def said(self, completion: Completion) -> list[int]:
        """The ids that a model would have sampled to say this, its end-of-turn token included."""
        words = "\n".join(filter(None, [completion.text, *map(render_call, completion.tool_calls)]))
        return [*self._encode(self._thought(completion.reasoning) + self._safe(words)), self.eos_id]

    def delta(self, trajectory: Trajectory, turn: int, tools: Sequence[ToolSchema]) -> list[int]:
        """The ids appended before turn `turn`: as they were where that is known, else rendered."""
        if turn < len(trajectory.turns):
            known, messages = trajectory.turns[turn].completion.prompt_ids, trajectory.turns[turn].messages
        else:
            known, messages = None, trajectory.pending
        if known is not None:
            return known
        if turn == 0:
            return self.opening(messages, tools)
        before = trajectory.turns[turn - 1].completion.completion_ids
        unended = before is not None and (not before or before[-1] not in self.stop_ids)
        return [*([self.eos_id] if unended else ()), *self.reply(messages)]

    def sampled(self, completion: Completion) -> list[int]:
        """The ids of a turn: as sampled where that is known, else as a model would have sampled them."""
        return completion.completion_ids if completion.completion_ids is not None else self.said(completion)

    # ----------------------------------------------------------------------------------------------------- reading

    def read(
        self, ids: Sequence[int], turn: int = 0, tools: Sequence[ToolSchema] = ()
    ) -> tuple[str, str, list[ToolCall]]:
        """Reasoning, text and tool calls of a turn's sampled ids (the end-of-turn token may be among them).

        Calls in another dialect are read where `tools` were offered, as of a chat server.
        """
        said = self.text(ids[:-1] if ids and ids[-1] in self.stop_ids else ids)
        # Where the prompt has opened the thinking, a turn that was cut off in it holds neither of the two tags.
        reasoning, rest = split_reasoning(THINK + said if self._speak.endswith(THINK) else said)
        text, calls = read_written(rest, turn, tools)
        return reasoning, text, calls

    def count(self, text: str) -> int:
        """How many tokens a text takes."""
        return len(self._encode(text))

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens included; bytes that are no character become U+FFFD."""
        said: str = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return said

    # ----------------------------------------------------------------------------------------------------- the frame

    def _learn_frame(self) -> None:
        """What the template puts around texts: `_end` of a turn, `_speak` before one, and the `_controls` in it."""
        last = self._render(_PROBE, (), speak=False)
        once = self._render([*_PROBE, *_PROBE_REPLY], (), speak=False)
        asked = self._render([*_PROBE, *_PROBE_REPLY], (), speak=True)
        twice = self._render([*_PROBE, *_PROBE_REPLY, *_PROBE[1:], *_PROBE_REPLY], (), speak=False)
        ending, after = last.partition(_SAID)[2], once.partition(_SAID)[2]
        if _REPLIED not in after:
            raise BadInput(f"{self.name}: its chat template drops what the model said, or the replies of tools")
        if not (asked.startswith(once) and twice.startswith(once)):
            raise BadInput(f"{self.name}: its chat template rewrites earlier turns, so they cannot be kept as sampled")
        tokens = {*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()}
        self._end = max((token for token in tokens if ending.startswith(token)), key=len, default="")
        if not self._end or not after.startswith(self._end):
            raise BadInput(
                f"{self.name}: its chat template ends a turn with no token of its own (eos_token is "
                f"{self.tokenizer.eos_token!r}), so no turn could end"
            )
        self._speak = asked[len(once) :].rstrip()
        frame = {*self.tokenizer.all_special_tokens, *_TAG.findall(after)} - _OWN_MARKS
        self._controls = sorted((token for token in frame if token.strip()), key=len, reverse=True)

    def _check_calls(self) -> None:
        """That calls can be written with these tokens, and that the model knows them in the form that is read."""
        for mark in (CALL, CALL_END):
            if self.text(self._encode(mark)).strip() != mark:
                raise BadInput(f"{self.name}: the tokenizer cannot write {mark!r}, so no tool could be called")
        chat = [_PROBE[0], {"role": "assistant", "content": "", "tool_calls": [_PROBE_CALL]}]
        rendered = self._render(chat, (), speak=False)
        read = [(call.name, call.arguments) for call in read_calls(rendered)[1]]
        if _REPLIED in rendered and read[-1:] != [("probe", {"of": _REPLIED})]:
            raise BadInput(
                f"{self.name}: its chat template writes tool calls in another form than {CALL}{{JSON}}{CALL_END}, "
                "which is the only one that can be read: use a model of the Qwen3 or Hermes family"
            )

    def _render(self, chat: Iterable[dict[str, Any]], tools: Sequence[ToolSchema], *, speak: bool) -> str:
        functions = [{"type": "function", "function": msgspec.to_builtins(schema)} for schema in tools]
        with as_bad_input(f"{self.name}: its chat template refuses the conversation"):
            rendered: str = self.tokenizer.apply_chat_template(
                list(chat), tools=functions or None, add_generation_prompt=speak, tokenize=False, **self._options
            )
        return rendered

    def _thought(self, reasoning: str) -> str:
        """Reasoning as it is sampled: the prompt may have opened the thinking already, or ruled it out."""
        if self._speak.endswith(THINK):
            return f"{reasoning}\n{THINK_END}\n\n"
        if not reasoning or self._speak.endswith(THINK_END):
            return ""
        return f"{THINK}\n{reasoning}\n{THINK_END}\n\n"

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _safe(self, text: str) -> str:
        """Text in which no control token stands: a page must not be able to end a turn or to speak for the user."""
        for control in self._controls:
            if control in text:
                text = text.replace(control, broken(control))
        return text


def _chat(messages: Sequence[Message], safe: Callable[[str], str]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": safe(message.text)} for message in messages]


def _generation_stops(model: str) -> list[int]:
    """The stop tokens that a model's generation config lists (Qwen3's: <|im_end|> and <|endoftext|>)."""
    from transformers.utils.hub import cached_file

    path = cached_file(model, "generation_config.json", _raise_exceptions_for_missing_entries=False)
    listed = msgspec.json.decode(Path(path).read_bytes(), type=_Generation).eos_token_id if path else None
    return listed if isinstance(listed, list) else [] if listed is None else [listed]


class _Generation(msgspec.Struct):
    """What is read of `generation_config.json`."""

    eos_token_id: int | list[int] | None = None
