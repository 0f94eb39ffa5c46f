"""What the failures of a model server mean: an exception for each thing that can be done about them.

    no connection, a broken one, no answer in time, an answer that cannot be read    `FailedTry`
    an answer that is larger than the limit, that holds an error, or that the server
    says it gave up (`wire.read_reply`)                                              `FailedTry`
    status 408, 409, 425, 429 or 5xx                                                 `FailedTry`, with its `Retry-After`
    status 400, 413, 422 or 500, with a text that says "too long" in any server's words    `ContextFull`
    status 400, since the model's call could not be read there (a bad sample)        `FailedTry`
    status 429 that waiting does not mend (an empty account, the share of a day); every
    other error status                                                               `Refused`

Texts of servers are given on one line and shortened: they become part of an error's one line.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size"  # the codes of OpenAI and llama.cpp
    r"|maximum (context|model) length|max(imum)? context (length|size|window)"  # OpenAI, vLLM, SGLang, Ollama
    r"|(longer than|greater than|exceeds?|exceeded|exceeding) (the |its )?(model'?s? |maximum |available |allowed )*"
    r"(context|allowed length|input length|number of tokens allowed)"  # SGLang, llama.cpp, Ollama, LM Studio, Gemini
    r"|prompt (is )?too long|reduce the length of (the|your) (messages|prompt|input)"
    r"|range of input length|max_new_tokens` must be <=|must have less than \d+ tokens"  # DashScope, Together, TGI
    r"|input is too long|exceeded model token limit|model max length exceeded"  # Bedrock, Moonshot
    r"|exceeds? (the )?(context (window|limit)|configured limit of \d+ tokens|maximum number of (input )?tokens)"
    r"|input tokens exceed|context window exceeds limit|maximum prompt length is"  # GPT-5 and Azure, MiniMax, xAI
    r"|Prompt\s*超长|输入.{0,12}(过长|超长|超过)|context.{0,16}overflow",  # Zhipu, LM Studio
    re.IGNORECASE,
)


SHORT_WAIT_S = 120.0  # a server that names no longer wait is believed: waiting mends it

_SPENT_CODE = re.compile(
    r"insufficient_quota|exceeded_current_quota|insufficient_balance|billing_\w*limit|arrearage|\b1113\b|PerDay",
    re.IGNORECASE,
)
"""Codes of a 429 that waiting does not mend: OpenAI's, Moonshot's, DashScope's, Zhipu's; the quota of Gemini's day."""

_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
# What OpenAI and Groq say of a minute's or a day's share:
_SHARE = re.compile(r"limit:?\s*(\d[\d,_]*).*?requested:?\s*(\d[\d,_]*)", re.IGNORECASE)
_OF_A_MINUTE = re.compile(r"per[ -]?(min|sec)|\b[TR]PM\b|a minute", re.IGNORECASE)
_SPENT_WORDS = re.compile(
    r"insufficient.{0,10}(balance|credit|funds)|credit balance|suspended|in arrears|欠费|余额不足"
    r"|per[ -]day|daily (limit|quota)|\b[TR]PD\b",
    re.IGNORECASE,
)
"""Words of a 429 that waiting does not mend: the account is empty, or the day's share is used."""

_BAD_SAMPLE = re.compile(r"tool_use_failed|failed_generation|malformed_function_call", re.IGNORECASE)
"""Of a 400: the model wrote a call that its own server cannot read (Groq). It is a bad sample, not a bad request."""


class FailedTry(Exception):
    """A try that another may mend. `retry_after` is in seconds; `unreachable`: there was no connection at all."""

    def __init__(self, cause: str, *, retry_after: float | None = None, unreachable: bool = False) -> None:
        super().__init__(cause)
        self.retry_after, self.unreachable = retry_after, unreachable


class ContextFull(Exception):
    """The request does not fit into the server's context."""


class Refused(Exception):
    """The server refuses this request for good."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def failure_of(status: int, retry_after: str | None, payload: bytes) -> FailedTry | ContextFull | Refused:
    """What an answer with an error status means. `retry_after` is the header's value."""
    message, code = server_message(payload)
    if status in (400, 413, 422, 500) and _TOO_LONG.search(f"{code} {message}"):
        return ContextFull()
    if status == 400 and _BAD_SAMPLE.search(f"{code} {message}"):
        return FailedTry(f"{status} {message}")
    wait_s = _seconds(retry_after)
    if status >= 500 or (status in RETRIED and not (status == 429 and _is_spent(message, code, wait_s))):
        return FailedTry(f"{status} {message}", retry_after=wait_s)
    return Refused(status, message)


def _is_spent(message: str, codes: str, wait_s: float | None) -> bool:
    """Whether waiting does not mend a 429. Codes come before words, and a short wait that it names before words too."""
    share = _SHARE.search(message)
    if _SPENT_CODE.search(codes) or _TOO_LARGE.search(message) or (share and _whole(share[1]) < _whole(share[2])):
        return True
    if (wait_s is not None and wait_s <= SHORT_WAIT_S) or _OF_A_MINUTE.search(message):
        return False
    return bool(_SPENT_WORDS.search(message))


def _whole(digits: str) -> int:
    return int(digits.replace(",", "").replace("_", "") or 0)


def server_message(payload: bytes) -> tuple[str, str]:
    """The error text, on one line, and its codes, in any of the forms that servers give them."""
    try:
        body = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _excerpt(payload), ""
    if isinstance(body, list) and body:  # Gemini's
        body = body[0]
    return error_message(body.get("error", body) if isinstance(body, dict) else body)


def error_message(error: Any) -> tuple[str, str]:
    """The text of an error's JSON value, on one line, and its codes."""
    if not isinstance(error, dict):
        return one_line(str(error)), ""
    message = error.get("message") or error.get("detail") or error.get("error") or error
    behind = error.get("metadata")
    if isinstance(behind, dict) and behind.get("raw"):  # OpenRouter: what the provider behind it said
        message = f"{message}: {behind['raw']}"
    return one_line(str(message)), f"{error.get('code')} {error.get('type')} {' '.join(_quotas(error))}"


def _quotas(error: dict[str, Any]) -> list[str]:
    """The names of the quotas that Gemini says are used up: `GenerateRequestsPerDayPerProjectPerModel-FreeTier` ..."""
    details = error.get("details")
    found = [part.get("violations") for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    violations = [one for several in found if isinstance(several, list) for one in several]
    return [str(one.get("quotaId")) for one in violations if isinstance(one, dict)]


def upstream_failure(error: Any) -> FailedTry | ContextFull:
    """What an error means that stands inside an answer of status 200: a gateway passes on what failed behind it.

    It is never the model's own doing, and another try may be routed elsewhere.
    """
    message, codes = error_message(error)
    if _TOO_LONG.search(f"{codes} {message}"):
        return ContextFull()
    return FailedTry(f"an answer of status 200 that holds an error: {message}")


def _seconds(retry_after: str | None) -> float | None:
    """The seconds that a `Retry-After` header asks to wait, given as a number or as a date."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):  # a year of twenty digits
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
    return max(0.0, seconds) if seconds < float("inf") else None


def _excerpt(payload: bytes) -> str:
    return one_line(payload[:400].decode(errors="replace")) or "an empty body"


def one_line(text: str, limit: int = 200) -> str:
    text = " ".join(text.split()).rstrip(".: ")
    return text if len(text) <= limit else f"{text[:limit]}…"
