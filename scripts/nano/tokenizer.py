"""The nano tokenizer: byte-level BPE with single digits, in which every piece of scaffolding is one token.

The text that it makes is what a real Qwen3 would see: Hermes tool calls in the Qwen chat template. But where a large
vocabulary spends a hundred tokens on a system prompt and twenty on the frame of a call, here each is one added token
whose content is that text. An agent's conversation has a few hundred tokens, so that a small model can be trained on
many.

Between two added tokens a text always begins with a space (`add_prefix_space`): a name is the same tokens wherever it
stands, in a list, a query or a row, which is what makes copying learnable. `GLUED` lists the places where that space is
taken out again when tokens become text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from wideseek.roles import LEAD, SINGLE, SUB, Profile
from wideseek.synth.spliced import SCRIPTS, letters_of

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
HOST = "https://pocket.example/"
MARK = "\u2038"
NUMBERS = range(1, 13)
OFTEN = 400  # more than all but the commonest syllables

CALLS = (
    '<tool_call>\n{"name": "call_subagent", "arguments": {"subtasks": ["',
    '<tool_call>\n{"name": "search", "arguments": {"query": "',
    f'<tool_call>\n{{"name": "access", "arguments": {{"url": "{HOST}',
    '", "',
    '"]}}\n</tool_call>',
    '"}}\n</tool_call>',
)
FRAME = (
    f"{END}\n{START}assistant\n",
    f"\n{START}user\n<tool_response>\n",
    "\n</tool_response>\n<tool_response>\n",
    f"\n</tool_response>{END}\n{START}assistant\n",
    "<think>\n",
    "\n</think>\n\n",
    "<tool_call>",
    "</tool_call>",
)
TABLE = (
    "```markdown\n|  | name |",
    *("\n|" + " --- |" * columns for columns in range(2, 7)),
    "\n```",
    "\\boxed{",
    "}",
    "\n",
    "\n\n",
    " |",
    " >",
    " <",
    " =",
    HOST,
)
NUMBERED = ("get #{}", '", "get #{}', "#{}", "\n#{}", "\n\n#{}", "| #{} |", "\n| #{} |", "\n\n| #{} |")
GLUED = ('["', '", "', '"query": "', HOST, "<think>\n", "\n", "\\boxed{", "<tool_call>", "</tool_call>")


def build_tokenizer(texts: Iterable[str], size: int, profile: Profile) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` tokens: merges learnt from `texts`, added tokens for the scaffolding of `profile`."""
    added = [*CALLS, *FRAME, *TABLE, *(frame.format(number) for frame in NUMBERED for number in NUMBERS)]
    openings = list(_openings(profile))
    controls = [START, END, PAD]
    tokenizer = _bpe(texts, size - len(added) - len(openings) - len(controls))
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in controls])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in [*openings, *added]])
    return _wrapped(tokenizer)


def _bpe(texts: Iterable[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [  # not `Digits`: it would part letters, too, some of whose bytes are written as fractions
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
            pre_tokenizers.Split(Regex("[0-9]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteLevel(),
            decoders.Fuse(),
            *(decoders.Replace(f"{glued} ", glued) for glued in GLUED),
            decoders.Replace(Regex("^ "), ""),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
    )


def _openings(profile: Profile) -> Iterable[str]:
    """What stands before the question in each role's opening: the system prompt with its tools."""
    template = _wrapped(Tokenizer(models.BPE()))
    for role in (LEAD, SUB, SINGLE):
        messages = profile.opening(role, "en", question=MARK, task=MARK, answer_format="", max_turns="", max_calls="")
        tools = [
            {"type": "function", "function": msgspec.to_builtins(face.schema)} for face in profile.faces(role).values()
        ]
        chat = [{"role": message.role, "content": message.text} for message in messages]
        text = str(template.apply_chat_template(chat, tools=tools, add_generation_prompt=True, tokenize=False))
        before, mark, _ = text.partition(MARK)
        assert mark, "the profile's user message has to be the question alone"
        yield before


def training_texts(texts: Sequence[str]) -> Iterable[str]:
    """Texts as the pre-tokenizer sees them between added tokens: parted at line ends, pipes and addresses.

    The letters of every script that names are made up in come so often that each becomes one token.
    """
    for letter in (letter for script in SCRIPTS for letter in letters_of(script)):
        yield " ".join([f"1{letter}1"] * OFTEN)
    for text in texts:
        for line in text.split("\n"):
            yield from (part.strip() for piece in line.split(HOST) for part in piece.split("|"))
