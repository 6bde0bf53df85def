#!/usr/bin/env python3
"""Kills Fuzz/Writer with SIGKILL at random moments, again and again on the same ledger, and checks what the next one finds.

Each cycle is one process: it says what it finds on opening, lives on, and is killed after a random time, so that the check
of one death is the beginning of the next life. Some are killed while they open and recover. A process's death loses
nothing that was written: all that was acknowledged must be there, buffered or durable, and what was under way is there
whole or not at all. Every so many lives a ledger is looked at by a reader, which must change nothing, checked to the last
byte, and left for a new one.

usage: kills.py [--cycles N] [--seed S] [--dir DIR] [--jobs N] [--writer PATH] [--json FILE] [--quick] [--only LEDGER]

Works on /dev/shm unless told otherwise: the page cache keeps what a killed process wrote just as on a disk. Timing is
real, so a seed repeats the lives and the choices, but not the exact moment of each death. A failure prints the story's
end and keeps the files and the whole story.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import ledgerfaults as lf
import lives
from ledgerfaults import Violation

# So many deaths a ledger.
LIVES = 40
# What a run of some thousand deaths must have come by.
WANTED = [
    "killed while living", "killed while opening", "killed while looking", "opened: torn", "opened: sealed", "opened: clean",
    "read: torn", "unacknowledged batches that are there", "acknowledged p", "acknowledged f", "acknowledged q",
    "acknowledged r", "acknowledged t", "acknowledged w", "unacknowledged trims that happened",
    "unacknowledged resets that happened",
]


class Ledger:
    """One ledger and its lives."""

    def __init__(self, writer, top, seed, number):
        self.writer, self.number = writer, number
        self.rng = random.Random(f"{seed}/{number}")
        self.place = Path(top) / f"ledger-{number}"
        self.path = str(self.place / "l")
        self.content = str(self.rng.getrandbits(63))
        self.story, self.lines, self.tally = lives.Story(), [], Counter()

    def child(self, mode, life, *more):
        return lives.Child([self.writer, mode, self.path, self.content, str(life), *more])

    def hear_out(self, child, life):
        child.end()
        self.lines += [f"{life}: {line}" for line in child.lines]
        self.lines.append(f"{life}: ended with {child.status}")
        for line in child.lines:
            self.story.tell(line, life)
        if not child.killed and child.status != lives.DONE:
            raise Violation(f"life {life} ended with {child.status}: {child.lines[-1:]}")

    def run(self, count):
        self.place.mkdir()
        for life in range(1, count + 1):
            self.live(life)
            if life % 20 == 0:
                before = lf.fingerprint(self.place)
                self.hear_out(self.child("look", count + life), life)
                lf.check_unchanged(before, self.place)
        self.hear_out(self.child("check", 3 * count), 3 * count)
        self.tally += self.story.tally
        shutil.rmtree(self.place)

    def live(self, life):
        rng = self.rng
        moment = rng.choices(["living", "opening", "writing", "starting"], [52, 25, 18, 5])[0]
        mood = "heavy" if moment == "writing" else rng.choice(lives.MOODS)
        words = ["--mood", mood] + (["--look"] if rng.random() < 0.3 else [])
        begun = time.monotonic()
        child = self.child("live", life, *words)
        if moment == "starting":
            goes = child.hear_until(begun + rng.uniform(0, 0.005))
        elif moment == "opening":
            goes = child.hear_line(lambda line: line[0] == "s") and self.wait(child, lives.log_uniform(rng, 5e-6, 3e-3))
        elif moment == "writing":
            # In the middle of a write that takes a while: what a death tears is not a page but such a batch.
            goes = child.hear_line(lives.begins_large_batch) and self.wait(child, rng.uniform(1e-4, 1.5e-3))
        else:
            goes = child.hear_line(lambda line: line[0] == "o") and self.wait(child, lives.log_uniform(rng, 1e-5, 2e-2))
        if goes:
            child.kill()
        self.hear_out(child, life)
        if not child.killed:
            raise Violation(f"life {life} ended by itself")
        letters = {line[0] for line in child.lines}
        when = "living" if "o" in letters else "opening" if not {"l"} & letters else "looking"
        self.tally["killed while " + (when if "s" in letters else "starting")] += 1

    @staticmethod
    def wait(child, seconds):
        return child.hear_until(time.monotonic() + seconds)


def run_ledger(writer, top, seed, number, count):
    ledger = Ledger(writer, top, seed, number)
    try:
        ledger.run(count)
        return ledger.tally, None
    except Exception as error:
        # A mistake of the harness's own is a failure with a story too.
        (ledger.place / "story").write_text("\n".join(ledger.lines) + f"\n{error!r}\n")
        end = "\n    ".join(line[:300] for line in ledger.lines[-12:])
        return ledger.tally + ledger.story.tally, (
            f"ledger {number}, life {ledger.story.life}: {type(error).__name__}: {error}\n    {end}\n  kept in {ledger.place}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=20_000)
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--dir", default=None, help="where to work; /dev/shm if there is one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--writer", default=None, help="a release build; built if missing")
    parser.add_argument("--json", default=None, help="a file for the numbers")
    parser.add_argument("--quick", action="store_true", help="400 kills, for CI")
    parser.add_argument("--only", type=int, default=None, help="this ledger of the seed's")
    arguments = parser.parse_args()
    writer = lf.find_program("writer", arguments.writer)
    seed = arguments.seed or lf.random_seed()
    where = arguments.dir or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
    top = Path(tempfile.mkdtemp(prefix="kills-", dir=where))
    cycles = 400 if arguments.quick else arguments.cycles
    print(f"seed {seed}, {cycles:,} kills, in {top}", flush=True)
    numbers = range(-(-cycles // LIVES)) if arguments.only is None else [arguments.only]
    start = time.monotonic()
    work = {number: (run_ledger, writer, top, seed, number, LIVES) for number in numbers}
    tally, failures, _ = lives.run_all(work, arguments.jobs, seed)
    kills = sum(count for key, count in tally.items() if key.startswith("killed"))
    status = lives.conclude(
        "kills", arguments, seed, time.monotonic() - start, tally, kills, "kills", failures,
        WANTED if arguments.only is None else [], 10000)
    if not failures:
        shutil.rmtree(top)
    return status


if __name__ == "__main__":
    sys.exit(main())
