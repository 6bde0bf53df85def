#!/usr/bin/env python3
"""Cuts the power under Fuzz/Writer, on real file systems, and checks what is there when they are mounted again.

ext4 and xfs in image files know an ioctl that stops them at once, for tests: from then on nothing reaches the disk. With
NOLOGFLUSH what the journal had in memory is lost, as when the power fails; with LOGFLUSH it is written, and by default all is.
A child lives on the mounted file system; at a random moment, which may be in the middle of opening and recovery, the child is
killed and the file system shut down, or the other way round, so that the child sees its disk go. The file system is mounted again, which replays its journal, and the next child says
what it finds. All that was acknowledged as durable must be there; what was only buffered may be gone from the end, in whole
batches. So it goes on for some cuts, with the same file system, and then with a fresh one.

While the ioctl is at work, some milliseconds, Linux's fdatasync may answer OK for bytes that are then gone: seen with a dozen
lines of Python in place of the engine, in 26 of 150 shutdowns of ext4 and 6 of 150 of xfs (Linux 6.18). A power cut has no such
while. So what is acknowledged after the ioctl began binds nobody; what was before it does.

usage: power-cuts.py [--cycles N] [--seed S] [--filesystems ext4,xfs] [--options O] [--dir DIR] [--writer PATH] [--json FILE]
                     [--quick] [--allow-skip] [--canary] [--only FS/NUMBER]

Needs root and loop devices, and says SKIPPED where it has them not. Timing is real, so a seed repeats the lives and the choices,
but not the exact moment of each cut. A failure prints the story's end and keeps the image and the whole story.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import disks
import ledgerfaults as lf
import lives
from ledgerfaults import Violation

INSIDE = "POWER_CUTS_NAMESPACE"
# So many cuts a file system.
CUTS = 20
FLAGS = {"nothing flushed": disks.FLUSH_NOTHING, "log flushed": disks.FLUSH_LOG, "all flushed": disks.FLUSH_ALL}
# Not data=journal, unless asked for: there, blocks that fallocate reserved may hold an older file's bytes after a crash. The
# journal writes those back over zeros that went past it, and no revoke record keeps it from that: of 180 files written
# by a few lines of Python, 151 (Linux 6.18). A ledger whose seal such bytes follow is refused as damaged; nothing is lost.
OPTIONS = {"ext4": ["", "", "nodelalloc", "data=writeback"], "xfs": [""]}
MAKING = {"ext4": [["-b", "1024"], ["-b", "4096"]], "xfs": [[]]}
WANTED = [
    "opened: clean", "opened: torn", "opened: sealed", "events lost that may be", "cut while living", "cut while opening",
    "unacknowledged batches that are there", "acknowledged p", "acknowledged f", "acknowledged q", "acknowledged r",
    "acknowledged t",
]


class Bench:
    """One file system, and the lives on it."""

    def __init__(self, writer, top, seed, kind, number, environment, options):
        self.writer, self.kind, self.number, self.environment = writer, kind, number, environment
        self.rng = random.Random(f"{seed}/{kind}/{number}")
        self.place = Path(top) / f"{kind}-{number}"
        self.place.mkdir()
        self.disk = disks.Disk(self.place, kind)
        self.path = str(self.disk.path / "l")
        self.content = str(self.rng.getrandbits(63))
        self.story, self.lines, self.tally = None, [], Counter()
        self.options = self.rng.choice(OPTIONS[kind]) if options is None else options

    def run(self, count):
        self.begin()
        for life in range(1, count + 1):
            try:
                self.cut(life)
            except lives.OpenEnd:
                self.tally += self.story.tally + Counter({"begun anew: too much was said while the power failed": 1})
                self.disk.unmount()
                self.begin()
        self.is_fresh = True
        if self.rng.random() < 0.3:
            before = lf.fingerprint(self.disk.path)
            self.hear_out(self.child("look", 2 * count).end(), 2 * count)
            lf.check_unchanged(before, self.disk.path)
        self.hear_out(self.child("check", 3 * count).end(), 3 * count)
        self.tally += self.story.tally
        self.disk.unmount()
        shutil.rmtree(self.place)

    def begin(self):
        self.story = lives.Story()
        self.disk.make(*self.rng.choice(MAKING[self.kind]))
        self.disk.mount(self.options)

    def child(self, mode, life, *more):
        return lives.Child([self.writer, mode, self.path, self.content, str(life), *more], self.environment)

    def hear_out(self, child, life, was_cut=None):
        """Takes in all that a child said; `was_cut` is when the power began to fail."""
        self.lines += [f"{life}: {line}" for line in child.lines]
        self.lines.append(f"{life}: ended with {child.status}")
        for line in child.lines:
            late = was_cut is not None and int(line.rsplit(" ", 1)[1]) >= was_cut
            self.story.tell(line, life, after_cut=self.is_fresh, late=late)
        self.is_fresh = False
        if child.status != lives.DONE and not child.killed and not (was_cut is not None and self.may_end_so(child)):
            raise Violation(f"life {life} ended with {child.status}: {child.lines[-1:]}")

    @staticmethod
    def may_end_so(child):
        """Without a disk an operation fails, by an error or, where memory shows a file, by a signal."""
        return child.killed or child.status == -7 or (child.status in (lives.CANNOT_READ, lives.CANNOT_OPEN, lives.FAILED) and all(
            line.split(" ")[2] in ("io", "readOnlyFileSystem") or line.startswith("e outcomeUnknown -")
            for line in child.lines if line[0] == "e"))

    def cut(self, life):
        rng = self.rng
        how = rng.choices(list(FLAGS), [70, 20, 10])[0]
        dies_first = rng.random() < 0.6
        moment = rng.choices(["living", "opening", "checking", "writing"], [60, 15, 10, 15])[0]
        self.is_fresh = True
        if dies_before := rng.random() < 0.25:
            self.die(5 * CUTS + life)
        gate = self.disk.open_gate()
        try:
            # After a mere death a reader sees what is in memory only, and what it saw would count as being on the disk.
            if moment == "checking" and not dies_before:
                child = self.child("check", life)
            else:
                mood = "heavy" if moment == "writing" else rng.choice(lives.MOODS)
                child = self.child("live", life, "--mood", mood, *(["--look"] if rng.random() < 0.3 and not dies_before else []))
            with disks.Writeback(self.path, rng.choice([0.001, 0.004])) if rng.random() < 0.5 else contextlib.nullcontext():
                if moment in ("opening", "checking"):
                    child.hear_line(lambda line: line[0] == "s") and self.wait(child, lives.log_uniform(rng, 1e-5, 1e-2))
                elif moment == "writing":
                    child.hear_line(lives.begins_large_batch) and self.wait(child, lives.log_uniform(rng, 1e-4, 2e-2))
                else:
                    child.hear_line(lambda line: line[0] == "o") and self.wait(child, lives.log_uniform(rng, 5e-5, 1.5e-1))
            if dies_first:
                child.kill()
            was_cut = time.monotonic_ns()
            self.disk.shut_down(FLAGS[how], gate)
            if not dies_first:
                # Long enough to meet the errors.
                self.wait(child, rng.choice([0, 0.002, 0.02]))
                child.kill()
        finally:
            os.close(gate)
        self.lines.append(f"{life}: cut, {how}, {was_cut}")
        self.tally[f"{self.kind} cuts, {how}"] += 1
        child.end()
        self.tally["cut while " + ("living" if any(line[0] == "o" for line in child.lines) else "opening")] += 1
        if child.status == -7:
            self.tally["SIGBUS: a mapped file whose disk had gone was read"] += 1
        self.hear_out(child, life, was_cut)
        self.disk.unmount()
        self.disk.mount(self.options)

    def die(self, life):
        """A process dies, and the next one takes over what it left in memory before the power fails."""
        child = self.child("live", life, "--mood", self.rng.choice(lives.MOODS))
        child.hear_line(lambda line: line[0] == "o") and self.wait(child, lives.log_uniform(self.rng, 1e-4, 5e-2))
        child.kill()
        self.hear_out(child.end(), life)
        self.tally["killed before the cut"] += 1

    @staticmethod
    def wait(child, seconds):
        child.hear_until(time.monotonic() + seconds)


def run_disk(writer, top, seed, kind, number, count, environment, options):
    bench = Bench(writer, top, seed, kind, number, environment, options)
    try:
        bench.run(count)
        return bench.tally, None
    except Exception as error:
        # A mistake of the harness's own is a failure with a story too.
        (bench.place / "story").write_text("\n".join(bench.lines) + f"\n{error!r}\n")
        if bench.disk.is_mounted():
            bench.disk.unmount()
        end = "\n    ".join(line[:300] for line in bench.lines[-12:])
        return bench.tally + bench.story.tally, (
            f"{kind}/{number}, {bench.options or 'default'} options, life {bench.story.life}: {type(error).__name__}: {error}\n"
            f"    {end}\n  kept in {bench.place}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--filesystems", default="ext4,xfs")
    parser.add_argument("--dir", default=None, help="where the images are; /dev/shm if there is one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--writer", default=None, help="a release build; built if missing")
    parser.add_argument("--json", default=None, help="a file for the numbers")
    parser.add_argument("--quick", action="store_true", help="80 cuts, for CI")
    parser.add_argument("--allow-skip", action="store_true", help="what cannot be had here is no failure")
    parser.add_argument("--options", default=None, help="mount with these")
    parser.add_argument("--canary", action="store_true", help="let no sync do anything; not to notice is the failure")
    parser.add_argument("--only", default=None, help="this file system of the seed's, as FS/NUMBER")
    arguments = parser.parse_args()
    if reason := os.geteuid() and "not root" or lf.enter_namespace(INSIDE):
        lf.skipped(f"no mounts of one's own here ({reason}); no power was cut")
        return 0 if arguments.allow_skip else 1
    writer = lf.find_program("writer", arguments.writer)
    seed = arguments.seed or lf.random_seed()
    where = arguments.dir or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
    top = Path(tempfile.mkdtemp(prefix="power-cuts-", dir=where)).resolve()
    kinds = arguments.filesystems.split(",")
    for kind in list(kinds):
        if reason := disks.why_unusable(kind, top):
            lf.skipped(f"{kind} cannot be mounted here: {reason}")
            kinds.remove(kind)
            if not arguments.allow_skip:
                return 1
    cycles = 80 if arguments.quick else arguments.cycles
    print(f"seed {seed}, {cycles:,} cuts on {', '.join(kinds) or 'nothing'}, in {top}", flush=True)
    tasks = [(kind, number) for number in range(-(-cycles // (CUTS * max(1, len(kinds))))) for kind in kinds]
    if arguments.only:
        kind, _, number = arguments.only.partition("/")
        tasks = [(kind, int(number))]
    try:
        environment = disks.build_canary(top) if arguments.canary else None
    except OSError as error:
        lf.skipped(f"no canary ({error})")
        return 0 if arguments.allow_skip else 1
    start = time.monotonic()
    work = {
        f"{kind}/{number}": (run_disk, writer, top, seed, kind, number, CUTS, environment, arguments.options)
        for kind, number in tasks}
    tally, failures, noticed = lives.run_all(work, arguments.jobs, seed, lambda found: arguments.canary)
    if noticed:
        return lives.canary_died(top, noticed)
    cuts = sum(count for key, count in tally.items() if key.startswith("cut while"))
    status = lives.conclude(
        "power-cuts", arguments, seed, time.monotonic() - start, tally, cuts, "cuts", failures,
        WANTED if kinds and not arguments.only else [], 1000)
    if arguments.canary and kinds:
        print("FAILED: syncs did nothing, and nobody noticed", file=sys.stderr)
        return 1
    if not failures:
        shutil.rmtree(top)
    return status


if __name__ == "__main__":
    sys.exit(main())
