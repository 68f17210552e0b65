"""The section that says where the records were made."""

import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import make_record

from bench.report import write_report
from bench.report.environments import environments_of
from bench.store.record import Record

BASE = {"cpu": "a test's", "commit": "abc", "torch": "2.0"}


def records_of(*environments: dict[str, Any]) -> list[Record]:
    return [
        make_record({"passes": ["memory"], "seed": seed}, 1000, environment=environment)
        for seed, environment in enumerate(environments)
    ]


def test_what_all_records_share_is_told_once_and_what_differs_is_a_table() -> None:
    found = environments_of(records_of(BASE, BASE | {"commit": "def"}, BASE, BASE | {"cpu": "another"}))
    assert found.common == {"torch": "2.0"}
    assert found.differing.to_dict("list") == {
        "field": ["machine", "records", "cpu", "commit"],
        "environment 1": ["1", "2", "a test's", "abc"],
        "environment 2": ["1", "1", "a test's", "def"],
        "environment 3": ["2", "1", "another", "abc"],
    }
    assert found.machines == 2


def test_one_environment_needs_no_table() -> None:
    found = environments_of(records_of(BASE, BASE))
    assert found.differing.empty
    assert found.common == BASE


def test_a_field_that_some_records_lack_is_not_common() -> None:
    found = environments_of(records_of(BASE, {"cpu": "a test's", "commit": "abc"}))
    assert "torch" not in found.common
    assert found.differing.set_index("field").loc["torch"].tolist() == ["2.0", "\N{EN DASH}"]


def test_findings_of_the_doctor_and_commands_are_no_environments() -> None:
    calm, loud = BASE | {"doctor": {}, "command": "run a"}, BASE | {"doctor": {"turbo": "on"}, "command": "run b"}
    found = environments_of(records_of(calm, loud, loud))
    assert found.differing.empty
    assert found.commands == [("run b", 2), ("run a", 1)]


def test_jobs_of_a_cluster_are_no_environments_and_no_machines() -> None:
    jobs = [BASE | {"slurm": {"job": f"7_{task}", "node": "n1", "partition": "gpu"}} for task in range(3)]
    found = environments_of(records_of(*jobs))
    assert found.differing.empty
    assert found.common == BASE
    assert found.machines == 1


def test_only_the_most_frequent_environments_have_columns() -> None:
    found = environments_of(records_of(*(BASE | {"kernel": str(number // 2)} for number in range(7))), most=3)
    assert found.differing.set_index("field").loc["records"].tolist() == ["2", "2", "2"]
    assert found.left_out == 1


FIELDS = st.dictionaries(st.sampled_from(["cpu", "commit", "kernel", "threads"]), st.integers(0, 2), max_size=4)


@settings(deadline=None, max_examples=30)
@given(st.lists(FIELDS, min_size=1, max_size=6))
def test_every_field_is_common_or_a_column(environments: list[dict[str, int]]) -> None:
    found = environments_of(records_of(*environments))
    names = {name for fields in environments for name in fields}
    if found.differing.empty:
        assert set(found.common) == names
        return
    differing = found.differing.set_index("field")
    assert set(found.common) | set(differing.index) == names | {"machine", "records"}
    assert not set(found.common) & set(differing.index)
    assert sum(map(int, differing.loc["records"])) == len(environments)


def test_the_page_escapes_what_environments_say(tmp_path: Path) -> None:
    lines = [record.line() for record in records_of(BASE, BASE | {"cpu": "<b>'&"})]
    (tmp_path / "file.jsonl").write_text("\n".join(lines) + "\n")
    write_report([tmp_path / "file.jsonl"], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    section = re.search(r'<section id="environment".*?</section>', html, re.DOTALL)
    assert section is not None
    assert "on 2 machines, or on one machine in 2 configurations" in section[0]
    assert "&lt;b&gt;&#39;&amp;" in section[0]
    assert "<b>" not in html
