"""The parent's side of Fuzz/Writer: it starts children, hears what they say, and holds what they leave to the promise.

What kills.py, power-cuts.py and block-replay.py share. The promise: what reopens is a contiguous, byte-exact prefix of what
was written, from where retention left the start; it holds everything acknowledged as durable, and after the mere death of
a process everything acknowledged at all; a batch is whole or absent; opening again finds the same; a copy is the one
before or the one after, whole; what is not there any more was trimmed or reset by somebody who said so.
"""

import json
import math
import multiprocessing
import os
import select
import shutil
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from ledgerfaults import Violation

DONE, BROKEN, CANNOT_READ, CANNOT_OPEN, FAILED = range(5)
MOODS = ["mixed", "appending", "heavy", "copying", "dropping", "reopening"]
# A child that says nothing for so long hangs.
PATIENCE = 60


class Child:
    """A running writer, whose every line is kept with the story."""

    def __init__(self, words, more_environment=None):
        out, inner = os.pipe()
        # Swift's backtracer would live on when its crashing process is killed, and keep the file system busy.
        environment = {**os.environ, "SWIFT_BACKTRACE": "enable=no", **(more_environment or {})}
        self.pid = os.posix_spawn(
            words[0], words, environment, setsigdef=[signal.SIGPIPE],
            file_actions=[(os.POSIX_SPAWN_DUP2, inner, 1), (os.POSIX_SPAWN_CLOSE, out), (os.POSIX_SPAWN_CLOSE, inner)])
        os.close(inner)
        self.pipe, self.rest, self.lines, self.status, self.killed = out, b"", [], None, False

    def hear(self, seconds):
        """Takes what is said within so many seconds; False once the child has closed its mouth for good."""
        if seconds is not None and not select.select([self.pipe], [], [], max(0, seconds))[0]:
            return True
        part = os.read(self.pipe, 1 << 16)
        *whole, self.rest = (self.rest + part).split(b"\n")
        self.lines += [line.decode() for line in whole]
        return bool(part)

    def hear_until(self, deadline):
        """Listens until then; False if the child ended before."""
        while (left := deadline - time.monotonic()) > 0:
            # A select with a time below its grain would come back late.
            if left < 0.0002:
                while time.monotonic() < deadline:
                    pass
                return True
            if not self.hear(left):
                return False
        return True

    def hear_line(self, is_it, seconds=PATIENCE):
        """Listens until such a line comes; False if the child ended before."""
        deadline, seen = time.monotonic() + seconds, 0
        while True:
            if any(map(is_it, self.lines[seen:])):
                return True
            seen = len(self.lines)
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill()
                raise Violation(f"the child hung: {self.lines[-3:]}")
            if not self.hear(left):
                return False

    def kill(self):
        # Not waited for yet, so the number is still this child's.
        os.kill(self.pid, signal.SIGKILL)

    def end(self, seconds=PATIENCE):
        """Takes all that was said, which counts even if the child was killed since, and the exit status."""
        deadline = time.monotonic() + seconds
        while self.hear(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                self.kill()
                deadline = float("inf")
                self.lines.append(f"x . the child hung for {seconds} s 0")
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.killed = self.status == -signal.SIGKILL
        return self


def begins_large_batch(line):
    return line.startswith("i b") and int(line.split(" ")[3]) >= 150


def log_uniform(rng, low, high):
    return math.exp(rng.uniform(math.log(low), math.log(high)))


# Telling


def conclude(name, arguments, seed, seconds, tally, count, unit, failures, wanted, full):
    """The table, the numbers as JSON, and the exit status. A run of `full` of its units has to come by all that is wanted."""
    for key in sorted(tally):
        print(f"{key:52}{tally[key]:>12,}")
    print(f"{count:,} {unit}, {seconds:.0f} s, {count / max(seconds, 1e-9):.1f} a second, seed {seed}")
    # What a run is for and did not see, it did not test.
    missing = [key for key in wanted if not tally[key]]
    if missing:
        print(f"NOT SEEN in this run: {', '.join(missing)}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"script": name, "seed": seed, unit: count, "seconds": round(seconds, 3),
                       "a_second": round(count / max(seconds, 1e-9), 2), "failures": len(failures), "not_seen": missing,
                       "numbers": dict(sorted(tally.items()))}, file, indent=1)
            file.write("\n")
    if failures:
        print(f"FAILED, seed {seed}: {len(failures)} promises were broken", file=sys.stderr)
        return 1
    if missing and count >= full:
        print(f"FAILED, seed {seed}: a full run sees all of it", file=sys.stderr)
        return 1
    print("every promise was kept")
    return 0


def run_all(work, jobs, seed, ends_at=lambda found: False):
    """Does all the work, calls by the names that --only repeats them by, and adds up what they come by. Returns that, the failures,
    and the one, if any, that the run was to end at: a canary's."""
    tally, failures = Counter(), []
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        futures = {pool.submit(*call): name for name, call in work.items()}
        for future in as_completed(futures):
            found, failure = future.result()
            tally += found
            if not failure:
                continue
            if ends_at(found):
                pool.shutdown(cancel_futures=True)
                return tally, failures, failure
            failures.append(failure)
            print(
                f"FAILED, seed {seed}: {failure}\n  again: {sys.argv[0]} --seed {seed} --only {futures[future]}",
                file=sys.stderr, flush=True)
    return tally, failures, None


def canary_died(top, failure):
    shutil.rmtree(top)
    print("the canary was noticed: " + failure.splitlines()[0][:200])
    return 0


# What is held against what


class Held:
    """What a ledger or copy holds: from which offset to which, and which events, as (life, counter, count)."""

    __slots__ = ("first", "next", "runs")

    def __init__(self, first, next_, runs):
        self.first, self.next, self.runs = first, next_, tuple(runs)

    @classmethod
    def parse(cls, words):
        runs = []
        if words[5] != "-":
            for text in words[5].split(","):
                life, _, rest = text.partition(":")
                counter, _, count = rest.partition("+")
                runs.append((int(life), int(counter), int(count)))
        return cls(int(words[1]), int(words[2]), runs)

    def __eq__(self, other):
        return other is not None and (self.first, self.next, self.runs) == (other.first, other.next, other.runs)

    def __hash__(self):
        return hash((self.first, self.next, self.runs))

    def __repr__(self):
        return f"{self.first}–{self.next - 1}: {' '.join(f'{life}:{counter}+{count}' for life, counter, count in self.runs)}"

    def plus(self, life, counter, count=1):
        return Held(self.first, self.next + count, joined([*self.runs, (life, counter, count)]))

    def since(self, first):
        """The part from an offset on."""
        return Held(first, self.next, cut(self.runs, first - self.first, self.next - self.first))

    def until(self, next_):
        return Held(self.first, next_, cut(self.runs, 0, next_ - self.first))


def joined(runs):
    out = []
    for life, counter, count in runs:
        if out and out[-1][0] == life and out[-1][1] + out[-1][2] == counter:
            out[-1] = (life, out[-1][1], out[-1][2] + count)
        else:
            out.append((life, counter, count))
    return out


def cut(runs, start, end):
    """The events from one place to another."""
    out, place = [], 0
    for life, counter, count in runs:
        low, high = max(start, place), min(end, place + count)
        if low < high:
            out.append((life, counter + low - place, high - low))
        place += count
    return joined(out)


class OpenEnd(Exception):
    """So much was said while the power failed that the story cannot tell any more what may be found."""


class Story:
    """All that children have said of one ledger and its copies, and so all that may be found of them.

    One operation, or several appends at the same time, can be under way when a child dies. `held` is what was
    acknowledged; of it the events below `durable` outlive a power cut, and `ends` are where the log may end above.
    """

    def __init__(self):
        self.held = self.epoch = self.life = self.pending = None
        self.durable, self.ends = 1, {1}
        # Appends under way, by their first counter: (life, count). And those acknowledged, by offset, before one that
        # stands in front of them was.
        self.batches, self.waiting = {}, {}
        # Of each copy all that may be found: Held, or None for no directory. And those that a look came by.
        self.copies, self.listed = {}, set()
        # Something was acknowledged while the power failed, so that two operations would be under way after the next intent.
        self.is_open_ended = False
        self.tally = Counter()

    def copy(self):
        twin = Story()
        twin.__dict__.update(self.__dict__)
        twin.batches, twin.waiting, twin.copies = dict(self.batches), dict(self.waiting), dict(self.copies)
        twin.ends, twin.listed, twin.tally = set(self.ends), set(self.listed), Counter()
        return twin

    # Hearing

    def tell(self, line, life, after_cut=False, late=False):
        """Takes the next line of a child in. `after_cut`: the power failed since the child before. `late`: it was failing
        while this was said, so that no acknowledgement is binding any more."""
        self.life = life
        letter, *words, _ = line.split(" ")
        if letter == "i":
            self.intend(*words)
        elif letter == "a" and late:
            self.acknowledge_late(*words)
        elif letter == "a":
            self.acknowledge(*words)
        elif letter in "lo":
            self.find(letter, words, after_cut)
        elif letter == "z":
            self.miss()
        elif letter == "x":
            raise Violation("the child says: " + " ".join(words))
        elif letter == "e":
            self.tally["failed: " + " ".join(words[:2])] += 1

    def intend(self, what, *words):
        if self.is_open_ended:
            raise OpenEnd()
        if what == "b":
            self.batches[int(words[0])] = (self.life, int(words[1]))
            return
        self.pending = (what, *words)
        if what == "p":
            self.allow(words[0], {self.held})
        elif what == "f":
            self.allow(words[0], {self.held.until(int(words[1]) + 1)})
        elif what == "q":
            self.allow(words[0], self.may(words[1]) - {None})
        elif what == "w":
            self.allow(words[0], {state.plus(self.life, int(words[1])) for state in self.may(words[0]) - {None}})

    def acknowledge(self, what, *words):
        self.tally["acknowledged " + what] += 1
        if what == "b":
            counter, offset, count, durable = map(int, words)
            life, announced = self.batches.pop(counter)
            if count != announced:
                raise Violation(f"{count} receipts for {announced} events")
            self.waiting[offset] = (life, counter, count)
            while self.held.next in self.waiting:
                self.held = self.held.plus(*self.waiting.pop(self.held.next))
                self.ends.add(self.held.next)
            self.hold(durable)
            return
        pending = self.pending
        if what != "d":
            self.pending = None
        if what in "yd":
            self.hold(int(words[-1]))
        elif what == "c":
            self.hold(self.held.next - 1)
        elif what == "t":
            first = int(words[0])
            if not self.held.first <= first <= max(self.held.first, int(pending[1])):
                raise Violation(f"a trim before {pending[1]} made the log start at {first}, before it was {self.held.first}")
            self.held = self.held.since(first)
            self.hold(int(words[1]))
        elif what == "r":
            if int(words[0]) != self.held.next:
                raise Violation(f"a reset at {self.held.next} made the log start at {words[0]}")
            self.held, self.epoch = Held(self.held.next, self.held.next, ()), words[1]
            self.durable, self.ends = self.held.next, {self.held.next}
        elif what == "w":
            self.copied(words[0], lambda copy: copy.next == int(words[1]) + 1 and ends_with(copy, self.life, int(pending[2])))
        else:
            first, last = int(words[1]), int(words[2])
            wanted = self.may(pending[2]) if what == "q" else {self.held if what == "p" else self.held.until(last + 1)}
            self.copied(words[0], lambda copy: copy in wanted and (copy.first, copy.next) == (first, last + 1))

    def acknowledge_late(self, what, *words):
        self.tally["acknowledged while the power failed"] += 1
        if what == "b":
            self.acknowledge("b", *words[:3], "0")
        elif what not in "ydc":
            # It may or may not have happened, as if nothing had been said of it.
            self.is_open_ended = True

    def hold(self, durable):
        """Everything up to this offset is said to be durable."""
        if durable >= self.durable:
            self.durable = durable + 1
            self.ends = {end for end in self.ends if end >= self.durable} | {self.durable}

    def may(self, name):
        return self.copies.get(name, frozenset([None]))

    def allow(self, name, states):
        self.copies[name] = self.may(name) | states

    def copied(self, name, is_it):
        """A copy is said to be there: only those states are possible any more."""
        states = frozenset(state for state in self.may(name) if state is not None and is_it(state))
        if not states:
            raise Violation(f"what is said of the copy {name} fits none of {set(self.may(name))}")
        self.copies[name] = states

    # What was found

    def find(self, letter, words, after_cut):
        name, outcome = words[:2]
        found = None if outcome == "absent" else Held.parse(words[1:])
        if letter == "o" and int(words[4]) != found.next - 1:
            raise Violation(f"what was opened for writing is durable up to {words[4]} only: {found}")
        if name != ".":
            self.find_copy(letter, name, outcome, found)
            return
        self.tally[("read: " if letter == "l" else "opened: ") + outcome] += 1
        self.listed = set()
        epoch = words[5] if found else None
        if self.held is None or found is None:
            # Nobody said yet that it was there.
            if self.held is not None or found not in (None, Held(1, 1, ())):
                raise Violation(f"the log holds {found}, it held {self.held}")
        elif outcome == "created":
            raise Violation(f"the log was made anew; it held {self.held}")
        else:
            self.accept(found, epoch, after_cut)
        if found is not None:
            # From here on that is what there is: the disk gave it, or the cache that outlives a process.
            self.held, self.epoch = found, epoch
            self.durable, self.ends = found.next, {found.next}
            self.batches, self.waiting, self.pending = {}, {}, None
            self.is_open_ended = False

    def find_copy(self, letter, name, outcome, found):
        if found not in self.may(name):
            raise Violation(f"the copy {name} holds {found}, which is none of {set(self.may(name))}")
        self.copies[name] = frozenset([found])
        if letter == "l":
            self.listed.add(name)
            return
        self.tally["opened a copy: " + outcome] += 1
        if self.pending and self.pending[:2] == ("w", name):
            self.allow(name, {found.plus(self.life, int(self.pending[2]))})

    def miss(self):
        """All copies that are there were listed."""
        for name in self.copies.keys() - self.listed:
            if None not in self.copies[name]:
                raise Violation(f"the copy {name} is gone; it held one of {set(self.copies[name])}")
            self.copies[name] = frozenset([None])

    def accept(self, found, epoch, after_cut):
        what = self.pending[0] if self.pending else None
        held = self.held
        if what == "r" and epoch != self.epoch and not found.runs:
            if found.first != held.next:
                raise Violation(f"after a reset the log starts at {found.first}; its next offset was {held.next}")
            self.tally["unacknowledged resets that happened"] += 1
            return
        if epoch != self.epoch:
            raise Violation(f"the epoch is {epoch}, it was {self.epoch}")
        ends = [held.next] + [offset + run[2] for offset, run in self.waiting.items()]
        must = self.durable if after_cut else max(ends)
        if found.first != held.first:
            if what != "t" or not held.first < found.first <= min(int(self.pending[1]), held.next):
                raise Violation(f"the log starts at {found.first}, it started at {held.first}")
            # A trim seals and syncs before it drops anything.
            held, must = held.since(found.first), held.next
            self.tally["unacknowledged trims that happened"] += 1
        if found.next < must:
            raise Violation(f"the log ends at {found.next - 1}; everything up to {must - 1} was to stay")
        if found.next <= held.next:
            if found != held.until(found.next):
                raise Violation(f"the log holds\n  {found}, which is not the first of\n  {held}")
            if found.next not in self.ends:
                raise Violation(f"the log ends at {found.next - 1}, within a batch; it may end before {sorted(self.ends)}")
            self.tally["events lost that may be"] += held.next - found.next
            return
        if found.until(held.next) != held:
            raise Violation(f"the log holds\n  {found}, which does not begin with\n  {held}")
        self.accept_batches(found.since(held.next))

    def accept_batches(self, found):
        """Behind what was acknowledged stand whole batches that were under way, each once, in any order."""
        left = dict(self.batches)
        place = found.first
        for life, counter, count in found.runs:
            while count:
                if place in self.waiting:
                    run = self.waiting[place]
                else:
                    run = (*left.pop(counter, (None, 0))[:1], counter, self.batches.get(counter, (None, 0))[1])
                    self.tally["unacknowledged batches that are there"] += 1
                if run[:2] != (life, counter) or not 0 < run[2] <= count:
                    raise Violation(
                        f"at {place} the log holds {life}:{counter}+{count}, which is no whole batch of"
                        f" {self.batches} and {self.waiting}")
                place, counter, count = place + run[2], counter + run[2], count - run[2]


def ends_with(held, life, counter):
    return bool(held.runs) and (held.runs[-1][0], held.runs[-1][1] + held.runs[-1][2] - 1) == (life, counter)
