"""Settings of metrics, exporters and the admin service.

A `metric` says which events count and how they are grouped; an `event_exporter` says where whole
events go; a metric with `exporter` joins the two.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.managesieve import ManageSieveSettings


class GroupBySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One label of a metric."""

    field: Annotated[str, Doc("Field of the event to group by.")]
    method: Annotated[
        Literal["discrete", "exponential", "linear"],
        Doc("One group per value, or ranges of growing or of equal width."),
    ] = "discrete"
    discrete_modifier: Annotated[
        str, Doc("discrete: what a value is turned into, such as `%{value | domain | lower}`.")
    ] = ""
    exponential_base: Annotated[int, Doc("exponential: ratio of the ranges.", least=2)] = 10
    exponential_min_magnitude: Annotated[
        int, Doc("exponential: power of the smallest bound.", least=-(2**63))
    ] = 0
    exponential_max_magnitude: Annotated[
        int, Doc("exponential: power of the largest bound.", least=-(2**63))
    ] = 0
    linear_min: Annotated[int, Doc("linear: smallest bound.", least=-(2**63))] = 0
    linear_max: Annotated[int, Doc("linear: largest bound.", least=-(2**63))] = 0
    linear_step: Annotated[int, Doc("linear: width of a range.", least=1)] = 1


class MetricSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One metric."""

    filter: Annotated[str, Doc("Event filter: what counts.", kind="filter")] = ""
    description: Annotated[str, Doc("What the metric means, for OpenMetrics' HELP.")] = ""
    fields: Annotated[
        tuple[str, ...], Doc("Numeric fields whose sum, minimum, maximum and so on are kept.")
    ] = ()
    group_by: Annotated[
        tuple[GroupBySettings, ...],
        Doc("Labels. A field's name alone means one group per value."),
    ] = ()
    exporter: Annotated[str, Doc("Exporter that gets every matching event.")] = ""
    exporter_include: Annotated[tuple[str, ...], Doc("What of an event is exported.")] = (
        "name",
        "hostname",
        "timestamps",
        "categories",
        "fields",
    )


class EventExporterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where whole events go."""

    driver: Annotated[
        Literal["log", "file", "unix", "http-post", "drop"], Doc("How they travel.")
    ] = "log"
    format: Annotated[Literal["json", "tab-text"], Doc("How an event is written.")] = "json"
    time_format: Annotated[Literal["rfc3339", "unix"], Doc("How times are written.")] = "rfc3339"
    file_path: Annotated[str, Doc("file: its path.", kind="file")] = ""
    unix_path: Annotated[str, Doc("unix: path of the socket.", kind="file")] = ""
    http_post_url: Annotated[str, Doc("http-post: where to post to.")] = ""
    http_post_timeout: Annotated[
        float, Doc("http-post: when to give a request up.", kind="time")
    ] = 10 * SECOND
    queue_size: Annotated[
        int, Doc("Events that may wait; what comes beyond is lost and counted.")
    ] = 10_000


class StatsSettings(ManageSieveSettings, frozen=True, kw_only=True):
    """Metrics, exporters, and the admin service that shows them."""

    metric: Annotated[
        dict[str, MetricSettings], Doc("Metrics, beside those that are on by default.")
    ] = msgspec.field(default_factory=dict)
    stats_default_metrics: Annotated[bool, Doc("Whether the default set of metrics is on.")] = True
    stats_max_group_count: Annotated[
        int, Doc("Groups that one metric may have; what comes beyond is counted as refused.")
    ] = 1000
    event_exporter: Annotated[
        dict[str, EventExporterSettings], Doc("Exporters, which metrics refer to.")
    ] = msgspec.field(default_factory=dict)
    admin_password: Annotated[
        str,
        Doc(
            "Password of the admin service on network listeners; empty: nobody is asked.",
            kind="secret",
        ),
    ] = ""
