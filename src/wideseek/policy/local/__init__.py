"""The local engine: a `Sampler` in this process, over the weights of a Qwen3 model.

    engine      LocalEngine: requests in, one worker thread that owns the torch work, futures out
    scheduler   which requests run; prompts in chunks beside everybody's next token; stop, grow, give way, fail
    cache       keys and values of sequences, running and retained, under a budget; who shares a prefix with whom
    model       one packed forward pass over any mix of prompt chunks and single tokens
    sampling    the next token of each row, and its log-probability
    weights     reading, checking and fusing what a checkpoint holds

This package and `train` are the only places that import torch.
"""

from wideseek.policy.local.engine import LocalEngine
from wideseek.policy.local.scheduler import Stats

__all__ = ["LocalEngine", "Stats"]
