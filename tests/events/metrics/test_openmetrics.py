"""The page is what Prometheus' own parser accepts, with the right figures."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pillarbox.events.metrics.distribution import Distribution
from pillarbox.events.metrics.openmetrics import render
from pillarbox.events.metrics.snapshot import Group, Snapshot


def parse(page: str) -> dict[str, float]:
    samples: dict[str, float] = {}
    families: Any = text_string_to_metric_families
    for family in families(page):
        for sample in family.samples:
            inner = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            key = f"{sample.name}{{{inner}}}"
            assert key not in samples
            samples[key] = sample.value
    return samples


def of(*values: int) -> Distribution:
    seen = Distribution()
    seen.add_all(values)
    return seen


def command(*groups: Group, refused: int = 0) -> Snapshot:
    return Snapshot(
        "imap_command",
        ("cmd_name", "state"),
        ("duration", "net_out_bytes", "running_usecs"),
        "IMAP commands",
        list(groups),
        Group((), refused),
    )


def test_a_page() -> None:
    group = Group(
        ("FETCH", "OK"),
        2,
        {"duration": of(900, 2000), "net_out_bytes": of(5, 7), "running_usecs": of(1500, 500)},
    )
    page = render(
        [command(group, refused=3)],
        info={"version": "1.0"},
        gauges={"process_start_time_seconds": ("Start", 5.5)},
        counters={"lost_events": ("Lost", 7)},
    )
    samples = parse(page)
    labels = "cmd_name=FETCH,state=OK"
    assert samples[f"pillarbox_imap_command_total{{{labels}}}"] == 2
    assert samples["pillarbox_imap_command_total{cmd_name=_other,state=_other}"] == 3
    assert samples[f"pillarbox_imap_command_duration_seconds_sum{{{labels}}}"] == 0.0029
    name = "pillarbox_imap_command_duration_seconds_bucket"
    assert samples[f"{name}{{cmd_name=FETCH,le=0.001,state=OK}}"] == 1
    assert samples[f"{name}{{cmd_name=FETCH,le=0.0025,state=OK}}"] == 2
    assert samples[f"{name}{{cmd_name=FETCH,le=+Inf,state=OK}}"] == 2
    assert samples[f"pillarbox_imap_command_net_out_bytes_total{{{labels}}}"] == 12
    assert samples[f"pillarbox_imap_command_running_seconds_total{{{labels}}}"] == 0.002
    assert samples["pillarbox_build_info{version=1.0}"] == 1
    assert samples["pillarbox_process_start_time_seconds{}"] == 5.5
    assert samples["pillarbox_lost_events_total{}"] == 7
    assert samples["pillarbox_metric_refused_total{metric=imap_command}"] == 3


def test_groups_without_a_field_leave_the_label_out() -> None:
    samples = parse(render([command(Group((None, "OK"), 1), Group(("X", None), 2))]))
    assert samples["pillarbox_imap_command_total{state=OK}"] == 1
    assert samples["pillarbox_imap_command_total{cmd_name=X}"] == 2


def test_nobody_can_pose_as_other() -> None:
    groups = [Group((name, name), 1) for name in ("_other", "__other", "other")]
    samples = parse(render([command(*groups, refused=1)]))
    assert sum(v for k, v in samples.items() if k.startswith("pillarbox_imap_command_total")) == 4


def test_names_that_collide_are_kept_apart() -> None:
    one, two = Snapshot("a.b", groups=[Group((), 1)]), Snapshot("a-b", groups=[Group((), 2)])
    taken = Snapshot("build", groups=[Group((), 3)])
    samples = parse(render([one, two, taken], info={"version": "1"}))
    assert samples["pillarbox_a_b_total{}"] == 1
    assert samples["pillarbox_a_b__total{}"] == 2
    assert samples["pillarbox_build__total{}"] == 3


def test_an_empty_page() -> None:
    assert render([]) == "# EOF\n"


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), unique=True, max_size=8))
def test_any_labels_are_valid(labels: list[tuple[str, str]]) -> None:
    groups = [Group(pair, 1, {"duration": of(5)}) for pair in labels]
    parse(render([command(*groups)]))
