#!/usr/bin/env python3
"""Every scaling rule on many loads, beside a planner who knows the future, as Markdown tables.

    cargo build --release
    benches/rules/rules.py > benches/results/rules.md

Needs nothing but Python 3.11 and the built `tidegate`. The trace may be any file that
`tidegate simulate --trace` reads. Its first half is among the loads that were looked at while the rule
was made, its second half among those that were not.
"""

import argparse
import csv
import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ALLOWED = 0.01
TRACE = "examples/traces/azure-llm-code-2023-11-16.csv"
COLD_STARTS = ["5s", "30s", "120s"]
FRONTIER_COLD_STARTS = ["5s", "30s"]
POLICIES = "slo,concurrency,cortex,ray"
SECOND = ["--service", "exponential:1s"]

# Looked at while the rule was made.
CHOSEN = {
    "Poisson, 40/s, 4 h": ["--load", "poisson", "--rate", "40", "--duration", "4h", *SECOND],
    "step, 6 to 600/s": ["--load", "step", "--rate", "6", "--peak", "600", "--duration", "20m", *SECOND],
    "ramp, 10 to 370/s in 5 min": [
        "--load", "ramp", "--rate", "10", "--peak", "370", "--change-for", "5m", "--duration", "20m", *SECOND],
    "sine, 20 to 180/s in 10 min": [
        "--load", "sine", "--rate", "20", "--peak", "180", "--period", "10m", "--duration", "1h", *SECOND],
    "on-off, 0 and 80/s in 10 min": [
        "--load", "on-off", "--rate", "0", "--peak", "80", "--period", "10m", "--duration", "2h", *SECOND],
}

# Never looked at before the rule was done: other rates, peaks, periods, service times.
HELD_OUT = {
    "Poisson, 3/s of 10 s": ["--load", "poisson", "--rate", "3", "--duration", "2h", "--service", "lognormal:10s:1"],
    "Poisson, 200/s of 0.1 s": ["--load", "poisson", "--rate", "200", "--duration", "20m", "--service", "exponential:100ms"],
    "step, 20 to 100/s": ["--load", "step", "--rate", "20", "--peak", "100", "--change-at", "15m", "--duration", "40m", *SECOND],
    "step, 2 to 10/s of 10 s": [
        "--load", "step", "--rate", "2", "--peak", "10", "--change-at", "20m", "--duration", "1h", "--service", "exponential:10s"],
    "ramp, 5 to 100/s in 20 min": [
        "--load", "ramp", "--rate", "5", "--peak", "100", "--change-at", "10m", "--change-for", "20m", "--duration", "50m", *SECOND],
    "sine, 5 to 50/s in 30 min": [
        "--load", "sine", "--rate", "5", "--peak", "50", "--period", "30m", "--duration", "2h", *SECOND],
    "sine, 50 to 400/s of 0.1 s in 6 min": [
        "--load", "sine", "--rate", "50", "--peak", "400", "--period", "6m", "--duration", "30m", "--service", "exponential:100ms"],
    "on-off, 10 and 60/s in 16 min": [
        "--load", "on-off", "--rate", "10", "--peak", "60", "--period", "16m", "--duration", "2h", *SECOND],
    "spike, 10 to 80/s for 3 min": [
        "--load", "spike", "--rate", "10", "--peak", "80", "--change-at", "15m", "--change-for", "3m", "--duration", "1h", *SECOND],
}

# Held out too, and added later: when their rate changes, and for how long, is left to chance.
TURNS = {
    "MMPP, 4 and 80/s, 2 min each": [
        "--load", "mmpp", "--rate", "4", "--peak", "80", "--period", "4m", "--duration", "4h", *SECOND],
    "MMPP, 20 and 60/s, 20 s each": [
        "--load", "mmpp", "--rate", "20", "--peak", "60", "--period", "40s", "--duration", "2h", *SECOND],
}

# What trades cost for lateness in each rule, at its name.
SETTINGS = {
    "slo": ["autoscaling.slo.percentile=0.9,0.95,0.99,0.999"],
    "concurrency": [
        "autoscaling.concurrency.utilization=0.4,0.7,1",
        "autoscaling.concurrency.stableWindow=60s,300s",
    ],
    "cortex": [
        "autoscaling.cortex.targetInFlight=2,4,8",
        "autoscaling.cortex.downscaleStabilizationPeriod=30s,5m",
    ],
    "ray": [
        "autoscaling.ray.targetOngoingRequests=2,4,8",
        "autoscaling.ray.downscaleDelay=30s,10m",
    ],
}


class Simulator:
    """Runs `tidegate simulate`, several at once, and remembers what a plan costs."""

    def __init__(self, binary: str, jobs: int) -> None:
        self.binary = binary
        self.pool = ThreadPoolExecutor(jobs)

    def run(self, load, cold, policies, *, concurrency=8, seed=1, optimum="plan", more=()):
        command = [
            self.binary, "simulate", *load, "--cold-start", cold, "--policies", policies, "--seed", str(seed),
            "--concurrency", str(concurrency), "--max-replicas", "1000", "--optimum", optimum, "--format", "json", *more,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)

    def all(self, calls):
        return list(self.pool.map(lambda call: self.run(*call[0], **call[1]), calls))


def cell(row):
    ratio, late = row["of_clairvoyant"], row["requests"]["late_share"]
    mark = "" if late > ALLOWED else " *"
    return f"{ratio:.2f}, {percent(late)}{mark}"


def percent(share):
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.2f} %"


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def compare(simulator, loads, variants):
    """One row for each load, cold start and variant, with every policy."""
    names = POLICIES.split(",")
    calls = [
        (name, cold, what, (load, cold, POLICIES), keywords)
        for name, load in loads.items()
        for cold in COLD_STARTS
        for what, keywords in variants
    ]
    results = simulator.all([(arguments, keywords) for *_, arguments, keywords in calls])
    rows, scores = [], []
    for (name, cold, what, *_), result in zip(calls, results):
        found = {row["policy"]: row for row in result["policies"]}
        count = result["workload"]["requests"]
        unseen = percent(result["late_beyond_anything_seen"] / count)
        rows.append([name, cold, *([what] if what else []), *[cell(found[policy]) for policy in names], unseen])
        scores.append({policy: (found[policy]["of_clairvoyant"], found[policy]["requests"]["late_share"]) for policy in names})
    head = ["load", "cold start", *(["variant"] if variants[0][0] else []), *names, "only what was seen"]
    table(head, rows)
    summary(scores, names)


def summary(scores, names):
    """How often each rule meets the objective, and whether any is at once cheaper and less late than `slo`."""
    rows = []
    for name in names:
        met = sum(late <= ALLOWED for late in (score[name][1] for score in scores))
        ratios = sorted(score[name][0] for score in scores)
        better = sum(score[name][0] < score["slo"][0] and score[name][1] < score["slo"][1] for score in scores)
        worse = sum(score[name][0] > score["slo"][0] and score[name][1] > score["slo"][1] for score in scores)
        later = sum(score[name][1] > score["slo"][1] for score in scores)
        both = sum(score[name][0] <= 1.1 and score[name][1] <= ALLOWED for score in scores)
        rows.append([
            name, f"{met} of {len(scores)}", str(both), f"{ratios[len(ratios) // 2]:.2f}", f"{ratios[-1]:.2f}",
            *(["", "", ""] if name == "slo" else [str(later), str(worse), str(better)]),
        ])  # fmt: skip
    head = ["rule", "at most 1 % late", "so at 1.10 or less", "cost, median", "cost, most", "later than slo", "later and dearer", "earlier and cheaper"]
    table(head, rows)


def frontier(simulator, loads):
    """For each load: which settings of any rule nobody beats in both, and whether one beats `slo` as it is."""
    calls, labels = [], []
    for name, load in loads.items():
        for cold in FRONTIER_COLD_STARTS:
            for policy, axes in SETTINGS.items():
                sweep = [part for axis in axes for part in ("--sweep", axis)]
                calls.append(((load, cold, policy), {"optimum": "off", "more": sweep}))
                labels.append((name, cold))
            calls.append(((load, cold, "slo"), {}))
            labels.append((name, cold))
    groups = {}
    for label, result in zip(labels, simulator.all(calls)):
        groups.setdefault(label, []).append(result)
    rows = []
    for (name, cold), results in groups.items():
        plan = next(row for row in results[-1]["policies"] if row["policy"] == "clairvoyant")["replica_seconds"]
        own = results[-1]["policies"][-1]
        default = (own["replica_seconds"] / plan, own["requests"]["late_share"])
        tried = [
            (row["replica_seconds"] / plan, row["requests"]["late_share"], row["policy"], row.get("settings", ""))
            for result in results[:-1] for row in result["policies"]
        ]  # fmt: skip
        others = [point for point in tried if point[2] != "slo"]
        beats = sorted(point for point in others if point[0] <= default[0] and point[1] <= default[1])
        meets = sorted(point for point in others if point[1] <= ALLOWED)
        own_meets = sorted(point for point in tried if point[2] == "slo" and point[1] <= ALLOWED)
        rows.append([
            name, cold, f"{default[0]:.2f}, {percent(default[1])}", point_text(own_meets), point_text(meets),
            point_text(beats) if beats else "none",
        ])  # fmt: skip
    table(["load", "cold start", "slo as it is", "cheapest slo in time", "cheapest other in time", "beats slo as it is"], rows)


def point_text(points):
    if not points:
        return "none"
    ratio, late, policy, settings = points[0]
    pairs = [part.split("=", 1) for part in settings.split()]
    short = " ".join(f"{key.split('.')[-1]}={value}" for key, value in pairs)
    return f"{ratio:.2f}, {percent(late)} ({policy} {short})"


def halves(trace, folder):
    """The first and the second half of a trace, by its requests, each as a file."""
    with open(trace, newline="") as file:
        head, *rows = list(csv.reader(file))
    middle = len(rows) // 2
    paths = []
    for name, part in (("first", rows[:middle]), ("second", rows[middle:])):
        path = Path(folder) / f"{name}-half.csv"
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([head, *part])
        paths.append(["--trace", str(path)])
    return paths


def arguments(doc):
    """What those are told that look at one table's cells."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--binary", default="target/release/tidegate", help="the built tidegate")
    parser.add_argument("--trace", default=TRACE, help="a trace to play; '' for none")
    parser.add_argument("--seed", type=int, default=1, help="of every draw")
    parser.add_argument("--only", default="", help="loads with this in their names")
    parser.add_argument("--held-out", action="store_true", help="the loads that were held out instead")
    return parser.parse_args()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/tidegate", help="the built tidegate")
    parser.add_argument("--trace", default=TRACE, help="a trace to play, whole and in halves; '' for none")
    parser.add_argument("--jobs", type=int, default=2, help="simulations at once")
    parser.add_argument("--only", default="chosen,held-out,turns,seeds,frontier", help="which tables, by name")
    args = parser.parse_args()
    simulator = Simulator(args.binary, args.jobs)
    chosen, held_out = dict(CHOSEN), dict(HELD_OUT)
    with tempfile.TemporaryDirectory() as folder:
        if args.trace:
            first, second = halves(args.trace, folder)
            chosen["trace, whole"] = ["--trace", args.trace]
            chosen["trace, first half"] = first
            held_out["trace, second half"] = second
        print("# The scaling rules, side by side\n\nMade by `benches/rules/rules.py`.", __doc__.split("\n\n")[0].splitlines()[0])
        print(
            "\nEach cell is replica-seconds over those of a plan made with foresight, and the share of requests that\n"
            "waited over 200 ms; a star is where that is 1 % at most. The last column is late under every rule that\n"
            "asks for no more than it has seen a need for. Settings are the defaults, but at most 1,000 replicas.\n"
        )
        if "chosen" in args.only:
            print("## Loads that were looked at\n\nEight at once a replica, seed 1.\n")
            compare(simulator, chosen, [("", {})])
        if "held-out" in args.only:
            print("## Loads that were held out\n\nEight at once a replica, seed 2.\n")
            compare(simulator, held_out, [("", {"seed": 2})])
        if "turns" in args.only:
            print("## Loads that change at random\n\nMarkov-modulated Poisson processes: two rates in turns of random length, this long on average.\n"
                  "Nobody looked at them while the rule was made. Eight at once a replica, seed 2.\n")  # fmt: skip
            compare(simulator, TURNS, [("", {"seed": 2})])
        if "seeds" in args.only:
            print("## Other widths and seeds\n\n`slo` and the others where a replica runs 1 or 32 at once.\n")
            some = {name: held_out[name] for name in list(held_out) if name.split(",")[0] in ("step", "sine", "on-off")}
            variants = [("1 at once, seed 3", {"concurrency": 1, "seed": 3}), ("32 at once, seed 4", {"concurrency": 32, "seed": 4})]
            compare(simulator, some, variants)
        if "frontier" in args.only:
            print("## Other settings\n\nEvery rule at several settings; which of them are in time for the least, and which are at\n"
                  "once no dearer and no later than `slo` as it is.\n")  # fmt: skip
            long = "Poisson, 40/s, 4 h"
            frontier(simulator, {name: load for name, load in chosen.items() if name != long})


if __name__ == "__main__":
    main()
