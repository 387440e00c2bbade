#!/usr/bin/env python3
"""What a scaling rule could reach that doesn't know the future, beside what ours do, as a Markdown table.

    cargo build --release
    benches/rules/causal.py > benches/results/causal.md

Needs nothing but Python 3.11 and the built `tidegate`; one simulation at a time, within 20 minutes.
"""

import sys
import tempfile
import time

import rules

# What is set for the planners of `tidegate simulate` who know the rate, or what is needed now.
RATES = [f"rate:{late}" for late in (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003, 0.001)]
NEEDS = [f"need:{spare}:{hold}" for hold in ("30s", "5m") for spare in (0, 1, 2, 4, 8, 16, 32, 64)]

INTRODUCTION = """# What can be met without knowing the future

Made by `benches/rules/causal.py`: seed {seed}, eight requests at once a replica, at most 1,000 replicas,
default settings where none are named. Costs are replica-seconds over those of the plan made with foresight.
A request is late that waits over 200 ms; 1 % may be.

- **bound**: below which no schedule at all is, as a share of the plan. The true optimum is between the two.
- **knows the rate**: the cheapest of {rates} settings of `rate:SHARE`, who knows the rate of a load and the
  law of its service times, now and later, but none of the draws. No rule knows that much. A trace has no rate.
- **sees the need**: the cheapest of {needs} settings of `need:SPARE:HOLD`, who sees at once what would run if
  nobody waited, keeps what was needed in the last HOLD and, from the first request on, SPARE more, and pays nothing
  for starts it calls off.
- **and before**: what that setting costs in an hour of the flat load that this one begins with. Until the load
  moves, no rule can tell the two apart: it pays this for as long as nothing moves, or is not prepared.
- **beyond what was seen**: late under every rule that asks for no more than it has seen a need for, whatever
  it spends (the proof is in `simulate/src/optimum/unseen.rs`).
- **slo**: as it is, and the cheapest of its settings that is in time. **others**: the cheapest setting of any
  other rule that is in time.

For the two planners the setting is chosen in hindsight (it stands there), and they may take turns between two
settings, at the line between these, so that a cost need not be that of a play. Where none is in time, the least
late one stands there with its share. The last column says whether 1 % can be met at {ratio} or less: by one who
knows the rate, and by one who sees only what is needed now.
"""
RATIO = 1.10


def least(points):
    """The least cost with 1 % late, by one point or in turns between two, with the one that is in time."""
    early = [(cost, late, name) for cost, late, name in points if late <= rules.ALLOWED]
    costs = [(cost, name) for cost, _, name in early]
    for cost, late, name in early:
        for other, more, _ in points:
            if more > rules.ALLOWED and other < cost:
                share = (rules.ALLOWED - late) / (more - late)
                costs.append((cost + share * (other - cost), name))
    return min(costs, default=None)


def shown(points):
    if not points:
        return "–"
    found = least(points)
    if found is not None:
        return f"{found[0]:.2f} ({found[1].partition(':')[2]})"
    cost, late, _ = min(points, key=lambda point: point[1])
    return f"none: {rules.percent(late)} at {cost:.2f}"


def before(simulator, cold, load, seed, points):
    """What the cheapest setting that is in time costs while the load stays what it is at its beginning."""
    early = [(cost, name) for cost, late, name in points if late <= rules.ALLOWED]
    if "--trace" in load or not early:
        return "–"
    words = dict(zip(load[::2], load[1::2]))
    if float(words["--rate"]) == 0:
        return "no end"
    flat = ["--load", "poisson", "--rate", words["--rate"], "--duration", "1h", "--service", words["--service"]]
    result = simulator.run(flat, cold, min(early)[1], seed=seed)
    return f"{result['policies'][-1]['of_clairvoyant']:.2f}"


def can(points):
    found = least(points)
    return "no" if found is None or found[0] > RATIO else "yes"


def row(simulator, name, cold, load, seed):
    planners = [*([] if "--trace" in load else RATES), *NEEDS]
    result = simulator.run(load, cold, ",".join(["slo", *planners]), seed=seed)
    found = {one["policy"]: one for one in result["policies"]}
    plan = found["clairvoyant"]["replica_seconds"]
    point = lambda one: (one["replica_seconds"] / plan, one["requests"]["late_share"])  # noqa: E731
    of = lambda names: [(*point(found[name]), name) for name in names if name in found]  # noqa: E731
    rates, needs = of(RATES), of(NEEDS)
    own, others = [], []
    for policy, axes in rules.SETTINGS.items():
        sweep = [part for axis in axes for part in ("--sweep", axis)]
        swept = simulator.run(load, cold, policy, seed=seed, optimum="off", more=sweep)["policies"]
        tried = [(*point(one), policy, one.get("settings", "")) for one in swept]
        (own if policy == "slo" else others).extend(sorted(one for one in tried if one[1] <= rules.ALLOWED))
    unseen = result["late_beyond_anything_seen"] / result["workload"]["requests"]
    answer = f"{can(rates)}, {can(needs)}" if rates else f"–, {can(needs)}"
    return [
        name, cold, f"{plan:,.0f}", f"{result['bound_replica_seconds'] / plan:.2f}", shown(rates), shown(needs),
        before(simulator, cold, load, seed, needs),
        rules.percent(unseen), rules.cell(found["slo"]), rules.point_text(sorted(own)), rules.point_text(sorted(others)), answer,
    ]  # fmt: skip


def main():
    args = rules.arguments(__doc__)
    simulator = rules.Simulator(args.binary, 1)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        loads = dict(rules.HELD_OUT if args.held_out else rules.CHOSEN)
        if args.trace:
            loads["trace"] = rules.halves(args.trace, folder)[1] if args.held_out else ["--trace", args.trace]
        numbers = {"seed": args.seed, "rates": len(RATES), "needs": len(NEEDS), "ratio": f"{RATIO:.2f}"}
        print(INTRODUCTION.format(**numbers))
        rows = []
        for name, load in loads.items():
            if args.only not in name:
                continue
            for cold in rules.COLD_STARTS:
                rows.append(row(simulator, name, cold, load, args.seed))
                print(f"{time.monotonic() - begin:.0f} s: {' | '.join(rows[-1])}", file=sys.stderr)
        head = [
            "load", "cold start", "plan, replica-s", "bound", "knows the rate", "sees the need", "and before", "beyond what was seen",
            "slo", "slo by settings", "others by settings", "1.10 at 1 %?",
        ]  # fmt: skip
        rules.table(head, rows)


if __name__ == "__main__":
    main()
