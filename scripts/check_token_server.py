"""Does a token server sample what its weights say? Compares it with a plain forward pass over the same weights.

    python scripts/check_token_server.py FOLDER http://HOST:PORT/v1

FOLDER holds the model that is served, in Hugging Face's layout and small enough for this machine. Runs eight
conversations of three turns, each twice, at several temperatures, and prints the largest difference between a token's
log-probability as the server gave it and log_softmax(logits / temperature) here. In float32 it should be below 1e-4
where top-p is 1.
"""

from __future__ import annotations

import asyncio
import sys

import torch
from transformers import AutoModelForCausalLM

from wideseek.concurrency import together
from wideseek.errors import WideseekError
from wideseek.policy.base import Sampling, ToolSchema
from wideseek.policy.remote import RemoteSampler
from wideseek.policy.template import ChatTemplate
from wideseek.policy.token import TokenPolicy, sequence
from wideseek.records import Message, Trajectory

TOOLS = [ToolSchema("search", "Finds pages.", {"type": "object", "properties": {"query": {"type": "string"}}})]
SAMPLINGS = ((1.0, 1.0), (0.7, 1.0), (0.7, 0.9), (0.0, 1.0))  # temperature, top-p
CONVERSATIONS, TURNS, TURN_TOKENS = 8, 3, 400


async def conversation(policy: TokenPolicy, number: int) -> Trajectory:
    opening = [Message("system", "You look things up."), Message("user", f"How high is lighthouse {number}?")]
    run = Trajectory(role="sub", seed=100 * number, pending=opening)
    while len(run.turns) < TURNS and run.pending:
        completion = run.add(await policy.complete(run, TOOLS))
        if completion.truncated != "context":
            run.pending = [Message("tool", "height: 26 m"), Message("tool", "année 1877, 页")]
    return run


@torch.no_grad()
def difference(model: torch.nn.Module, run: Trajectory, ids: list[int], temperature: float) -> float:
    """The largest difference over the sampled tokens of `run`, whose whole sequence is `ids`."""
    logits = model(torch.tensor([ids])).logits[0].float()  # [T, vocabulary]
    logprobs = (logits / (temperature or 1.0)).log_softmax(-1)
    position, largest = 0, 0.0
    for completion in (turn.completion for turn in run.turns):
        position += len(completion.prompt_ids or ())
        for token, logprob in zip(completion.completion_ids or (), completion.logprobs or (), strict=True):
            largest = max(largest, abs(logprobs[position - 1, token].item() - logprob))
            position += 1
    assert position == len(ids)
    return largest


async def main(folder: str, url: str) -> None:
    template, model = ChatTemplate.load(folder), AutoModelForCausalLM.from_pretrained(folder).float().eval()
    for temperature, top_p in SAMPLINGS:
        sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=TURN_TOKENS)
        policy = TokenPolicy(RemoteSampler(base_url=url), template, sampling)
        try:
            twice = [await together(conversation(policy, n) for n in range(CONVERSATIONS)) for _ in range(2)]
        finally:
            await policy.close()
        first, again = ([sequence(run, template, TOOLS) for run in runs] for runs in twice)
        largest = max(difference(model, run, ids, temperature) for run, ids in zip(twice[0], first, strict=True))
        turns = [turn.completion for run in twice[0] for turn in run.turns]
        ended = sum(not turn.truncated for turn in turns)
        tokens = sum(turn.usage.completion_tokens for turn in turns)
        same = sum(one == other for one, other in zip(first, again, strict=True))
        print(
            f"temperature {temperature:g}, top-p {top_p:g}: {tokens:,} tokens, {ended} of {len(turns)} turns ended, "
            f"largest difference {largest:.1e}, {same} of {CONVERSATIONS} conversations repeat",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except WideseekError as error:
        sys.exit(str(error))
