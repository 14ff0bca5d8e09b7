"""`python -m tests.bench`: measures, writes build/bench, and compares with the baseline."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from tests.bench import installed, peers, report
from tests.bench.profile import profile
from tests.bench.running import Bench
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.subjects import OURS, WITH_LEDGER

_BASELINE = Path(__file__).with_name("baseline.json")
_OUT = Path(__file__).parents[2] / "build" / "bench"
_AGAIN = 3  # rounds more for a ratio that seems worse


def main() -> int:
    """Return the exit code: 1 when an answer was wrong, or a ratio is worse than it may be."""
    arguments = _arguments()
    # Whoever ends us ends what we have started: that is in groups of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _OUT.mkdir(parents=True, exist_ok=True)
    starts = {name: OURS[name] for name in _subjects(arguments)}
    starts |= {name: peers.install(name, _OUT / "peers") for name in arguments.peers}
    scenarios = {
        name: scenario
        for name, scenario in SCENARIOS.items()
        if (name in arguments.only if arguments.only else _wanted(name, arguments))
    }
    with Bench(starts, _OUT / "subjects", quick=arguments.quick) as bench:
        for name, scenario in scenarios.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            bench.run(name, scenario, arguments.rounds, _measured_in(scenario, bench))
        worse: list[str] = []
        if arguments.check:
            worse = _check(bench)
        if arguments.profile:
            profile(bench.subjects["llmbase"], _OUT)
    if not arguments.quick:
        bench.results["installed"] = {"llmbase": {"mb": installed.megabytes()}}
    _write(bench, arguments)
    for name in worse:
        print(f"worse than the baseline allows: {name}", file=sys.stderr)
    return 1 if bench.failures or worse else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short scenarios, one process only")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 10))
    parser.add_argument("--only", action="append", default=[], choices=SCENARIOS)
    parser.add_argument("--subject", action="append", default=[], choices=OURS)
    parser.add_argument("--check", action="store_true", help="compare with the baseline")
    parser.add_argument("--write-baseline", action="store_true")
    parser.add_argument("--profile", action="store_true", help="where the time goes, by py-spy")
    named = os.environ.get("PEERS", "")
    parser.add_argument(
        "--peers",
        type=lambda names: [name for name in names.split(",") if name],
        default=named,
        help=f"of {', '.join(peers.PEERS)}, separated by commas (also PEERS)",
    )
    return parser.parse_args()


def _subjects(arguments: argparse.Namespace) -> list[str]:
    if arguments.subject:
        return list(arguments.subject)
    return ["direct", "skeleton", "llmbase"] if arguments.quick else list(OURS)


def _wanted(name: str, arguments: argparse.Namespace) -> bool:
    scenario = SCENARIOS[name]
    return scenario.checked if arguments.check else scenario.quick or not arguments.quick


def _measured_in(scenario: Scenario, bench: Bench) -> tuple[str, ...]:
    """Return who is measured: the ledger's cost is told once, by the scenarios that say most."""
    return tuple(name for name in bench.subjects if scenario.checked or name != WITH_LEDGER)


def _check(bench: Bench) -> list[str]:
    """Return what is worse than the baseline, even when it is measured once more, anew."""
    baseline: dict[str, float] = json.loads(_BASELINE.read_text(encoding="utf-8"))["ratios"]
    baseline = {name: was for name, was in baseline.items() if _measured(name, bench)}
    for name in report.worse(report.ratios(bench.results), baseline):
        scenario, _, pair = name.partition(": ")
        print(f"{name} seems worse: once more", file=sys.stderr)
        subjects = tuple(pair.split(" / "))
        bench.start_anew(*subjects)
        bench.run(scenario, SCENARIOS[scenario], _AGAIN, subjects)
    now = report.ratios(bench.results)
    for name, was in baseline.items():
        print(f"{name.ljust(44)}{was:8.2f} ->{now.get(name, 0):8.2f}")
    return report.worse(now, baseline)


def _measured(name: str, bench: Bench) -> bool:
    return all(subject in bench.subjects for subject in name.partition(": ")[2].split(" / "))


def _write(bench: Bench, arguments: argparse.Namespace) -> None:
    report.added(bench.results)
    ratios = report.ratios(bench.results)
    whole = {
        "machine": report.machine(),
        "command": " ".join(["python -m tests.bench", *sys.argv[1:]]),
        "results": bench.results,
        "ratios": ratios,
        "failures": bench.failures,
    }
    (_OUT / "result.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    text = report.table(bench.results, ratios)
    (_OUT / "table.txt").write_text(text, encoding="utf-8")
    print(text)
    if arguments.write_baseline:
        rounded = {name: round(ratio, 2) for name, ratio in report.checked(ratios).items()}
        kept = {"machine": report.machine(), "ratios": rounded}
        _BASELINE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
