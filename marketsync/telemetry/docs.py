"""Writes `docs/metrics.md` from the catalogue: ``python -m marketsync.telemetry.docs`` (``--check`` only compares)."""

import sys
from pathlib import Path

from marketsync.telemetry.catalogue import CATALOGUE, LEDGER, Kind, Metric

HEAD = """\
# Metrics

This page is generated from `marketsync/telemetry/catalogue.py` by `python -m marketsync.telemetry.docs`. Do not edit it.

`GET /metrics` on the address that `metrics:` of the configuration names answers in the Prometheus text format, or in
OpenMetrics where the scraper asks for it. Beside the metrics below there are the `process_*` metrics of
prometheus_client (memory, CPU, open files; Linux only).

- Label values are bounded: names from the configuration, an adapter's operations and buckets, fixed lists. Never a SKU or
  an order. A metric keeps at most 2,000 label sets; what comes beyond is counted in `marketsync_dropped_samples_total`.
- A histogram has `_bucket`, `_sum` and `_count`; the `_count` is how often the thing happened. So
  `rate(marketsync_call_seconds_count[5m])` is calls per second, by account, operation and status.
- Metrics that come from the ledger are read every 15 seconds and are right from the first reading after a restart. Should
  reading fail, the last figures stay, ages go on growing and `marketsync_state_age_seconds` tells.
- Timestamps are seconds since 1970, UTC: `time() - marketsync_scheduler_beat_timestamp_seconds` is an age.
- Money is in whole currency units (euros, not cents), per currency: never add up two currencies.
"""


def page() -> str:
    """The whole of `docs/metrics.md`."""
    told_by_ledger = [metric for metric in CATALOGUE if metric.origin == LEDGER]
    counted = [metric for metric in CATALOGUE if metric.origin != LEDGER]
    return f"{HEAD}\n## Read from the ledger\n\n{_table(told_by_ledger)}\n## Counted as it happens\n\n{_table(counted)}"


def _table(metrics: list[Metric]) -> str:
    rows = "".join(
        f"| `{m.exposed}` | {m.kind} | {m.unit or '-'} | {', '.join(f'`{label}`' for label in m.labels) or '-'} "
        f"| {m.origin} | {m.help}{_buckets(m)} |\n"
        for m in metrics
    )
    return "| name | type | unit | labels | from | what it says |\n|---|---|---|---|---|---|\n" + rows


def _buckets(metric: Metric) -> str:
    return f" Buckets: {', '.join(f'{bound:g}' for bound in metric.buckets)}." if metric.kind is Kind.HISTOGRAM else ""


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is up to date. Run it in the project's root."""
    target = Path("docs/metrics.md")
    if "--check" in arguments:
        return 0 if target.read_text("utf-8") == page() else 1
    target.parent.mkdir(exist_ok=True)
    target.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
