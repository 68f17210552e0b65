"""A rank of the test of BP's schedules: ``python schedule_job.py FOLDER`` under torchrun."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.plugins import resolve
from bench.train.networks.build import build_network
from bench.train.rules.bp import train_end_to_end

SCHEDULES = ["bp-gpipe", "bp-1f1b", "bp-zb1p", "bp-zbv"]
MICRO_BATCHES_A_RANK = [None, 2]  # of a batch of 12 on 2 or 3 ranks


LINEAR = {"network": "pipeline-linear", "depth": 6, "width": 12, "image_size": 3}
TRANSFORMER = {"network": "pipeline-vit-tiny", "modules": 6, "image_size": 4}  # whose features have gaps


def compare(
    method: str, micro_batches_a_rank: int | None, is_narrow: bool = False, network: dict[str, object] = LINEAR
) -> dict[str, object]:
    """How far this rank's gradients and weights are from BP's after two steps, relatively, and the losses."""
    dtype = torch.float32 if is_narrow else torch.float64
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=is_narrow, cache_enabled=False)
    ranks = dist.get_world_size()
    micro_batches = None if micro_batches_a_rank is None else ranks * micro_batches_a_rank
    axes = {"channels": 1, "hidden": 5, "batch_size": 12, "passes": ["memory"], **network}
    cell = make_cell({"method": method, "ranks": ranks, "micro_batches": micro_batches, "dataset": "random", **axes})
    shape = (1, cell.image_size or 1, cell.image_size or 1)
    whole, alone = (build_network(cell, shape, 4).to(dtype) for _ in range(2))
    batches = [(torch.randn(12, *shape, dtype=dtype), torch.randint(4, (12,))) for _ in range(2)]
    of = load_method(method)
    share = resolve(of.on_ranks)(whole, **of.settings_for(cell))
    with autocast:
        losses = share.train(batches, None, torch.optim.SGD(share.network.parameters(), 0.1))
    optimizer = torch.optim.SGD(alone.parameters(), 0.1)
    expected = []
    for images, labels in batches:
        optimizer.zero_grad()
        with autocast:
            expected.append(train_end_to_end(alone, images, labels, None))
        optimizer.step()
    names = {parameter: name for name, parameter in whole.named_parameters()}
    twins = dict(alone.named_parameters())
    own = [(parameter, twins[names[parameter]]) for parameter in share.network.parameters()]
    return {
        "gradients": max(_distance(one.grad, other.grad) for one, other in own),
        "weights": max(_distance(one, other) for one, other in own),
        "parameters": sorted(names[parameter] for parameter, _ in own),
        "all": sorted(names.values()),
        "losses": losses.tolist(),
        "expected": torch.stack(expected).tolist(),
        "modules": share.modules_by_rank,
    }


def _distance(one: torch.Tensor | None, other: torch.Tensor | None) -> float:
    assert one is not None
    assert other is not None
    return float(F.mse_loss(one, other).sqrt() / other.abs().max())


if __name__ == "__main__":
    torch.manual_seed(1)
    dist.init_process_group("gloo")
    found = {f"{method} {parts}": compare(method, parts) for method in SCHEDULES for parts in MICRO_BATCHES_A_RANK}
    found |= {f"{method} transformer": compare(method, None, network=TRANSFORMER) for method in SCHEDULES}
    found |= {f"{method} narrow": compare(method, None, is_narrow=True) for method in SCHEDULES}
    Path(sys.argv[1], f"{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.destroy_process_group()
