"""Whether an agent was shown an address: it stands whole in something that the agent was told.

No pattern says what an address looks like, since a corpus may name its pages in any way (`doc-17`, a path, a title with
quotes, brackets or spaces). The address that is asked for is looked for as it is written, and what stands before and
after it says whether it is whole: `https://a.example/x` is not shown by `https://a.example/xy`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from itertools import pairwise

from wideseek.records import Message, Trajectory

SEPARATORS = '<>"`|，。；：！？、（）【】「」『』《》〈〉”'  # an address ends before these, unless it has them itself
OPENING = "*_'([{“‘"  # emphasis, quotes and brackets that may stand right before an address
CLOSING = "*_').]},;:!?\"’"  # and these right after it, where a space, a separator or the end follows
PAIRS = {")": "(", "]": "[", "}": "{"}
JOINING = string.ascii_letters + string.digits + "-./~%+@#&"  # what follows these goes on with the same word


def was_shown(url: str, run: Trajectory) -> bool:
    """Whether `url` stands, whole, in what this agent was told: its prompt, or a tool's reply that was no error."""
    told = (message.text for message in run.messages() if isinstance(message, Message) and not message.error)
    return any(stands_whole(url, text) for text in told)


def stands_whole(url: str, text: str) -> bool:
    """Whether `url` stands somewhere in `text`, and there is not part of a longer address or word."""
    if not url.strip():
        return False
    return any(_begins_after(before) and _ends_before(after, url) for before, after in surroundings(url, text))


def surroundings(url: str, text: str) -> Iterator[tuple[str, str]]:
    """What stands before and after each occurrence of `url`, up to the occurrences on both sides of it.

    Together they are at most four times as long as the text, so that no page can make it slow to look at them.
    """
    parts = text.split(url)
    for number, (before, after) in enumerate(pairwise(parts), 1):
        yield (url if number > 1 else "") + before, after + (url if number < len(parts) - 1 else "")


def _begins_after(before: str) -> bool:
    before = before.rstrip(OPENING)
    if not before or before[-1].isspace() or before[-1] in SEPARATORS or before.endswith("]"):
        return True
    word = before.rsplit(None, 1)[-1]
    return word[-1] not in JOINING and "://" not in word


def _ends_before(after: str, url: str) -> bool:
    if after.startswith("]("):  # [address](address)
        return True
    closing = "".join(mark for mark in CLOSING if not _opened_by(url, mark))
    rest = after.lstrip(closing)
    return not rest or rest[0].isspace() or rest[0] in SEPARATORS


def _opened_by(url: str, mark: str) -> bool:
    """Whether `mark` closes a bracket that `url` opens: then it belongs to a longer address."""
    opening = PAIRS.get(mark)
    return opening is not None and url.count(opening) > url.count(mark)
