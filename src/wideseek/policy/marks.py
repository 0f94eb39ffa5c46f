"""Control marks in foreign text: a page must not be able to end a turn, to speak for the user, or to write a call.

A mark is broken by a space behind its first character: people still read it, tokenizers and templates do not.
"""

from __future__ import annotations

import re

_MARKS = re.compile(
    r"<\|[\w.-]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>"  # Qwen, Llama 3, Phi, GLM, Kimi; DeepSeek
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>|</?s>"  # Mistral, Llama 2
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|</?(?:think|tools|tool_calls?|tool_response)>"
)


def broken(mark: str) -> str:
    """A mark that is none any more."""
    return f"{mark[0]} {mark[1:]}" if len(mark) > 1 else " "


def without_marks(text: str) -> str:
    """`text` with the control marks of all known models broken, for servers whose tokenizer is not known here."""
    return _MARKS.sub(lambda found: broken(found[0]), text)
