"""What a step holds from its beginning to its end, by module: the persistent bytes of the memory pass, in parts."""

from collections.abc import Iterator

from torch import Tensor

from bench.measure.trace.module_names import AUXILIARY
from bench.measure.trace.storage_origins import Numbered
from bench.store.traced_step import OUTSIDE, Held, HeldStorages
from bench.train.step import TrainingStep


def held_storages(step: TrainingStep, images: Tensor, labels: Tensor, modules: Numbered) -> HeldStorages:
    """Return what ``step`` holds, each storage once within a category.

    A storage with several tensors, as of parameters that are stored in one, is divided among them. What no tensor of it
    covers, and a storage whose tensors overlap, belongs to no module.

    Args:
        step: the training step, which has run.
        images: one batch.
        labels: of the batch.
        modules: the names of modules, to which others are added.
    """
    storages: dict[tuple[Held, int], tuple[int, list[tuple[str, str, Tensor]]]] = {}
    for category, module, name, tensor in _tensors(step, images, labels):
        storage = tensor.untyped_storage()
        _, parts = storages.setdefault((category, storage._cdata), (storage.nbytes(), []))
        parts.append((module, name, tensor))
    rows: list[tuple[int, Held, str, int]] = []
    for (category, _), (size, parts) in storages.items():
        covered = sum(tensor.nbytes for _, _, tensor in parts)
        if covered > size:
            rows.append((modules.number(OUTSIDE), category, parts[0][1], size))
            continue
        rows += [(modules.number(module), category, name, tensor.nbytes) for module, name, tensor in parts]
        if covered < size:
            rows.append((modules.number(OUTSIDE), category, f"around {parts[0][1]}", size - covered))
    return HeldStorages(
        module=[module for module, _, _, _ in rows],
        category=[category for _, category, _, _ in rows],
        name=[name for _, _, name, _ in rows],
        bytes=[size for _, _, _, size in rows],
    )


def _tensors(step: TrainingStep, images: Tensor, labels: Tensor) -> Iterator[tuple[Held, str, str, Tensor]]:
    """Yield the category, the module's name, the name and the tensor of everything that is held."""
    owners: dict[Tensor, str] = {}
    for prefix, root in zip(("", AUXILIARY), step.held, strict=False):
        for name, parameter in root.named_parameters(prefix):
            if parameter in owners:
                continue
            owners[parameter] = name
            yield "parameters", _module_of(name), name, parameter
            if parameter.grad is not None:
                yield "parameter gradients", _module_of(name), f"{name}.grad", parameter.grad
        for name, buffer in root.named_buffers(prefix):
            yield "buffers", _module_of(name), name, buffer
    for optimizer in step.optimizers:
        for updated, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    name = owners.get(updated, "a tensor outside of the network")
                    yield "optimizer state", _module_of(name), f"{name}.{key}", value
    yield "batch", OUTSIDE, "images", images
    yield "batch", OUTSIDE, "labels", labels


def _module_of(name: str) -> str:
    return name.rpartition(".")[0]
