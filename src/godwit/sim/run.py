"""`godwit sim [--seed N] [--runs N] [--first N]`: run seeds, print what came of them.

With `--seed` one run: its plan first, then every event that was kept. Otherwise many runs: the seed
of the first that fails is printed first and last, with its plan, its findings and its last events.
"""

import math
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import click

from godwit.sim.faults import drawn
from godwit.sim.trial import Report, report_of

AT_A_TIME: Final = 10
Z95: Final = 1.959964


@dataclass
class Tally:
    """What came of many runs."""

    runs: int = 0
    failed: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    virtual_s: float = 0.0

    def add(self, report: Report) -> None:
        """One more run."""
        self.runs += 1
        self.outcomes.update(report.outcomes)
        self.faults.update(fault.kind for fault in report.plan.faults)
        self.virtual_s += report.lasted_s
        if report.findings:
            self.failed.append(report.plan.seed)


def interval(succeeded: int, runs: int) -> tuple[float, float]:
    """Wilson's confidence interval of the success rate, at 95 %."""
    rate, z2 = succeeded / runs, Z95 * Z95
    middle = (rate + z2 / (2 * runs)) / (1 + z2 / runs)
    half = Z95 / (1 + z2 / runs) * math.sqrt(rate * (1 - rate) / runs + z2 / (4 * runs * runs))
    return max(0.0, middle - half), min(1.0, middle + half)


def run_many(
    seeds: Sequence[int], tally: Tally, *, stop_at_first: bool, processes: int = 1
) -> Report | None:
    """Run them and count them in order; the report of the first that failed, if one did."""
    first: Report | None = None
    with closing(_reports(seeds, processes)) as reports:
        for report in reports:
            tally.add(report)
            if report.findings:
                first = first or report
                if stop_at_first:
                    break
    return first


def _reports(seeds: Sequence[int], processes: int) -> Generator[Report, None, None]:
    """A run is the same in every process."""
    if processes == 1:
        yield from map(report_of, seeds)
        return
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(report_of, seeds, chunksize=AT_A_TIME)
    finally:
        pool.shutdown(cancel_futures=True)


@click.command(name="sim")
@click.option("--seed", type=int, help="Run this one seed and show what happened.")
@click.option("--runs", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--first", type=int, default=0, show_default=True, help="The first of the seeds.")
@click.option("--processes", type=click.IntRange(min=1), help="As many as there are processors.")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first seed that fails.")
def sim(seed: int | None, runs: int, first: int, processes: int | None, keep_going: bool) -> None:
    """Run the whole system under seeds, in virtual time, and check it at every event."""
    if seed is not None:
        click.echo(drawn(seed))
        report = report_of(seed)
        _say(report.lines)
        click.echo(f"outcomes: {', '.join(report.outcomes) or 'none'}; hash {report.hash}")
        _finish(report if report.findings else None)
        return
    tally, began_s = Tally(), time.monotonic()
    failed = run_many(
        range(first, first + runs),
        tally,
        stop_at_first=not keep_going,
        processes=processes or len(os.sched_getaffinity(0)),
    )
    if failed is not None:
        click.echo(f"seed {failed.plan.seed} FAILED\n{failed.plan}")
        _say(failed.lines)
    _say(summary(tally, time.monotonic() - began_s))
    _finish(failed)


def summary(tally: Tally, took_s: float) -> list[str]:
    """What came of them, in lines."""
    succeeded = tally.runs - len(tally.failed)
    low, high = interval(succeeded, tally.runs)
    moves = tally.outcomes.total()
    return [
        f"{tally.runs} runs, {succeeded} without a finding: {succeeded / tally.runs:.4%} "
        f"(95 %: {low:.4%} to {high:.4%}), {1000 * took_s / tally.runs:.0f} s per 1,000",
        f"{tally.faults.total()} faults: {_counted(tally.faults)}",
        f"{moves} moves accepted: {_counted(tally.outcomes)}",
        *([f"failed seeds: {tally.failed}"] if tally.failed else []),
    ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def _say(lines: Iterable[str]) -> None:
    click.echo("\n".join(lines))


def _finish(failed: Report | None) -> None:
    if failed is None:
        return
    for finding in failed.findings:
        click.echo(f"FOUND {finding}")
    click.echo(f"seed {failed.plan.seed} FAILED; again: make sim SEED={failed.plan.seed}")
    raise SystemExit(1)
