"""Rules that compute the same step in one thread, and in threads that they start in several ways."""

import _thread
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core.network import BeliefNetwork

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


def step_by(network: BeliefNetwork, images: Tensor, labels: Tensor, over: Map) -> Tensor:
    """A step without gradients through beliefs: a loss for each module, all of them backward at the end."""
    features = network.trunk(images)
    belief = network.initial_belief(features)

    def loss_of(module: nn.Module) -> Tensor:
        return F.cross_entropy(network.run_module(module, belief, features)[0], labels)

    loss = torch.stack(list(over(loss_of, network.local_modules))).sum()
    loss.backward()
    return loss.detach()


def serial(network: BeliefNetwork, images: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """All in the calling thread."""
    return step_by(network, images, labels, map)


def executor(network: BeliefNetwork, images: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """Modules in a pool that lives for one step."""
    with ThreadPoolExecutor(4) as pool:
        return step_by(network, images, labels, pool.map)


_kept: list[ThreadPoolExecutor] = []


def kept_executor(network: BeliefNetwork, images: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """Modules in a pool that the first step starts and the others use again."""
    if not _kept:
        _kept.append(ThreadPoolExecutor(4))
    return step_by(network, images, labels, _kept[0].map)


def thread_pool(network: BeliefNetwork, images: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """Modules in a pool of multiprocessing."""
    with ThreadPool(3) as pool:
        return step_by(network, images, labels, pool.map)


def whole_step(network: BeliefNetwork, images: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """The whole step in one other thread."""
    results: SimpleQueue[Tensor] = SimpleQueue()
    thread = Thread(target=lambda: results.put(step_by(network, images, labels, map)))
    thread.start()
    thread.join()
    return results.get()


def raw_thread(network: BeliefNetwork, images: Tensor, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """Modules in a thread that the threading module does not know."""

    def over(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        results: SimpleQueue[list[Any]] = SimpleQueue()
        _thread.start_new_thread(lambda: results.put([function(item) for item in items]), ())
        return results.get()

    return step_by(network, images, labels, over)


def nothing(*_: Any, **__: Any) -> Tensor:
    """No operator at all."""
    return _LOSS


_LOSS = torch.zeros(())
FOLLOWED = [executor, kept_executor, thread_pool, whole_step]
