"""Turns the values of one metric into what prometheus_client writes out."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.core import Metric as Family

from marketsync.adapter.money import exponent
from marketsync.telemetry.catalogue import PREFIX, Kind, Metric

Labels = tuple[str, ...]


def plain(metric: Metric, series: Mapping[Labels, float], age: float) -> Family:
    """A counter, gauge or info with its values; ``age`` is how old the reading of the ledger is, in seconds."""
    name = PREFIX + metric.name
    if metric.kind is Kind.INFO:
        info = InfoMetricFamily(name, metric.help)
        for labels in series:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    if metric.kind is Kind.COUNTER:
        counter = CounterMetricFamily(name, metric.help, labels=metric.labels, unit=metric.unit)
        for labels, value in sorted(series.items()):
            counter.add_metric(labels, _major(metric, labels, value) if metric.money else value)
        return counter
    gauge = GaugeMetricFamily(name, metric.help, labels=metric.labels, unit=metric.unit)
    for labels, value in sorted(series.items()):
        gauge.add_metric(labels, value + age if metric.ages and value else value)
    return gauge


def _major(metric: Metric, labels: Labels, minor: float) -> float:
    """Minor units as whole currency units: only here, at the edge, money becomes a float."""
    return minor / float(10 ** exponent(labels[metric.labels.index("currency")]))


def histogram(metric: Metric, series: Mapping[Labels, tuple[list[int], float]]) -> Family:
    """A histogram from its counts per bucket, +Inf last, and its sum."""
    family = HistogramMetricFamily(PREFIX + metric.name, metric.help, labels=metric.labels, unit=metric.unit)
    bounds = [*(str(bound) for bound in metric.buckets), "+Inf"]
    for labels, (counts, total) in sorted(series.items()):
        seen = 0
        cumulative = []
        for bound, count in zip(bounds, counts, strict=True):
            seen += count
            cumulative.append((bound, float(seen)))
        family.add_metric(labels, cumulative, total)
    return family
