"""The suite of all ways to run the step."""

from cells import control_names, methods_taking

from bench.config.methods import peer_names
from bench.config.sweep import load_sweep


def test_every_way_to_run_the_step_is_measured_at_every_size() -> None:
    cells = load_sweep("modes").cells
    # Another rule or loss, or on one rank the same as another, or another way for BP to save total bytes only.
    others = {"sid-parallel", *control_names(), *peer_names()}
    others |= {"bp-step-in-backward"}
    ways = {(name, "none", None) for name in methods_taking(cells[0]) if name not in others}
    ways |= {("bp", "modules", None), ("bp", "none", 4), ("sid-streamed", "trunk", None)}
    ways |= {("deep-supervision", "none", None)}  # the control of the claim on update locking
    sizes: dict[tuple[int, int, int], set[tuple[str, str, int | None]]] = {}
    for cell in cells:
        if cell.network == "cascade-linear" and cell.precision == "float32":
            sizes.setdefault((cell.hidden, cell.depth, cell.batch_size), set()).add(
                (cell.method, cell.recompute, cell.micro_batches)
            )
            assert cell.modules == cell.depth
    assert set(sizes) == {(hidden, depth, batch) for hidden in (64, 256) for depth in (16, 64) for batch in (32, 128)}
    assert all(methods == ways for methods in sizes.values())


def test_where_the_trunk_holds_most_both_rules_may_run_it_again() -> None:
    cells = [cell for cell in load_sweep("modes").cells if cell.network == "cascade-conv"]
    convolutional = {(cell.method, cell.recompute) for cell in cells}
    assert {("bp", "none"), ("bp", "all"), ("sid-streamed", "none"), ("sid-streamed", "trunk")} <= convolutional


def test_each_axis_that_may_be_refused_somewhere_is_left_to_the_command_line() -> None:
    cells = load_sweep("modes").cells
    assert {cell.precision for cell in cells} == {"float32", "bfloat16"}
    assert not any(cell.compile for cell in cells)
    compiled = load_sweep("modes", ["compile=true", "passes=latency", "method=bp,sid-published,sid-streamed"]).cells
    assert compiled
    assert all(cell.compile for cell in compiled)


def test_cells_of_another_precision_have_bp_beside_them() -> None:
    cells = load_sweep("modes").cells
    for precision in ("float32", "bfloat16"):
        assert "bp" in {cell.method for cell in cells if cell.precision == precision}
