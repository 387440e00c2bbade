#!/usr/bin/env python3
"""Which of the cells no rule can meet that doesn't know when a load rises, or how long requests take, as Markdown tables.

    cargo build --release
    benches/rules/rises.py > benches/results/rises.md

Needs nothing but Python 3.11 and the built `tidegate`.
"""

import csv
import math
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import rules

RATIO = 1.10
# How much longer a calm may take: in one with requests more of them may be late, the longer it is.
HOUR = 3600
NIGHT = 8 * HOUR
# The part of their time that requests may as well take, for all that is known before the first has run.
SHORTER = 0.05

INTRODUCTION = """# What no rule can meet that doesn't know when a load rises, or how long requests take

Made by `benches/rules/rises.py`: seed {seed}, eight requests at once a replica, a request is late that waits over
200 ms, 1 % may be. Costs are replica-seconds over those of a plan made with foresight.

**The claim.** Take a cell's load, and with it all loads that differ from it only in that a calm, a time before a
rise, takes up to an hour longer, or up to a night of eight hours where nothing comes in it; and those that end in such
a calm. Any rule that decides by what it has seen, of whatever kind, and is at most 1 % late wherever the rise comes, has
in one of those calms as many replicas as *kept* says all the time, for nothing. Where these cost more than {ratio} times
what a plan pays for the load that ends there, no rule meets "at most 1 % late at {ratio}" on all of them: *proved*.

**The proof** (`simulate/src/optimum/rise.rs`). Until the rise comes, a load is the same as one on which the calm goes
on, and so is what a rule has done. What it starts then is ready a cold start later. So what comes in between has those
places that were there: with N replicas at least so many are late as `tidegate simulate --rises` counts, in any order,
and however well the rule knows what a request takes. Let the rise come just when the rule has fewest. If in no calm
it keeps as many as *kept* says all the time, it can be made late for more than 1 %. If it does in one, let that calm
go on for an hour or a night, and the load end: it pays *kept* times as many seconds, beside a plan for all that came,
which goes as soon as it may. A rule that has a
replica before the first request of all pays where none ever comes, where the plan pays nothing; so those are
late in any case that come before a first replica can be ready, and where they are more than 1 %, that is the proof.

- **calm**: what the load does until it rises. **rises**: how many are argued with, the cheapest choice.
- **late with 0**: late at the least under a rule that has no replica there before a rise.
- **kept**: the fewest replicas with which no more than 1 % need be late.
- **an hour of it**: what such a rule pays in the calm for each hour, over all that the plan has paid. **proved from**: by
  how much longer the calm must be able to take for its cost to be over {ratio}.
- **late at {ratio}**: at least so many are late, on one of those loads, under a rule that pays no more than that.

What is not proved is *open*, unless `slo` meets it: the argument says nothing there. It looks at a first cold start
after each rise, and takes all else for free: draws, rates and sizes are known to those whom it bounds. *Proved below* is
what the second table proves, which is about sizes. `flat.md` proves one more, the flat load of 40/s at 5 s, where nobody
can follow the draws.
"""

SECOND = """## What no rule can meet that doesn't know how long requests take

**The claim.** Take a cell's load, and with it the same requests at the same moments, each {share} as long. Any rule that
decides by what it has seen, asks for nothing before the first request, and is at most 1 % late on both, on a gateway
that serves first come, first served, pays at least *of plan* times what a plan costs on the shorter one.

**The proof** (`simulate/src/optimum/blind.rs`). Before the first replica is ready no request has run, and nobody can tell
the two loads apart: what is asked for by then is the same. Whoever came by then waits, and is served before those that
come later. So, to be in time for these before more than 1 % are late, so many replicas must have been asked for that they
have served the former by then; and those can't be asked for later than a start before. What they cost until the first is
ready (*before*) is paid on the shorter load, too, where one would do, beside what every rule in time pays there after that
(*after*). Rules that draw lots, and are at most 1 % late on average, are bounded as well.

Only cells are shown of which the claim says something: fewer than 1 % must come before a first replica can be ready, and
nearly as many, so that what waits then must be served at once.
"""


def flags(load):
    return dict(zip(load[::2], load[1::2]))


def instead(load, **other):
    words = flags(load) | {f"--{name.replace('_', '-')}": str(value) for name, value in other.items()}
    return [part for pair in words.items() for part in pair]


class Cell:
    """A load at a cold start, when it rises, and what its plan pays without the last rise."""

    def __init__(self, simulator, seed, name, cold, load, folder):
        self.simulator, self.seed, self.name, self.cold, self.load = simulator, seed, name, cold, load
        self.folder = folder
        self.moments, self.calm = self.rises()

    def run(self, load, policies="slo", optimum="off", more=()):
        return self.simulator.run(load, self.cold, policies, seed=self.seed, optimum=optimum, more=more)

    def plan(self, load):
        result = self.run(load, "fixed:0", "plan")
        return next(one for one in result["policies"] if one["policy"] == "clairvoyant")["replica_seconds"]

    def rises(self):
        words = flags(self.load)
        if "--trace" in words:
            # Silences that no plan stays through: a start costs less.
            times = [float(row[0]) for row in self.arrivals()]
            least = float(self.cold[:-1]) + 1
            return [after for before, after in zip(times, times[1:]) if after - before > least], "nothing"
        shape = words["--load"]
        if shape in ("step", "ramp", "spike"):
            return [seconds(words.get("--change-at", "2m"))], f"{words['--rate']}/s"
        if shape == "on-off" and float(words["--rate"]) == 0:
            period, end = seconds(words["--period"]), seconds(words["--duration"])
            return [at for at in halves(period, end) if at > period], "nothing"
        if shape == "on-off":
            return [period / 2 for period in [seconds(words["--period"])]], f"{words['--rate']}/s"
        return [], "nothing"

    def arrivals(self):
        with open(flags(self.load)["--trace"], newline="") as file:
            return list(csv.reader(file))[1:]

    def before(self, moment):
        """The load until then."""
        if "--trace" not in flags(self.load):
            return instead(self.load, duration=f"{moment:.0f}s")
        path = Path(self.folder) / "before.csv"
        with open(path, "w", newline="") as file:
            kept = [row for row in self.arrivals() if float(row[0]) < moment]
            csv.writer(file).writerows([["arrival_s", "service_s"], *kept])
        return ["--trace", str(path)]

    def calm_load(self):
        """An hour of the flat load before the only rise, after what comes before it: the same draws."""
        end = self.moments[0] + HOUR
        words = flags(self.load)
        if words["--load"] == "on-off":
            return instead(self.load, period=f"{2 * end:.0f}s", duration=f"{end:.0f}s")
        return instead(self.load, change_at=f"{2 * end:.0f}s", duration=f"{end:.0f}s")

    def answer(self):
        """Everything that a row says."""
        result = self.run(self.load, "slo", "plan", more=["--if-shorter", str(SHORTER)])
        count = result["workload"]["requests"]
        own = {one["policy"]: one for one in result["policies"]}["slo"]
        met = own["of_clairvoyant"] <= RATIO and own["requests"]["late_share"] <= rules.ALLOWED
        early = result["late_before_first_replica"]
        found = {"count": count, "early": early, "slo": rules.cell(own), "met": met, "calm": self.calm, "shorter": result["if_shorter"]}
        if early > rules.ALLOWED * count:
            return found | {"calm": "nothing, ever", "late": [early], "kept": None, "ratio": math.inf, "rises": 0, "at": early, "from": 0, "proved": True}
        if not self.moments:
            return found | {"late": [early], "kept": 0, "ratio": 0, "rises": 0, "at": 0, "from": math.inf, "proved": False}
        tried = [self.by_rises(number + 1, found) for number in range(len(self.moments))]
        return found | min(tried, key=lambda one: (one["from"], -one["at"]))

    def by_rises(self, number, found):
        """The argument with the first so many rises."""
        more = ["--rises", ",".join(f"{at:.9f}s" for at in self.moments[:number])]
        late = self.run(self.load, "fixed:0", more=more)["rises"]["late"]
        count, flat = found["count"], self.calm != "nothing"
        if flat:
            hour = self.calm_load()
            result = self.run(hour, "fixed:0", "plan")
            # In a longer calm more come, so more may be late.
            count += result["workload"]["requests"]
            plan = result["policies"][0]["replica_seconds"]
        else:
            plan = self.plan(self.before(self.moments[number - 1]))
        allowed = math.floor(rules.ALLOWED * count + 1e-9)
        kept = next((n for n, some in enumerate(late) if some <= allowed), None)
        longer = HOUR if flat else NIGHT
        affordable = math.floor(RATIO * plan / longer)
        ratio = kept * HOUR / plan
        if kept == 0:
            needed = math.inf
        elif flat:
            # What the plan pays grows with the calm, too.
            needed = 0 if ratio > RATIO else math.inf
        else:
            needed = RATIO * plan / kept
        at = late[affordable] if affordable < len(late) else found["early"]
        proved = needed <= longer
        return {"late": late, "kept": kept, "ratio": ratio, "rises": number, "at": at, "from": needed, "proved": proved}


def seconds(text):
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def halves(period, end):
    at = period / 2
    while at < end:
        yield at
        at += period


def told(answer):
    if answer["met"]:
        return "met by `slo`"
    if answer["proved"]:
        return "proved"
    return "proved below" if answer["shorter"] and answer["shorter"]["of_plan"] > RATIO else "open"


def shown(cell, answer):
    share = lambda late: rules.percent(late / answer["count"])  # noqa: E731
    if answer["kept"] is None:
        kept, ratio, needed = "before all", "no end", "0 s"
    else:
        kept, ratio = str(answer["kept"]), f"{answer['ratio']:.2f}"
        needed = "–" if math.isinf(answer["from"]) else "within 1 h" if answer["from"] == 0 else f"{answer['from']:,.0f} s"
    return [
        cell.name, cell.cold, answer["calm"], str(answer["rises"]), share(answer["late"][0]), kept, ratio, needed,
        share(answer["at"]) if told(answer) == "proved" else "–", answer["slo"], told(answer),
    ]  # fmt: skip


def blind(cell, answer):
    """What is paid for not knowing how long requests take, where that is something."""
    found = answer["shorter"]
    if not found or not found["replica_seconds_before"]:
        return []
    numbers = [f"{found[key]:,.0f}" for key in ("replica_seconds_before", "replica_seconds_after", "plan_replica_seconds")]
    sure = "proved" if found["of_plan"] > RATIO else "open"
    return [[cell.name, cell.cold, rules.percent(answer["early"] / answer["count"]), *numbers, f"{found['of_plan']:.2f}", sure]]


def checked(cell, answer):
    """Each rule where the rise comes at other moments of that hour, beside what the claim says of what it pays."""
    names = rules.POLICIES.split(",")
    hour = cell.run(cell.calm_load(), rules.POLICIES, "plan")
    plan = hour["policies"][0]["replica_seconds"]
    paid = {one["policy"]: one["replica_seconds"] for one in hour["policies"]}
    worst = dict.fromkeys(names, 0)
    words = flags(cell.load)
    first = cell.moments[0]
    for share in (0, 0.3, 0.6, 0.9):
        later = share * HOUR
        end = f"{seconds(words['--duration']) + later:.0f}s"
        moved = instead(cell.load, change_at=f"{first + later:.0f}s", duration=end)
        for one in cell.run(moved, rules.POLICIES)["policies"]:
            worst[one["policy"]] = max(worst[one["policy"]], one["requests"]["late"])
    row = [cell.name, cell.cold]
    for name in names:
        had = math.floor(paid[name] / HOUR)
        least = answer["late"][had] if had < len(answer["late"]) else answer["early"]
        sign = "" if worst[name] >= least else " !"
        row.append(f"{paid[name] / plan:.2f}: {worst[name]:,}, {least:,}{sign}")
    return row


def main():
    args = rules.arguments(__doc__)
    simulator = rules.Simulator(args.binary, 1)
    with tempfile.TemporaryDirectory() as folder:
        loads = {name: load for name, load in (rules.HELD_OUT if args.held_out else rules.CHOSEN).items() if args.only in name}
        if args.trace and args.only in "trace":
            trace = rules.halves(args.trace, folder)[1][1] if args.held_out else args.trace
            loads["trace"] = ["--trace", plain(trace, folder)]
        print(INTRODUCTION.format(seed=args.seed, ratio=f"{RATIO:.2f}"))
        cells = [
            Cell(simulator, args.seed, name, cold, load, folder)
            for name, load in loads.items() for cold in rules.COLD_STARTS
        ]  # fmt: skip
        answers = []
        for cell in cells:
            answers.append(cell.answer())
            print(" | ".join(shown(cell, answers[-1])), answers[-1]["late"][:12], file=sys.stderr)
        head = [
            "load", "cold start", "calm", "rises", "late with 0", "kept", "an hour of it", "proved from",
            f"late at {RATIO:.2f}", "slo", f"{RATIO:.2f} at 1 %",
        ]  # fmt: skip
        rules.table(head, [shown(*pair) for pair in zip(cells, answers)])
        print(SECOND.format(share=SHORTER))
        head = ["load", "cold start", "come too early", "before", "after", "plan", "of plan", f"{RATIO:.2f} at 1 %"]
        rules.table(head, [row for pair in zip(cells, answers) for row in blind(*pair)])
        movable = [pair for pair in zip(cells, answers) if flags(pair[0].load).get("--load") in ("step", "ramp")]
        if movable:
            print("## What the rules do there\n")
            print("For each rule: what it pays, over the plan, while the rise does not come for an hour; how many are late when it\n"
                  "comes, at the worst of four moments of that hour; and the least that the claim allows for what it pays.\n")  # fmt: skip
            rules.table(["load", "cold start", *rules.POLICIES.split(",")], [checked(*pair) for pair in movable])


def plain(trace, folder):
    """The trace as seconds from its beginning and seconds of service, so that it can be cut."""
    with open(trace, newline="") as file:
        _, *rows = list(csv.reader(file))
    moment = lambda text: datetime.fromisoformat(text[:26]).timestamp()  # noqa: E731
    begin = moment(rows[0][0])
    path = Path(folder) / "plain.csv"
    with open(path, "w", newline="") as file:
        lines = [(f"{moment(at) - begin:.6f}", f"{int(read) / 4000 + int(made) / 50:.9f}") for at, read, made in rows]
        csv.writer(file).writerows([["arrival_s", "service_s"], *lines])
    return str(path)


if __name__ == "__main__":
    main()
