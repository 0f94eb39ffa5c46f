r"""Short answers (NQ, TriviaQA, PopQA, HotpotQA, 2Wiki, MuSiQue, Bamboogle): exact match, token F1, containment, judge.

    em        the normalised answer equals an accepted one
    f1        the largest token F1 with an accepted one: 2 P R / (P + R) over the bags of tokens
    contains  the tokens of an accepted answer stand in a row in the response's answer
    judged    the judge's verdict; an exact match needs none

The answer is the last `\boxed{...}` of the response; without one the whole text is taken, and the format is not right.
Texts are compared as SQuAD does it: lower case, without punctuation and the articles a, an, the. Chinese, Japanese and
Korean characters are tokens of their own, so that these languages need no word segmentation.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from wideseek.answer import boxed, without_thought
from wideseek.errors import BadInput
from wideseek.records import Score, Task
from wideseek.scoring.judge import Case, Judge
from wideseek.scoring.metrics import f1 as harmonic_mean

_ARTICLES = frozenset({"a", "an", "the"})
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}")
_WIDE = "\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(f"[{_WIDE}]|[^{_WIDE}]+")


async def text_score(response: str, task: Task, judge: Judge, case: Case) -> Score:
    """`value` is 1 for a right answer, else 0. Raises `BadInput` for a task without accepted answers, `JudgeFailed`."""
    accepted = accepted_answers(task)
    answer, in_box = said_answer(response)
    if not answer:
        return Score(
            value=0.0, parts=dict.fromkeys(("em", "f1", "contains", "judged"), 0.0), format_ok=False, note="no answer"
        )
    parts = {
        "em": max(exact_match(answer, text) for text in accepted),
        "f1": max(token_f1(answer, text) for text in accepted),
        "contains": max(contains(answer, text) for text in accepted),
    }
    parts["judged"] = float(parts["em"] == 1.0 or await judge.accepts(case, answer, accepted))
    return Score(value=parts["judged"], parts=parts, format_ok=in_box, note=None if in_box else "no boxed answer")


def accepted_answers(task: Task) -> list[str]:
    """The accepted strings. Raises `BadInput` naming the task where there are none."""
    accepted = [task.answer] if isinstance(task.answer, str) else task.answer or []
    accepted = [text for text in accepted if text.strip()]
    if not accepted:
        raise BadInput(f"task {task.instance_id}: no accepted answers to score against: `answer` has to list them")
    return accepted


def said_answer(response: str) -> tuple[str, bool]:
    """The answer in a response without what was thought before it, and whether it stands in a box."""
    response = without_thought(response)
    in_box = boxed(response)
    answer = _LATEX_TEXT.sub(r"\1", response if in_box is None else in_box)
    return answer.strip(), in_box is not None


def exact_match(said: str, accepted: str) -> float:
    return float(tokens(said) == tokens(accepted))


def token_f1(said: str, accepted: str) -> float:
    """1 for equal bags of tokens, two empty ones included; 0 for bags without a common token."""
    said_bag, accepted_bag = Counter(tokens(said)), Counter(tokens(accepted))
    if not said_bag or not accepted_bag:
        return float(said_bag == accepted_bag)
    common = (said_bag & accepted_bag).total()
    return harmonic_mean(common / said_bag.total(), common / accepted_bag.total())


def contains(said: str, accepted: str) -> float:
    return float(_stands_in(tokens(accepted), tokens(said)))


def tokens(text: str) -> list[str]:
    """The normalised text's tokens: words, and single characters of Chinese, Japanese and Korean."""
    folded = unicodedata.normalize("NFKC", text).lower()
    kept = "".join(
        char for char in folded if not unicodedata.category(char).startswith("P") and char not in "$+<=>^`|~"
    )
    return [token for word in kept.split() if word not in _ARTICLES for token in _word_tokens(word)]


def _word_tokens(word: str) -> list[str]:
    return [word] if word.isascii() else _TOKEN.findall(word)


def _stands_in(part: Sequence[str], whole: Sequence[str]) -> bool:
    return bool(part) and any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))
