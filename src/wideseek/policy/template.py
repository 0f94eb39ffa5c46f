"""A chat template as deltas: each turn's tokens are appended to what was sampled, and nothing is tokenised twice.

    opening(messages, tools)   the system and user messages, tools included, up to where the model begins to speak
    reply(messages)            what follows a sampled turn: the end that the template puts after it, the tools' replies,
                               and where the model speaks again
    said(completion)           what a model would have sampled to say this: for turns that came from elsewhere
    read(ids, turn)            what sampled tokens say: reasoning, text, tool calls

The template is the tokenizer's own (`chat_template`), rendered by `transformers`; a reply's delta is what it adds to a
probe conversation. So any template works that only ever appends, which is checked when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wideseek.errors import BadInput
from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import CALL, CALL_END, THINK, THINK_END, read_calls, render_call, split_reasoning
from wideseek.records import Completion, Message, ToolCall, Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "\u2038"  # stands for texts that the model said or read, in renderings of which only the frame is kept


class ChatTemplate:
    """The template of one tokenizer. Raises `BadInput` for a tokenizer whose conversations cannot be told as deltas.

    `stop_ids` end a turn; `vocab_size` counts the tokenizer's tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str = "tokenizer") -> None:
        self.tokenizer, self.name = tokenizer, name
        if not getattr(tokenizer, "chat_template", None):
            raise BadInput(f"{name}: the tokenizer has no chat template: use an instruction-tuned model")
        if tokenizer.eos_token_id is None:
            raise BadInput(f"{name}: the tokenizer names no end-of-turn token (eos_token), so no turn could end")
        self.eos_id: int = tokenizer.eos_token_id
        self.stop_ids: tuple[int, ...] = (self.eos_id,)
        self.vocab_size = len(tokenizer)
        self._controls = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
        self._tail = self._after_turn()
        self._openings: dict[str, list[int]] = {}

    @classmethod
    def load(cls, model: str | Path) -> ChatTemplate:
        """From a folder or a hub name. Raises `BadInput` where there is no tokenizer."""
        from transformers import AutoTokenizer

        try:
            return cls(AutoTokenizer.from_pretrained(str(model)), str(model))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise BadInput(f"{model}: no tokenizer can be loaded from there: {reason}") from error

    # --------------------------------------------------------------------------------------------------- rendering

    def opening(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """The ids of a conversation's first messages, up to where the model begins to speak."""
        return self._encode(self._render(_chat(messages, self._safe), tools, speak=True))

    def reply(self, messages: Sequence[Message]) -> list[int]:
        """The ids between two turns: from the end of what was sampled to where the model speaks again."""
        probe = [*_SPOKEN, *_chat(messages, self._safe)]
        text = self._render(probe, (), speak=True)
        return self._encode(self._tail + text[len(self._spoken) :])

    def said(self, completion: Completion) -> list[int]:
        """The ids that a model would have sampled to say this, its end-of-turn token included."""
        thought = f"{THINK}\n{completion.reasoning}\n{THINK_END}\n\n" if completion.reasoning else ""
        words = "\n".join([completion.text, *map(render_call, completion.tool_calls)] if completion.text
                          else map(render_call, completion.tool_calls))
        return [*self._encode(thought + self._safe(words)), self.eos_id]

    def delta(self, trajectory: Trajectory, turn: int, tools: Sequence[ToolSchema]) -> list[int]:
        """The ids appended before turn `turn` (as it was sampled, where that is known)."""
        if turn < len(trajectory.turns):
            taken = trajectory.turns[turn]
            if taken.completion.prompt_ids is not None:
                return taken.completion.prompt_ids
            messages = taken.messages
        else:
            messages = trajectory.pending
        return self.opening(messages, tools) if turn == 0 else self.reply(messages)

    def sampled(self, completion: Completion) -> list[int]:
        """The ids of a turn: as sampled where that is known, else as a model would have sampled them."""
        return completion.completion_ids if completion.completion_ids is not None else self.said(completion)

    # ----------------------------------------------------------------------------------------------------- reading

    def read(self, ids: Sequence[int], turn: int = 0) -> tuple[str, str, list[ToolCall]]:
        """Reasoning, text and tool calls of a turn's sampled ids (the end-of-turn token may be among them)."""
        kept = [token for token in ids if token not in self.stop_ids]
        reasoning, rest = split_reasoning(self.text(kept))
        text, calls = read_calls(rest, turn)
        return reasoning, text, calls

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens included; bytes that are no character become U+FFFD."""
        said: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return said

    # ----------------------------------------------------------------------------------------------------- the frame

    def _after_turn(self) -> str:
        """What the template puts between a turn's end and the next message; checks that it only ever appends."""
        self._spoken = self._render(_SPOKEN, (), speak=False)
        replied = self._render([*_SPOKEN, *_chat([Message("tool", _PROBE, "call00000")])], (), speak=True)
        before, eos, tail = self._spoken.rpartition(str(self.tokenizer.eos_token))
        if not eos or _PROBE not in before or tail.strip():
            raise BadInput(
                f"{self.name}: its chat template does not end a turn with {self.tokenizer.eos_token!r}, "
                "so sampled turns cannot be continued"
            )
        if not replied.startswith(self._spoken) or _PROBE not in replied[len(self._spoken) :]:
            raise BadInput(f"{self.name}: its chat template rewrites earlier turns or drops tool replies")
        return tail

    def _render(self, chat: Iterable[dict[str, Any]], tools: Sequence[ToolSchema], *, speak: bool) -> str:
        from jinja2 import TemplateError

        functions = [{"type": "function", "function": msgspec.to_builtins(schema)} for schema in tools]
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                list(chat), tools=functions or None, add_generation_prompt=speak, tokenize=False
            )
        except TemplateError as error:
            raise BadInput(f"{self.name}: its chat template refuses the conversation: {error}") from error
        return rendered

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _safe(self, text: str) -> str:
        """Text in which no control token stands: a page must not be able to end a turn or to speak for the user."""
        for control in self._controls:
            if control in text:
                text = text.replace(control, f"{control[0]} {control[1:]}")
        return text


_SPOKEN: list[dict[str, Any]] = [
    {"role": "user", "content": _PROBE},
    {"role": "assistant", "content": _PROBE},
]


def _chat(messages: Sequence[Message], safe: Any = str) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": safe(message.text)} for message in messages]


def needs_calls(template: ChatTemplate) -> None:
    """Raises `BadInput` where a tokenizer cannot write the marks of a tool call."""
    for mark in (CALL, CALL_END):
        if template.text(template._encode(mark)).strip() != mark:
            raise BadInput(f"{template.name}: the tokenizer cannot write {mark!r}, so no tool could be called")
