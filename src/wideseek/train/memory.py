"""When memory runs out, and what to lower then."""

from __future__ import annotations

import gc

import torch

LEARNING = "lower tokens_per_pass, set gradient_checkpointing = true, or lower team.local.kv_tokens"
LOADING = "lower team.local.kv_tokens or tokens_per_pass"

_ALLOCATOR = "can't allocate memory"  # torch's words on a CPU, where it raises a plain RuntimeError


def out_of_memory(error: BaseException) -> bool:
    """Whether this says that there was no memory left, on a GPU or on the host."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _ALLOCATOR in str(error)


def give_back() -> None:
    """Return what nobody holds any more to the GPU, for larger pieces."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def first_line(error: BaseException) -> str:
    """Kind and first line of an error, for a message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}".removesuffix(": ")
