"""The storage meter, compared with bytes counted by hand.

``N`` floats are 1 KiB, so most counts are multiples of ``KIB``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils.checkpoint import checkpoint

from bench.measure.memory.storages import StorageMeter, bytes_of
from sid_core import cascade, linear_trunk, published_step, streamed_step

N = 256
KIB = 1024


@dataclass(frozen=True)
class Bytes:
    """The state of the meter while the result of the work still existed."""

    live: int
    peak: int


def meter(work: Callable[[], object]) -> Bytes:
    with StorageMeter(torch.device("cpu")) as storages:
        kept = work()
        counted = Bytes(storages.live, storages.peak)
    del kept
    return counted


@pytest.fixture
def existing() -> Tensor:
    """A tensor of 1 KiB that exists before the metered work; its values stay finite under all operators used here."""
    return torch.full((N,), 0.01)


# One operator


def test_an_operator_counts_its_result(existing: Tensor) -> None:
    assert meter(lambda: existing + 1) == Bytes(KIB, KIB)


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.bool, 1), (torch.bfloat16, 2), (torch.float32, 4), (torch.int64, 8), (torch.float64, 8)]
)
def test_a_result_counts_with_the_size_of_its_dtype(dtype: torch.dtype, size: int) -> None:
    assert meter(lambda: torch.zeros(100, dtype=dtype)) == Bytes(100 * size, 100 * size)


def test_an_operator_with_two_results_counts_both(existing: Tensor) -> None:
    # max over rows of 16: 16 values of 4 bytes, 16 indices of 8.
    assert meter(lambda: existing.view(16, 16).max(dim=1)) == Bytes(16 * 12, 16 * 12)


def test_an_operator_on_a_list_counts_every_result(existing: Tensor) -> None:
    assert meter(lambda: torch._foreach_mul([existing, existing[:64]], 2.0)) == Bytes(KIB + 256, KIB + 256)


def test_a_composite_operator_counts_its_intermediate_results(existing: Tensor) -> None:
    # cross_entropy of 16 samples: the log-softmax (1 KiB), the loss (4 bytes) and nll_loss's sum of weights (4 bytes).
    labels = torch.zeros(16, dtype=torch.int64)
    assert meter(lambda: F.cross_entropy(existing.view(16, 16), labels)) == Bytes(4, KIB + 8)


def test_an_expression_holds_temporary_results_until_they_are_used(existing: Tensor) -> None:
    # The deviations and their squares (1 KiB each), with the mean gone; then the squares and their mean (4 bytes).
    assert meter(lambda: (existing - existing.mean()).square().mean()) == Bytes(4, 2 * KIB)


def test_reading_the_value_of_a_result_counts_nothing(existing: Tensor) -> None:
    assert meter(lambda: existing.sum().item()) == Bytes(0, 4)


def test_results_on_another_type_of_device_count_nothing(existing: Tensor) -> None:
    assert meter(lambda: existing.to("meta") + 1) == Bytes(0, 0)


def test_a_failed_operator_counts_nothing(existing: Tensor) -> None:
    def fail() -> None:
        temporary = existing + 1
        with pytest.raises(RuntimeError, match="size"):
            temporary @ torch.ones(3)

    assert meter(fail) == Bytes(0, KIB + 12)


# Storages that existed before


@pytest.mark.parametrize(
    "view",
    [
        lambda tensor: tensor.view(16, 16),
        lambda tensor: tensor.reshape(4, 64),
        lambda tensor: tensor.expand(100, N),
        lambda tensor: tensor[10:20],
        lambda tensor: tensor.view(16, 16).t().unsqueeze(0),
        lambda tensor: tensor.detach(),
        lambda tensor: tensor.contiguous(),
        lambda tensor: tensor.to(torch.float32),
        lambda tensor: tensor.chunk(4),
        lambda tensor: tensor.unbind(),
    ],
    ids=["view", "reshape", "expand", "slice", "transpose", "detach", "contiguous", "to", "chunk", "unbind"],
)
def test_a_view_of_an_existing_tensor_counts_nothing(existing: Tensor, view: Callable[[Tensor], object]) -> None:
    assert meter(lambda: view(existing)) == Bytes(0, 0)


def test_an_in_place_operator_counts_nothing(existing: Tensor) -> None:
    assert meter(lambda: existing.add_(1).mul_(2).relu_()) == Bytes(0, 0)


def test_a_result_in_an_existing_tensor_counts_nothing(existing: Tensor) -> None:
    target = torch.empty(N)
    assert meter(lambda: torch.mul(existing, existing, out=target)) == Bytes(0, 0)


def test_writing_through_a_view_of_an_existing_parameter_counts_nothing() -> None:
    parameter = nn.Parameter(torch.zeros(16, 16))
    with torch.no_grad():
        assert meter(lambda: parameter.view(-1)[:16].add_(1)) == Bytes(0, 0)


def test_an_operator_on_a_view_of_an_existing_parameter_counts_its_result_only() -> None:
    parameter = nn.Parameter(torch.zeros(16, 16))
    assert meter(lambda: parameter.view(-1)[:64] * 2) == Bytes(256, 256)


def test_freeing_an_existing_tensor_counts_nothing() -> None:
    held = [torch.zeros(N)]

    def replace() -> Tensor:
        result = held[0] + 1
        held.clear()
        return result

    assert meter(replace) == Bytes(KIB, KIB)


# New storages and their views


def test_views_of_a_new_tensor_count_its_storage_once(existing: Tensor) -> None:
    def views() -> list[Tensor]:
        new = existing + 1
        return [new, new.view(16, 16), new[:3], new.expand(7, N)]

    assert meter(views) == Bytes(KIB, KIB)


def test_a_view_keeps_the_whole_storage_alive(existing: Tensor) -> None:
    assert meter(lambda: (existing + 1)[:1]) == Bytes(KIB, KIB)


def test_a_storage_is_counted_until_its_last_view_is_freed(existing: Tensor) -> None:
    with StorageMeter(torch.device("cpu")) as storages:
        first, second = (existing + 1).split(N // 2)
        assert storages.live == KIB
        del first
        assert storages.live == KIB
        del second
        assert storages.live == 0


def test_chunks_of_a_new_tensor_count_once_and_their_copies_separately(existing: Tensor) -> None:
    def split() -> list[Tensor]:
        first, second, _, _ = (existing + 1).chunk(4)
        return [first, second.clone()]

    assert meter(split) == Bytes(KIB + 256, KIB + 256)


def test_a_copy_of_an_expanded_view_counts_every_element(existing: Tensor) -> None:
    assert meter(lambda: existing.expand(5, N).contiguous()) == Bytes(5 * KIB, 5 * KIB)


def test_an_in_place_operator_on_a_new_tensor_counts_it_once(existing: Tensor) -> None:
    assert meter(lambda: (existing + 1).relu_().mul_(3)) == Bytes(KIB, KIB)


def test_a_constant_counts() -> None:
    assert meter(lambda: torch.tensor([1.0, 2.0, 3.0])) == Bytes(12, 12)


def test_a_new_storage_that_grows_counts_with_its_new_size() -> None:
    assert meter(lambda: torch.empty(N).resize_(3 * N)) == Bytes(3 * KIB, 3 * KIB)


def test_a_new_storage_that_grew_counts_nothing_after_it_is_freed() -> None:
    assert meter(lambda: torch.empty(N).resize_(3 * N).sum().item()) == Bytes(0, 3 * KIB + 4)


def test_a_new_empty_storage_that_grows_counts() -> None:
    assert meter(lambda: torch.empty(0).resize_(N)) == Bytes(KIB, KIB)


def test_a_result_in_a_new_empty_tensor_counts(existing: Tensor) -> None:
    assert meter(lambda: torch.mul(existing, existing, out=torch.empty(0))) == Bytes(KIB, KIB)


def test_a_new_storage_resized_to_zero_counts_nothing() -> None:
    def release() -> Tensor:
        tensor = torch.empty(N)
        tensor.untyped_storage().resize_(0)
        return tensor

    assert meter(release) == Bytes(0, KIB)


def test_a_tensor_set_to_an_existing_storage_counts_nothing(existing: Tensor) -> None:
    assert meter(lambda: torch.empty(0).set_(existing.untyped_storage())) == Bytes(0, 0)


# Lifetimes


def test_a_chain_that_frees_intermediate_results_holds_two_at_a_time(existing: Tensor) -> None:
    def chain() -> Tensor:
        result = existing
        for _ in range(10):
            result = result + 1
        return result

    assert meter(chain) == Bytes(KIB, 2 * KIB)


def test_a_chain_that_keeps_intermediate_results_holds_all_of_them(existing: Tensor) -> None:
    def chain() -> list[Tensor]:
        results = [existing]
        for _ in range(10):
            results.append(results[-1] + 1)
        return results

    assert meter(chain) == Bytes(10 * KIB, 10 * KIB)


def test_the_peak_can_be_before_the_end(existing: Tensor) -> None:
    def hill() -> Tensor:
        large = existing.repeat(8)
        small = large[:1].clone()
        del large
        return existing + small

    # 8 KiB and 4 bytes at the peak; then 4 bytes (freed when the function returns) and the result.
    assert meter(hill) == Bytes(KIB, 8 * KIB + 4)


def test_live_bytes_fall_when_a_tensor_is_freed(existing: Tensor) -> None:
    with StorageMeter(torch.device("cpu")) as storages:
        tensor = existing + 1
        assert (storages.live, storages.peak) == (KIB, KIB)
        del tensor
        assert (storages.live, storages.peak) == (0, KIB)
        again = existing + 1
        assert (storages.live, storages.peak) == (KIB, KIB)
        del again


def test_a_freed_address_that_is_used_again_counts_again(existing: Tensor) -> None:
    with StorageMeter(torch.device("cpu")) as storages:
        for _ in range(1000):
            existing.add(1)
        assert (storages.live, storages.peak) == (0, KIB)


def test_work_outside_of_the_context_is_not_counted(existing: Tensor) -> None:
    storages = StorageMeter(torch.device("cpu"))
    before = existing + 1
    with storages:
        inside = before + 1
    outside = inside + 1
    assert (storages.live, storages.peak) == (KIB, KIB)
    del inside, outside  # nothing is tracked after the end
    assert (storages.live, storages.peak) == (KIB, KIB)


# Autograd


def test_a_linear_layer_with_relu_forward_and_backward() -> None:
    x = torch.randn(8, 4)
    weight, bias = nn.Parameter(torch.randn(16, 4)), nn.Parameter(torch.randn(16))
    weight.grad, bias.grad = torch.zeros(16, 4), torch.zeros(16)

    def step() -> Tensor:
        loss = F.relu(F.linear(x, weight, bias)).sum()
        loss.backward()
        return loss

    # Forward:  linear 8 * 16 * 4 = 512; relu 512, saved for backward: 1024; then linear's output dies: 512;
    #           the sum 4, which lives to the end: 516.
    # Backward: the one that backward starts from 4, held until it ends and expanded as a view: 520;
    #           the gradient before the relu 512, while relu's output is still saved: 1032, the peak;
    #           then relu's output dies: 520;
    #           the weight's gradient 16 * 4 * 4 = 256 and the bias's 16 * 4 = 64, added to the buffers: 840 at most.
    assert meter(step) == Bytes(4, 1032)


def test_a_gradient_without_a_buffer_is_counted(existing: Tensor) -> None:
    weight = nn.Parameter(existing)

    def step() -> None:
        (weight * 2).sum().backward()

    # The product 1 KiB, which the sum (4 bytes) does not save; then backward's first gradient (4 bytes), and a new KiB
    # that becomes weight.grad.
    assert meter(step) == Bytes(KIB, KIB + 8)


class _Square(torch.autograd.Function):
    """Squares, and saves a doubled copy of its input for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Squares."""
        ctx.save_for_backward(2 * x)
        return x * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Multiplies with the saved copy."""
        (doubled,) = ctx.saved_tensors
        return gradient * doubled


def test_tensors_saved_by_a_custom_function_are_held_until_its_backward_pass(existing: Tensor) -> None:
    x = existing.requires_grad_()
    x.grad = torch.zeros(N)
    with StorageMeter(torch.device("cpu")) as storages:
        result = _Square.apply(x)
        assert storages.live == 2 * KIB  # the saved copy and the result
        result.backward(existing.detach())
        assert storages.live == KIB  # the result
        assert storages.peak == 3 * KIB  # and the gradient, which was added to x.grad


def two_exponentials(x: Tensor) -> Tensor:
    return x.exp().exp()


def backward_of_sum(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, int]:
    """Return the live bytes after the forward pass, and the peak of forward and backward pass."""
    x.requires_grad_()
    x.grad = torch.zeros_like(x)
    with StorageMeter(torch.device("cpu")) as storages:
        result = function(x)
        after_forward = storages.live
        result.sum().backward()
        return after_forward, storages.peak


def test_without_a_checkpoint_all_saved_tensors_are_held(existing: Tensor) -> None:
    # exp saves its output: two KiB, and the second is the result, held by name. Backward adds the sum and the one that
    # it starts from (8 bytes), then the gradients of the second and the first exp (2 KiB).
    assert backward_of_sum(two_exponentials, existing) == (2 * KIB, 4 * KIB + 8)


def test_a_checkpoint_holds_only_its_result_and_recomputes_the_rest(existing: Tensor) -> None:
    def with_checkpoint(x: Tensor) -> Tensor:
        return checkpoint(two_exponentials, x, use_reentrant=False, preserve_rng_state=False)

    # After forward the result (1 KiB). Backward adds the sum and the one that it starts from (8 bytes), computes both
    # exponentials again (2 KiB), and makes the gradient of the second from them (1 KiB); then the second dies, and the
    # gradient of the first takes its place.
    assert backward_of_sum(with_checkpoint, existing) == (KIB, 4 * KIB + 8)


def test_a_checkpoint_counts_the_generator_state_that_it_keeps(existing: Tensor) -> None:
    def with_checkpoint(x: Tensor) -> Tensor:
        return checkpoint(two_exponentials, x, use_reentrant=False, preserve_rng_state=True)

    after_forward, _ = backward_of_sum(with_checkpoint, existing)
    assert after_forward == KIB + torch.get_rng_state().nbytes


def test_metering_restores_the_patched_functions_of_torch(existing: Tensor) -> None:
    before = (torch.UntypedStorage.resize_, torch.get_rng_state)
    meter(lambda: existing + 1)
    assert (torch.UntypedStorage.resize_, torch.get_rng_state) == before


def test_an_existing_storage_that_is_resized_counts_nothing(existing: Tensor) -> None:
    assert meter(lambda: existing.untyped_storage().resize_(2 * KIB)) == Bytes(0, 0)


def test_the_tensor_inside_a_wrapper_subclass_counts_once(existing: Tensor) -> None:
    wrapped = TwoTensor(existing, existing.clone())
    assert meter(lambda: wrapped.exp()) == Bytes(2 * KIB, 2 * KIB)


def test_each_storage_is_rounded_up_separately() -> None:
    with StorageMeter(torch.device("cpu"), round_to=512) as storages:
        kept = [torch.empty(size, dtype=torch.uint8) for size in (1, 512, 513, 0)]
        assert storages.live == 512 + 512 + 1024
        del kept
        assert storages.live == 0


# Fake tensors


def streamed_through_autograd(*arguments: Any) -> Tensor:
    return streamed_step(*arguments, closed_form=False)


@pytest.mark.parametrize(
    "step",
    [
        published_step,
        streamed_through_autograd,
        streamed_step,
    ],
    ids=["published", "streamed through autograd", "streamed"],
)
def test_fake_tensors_give_the_same_bytes(step: Callable[..., Tensor]) -> None:
    def train() -> Bytes:
        network = cascade(4, 10, 1, 16, 32, depth=8, trunk=linear_trunk(49, 16))
        images, labels = torch.randn(64, 1, 7, 7), torch.zeros(64, dtype=torch.int64)
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return meter(lambda: step(network, images, labels, 0.5))

    real = train()
    with FakeTensorMode():
        fake = train()
    assert real.peak > 64 * 16 * 4
    assert fake == real


# Bytes of existing tensors


def test_bytes_of_counts_each_storage_once_and_skips_none(existing: Tensor) -> None:
    other = torch.zeros(3, dtype=torch.int64)
    assert bytes_of([existing, existing[:5], existing.view(16, 16), None, other]) == KIB + 24


def test_bytes_of_nothing_is_zero() -> None:
    assert bytes_of([]) == bytes_of([None]) == 0
