#!/usr/bin/env python3
"""What the best of all rules pays for a flat Poisson load whose rate and law it knows, but none of the draws.

    benches/rules/flat.py --plan 86900 > benches/results/flat.md

Needs Python 3.11 and numpy. The bound is from below, see `INTRODUCTION`.
"""

import argparse
import itertools
import math

import numpy as np

RATE, WIDTH, WAIT, ALLOWED = 40.0, 8, 0.2, 0.01
# Requests in the system; those that come beyond are turned away for nothing.
MOST = 110


def poisson_at_most(mean, count):
    term, total = math.exp(-mean), 0.0
    for number in range(count + 1):
        total += term
        term *= mean / (number + 1)
    return min(total, 1.0)


class Second:
    """What happens in one second, by how many replicas are ready in it, from each number in the system."""

    STEPS = 20  # of a second, a divisor of which is the wait

    def __init__(self, most_level):
        self.most_level = most_level
        self.moves, self.early, self.end = [], [], []
        for level in range(most_level + 1):
            places = self.places(level)
            numbers = np.arange(MOST + 1)
            births = np.where(numbers < MOST, RATE, 0.0)
            deaths = np.minimum(numbers, places)
            rates = np.diag(births[:-1], 1) + np.diag(deaths[1:], -1) - np.diag(births + deaths)
            step = self.exponential(rates / self.STEPS)
            # The time spent in each number in one step, by the integral of the exponential.
            spent = self.integral(rates, 1 / self.STEPS)
            now, parts = np.eye(MOST + 1), []
            for _ in range(self.STEPS):
                parts.append(now @ spent)
                now = now @ step
            late_steps = round(WAIT * self.STEPS)
            self.moves.append(now)
            self.early.append(sum(parts[:-late_steps]))
            self.end.append(sum(parts[-late_steps:]))

    def places(self, level):
        # The highest level stands for all above it.
        return MOST + 1 if level == self.most_level else WIDTH * level

    @staticmethod
    def exponential(matrix):
        uniform = max(-matrix.diagonal().min(), 1e-9)
        jump = np.eye(len(matrix)) + matrix / uniform
        total, power, weight = np.zeros_like(matrix), np.eye(len(matrix)), math.exp(-uniform)
        for number in range(int(uniform + 12 * math.sqrt(uniform) + 40)):
            total += weight * power
            power = power @ jump
            weight *= uniform / (number + 1)
        return total

    @staticmethod
    def integral(rates, length):
        """The integral of exp(rates t) from 0 to length: Simpson's rule on thirty-two parts."""
        parts = 32
        step = Second.exponential(rates * length / parts)
        now, total = np.eye(len(rates)), np.zeros_like(rates)
        for number in range(parts + 1):
            weight = 1 if number in (0, parts) else 4 if number % 2 else 2
            total += weight * now
            now = now @ step
        return total * length / parts / 3

    def late(self, level, after):
        """Requests that are late of those that come in it, if `after` may be ready in the next second."""
        def chance(places):
            return np.array([poisson_at_most(places * WAIT, found - places) if found >= places else 0.0 for found in range(MOST + 1)])
        own, best = self.places(level), max(self.places(level), self.places(after))
        return RATE * (self.early[level] @ chance(own) + self.end[level] @ chance(best))


class Bound:
    """The decision process: numbers in the system, and what is on its way."""

    def __init__(self, levels, start, turns):
        self.levels, self.start, self.turns = levels, start, turns
        top = levels[-1]
        self.second = Second(top)
        # Of the last `start` decisions: the least of the last one, of the last two, and so on.
        self.ways = [way for way in itertools.product(levels, repeat=start) if all(a >= b for a, b in zip(way, way[1:]))]
        index = {way: number for number, way in enumerate(self.ways)}
        self.last = np.array([way[0] for way in self.ways])
        self.oldest = np.array([way[-1] for way in self.ways])
        after = lambda way, level: (level, *(min(one, level) for one in way[:-1]))  # noqa: E731
        self.next = {level: np.array([index[after(way, level)] for way in self.ways]) for level in levels}
        self.late = {(one, other): self.second.late(one, other) for one in levels for other in levels}

    def groups(self):
        for level in self.levels:
            for oldest in self.levels:
                rows = np.flatnonzero(self.oldest == oldest)
                yield level, oldest, rows

    def step(self, value, price, turn_price):
        """One more second before all others. `value` by direction, way, number."""
        best = np.full_like(value, np.inf)
        ahead = [np.stack([value[turn] @ self.second.moves[level].T for turn in range(self.turns)]) for level in self.levels]
        place = {level: number for number, level in enumerate(self.levels)}
        numbers = np.arange(MOST + 1)
        for level, oldest, rows in self.groups():
            ready = min(level, oldest)
            to = self.next[level][rows]
            # What runs on a replica that goes is gone at once, and as much as there can be.
            kept = np.maximum(numbers - WIDTH * max(oldest - level, 0), 0)
            lateness = np.stack([self.late[ready, after] for after in self.levels])
            late = lateness[[place[after] for after in self.oldest[to]]]
            now = level + price * late
            for turn in range(self.turns):
                if self.turns == 1:
                    found = now + ahead[place[ready]][0][to]
                else:
                    # 0: it grew last. 1: it shrank last.
                    last = self.last[rows]
                    goes = np.where(level > last, 0, np.where(level < last, 1, turn))
                    found = now + ahead[place[ready]][goes, to] + (turn_price * (goes != turn))[:, None]
                best[turn][rows] = np.minimum(best[turn][rows], found[:, kept])
        return best

    def solve(self, price, turn_price=0.0, value=None, rounds=2000, close=1e-3):
        value = np.zeros((self.turns, len(self.ways), MOST + 1)) if value is None else value
        for number in range(rounds):
            after = self.step(value, price, turn_price)
            change = after - value
            low, high = change.min(), change.max()
            value = after - after.min()
            if high - low < close:
                break
        return low, high, value
