"""The training rules that need code of their own.

A rule is ``rule(network, images, labels, objective, **keywords)``: it adds one step's gradients to ``.grad`` of the
network's parameters and returns the loss, a tensor of shape ``[]``. Images are ``[B, channels, H, W]``, labels ``[B]``
(int64), and ``objective`` is a :class:`sid_core.Objective` or None. SID's own steps in :mod:`sid_core` have this form,
so the rows of :mod:`bench.config.methods` name them directly.
"""
