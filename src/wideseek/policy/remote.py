"""Token ids continued by a model server: vLLM (`/v1/completions`) or SGLang (`/generate`).

    request -> which server is it, how long is its context (`/v1/models`, asked once)
            -> its form of the request -> `Server` (tried until answered) -> ids and logprobs, checked -> Sampled

Every sampling parameter is sent, because servers put the model's own (`generation_config.json`: top-k 20 ...) where one
is missing. What has to be set on the server stands in docs/backends.md. Pushing weights is the trainer's: it sets
`version` when they have arrived.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from wideseek.errors import PolicyRejected
from wideseek.policy.failures import ContextFull, FailedTry
from wideseek.policy.server import MAX_BODY_MB, Served, Server
from wideseek.policy.token import Request, Sampled
from wideseek.policy.wire import ending_of

Kind = Literal["auto", "vllm", "sglang"]

Id = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_ROUNDING = 1e-3  # how far above 0 a log-probability of nearly 0 may be computed

_encode = msgspec.json.Encoder().encode


class RemoteSampler:
    """A vLLM or SGLang server as a sampler. It connects at the first request.

    * `base_url` ends in `/v1`; `model` is the server's name for it, `None` takes the only one that it lists. `name` is
      how users write it. `kind="auto"` believes what the server's list says of who serves.
    * `version` counts weight updates: set it once the new weights have been pushed. Tokens carry the version at the
      time of asking, so wait for what is in flight before a push, or count its tokens as the older version's.
    * `context_tokens` is unlimited until the server has been asked.
    * `vocab_size` is how many tokens the tokenizer has: an id beyond is none of its tokens. Unknown by default.
    * `key`, `key_env`, `timeout_s`, `attempts`, `concurrency`, `backoff_s` and `max_body_mb` say how the server is
      reached (`Server`).
    """

    more_context = "serve more context"

    def __init__(
        self,
        *,
        base_url: str,
        model: str | None = None,
        name: str | None = None,
        kind: Kind = "auto",
        version: int = 0,
        vocab_size: int = sys.maxsize,
        key: str | Callable[[], str | None] | None = None,
        key_env: str | None = None,
        timeout_s: float = 600.0,
        attempts: int = 10,
        concurrency: int = 64,
        backoff_s: float = 0.5,
        max_body_mb: float = MAX_BODY_MB,
    ) -> None:
        server = functools.partial(
            Server,
            key=key,
            key_env=key_env,
            timeout_s=timeout_s,
            attempts=attempts,
            concurrency=concurrency,
            backoff_s=backoff_s,
            max_body_mb=max_body_mb,
        )
        self._server = server(base_url)
        self._native = server(self._server.base_url.removesuffix("/v1"))  # SGLang's `/generate` stands beside `/v1`
        self.name = name or model or self._server.base_url
        self.version = version
        self.context_tokens = sys.maxsize
        self._model, self._kind, self._vocab_size = model, kind, vocab_size

    async def sample(self, request: Request) -> Sampled:
        """What the server makes of `request`. Raises as `Sampler.sample` does."""
        served = await self._server.served(self._model)
        if type(served.max_model_len) is int and served.max_model_len > 0:  # `True` is an int, too
            self.context_tokens = served.max_model_len
        room = self.context_tokens - len(request.ids)
        if room <= 0:
            raise ContextFull
        version, most = self.version, min(request.max_new, room)
        ids, logprobs, ended = await self._continued(served, request, most)
        self._check_ids(ids, most)
        self._check_end(ids, ended, request)
        return Sampled(ids, self._all_known(ids, logprobs), [version] * len(ids), ended)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()
        await self._native.close()

    async def _continued(self, served: Served, request: Request, max_new: int) -> _Continuation:
        kind = self._kind
        if kind == "auto":
            kind = "sglang" if served.owned_by == "sglang" else "vllm"
        if kind == "sglang":
            return await self._native.ask("/generate", _encode(_sglang_body(request, max_new)), _read_sglang)
        body = {"model": served.id, **_vllm_body(request, max_new)}
        return await self._server.ask("/completions", _encode(body), self._read_vllm)

    def _read_vllm(self, payload: bytes) -> _Continuation:
        choice = _decode_vllm(payload).choices[0]
        if ending_of(choice.finish_reason) == "failed":
            raise FailedTry(f"the server gave the request up (finish_reason: {choice.finish_reason})")
        given = choice.logprobs or _LogProbs()
        ids = choice.token_ids if choice.token_ids is not None else _named_ids(given.tokens)
        if ids is None:
            raise PolicyRejected(
                f"{self._server.base_url}: returns no token ids: it has to be vLLM 0.10.2 or newer, or an older one "
                "started with --return-tokens-as-token-ids, or SGLang; for any other server leave out tokens+"
            )
        return _Continuation(ids, given.token_logprobs, choice.finish_reason == "stop")

    def _all_known(self, ids: list[int], logprobs: list[float | None]) -> list[float]:
        """The log-probabilities, one for each id."""
        known = [logprob for logprob in logprobs if logprob is not None]
        if len(known) != len(ids) or not ids:
            raise PolicyRejected(
                f"{self._server.base_url}: returned {len(ids)} token ids and {len(known)} log-probabilities: does the "
                "server give them at all, and are its weights sound?"
            )
        if max(known) > _ROUNDING:
            raise PolicyRejected(
                f"{self._server.base_url}: returned {max(known)} as a log-probability, which is never above 0: does it "
                "return something else in its place?"
            )
        return known

    def _check_ids(self, ids: list[int], most: int) -> None:
        """That the server kept to what it was asked for, with tokens that the tokenizer has."""
        if len(ids) > most:
            raise PolicyRejected(
                f"{self._server.base_url}: returned {len(ids)} tokens where {most} were asked for: does a proxy "
                "in between change requests?"
            )
        if ids and max(ids) >= self._vocab_size:
            raise PolicyRejected(
                f"{self._server.base_url}: returned token {max(ids)}, the tokenizer has {self._vocab_size}: set "
                "tokens.tokenizer to the folder or hub name of the model that is served"
            )

    def _check_end(self, ids: list[int], ended: bool, request: Request) -> None:
        """That a turn ended with a token that the template ends turns with: else two tokenizers are at work."""
        if ended and ids and ids[-1] not in request.stop_ids:
            raise PolicyRejected(
                f"{self._server.base_url}: ended a turn with token {ids[-1]}, which is no stop token of the tokenizer: "
                "set tokens.tokenizer to the folder or hub name of the model that is served"
            )


class _Continuation(NamedTuple):
    ids: list[int]
    logprobs: list[float | None]
    ended: bool


# ------------------------------------------------------------------------------------------------------------- vLLM


def _vllm_body(request: Request, max_new: int) -> dict[str, Any]:
    return {
        "prompt": request.ids,
        "max_tokens": max_new,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": request.seed,
        "stop_token_ids": request.stop_ids,
        "ignore_eos": True,  # only what the template calls an end is one
        "logprobs": 0,  # of the sampled token alone
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }


class _LogProbs(msgspec.Struct):
    tokens: list[str] = []
    token_logprobs: list[float | None] = []


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    token_ids: list[Id] | None = None
    logprobs: _LogProbs | None = None


class _Completions(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


_decode_vllm = msgspec.json.Decoder(_Completions).decode


_NAMED_ID = re.compile(r"token_id:([0-9]{1,9})")


def _named_ids(names: list[str]) -> list[int] | None:
    """The ids in names such as `token_id:123`, `None` where tokens are named by their text."""
    found = [_NAMED_ID.fullmatch(name) for name in names]
    return [int(one[1]) for one in found if one] if found and all(found) else None


# ----------------------------------------------------------------------------------------------------------- SGLang


def _sglang_body(request: Request, max_new: int) -> dict[str, Any]:
    return {
        "input_ids": request.ids,
        "sampling_params": {
            "max_new_tokens": max_new,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "sampling_seed": request.seed,
            "stop_token_ids": request.stop_ids,
        },
        "return_logprob": True,
        "logprob_start_len": -1,  # of what is sampled, not of the prompt
        "stream": False,
    }


class _Finish(msgspec.Struct):
    type: str
    message: str | None = None


class _Meta(msgspec.Struct):
    finish_reason: _Finish
    output_token_logprobs: list[tuple[float | None, Id, Any]] = []


class _Generated(msgspec.Struct):
    meta_info: _Meta


_decode_sglang = msgspec.json.Decoder(_Generated).decode


def _read_sglang(payload: bytes) -> _Continuation:
    meta = _decode_sglang(payload).meta_info
    if ending_of(meta.finish_reason.type) == "failed":
        raise FailedTry(f"the server gave the request up: {meta.finish_reason.message or 'it does not say why'}")
    logprobs = [logprob for logprob, _, _ in meta.output_token_logprobs]
    ids = [id for _, id, _ in meta.output_token_logprobs]
    return _Continuation(ids, logprobs, meta.finish_reason.type == "stop")
