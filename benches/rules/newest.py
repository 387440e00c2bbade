#!/usr/bin/env python3
"""What `slo` comes to where the gateway serves the newest first while it is late, as a Markdown table.

    cargo build --release
    benches/rules/newest.py > benches/results/newest.md

Needs nothing but Python 3.11 and the built `tidegate`.
"""

import tempfile

import rules

INTRODUCTION = """# The scaling rule `slo`, and the gateway's other order

Made by `benches/rules/newest.py`: eight requests at once a replica, a request is late that waits over 200 ms or gets no
answer, replica-seconds over those of a plan made with foresight that serves first come, first served. *Newest first* is
`--queue-order lifo-on-overload`, by its default from the first second on in which the oldest waits for over a second: those who have
waited so long are late in any case, and go when the others have gone or they have waited for as long as they may
(*refused*).

A star is where at most 1 % is late, two where that is so at 1.10 or less.
"""


def cell(row, plan):
    ratio, late = row["replica_seconds"] / plan, row["requests"]["late_share"]
    mark = "" if late > rules.ALLOWED else " *" if ratio > 1.10 else " **"
    return f"{ratio:.2f}, {rules.percent(late)}{mark}"


def compared(simulator, loads, seed):
    rows = []
    for name, load in loads.items():
        for cold in rules.COLD_STARTS:
            first = simulator.run(load, cold, "slo", seed=seed)
            more = ["--queue-order", "lifo-on-overload"]
            newest = simulator.run(load, cold, "slo", seed=seed, optimum="off", more=more)
            plan, own = first["policies"]
            other = newest["policies"][0]
            cells = [cell(row, plan["replica_seconds"]) for row in (own, other)]
            refused = [f"{row['requests']['refused'] / row['requests']['arrived']:.1%}" for row in (own, other)]
            rows.append([name, cold, *cells, *refused])
    rules.table(["load", "cold start", "first come", "newest first", "refused, first come", "refused, newest first"], rows)


def main():
    args = rules.arguments(__doc__)
    simulator = rules.Simulator(args.binary, 1)
    chosen, held_out = dict(rules.CHOSEN), dict(rules.HELD_OUT)
    with tempfile.TemporaryDirectory() as folder:
        if args.trace:
            chosen["trace"] = ["--trace", args.trace]
            held_out["trace, second half"] = rules.halves(args.trace, folder)[1]
        print(INTRODUCTION)
        print("## Loads that were looked at\n\nSeed 1.\n")
        compared(simulator, chosen, 1)
        print("## Loads that were held out\n\nSeed 2.\n")
        compared(simulator, held_out, 2)


if __name__ == "__main__":
    main()
