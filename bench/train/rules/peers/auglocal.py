"""AugLocal (Ma, Wu, Si, Tan, "Scaling supervised local learning with augmented auxiliary networks", arXiv 2402.17318).

Stage ``l`` computes ``x_l = f_l(sg(x_{l-1}))`` and learns from ``L(g_l(x_l), y)`` alone, cross-entropy at its auxiliary
network ``g_l``, whose layers have the structure of layers that are sampled evenly from those after the stage. It is
shorter towards the output. The last stage has the classifier of the backbone, and the others are not needed to predict.

So the rule is decoupled greedy learning, and the heads make the method: they are the axis ``head``, here ``aug`` if the
cell does not say. :mod:`bench.train.networks.augmented_heads` has the rule of sampling and how the heads differ from
the paper. The authors make each residual block of a ResNet a stage, and train with SGD; here a cell says both.
"""

from bench.train.rules.peers.dgl import train_each_stage as train_each_stage
