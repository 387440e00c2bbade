#!/usr/bin/env python3
"""What `slo` comes to with eight seeds in place of one, as a Markdown table.

    cargo build --release
    benches/rules/seeds.py > benches/results/seeds.md

Needs nothing but Python 3.11 and the built `tidegate`; about five minutes on two cores.
"""

import argparse

import rules

SEEDS = range(1, 9)

INTRODUCTION = f"""# The scaling rule `slo` with eight seeds

Made by `benches/rules/seeds.py`: eight requests at once a replica, a request is late that waits over 200 ms, default
settings, seeds {SEEDS[0]} to {SEEDS[-1]}. *Cost* is replica-seconds over those of the plan made with foresight for the
same draws: the mean, the least and the most. *Late* is the share of all requests of all seeds. The last column has the
seeds that are in time by themselves.

A star is where at most 1 % is late, two where that is so at a mean cost of 1.10 or less.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/tidegate", help="the built tidegate")
    parser.add_argument("--jobs", type=int, default=2, help="simulations at once")
    args = parser.parse_args()
    simulator = rules.Simulator(args.binary, args.jobs)
    cells = [(name, load, cold) for name, load in rules.CHOSEN.items() for cold in rules.COLD_STARTS]
    calls = [((load, cold, "slo"), {"seed": seed}) for _, load, cold in cells for seed in SEEDS]
    results = iter(simulator.all(calls))
    rows = [[name, cold, *summary([next(results) for _ in SEEDS])] for name, _, cold in cells]
    print(INTRODUCTION)
    rules.table(["load", "cold start", "cost", "least and most", "late", "in time"], rows)


def summary(results):
    own = [next(row for row in result["policies"] if row["policy"] == "slo") for result in results]
    costs = [row["of_clairvoyant"] for row in own]
    cost = sum(costs) / len(costs)
    late = sum(row["requests"]["late"] for row in own) / sum(row["requests"]["arrived"] for row in own)
    in_time = sum(row["requests"]["late_share"] <= rules.ALLOWED for row in own)
    mark = "" if late > rules.ALLOWED else " *" if cost > 1.10 else " **"
    return [f"{cost:.2f}{mark}", f"{min(costs):.2f}, {max(costs):.2f}", rules.percent(late), f"{in_time} of {len(own)}"]


if __name__ == "__main__":
    main()
