"""The head in parts: equal to the plain computation, and never holding the logits of all places."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wideseek.errors import BadInput
from wideseek.train.head import head_weight, target_logprobs

PLACES, VOCAB, SIZE, TARGETS = 50, 300, 8, 90


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, head, places (some have several targets, some none), labels, and what each target counts."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(PLACES, SIZE, generator=draw).to(dtype).requires_grad_()
    weight = torch.randn(VOCAB, SIZE, generator=draw).to(dtype).requires_grad_()
    of = torch.randint(0, PLACES, (TARGETS,), generator=draw)
    labels = torch.randint(0, VOCAB, (TARGETS,), generator=draw)
    return hidden, weight, of, labels, torch.randn(TARGETS, generator=draw).to(dtype)


@pytest.mark.parametrize("at_once", [1, 7 * VOCAB, 1 << 25])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_log_probabilities_entropies_and_gradients_are_those_of_all_logits_at_once(
    at_once: int, temperature: float, dtype: torch.dtype, most: float
) -> None:
    hidden, weight, of, labels, counts = inputs(dtype)
    found, entropy = target_logprobs(
        hidden, weight, of, labels, temperature=temperature, dtype=dtype, compute=dtype, at_once=at_once
    )
    got = torch.autograd.grad((found * counts).sum(), (hidden, weight))
    logs = ((hidden @ weight.T) / temperature).log_softmax(-1)
    plain = logs[of, labels]
    wanted = torch.autograd.grad((plain * counts).sum(), (hidden, weight))
    assert torch.allclose(found, plain, atol=most)
    assert torch.allclose(entropy, -(logs.exp() * logs).sum(-1)[of], atol=most)
    for one, other in zip(got, wanted, strict=True):
        assert float((one - other).norm() / other.norm()) < most


def test_a_frozen_head_has_no_gradient_and_bf16_is_near() -> None:
    hidden, weight, of, labels, counts = inputs(torch.float32)
    exact, _ = target_logprobs(hidden, weight, of, labels, temperature=1.0, dtype=torch.float32, compute=torch.float32)
    near, _ = target_logprobs(
        hidden, weight.detach(), of, labels, temperature=1.0, dtype=torch.float32, compute=torch.bfloat16
    )
    assert 0 < float((near - exact).detach().abs().max()) < 0.1
    (near * counts).sum().backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.float32


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made inside, and how many live at once in those of logits' size."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_no_tensor_forward_or_backward_is_larger_than_one_part_or_the_head_itself() -> None:
    places, vocab, size, at_once = 400, 3_000, 4, 10 * 3_000
    hidden = torch.randn(places, size, requires_grad=True)
    weight = torch.randn(vocab, size, requires_grad=True)
    of, labels = torch.arange(places), torch.arange(places)
    kept = []
    with (
        Largest() as largest,
        torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t),
    ):
        logprobs, _ = target_logprobs(
            hidden, weight, of, labels, temperature=0.9, dtype=torch.float32, compute=torch.float32, at_once=at_once
        )
        logprobs.sum().backward()  # type: ignore[no-untyped-call]
    assert largest.elements == at_once, "all places at once are 1,200,000"
    assert sum(kept) < 2 * (hidden.numel() + weight.numel()), "what is kept for the way back holds no logits"


def test_a_head_that_is_more_than_a_matrix_is_refused() -> None:
    class Biased(torch.nn.Module):
        def get_output_embeddings(self) -> torch.nn.Module:
            return torch.nn.Linear(4, 9, bias=True)

    with pytest.raises(BadInput, match="a Biased has a head .* more than one matrix: leave it out of lora.targets"):
        head_weight(Biased())
