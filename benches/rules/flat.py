#!/usr/bin/env python3
"""What the best of all rules pays for a flat Poisson load that it knows all of but the draws, as Markdown.

    cargo build --release
    benches/rules/flat.py > benches/results/flat.md

Needs Python 3.11, numpy, and the built `tidegate`, for what plans made with foresight cost.
"""

import argparse
import itertools
import math

import numpy as np
import rules

WIDTH, WAIT, START = 8, 0.2, 5
# Name, rate, mean of the exponential service, replicas of which nobody needs more, seconds, and the price of a late
# request: any proves something, these were found to prove the most.
LOADS = [
    ("Poisson, 40/s, 4 h", 40.0, 1.0, 10, 4 * 3600, 0.82),
    ("Poisson, 200/s of 0.1 s", 200.0, 0.1, 6, 1200, 0.02),
]
SEEDS = range(1, 9)

INTRODUCTION = """# What the best of all rules pays for a flat load

Made by `benches/rules/flat.py`: Poisson arrivals, exponential service, eight requests at once a replica, five seconds to
start, one decision a second, first come, first served, a request is late that waits over 200 ms, 1 % may be.

**The claim.** Whatever a rule is, also one that knows the rate, the law and at each moment all that is in the system, and
changes its mind as often as it likes: if it does not know the draws that are to come, and on average over them is at most 1 %
late, it pays on average at least *bound* replicas.

**The proof.** What such a rule can do is a Markov decision process: a state is how many requests are in the system, and of how
many replicas in each of the next five seconds it can be said that they may be ready then. For any price of a late request,
the least of replica-seconds and price together, less the price of those that may be late, is paid at least by every rule that is
in time (Lagrange); and that least is bounded from below by any function of the state, by how much one more second adds to it
at the least. Value iteration gives a function for which little is lost. Wherever the process differs from the simulation it
favours the rule: it decides and sees without delay; a start may be called off for nothing; what runs on a replica that goes is
done in that moment, and the replica costs nothing from then on; the last fifth of a second has the better of its own replicas and
the next second's; the highest number of replicas stands for any above it and makes nobody wait; and more than {most} requests
are never there.

**What it says.** Whoever is to follow the draws must see them as long before as a replica takes to start, and what is in the
system changes within about the time that a request takes. So all that can be known of a flat load five seconds ahead is its
rate, and the best that a rule can do is little better than two levels by turns (*by turns*; for as long as one likes, so that it
changes direction as seldom as one likes). The planner knows the draws, and pays *plan* (the mean over seeds {first} to {last}, and
the least and the most of them).

| load | by turns | bound | plan | bound over plan |
|---|---|---|---|---|"""

MOST = 110


def poisson_at_most(mean, count):
    term, total = math.exp(-mean), 0.0
    for number in range(count + 1):
        total += term
        term *= mean / (number + 1)
    return min(total, 1.0)


def exponential(matrix):
    """Of a matrix of rates, by uniformization: no term is negative."""
    uniform = max(-matrix.diagonal().min(), 1e-9)
    jump = np.eye(len(matrix)) + matrix / uniform
    total, power, weight = np.zeros_like(matrix), np.eye(len(matrix)), math.exp(-uniform)
    for number in range(int(uniform + 12 * math.sqrt(uniform) + 40)):
        total += weight * power
        power = power @ jump
        weight *= uniform / (number + 1)
    return total


def integral(rates, length, parts=32):
    """Of exp(rates t) from 0 to length, by Simpson's rule."""
    step = exponential(rates * length / parts)
    now, total = np.eye(len(rates)), np.zeros_like(rates)
    for number in range(parts + 1):
        total += (1 if number in (0, parts) else 4 if number % 2 else 2) * now
        now = now @ step
    return total * length / parts / 3


class Second:
    """What happens in a second in which so many replicas are ready, from each number of requests in the system."""

    FIFTHS = round(1 / WAIT)

    def __init__(self, rate, mean, places):
        self.rate, self.mean, self.places = rate, mean, places
        numbers = np.arange(MOST + 1)
        births = np.where(numbers < MOST, rate, 0.0)
        deaths = np.minimum(numbers, places) / mean
        rates = np.diag(births[:-1], 1) + np.diag(deaths[1:], -1) - np.diag(births + deaths)
        step, spent = exponential(rates * WAIT), integral(rates, WAIT)
        now, parts = np.eye(MOST + 1), []
        for _ in range(self.FIFTHS):
            parts.append(now @ spent)
            now = now @ step
        self.moves, self.first, self.last = now, sum(parts[:-1]), parts[-1]

    def late(self, after):
        """Requests of it that are late, if so many places may be there in the next second."""
        return self.rate * (self.first @ self.chance(self.places) + self.last @ self.chance(max(self.places, after)))

    def chance(self, places):
        """That a request is late, by how many it finds: too few of these are done before."""
        return np.array([poisson_at_most(places * WAIT / self.mean, found - places) if found >= places else 0.0 for found in range(MOST + 1)])


class Process:
    """A state is a way, the least of the last decision, of the last two and so on, and a number of requests."""

    def __init__(self, rate, mean, most):
        self.levels = range(most + 1)
        places = [level * WIDTH if level < most else MOST + 1 for level in self.levels]
        self.seconds = [Second(rate, mean, some) for some in places]
        self.ways = [way for way in itertools.product(self.levels, repeat=START) if list(way) == sorted(way, reverse=True)]
        index = {way: number for number, way in enumerate(self.ways)}
        self.oldest = np.array([way[-1] for way in self.ways])
        self.next = [
            np.array([index[(level, *(min(one, level) for one in way[:-1]))] for way in self.ways]) for level in self.levels
        ]  # fmt: skip
        self.late = np.array([[second.late(some) for some in places] for second in self.seconds])
        self.nothing = index[(0,) * START]

    def step(self, value, price):
        """One more second before all others."""
        best = np.full_like(value, np.inf)
        ahead = [value @ second.moves.T for second in self.seconds]
        numbers = np.arange(MOST + 1)
        for level, oldest in itertools.product(self.levels, self.levels):
            rows = np.flatnonzero(self.oldest == oldest)
            ready, to = min(level, oldest), self.next[level][rows]
            found = level + price * self.late[ready, self.oldest[to]] + ahead[ready][to]
            # What runs on a replica that goes is gone.
            kept = np.maximum(numbers - WIDTH * max(oldest - level, 0), 0)
            best[rows] = np.minimum(best[rows], found[:, kept])
        return best

    def paid(self, price, seconds, close=1e-4, rounds=600):
        """Replica-seconds and the price of late ones in so many seconds from nothing on, at the least."""
        value = np.zeros((len(self.ways), MOST + 1))
        for number in range(1, rounds + 1):
            after = self.step(value, price)
            change = after - value
            value = after
            if change.max() - change.min() < close or number == seconds:
                break
        return value[self.nothing, 0] + (seconds - number) * change.min()

    def by_turns(self, allowed):
        """The cheapest two numbers of replicas which are late for so many on average, by turns."""
        late = []
        for second in self.seconds[1:-1]:
            often = np.linalg.matrix_power(second.moves, 1 << 14)[0]
            late.append(often @ second.late(second.places))
        pairs = [(low, high) for low, high in itertools.combinations(range(len(late)), 2) if late[high] <= allowed < late[low]]
        return min(1 + low + (high - low) * (late[low] - allowed) / (late[low] - late[high]) for low, high in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/tidegate", help="the built tidegate")
    simulator = rules.Simulator(parser.parse_args().binary, 1)
    print(INTRODUCTION.format(most=MOST, first=SEEDS[0], last=SEEDS[-1]))
    for name, rate, mean, most, seconds, price in LOADS:
        load = (rules.CHOSEN | rules.HELD_OUT)[name]
        process = Process(rate, mean, most)
        allowed = rules.ALLOWED * rate
        bound = process.paid(price, seconds) / seconds - price * allowed
        runs = [simulator.run(load, f"{START}s", "fixed:0", seed=seed) for seed in SEEDS]
        plans = [run["policies"][0]["replica_seconds"] / seconds for run in runs]
        plan = sum(plans) / len(plans)
        some = f"{plan:.3f} ({min(plans):.3f} to {max(plans):.3f})"
        print(f"| {name} | {process.by_turns(allowed):.3f} | {bound:.3f} | {some} | {bound / plan:.3f} |", flush=True)


if __name__ == "__main__":
    main()
