"""Mono-Forward (Gong, Li, Abdulla, arXiv 2501.09238).

Layer ``i`` computes ``a_i = f_i(sg(a_{i-1}))`` and the goodness of each class, ``G_i = a_i M_i^T``, where ``M_i`` is a
matrix of classes by neurons. The layer and ``M_i`` learn from the cross-entropy of ``softmax(G_i)`` and the label, and
from nothing else. A prediction adds the goodness of all layers, as in Forward-Forward.

So training is :func:`bench.train.rules.peers.dgl.train_each_stage` with the head ``projection``, whose weight is
``M_i``. A stage is a layer: in a stage of several layers, gradients flow from its end to its beginning. The neurons of
a convolution are its channels at every position. The paper also predicts from the last layer alone: ``dgl`` with the
head ``projection`` learns the same weights and predicts so. The optimizer is that of every other
method.
"""

from collections.abc import Iterator

from torch import Tensor

from bench.train.rules import without_beliefs
from sid_core import BeliefNetwork


def logits_by_module(network: BeliefNetwork, images: Tensor) -> Iterator[Tensor]:
    """Yields ``G_1 + ... + G_i`` for each module ``i``, ``[B, C]``: the prediction of a network that ends there."""
    goodness: Tensor | None = None
    for logits in without_beliefs.logits_by_module(network, images):
        goodness = logits if goodness is None else goodness + logits
        yield goodness
