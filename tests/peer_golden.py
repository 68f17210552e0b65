"""Numbers that the authors' public code of a peer gave: ``golden/peers/NAME.npz``, and how they are compared."""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "golden" / "peers"

# The tolerance of weights after several steps in float64. What was recorded is float32, whose rounding grows from step
# to step: to 5e-5 of a weight where it was recorded, and to a hundredth on some processors.
OF_STEPS = 5e-5


class PeerGolden:
    """One golden file: ``meta`` from its JSON, and its arrays by name.

    Args:
        name: of the file, without its ending.
    """

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz") as stored:
            arrays = {key: stored[key] for key in stored.files}
        self.meta: dict[str, Any] = json.loads(str(arrays.pop("meta")))
        self.tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under ``prefix/``, by the rest of their names."""
        start = f"{prefix}/"
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


def load_weights(module: nn.Module, golden: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Copies golden tensors into the parameters of ``module``.

    Args:
        module: keeps the parameters that ``names`` does not have.
        golden: tensors by the names of the golden file.
        names: for each parameter of ``module``, its name in ``golden``.
    """
    own = dict(module.named_parameters())
    with torch.no_grad():
        for name, theirs in names.items():
            assert own[name].shape == golden[theirs].shape, (name, theirs)
            own[name].copy_(golden[theirs])


def assert_golden(
    actual: Mapping[str, Tensor | None],
    golden: Mapping[str, Tensor],
    noise: Container[str] = (),
    tolerance: float = 1e-5,
) -> None:
    """Checks that ``actual`` has the golden values.

    The error of a tensor is relative to its largest golden entry. A bias in front of a BatchNorm has a gradient of 0,
    and what is recorded there is rounding noise: its error is absolute.

    Args:
        actual: by the names of ``golden``; a gradient that was never computed is None.
        golden: each of its tensors is compared.
        noise: the names of tensors that hold noise.
        tolerance: the largest error.
    """
    assert golden
    for name, expected in golden.items():
        found = actual[name]
        assert found is not None, name
        scale = 1.0 if name in noise else float(expected.abs().max())
        error = float((found.detach() - expected).abs().max())
        assert error <= tolerance * scale, f"{name}: {error / (scale or 1.0):.2g}"
