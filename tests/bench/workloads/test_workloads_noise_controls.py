"""Losses made for wrong labels: each against a slow form of its paper's formula, its bytes, what it learns from."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells import control_names
from control_cells import NETWORKS, batch, build, control
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import write_folder
from made_tables import accuracy_table
from record_builder import make_record
from torch import Tensor, nn

from bench.analysis.frame import records_frame
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.split_sizes import known_samples
from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.measure.accuracy import measure_accuracy
from bench.measure.evaluation import last_logits
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import memory_cells, shape_of
from bench.plan.tasks import Failure, predict
from bench.store.measurements.accuracy import Accuracy
from bench.train.datasets.splits import Splits, load_splits
from bench.train.noise import corrupt_labels, transition_matrix
from bench.train.rules.bp_elr import Targets, train_with_early_learning
from bench.train.rules.bp_forward_correction import Transition, log_estimate, train_with_forward_correction
from bench.train.rules.bp_sce import train_on_symmetric_cross_entropy
from bench.train.step import TrainingStep, build_step
from sid_core import BeliefNetwork

METHODS = ["bp-sce", "bp-forward-true", "bp-forward-estimated", "bp-elr"]
seeds = st.integers(0, 2**31)


def probabilities(logits: Tensor) -> list[list[Tensor]]:
    """``p(k|x)`` of each image as numbers, without a function of torch that a rule could use."""
    return [[value.exp() / row.exp().sum() for value in row] for row in logits]


def assert_same_gradients(ours: BeliefNetwork, theirs: BeliefNetwork) -> None:
    for (name, mine), twin in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, twin.grad, rtol=1e-10, atol=1e-13, msg=name)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(NETWORKS), seeds, st.floats(0, 7), st.floats(0, 2), st.floats(-10, -0.1))
def test_symmetric_cross_entropy_is_that_of_its_paper(
    network: str, seed: int, alpha: float, beta: float, log_of_zero: float
) -> None:
    ours, theirs = build(network), build(network)
    images, labels = batch(seed)
    weights = {"ce_weight": alpha, "rce_weight": beta, "log_of_zero": log_of_zero}
    loss = train_on_symmetric_cross_entropy(ours, images, labels, None, **weights)
    losses = []
    for p, label in zip(probabilities(theirs(images)), labels.tolist(), strict=True):
        q = [1.0 if k == label else 0.0 for k in range(10)]
        ce = -sum(q[k] * p[k].log() for k in range(10))
        rce = -sum(p[k] * (math.log(q[k]) if q[k] else log_of_zero) for k in range(10))
        losses.append(alpha * ce + beta * rce)
    expected = torch.stack(losses).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-11, atol=1e-13)
    assert not loss.requires_grad
    assert_same_gradients(ours, theirs)


def random_matrix(seed: int, classes: int = 10) -> Tensor:
    """Rows of probabilities, of which some are zero, but not all of a column."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.rand(classes, classes, generator=generator, dtype=torch.float64)
    matrix *= torch.rand(classes, classes, generator=generator) < 0.5
    matrix += torch.eye(classes, dtype=torch.float64)
    return matrix / matrix.sum(1, keepdim=True)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(NETWORKS), seeds)
def test_forward_correction_is_that_of_its_paper(network: str, seed: int) -> None:
    ours, theirs = build(network), build(network)
    images, labels = batch(seed)
    matrix = random_matrix(seed)
    auxiliary = Transition(matrix, 10)
    auxiliary.log_matrix = matrix.log()  # in float64
    loss = train_with_forward_correction(ours, images, labels, None, auxiliary=auxiliary)
    losses = [
        -sum(matrix[i, label] * p[i] for i in range(10)).log()
        for p, label in zip(probabilities(theirs(images)), labels.tolist(), strict=True)
    ]
    expected = torch.stack(losses).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-11, atol=1e-13)
    assert_same_gradients(ours, theirs)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(NETWORKS), seeds, st.floats(0, 0.99), st.floats(0, 7))
def test_early_learning_regularisation_is_that_of_its_paper(
    network: str, seed: int, beta: float, strength: float
) -> None:
    """Over three steps, in which images come again, with weights that change between them."""
    ours, theirs = build(network), build(network)
    auxiliary = Targets(9, 10).double()
    targets = {place: [0.0] * 10 for place in range(9)}
    generator = torch.Generator().manual_seed(seed)
    for turn in range(3):
        images, labels = batch(seed + turn)
        indices = torch.randperm(9, generator=generator)[:6]
        losses = []
        for p, label, place in zip(probabilities(theirs(images)), labels.tolist(), indices.tolist(), strict=True):
            clipped = [value.clamp(1e-4, 1 - 1e-4) for value in p]
            total = sum(value.item() for value in clipped)
            targets[place] = [
                beta * old + (1 - beta) * value.item() / total
                for old, value in zip(targets[place], clipped, strict=True)
            ]
            agreement = sum(value * target for value, target in zip(clipped, targets[place], strict=True))
            losses.append(-p[label].log() + strength * (1 - agreement).log())
        expected = torch.stack(losses).mean()
        expected.backward()
        options = {"momentum": beta, "strength": strength}
        loss = train_with_early_learning(ours, images, labels, None, auxiliary=auxiliary, indices=indices, **options)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-9, atol=1e-12)
        for place, target in targets.items():
            torch.testing.assert_close(auxiliary.targets[place], torch.tensor(target, dtype=torch.float64))
        assert_same_gradients(ours, theirs)
        for network_ in (ours, theirs):
            with torch.no_grad():
                for parameter in network_.parameters():
                    parameter -= 0.1 * parameter.grad  # type: ignore[operator]
                    parameter.grad = None


@pytest.mark.parametrize("method", METHODS)
def test_very_confident_logits_have_finite_gradients(method: str) -> None:
    cell = control(method, noise_kind="symmetric-exclusive", noise_rate=0.4)
    step = build_step(cell, *shape_of(cell))
    with torch.no_grad():
        for parameter in step.network.parameters():
            parameter.mul_(1e4)
    images, labels = batch()
    assert float(step.network(images.float()).detach().softmax(1).min()) == 0, "probabilities underflow"
    step.optimizer.step = lambda: None  # type: ignore[method-assign, assignment, misc]
    for _ in range(20):  # targets come to hold the prediction
        assert bool(step(images.float(), labels).isfinite())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in step.network.parameters())  # type: ignore[union-attr]


def test_the_true_matrix_of_clean_labels_makes_forward_correction_bp() -> None:
    images, labels = batch()
    steps = [build_step(control(method), *shape_of(control(method))) for method in ("bp", "bp-forward-true")]
    losses = [step(images.float(), labels) for step in steps]
    torch.testing.assert_close(*losses)
    for mine, twin in zip(*(step.network.parameters() for step in steps), strict=True):
        torch.testing.assert_close(mine.grad, twin.grad)


KINDS = ["none", "symmetric-exclusive", "symmetric-inclusive", "pairflip", "asymmetric", "human", "matrix"]


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.floats(0, 1), seeds)
def test_the_matrix_of_a_kind_of_noise_is_what_labels_are_drawn_with(kind: Any, rate: float, seed: int) -> None:
    classes, each = 5, 2000
    labels = torch.arange(classes).repeat(each)
    matrix = random_matrix(seed, classes)
    shares = matrix
    human = None
    if kind == "human":
        human, _ = corrupt_labels(labels, classes, "matrix", 1.0, seed + 1, matrix=matrix)
        shares = torch.bincount(labels * classes + human, minlength=classes**2).view(classes, classes).double() / each
    common = {"asymmetric": ((1, 4), (3, 0))}
    expected = transition_matrix(classes, kind, rate, matrix=shares, **common)
    assert expected is not None
    torch.testing.assert_close(expected.sum(1), torch.ones(classes, dtype=torch.float64))
    assert float(expected.min()) >= 0
    noisy, _ = corrupt_labels(labels, classes, kind, rate, seed, human_labels=human, matrix=matrix, **common)
    drawn = torch.bincount(labels * classes + noisy, minlength=classes**2).view(classes, classes).double() / each
    assert float((drawn - expected).abs().max()) < 5 * (0.25 / each) ** 0.5
    assert not bool(drawn[expected == 0].any())


def test_noise_without_a_map_or_a_file_has_no_matrix() -> None:
    for kind in ("asymmetric", "human", "matrix"):
        assert transition_matrix(3, kind, 0.5) is None  # type: ignore[arg-type]


def slow_estimate(logits: np.ndarray) -> np.ndarray:
    """For each class, the image of which 97 % of the others have a lower or equal probability, rounded down."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    p = shifted / shifted.sum(1, keepdims=True)
    rows = []
    for label in range(p.shape[1]):
        ordered = sorted(range(len(p)), key=lambda image: p[image, label])
        rows.append(p[ordered[math.floor(0.97 * (len(p) - 1) + 1e-9)]])
    return np.array(rows)


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(2, 6), seeds)
def test_the_estimate_takes_the_image_at_the_percentile_of_each_class(images: int, classes: int, seed: int) -> None:
    logits = torch.randn(images, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 4
    found = log_estimate(logits.float())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.exp().sum(1), torch.ones(classes, dtype=torch.float64))
    np.testing.assert_allclose(found.exp().numpy(), slow_estimate(logits.float().double().numpy()), rtol=1e-9)


def test_a_network_that_gives_each_class_its_noise_gives_the_true_matrix() -> None:
    matrix = torch.full((3, 3), 0.1, dtype=torch.float64) + 0.7 * torch.eye(3)
    logits = matrix.log().repeat(50, 1)
    torch.testing.assert_close(log_estimate(logits).exp(), matrix)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("network", "axes"),
    [
        ("cascade-conv", {}),
        ("pipeline-conv", {}),
        ("pipeline-conv", {"precision": "bfloat16"}),
        ("cascade-linear", {"micro_batches": 3}),
        ("cascade-linear", {"recompute": "modules"}),
    ],
    ids=str,
)
def test_a_control_is_planned_to_the_byte(method: str, network: str, axes: dict[str, Any]) -> None:
    cell = control(method, network, **axes)
    images = torch.randn(6, 1, 8, 8)
    measured = measure_memory(build_step(cell, *shape_of(cell)), images, torch.arange(6), ask_allocator=False)
    kept = {"allocator", "timeline"}
    assert measured.model_dump(exclude=kept) == predict_memory(cell, *shape_of(cell)).model_dump(exclude=kept)
    bare = predict_memory(control("bp", network, **axes), *shape_of(cell))
    held = {"bp-sce": 0, "bp-elr": 4 * 10 * known(cell)}.get(method, 4 * 10 * 10)
    assert measured.buffer_bytes - bare.buffer_bytes == held


def known(cell: Cell) -> int:
    samples = known_samples(cell)
    assert samples is not None
    return samples


@pytest.mark.parametrize(
    "axes",
    [
        {"dataset": "random", "batch_size": 7},
        {"dataset": "random", "batch_size": 1},
        {"dataset": "digits", "train_samples": 200},
        {"dataset": "digits", "train_samples": 2},
        {"dataset": "digits"},
        {"dataset": "digits", "train_samples": 10**6},
    ],
    ids=str,
)
def test_the_samples_that_a_plan_knows_are_those_of_the_data(axes: dict[str, Any]) -> None:
    cell = make_cell({"network": "cascade-linear", "passes": ["memory"], **axes})
    assert known_samples(cell) == len(load_splits(cell, None).train)


def test_a_plan_counts_the_targets_of_all_training_images() -> None:
    few, many, bp = (
        make_cell({"method": method, "dataset": "digits", "train_samples": samples, "passes": ["memory"]})
        for method, samples in (("bp-elr", 300), ("bp-elr", 1000), ("bp", 300))
    )
    cells = memory_cells([few, many, bp, make_cell({**bp.model_dump(), "train_samples": 1000})])
    assert [(cell.method, cell.train_samples) for cell in cells] == [("bp-elr", 300), ("bp-elr", 1000), ("bp", None)]
    bytes_of = [predict_memory(cell, *shape_of(cell)).buffer_bytes for cell in cells]
    assert bytes_of == [4 * 10 * 270, 4 * 10 * 900, 0]
    data = load_splits(few, None)
    measured = measure_memory(
        step_on(few, data), data.train.images[:128].clone(), data.train.labels[:128].clone(), ask_allocator=False
    )
    assert measured.peak_total_bytes == predict_memory(cells[0], *shape_of(few)).peak_total_bytes


def test_targets_of_images_that_only_files_can_count_are_not_planned(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(
        "import torch\ndef own():\n    return torch.randn(40, 1, 4, 4), torch.arange(40) % 2\n"
    )
    cell = make_cell({"method": "bp-elr", "dataset": f"{tmp_path}/data.py:own", "passes": ["memory"]})
    failed = predict(cell, 1)
    assert isinstance(failed, Failure)
    assert "method 'bp-elr' holds a target for each training image, and only the files of dataset = " in failed.message
    data = load_splits(cell, None)
    assert step_on(cell, data).held[1].targets.shape == (29, 2)  # 8 of 40 are for tests, 3 for validation


def step_on(cell: Cell, data: Splits) -> TrainingStep:
    known = {"samples": len(data.train), "scale": data.scale, "transition": data.transition}
    return build_step(cell, data.shape, data.classes, **known)


def test_a_batch_that_repeats_the_training_split_has_the_places_of_its_images() -> None:
    cell = control("bp-elr", dataset="digits", image_size=None, train_samples=5, batch_size=6)
    data = load_splits(cell, None)
    step = step_on(cell, data)
    step(data.train.images[torch.arange(6) % 4], data.train.labels[torch.arange(6) % 4])
    assert bool((step.held[1].targets != 0).all(dim=1).all())
    measured = measure_memory(step, torch.randn(6, 1, 8, 8), torch.arange(6), ask_allocator=False)
    assert measured.peak_total_bytes == predict_memory(cell, *shape_of(cell)).peak_total_bytes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of cats and dogs, of which people took every third cat for a dog."""
    folder = write_folder(tmp_path / "photos", train=30, test=4)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("train/*/*.png"))
    said = ["dog" if "/cat/" in name and number % 3 == 0 else name.split("/")[1] for number, name in enumerate(names)]
    rows = [f"{name},{label}" for name, label in zip(names, said, strict=True)]
    (tmp_path / "people.csv").write_text("\n".join(["path,worst", *rows]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("kind", "source", "rate"),
    [("human", "people.csv", 1.0), ("matrix", "of=people.csv", 1.0), ("human", "people.csv", 0.5)],
)
def test_the_true_matrix_of_labels_that_people_gave_has_their_shares(
    photos: Path, kind: str, source: str, rate: float
) -> None:
    noise = {"noise_kind": kind, "noise_source": source, "noise_rate": rate}
    cell = make_cell({"method": "bp-forward-true", "dataset": "image-folder:photos", "passes": ["accuracy"], **noise})
    step = step_on(cell, load_splits(cell, photos.parent))
    expected = torch.tensor([[1 - rate / 3, rate / 3], [0, 1]])
    assert step.auxiliary is not None
    torch.testing.assert_close(step.auxiliary.log_matrix.exp(), expected)


def test_a_step_without_the_file_of_its_noise_has_no_number_for_the_matrix() -> None:
    cell = control("bp-forward-true", noise_kind="matrix", noise_source="of=people.csv")
    step = build_step(cell, *shape_of(cell))
    assert step.auxiliary is not None
    assert bool(step.auxiliary.log_matrix.isnan().all())


def trained(method: str, **axes: Any) -> tuple[Any, TrainingStep, Splits, Cell]:
    sizes = {"dataset": "digits", "train_samples": 300, "depth": 2, "modules": 2, "hidden": 32, "epochs": 4}
    noise = {"noise_kind": "pairflip", "noise_rate": 0.3, "batch_size": 32, "passes": ["accuracy"]}
    cell = make_cell({"method": method, "network": "cascade-linear", **sizes, **noise, **axes})
    data = load_splits(cell, None)
    step = step_on(cell, data)
    return measure_accuracy(cell, step, data), step, data, cell


def test_the_estimate_comes_from_the_network_that_bp_trains_and_its_epochs_are_counted() -> None:
    accuracy, step, data, _ = trained("bp-forward-estimated")
    assert accuracy.first_epochs == 4
    again, twin, *_ = trained("bp-forward-estimated")
    assert again == accuracy
    assert step.auxiliary is not None
    assert twin.auxiliary is not None
    assert torch.equal(twin.auxiliary.log_matrix, step.auxiliary.log_matrix)
    of_bp, first, *_ = trained("bp")
    assert of_bp.first_epochs is None
    # With as many epochs as validation has chosen, BP ends with the weights that gave the estimate.
    best = max(range(4), key=lambda epoch: (of_bp.epochs[epoch].validation, -epoch))
    _, first, *_ = trained("bp", epochs=best + 1)
    logits = last_logits(first, data.train.images, torch.arange(len(data.train)))
    torch.testing.assert_close(step.auxiliary.log_matrix, log_estimate(logits).float())
    assert accuracy.epochs != of_bp.epochs


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.long
def test_a_control_learns_from_wrong_labels(method: str) -> None:
    accuracy, *_ = trained(method, epochs=12, train_samples=900)
    assert accuracy.test_last > 0.6
    assert not accuracy.diverged


@pytest.mark.parametrize("method", METHODS[1:])
def test_what_a_control_has_no_meaning_for_is_refused(method: str) -> None:
    with pytest.raises(ConfigError, match=f"compile = True for method {method!r}, whose auxiliary modules"):
        control(method, compile=True, passes=["latency"])
    with pytest.raises(ConfigError, match=f"ranks = 2 for method {method!r}; legal: 1"):
        control(method, ranks=2)
    assert control(method, alpha=0.3).alpha is None


def test_what_is_held_beside_the_network_is_not_needed_to_predict() -> None:
    for method in METHODS:
        row = load_method(method)
        assert not row.predicts_with_auxiliary
        cell = control(method)
        assert all(isinstance(module, nn.Module) for module in build_step(cell, *shape_of(cell)).held)


def test_the_suite_has_every_control_beside_sid_under_each_kind_of_noise_for_five_seeds() -> None:
    cells = load_sweep("human-noise").cells
    wanted = {(name, 0.5 if load_method(name).uses_alpha else None, 5) for name in control_names()}
    wanted |= {("bp", None, 5), ("bp", None, 1), ("sid-streamed", 0.5, 5), ("sid-streamed", 1.0, 5)}
    for kind in ("human", "matrix", "none"):
        of_kind = [cell for cell in cells if cell.noise_kind == kind]
        for seed in range(5):
            found = {(cell.method, cell.alpha, cell.modules) for cell in of_kind if cell.seed == seed}
            assert found == wanted - ({("bp-forward-true", None, 5)} if kind == "none" else set())
    assert not any(Path(cell.noise_source.removeprefix("of=")).is_absolute() for cell in cells if cell.noise_source)


def test_the_page_counts_the_epochs_of_the_network_that_a_rule_has_learned_from() -> None:
    axes = {"dataset": "digits", "epochs": 10, "passes": ["accuracy"]}
    own = make_record({"method": "bp-forward-estimated", **axes}, accuracy=0.9)
    assert own.accuracy is not None
    own = own.model_copy(update={"accuracy": own.accuracy.model_copy(update={"first_epochs": 10})})
    table = accuracy_table(records_frame([make_record({"method": "bp", **axes}, accuracy=0.9), own]))
    assert dict(zip(table["method"], table["epochs"], strict=True)) == {
        "bp": 10,
        "bp-forward-estimated": "10, after 10 of BP",
    }
    older = own.accuracy.model_dump(exclude={"first_epochs"})
    assert Accuracy.model_validate(older).first_epochs is None
