"""The suites of peers, of BP at its best, and of rule or heads: which cells they have."""

from collections import defaultdict

import pytest
from cells import refusal

from bench.config.cell import TIMED_PASSES, Cell
from bench.config.heads import DEFAULT_HEAD
from bench.config.methods import load_method, peer_names
from bench.config.networks import load_network
from bench.config.sweep import load_sweep

PEERS = load_sweep("peers").cells
RIVALS = load_sweep("rivals").cells
RULE_OR_HEAD = load_sweep("rule-or-head").cells


@pytest.mark.parametrize("cells", [PEERS, RIVALS], ids=["peers", "rivals"])
def test_what_is_timed_has_one_thread_and_five_processes(cells: tuple[Cell, ...]) -> None:
    timed = [cell for cell in cells if TIMED_PASSES & set(cell.passes)]
    assert timed
    assert {(cell.threads, cell.processes) for cell in timed} == {(1, 5)}
    # Accuracies are cells of their own, so that they can be measured on a busy machine.
    assert not any("accuracy" in cell.passes for cell in timed)


def test_every_peer_is_measured_wherever_it_has_a_meaning() -> None:
    methods: dict[str, set[str]] = defaultdict(set)
    for cell in PEERS:
        methods[cell.network].add(cell.method)
    for network in ("pipeline-resnet18", "pipeline-vgg11", "pipeline-vit-tiny", "pipeline-conv", "cascade-linear"):
        layout = load_network(network).layout
        cell = next(cell for cell in PEERS if cell.network == network)
        taken = {
            name
            for name in peer_names()
            if refusal(name, cell.model_copy(update={"head": DEFAULT_HEAD})) is None
            and {network, layout} & set(load_method(name).networks or [layout])
        }
        assert taken <= methods[network], network
    assert "forward-forward" in methods["pipeline-linear"]
    assert set(peer_names()) <= set().union(*methods.values())


def test_one_cell_has_bytes_time_and_accuracy_of_every_method() -> None:
    cells = [cell for cell in PEERS if (cell.network, cell.modules) == ("pipeline-resnet18", 8)]
    assert {(cell.dataset, cell.batch_size) for cell in cells} == {("digits-32", 8)}
    costs = {(cell.method, cell.head) for cell in cells if "latency" in cell.passes}
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for cell in cells:
        if "accuracy" in cell.passes:
            seeds[cell.method, cell.head].add(cell.seed)
    assert {len(own) for own in seeds.values()} == {5}
    assert set(seeds) <= costs
    # What differs from another method in how the step runs, and not in its weights, has no accuracy of its own.
    ways = {"bp", "sid-published", "sid-streamed-in-turn"}
    assert {method for method, _ in costs - set(seeds)} <= ways


def test_accuracies_of_peers_have_as_many_seeds_as_claims_need() -> None:
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for cell in PEERS:
        if "accuracy" in cell.passes:
            seeds[cell.network, cell.dataset].add(cell.seed)
    assert {place: len(own) for place, own in seeds.items()} == {
        ("pipeline-resnet18", "digits-32"): 5,
        ("cascade-linear", "digits"): 10,
        ("cascade-linear", "mnist"): 5,
        ("pipeline-linear", "digits"): 10,
        ("pipeline-conv", "digits"): 10,
    }


def test_both_curves_are_measured_on_each_cell_of_the_rivals() -> None:
    ways: dict[tuple[str, int, int], set[tuple[str, str, int | None, float | None]]] = defaultdict(set)
    for cell in RIVALS:
        ways[cell.network, cell.depth, cell.batch_size].add(
            (cell.method, cell.recompute, cell.micro_batches, cell.activation_memory_budget)
        )
    cascades = {("cascade-linear", depth, batch) for depth in (16, 64) for batch in (32, 256)}
    assert cascades < set(ways)
    assert {network for network, _, _ in set(ways) - cascades} == {"pipeline-resnet18", "pipeline-vit-tiny"}
    for place, own in ways.items():
        micro_batches = {(method, parts) for method, _, parts, _ in own if parts is not None}
        assert micro_batches == {(method, parts) for method in ("bp", "sid-streamed") for parts in (2, 4, 8)}
        assert {("bp", "modules"), ("bp", "selective")} <= {(method, again) for method, again, _, _ in own}
        budgets = {budget for method, _, _, budget in own if method == "bp-budget"}
        assert {None, 0.5, 0.0} <= budgets, "1, the default, is not named"
        assert {"bp-step-in-backward", "sid-streamed-compiled", "sid-streamed-in-turn"} <= {each[0] for each in own}
        if place[0] != "cascade-linear":
            assert {("sid-streamed", "modules"), ("sid-streamed", "selective")} <= {each[:2] for each in own}
    chunks = {cell.chunk for cell in RIVALS if cell.method == "sid-vectorised"}
    assert chunks == {None, 4, 16}


def test_rules_are_compared_with_the_same_heads_and_seeds() -> None:
    seeds: dict[tuple[str, str], dict[tuple[str, float | None], set[int]]] = defaultdict(lambda: defaultdict(set))
    for cell in RULE_OR_HEAD:
        assert cell.passes == ("accuracy",)
        seeds[cell.dataset, cell.head][cell.method, cell.alpha].add(cell.seed)
    rules = {("bp", None), ("sid-streamed", 0.5), ("sid-target", 0.5), ("sid-streamed", 1.0), ("dgl", None)}
    assert set(seeds) == {("digits", head) for head in ("linear", "mlp", "mlp-sr", "conv")} | {
        ("mnist", head) for head in ("linear", "mlp-sr")
    }
    for (dataset, head), own in seeds.items():
        assert set(own) == rules
        of_digits = 20 if head in ("linear", "mlp-sr") else 10
        assert {len(each) for each in own.values()} == {of_digits if dataset == "digits" else 5}
