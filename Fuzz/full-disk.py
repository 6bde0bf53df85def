#!/usr/bin/env python3
"""Fills tiny file systems to the last byte under the real `ledgerctl`, and checks what it said and what is left.

Each file system (ext4 in an image on a loop device, with blocks of 1 and 4 KiB, with and without a journal; tmpfs) is
mounted in a mount namespace of the script's own, so nothing is left mounted, whatever happens. Scenarios:

  import    import until the disk is full, with so much room and such segments; then read on the full disk (export, get,
            stat, verify, runs, tail: all of them work and change nothing), fill it to the last byte and read again;
            append and import again and again, which must fail without using more space or leaving ever more files;
            mount it read-only and read; free some room, and import to the end.
  sweep     a small ledger and so many KiB of free space, in steps of one block, so that the disk is full at each step
            of import, append, create, salvage (and snapshot, fork): typed error, old state or new state, and with room
            it goes on.
  reset     `reset --yes` (and `trim`) with so much room, none included: they must work, for they are what makes room.
  inodes    the same, where not bytes but inodes are used up (tmpfs).
  limit     RLIMIT_FSIZE: short counts and EFBIG, with the limit kept over several imports and then lifted; `ignored`
            and `default` is what is done about SIGXFSZ, which by default kills.
  default   a new ledger with segments as by default, larger than the disk.

An import that fails for want of room exits with 74, says in one sentence that the disk is full and where, and leaves a
prefix of whole batches that holds all it acknowledged.

usage: full-disk.py [--quick] [--ledgerctl PATH] [--dir DIR] [--seed N] [--only NAME]

`--quick` samples and takes under 30 s. NAME is the front of a case's name, such as `tmpfs`, `ext4-1k/sweep` or
`tmpfs/sweep/import/12`. A failure prints its seed and how to replay it; the run goes on to the end. Where mounting is
not permitted the script says SKIPPED and exits with 0; in a user namespace, which may mount tmpfs only, ext4 is
SKIPPED. Disk quotas (EDQUOT) are not set up here; strace-faults.py fakes that error."""

import argparse
import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import ledgerfaults as lf
from ledgerfaults import Violation

INSIDE = "FULL_DISK_NAMESPACE"
COUNT, SMALL, STORED = 9300, 2300, 1000
KIB, MIB = 1 << 10, 1 << 20
APPENDED = [
    "--run", "run-appended", "--kind", "agent.spoke", "--actor", "planner", "--payload", '{"n":7}', "--id", "appended-1",
]


@dataclass
class Kind:
    name: str
    bytes: int
    step: int
    # mkfs.ext4's options, or None for tmpfs.
    make: list = None
    options: str = ""


KINDS = [
    Kind("tmpfs", 4 * MIB, 4 * KIB),
    Kind("ext4-1k", 6 * MIB, KIB, ["-b", "1024", "-O", "^has_journal"]),
    Kind("ext4-4k", 8 * MIB, 4 * KIB, ["-b", "4096"]),
]


class Disk:
    """A tiny file system, mounted as long as the `with` lasts."""

    def __init__(self, top, kind, options=""):
        self.kind, self.options = kind, options
        self.path, self.image = top / "disk", top / "image"

    def __enter__(self):
        self.path.mkdir(exist_ok=True)
        if self.kind.make is None:
            options = f"size={self.kind.bytes}" + (f",{self.options}" if self.options else "")
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path]
        else:
            with self.image.open("wb") as file:
                file.truncate(self.kind.bytes)
            call(["mkfs.ext4", "-q", "-F", "-m", "0", *self.kind.make, self.image])
            command = ["mount", "-o", "loop", self.image, self.path]
        call(command)
        return self

    def __exit__(self, *_):
        for attempt in range(20):
            done = subprocess.run(["umount", self.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if done.returncode == 0:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["umount", "-l", self.path], check=False)
        self.image.unlink(missing_ok=True)

    def remount(self, how):
        call(["mount", "-o", f"remount,{how}", self.path])

    @property
    def free(self):
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def fill(self, leave=0):
        """Fills the disk but for so many bytes; what it was filled with is `ballast`."""
        with open(self.path / "ballast", "ab", buffering=0) as file:
            for size in (64 * KIB, 4 * KIB, KIB, 64, 1):
                part = b"\xb5" * size
                while True:
                    try:
                        if file.write(part) < size:
                            break
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break
            # Blocks count, not bytes.
            length = os.fstat(file.fileno()).st_size
            if leave:
                file.truncate(max(0, length - leave) // self.kind.step * self.kind.step)
            os.fsync(file.fileno())

    def relieve(self):
        (self.path / "ballast").unlink(missing_ok=True)

    def use(self, ledger):
        """What a ledger takes: files, and bytes of disk."""
        paths = [path for path in ledger.rglob("*") if path.is_file()] if ledger.exists() else []
        return len(paths), sum(path.stat().st_blocks * 512 for path in paths)


def call(command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stdout.decode(errors='replace').strip()}")


# The scenarios


class Bench:
    def __init__(self, program, seed, top):
        self.program, self.seed, self.top = program, seed, top
        self.lines = lf.make_events(f"{seed}/disk", COUNT, size=220)
        self.large, self.small, self.stored = top / "large.jsonl", top / "small.jsonl", top / "stored.jsonl"
        self.large.write_bytes(b"".join(self.lines))
        self.small.write_bytes(b"".join(self.lines[:SMALL]))
        self.stored.write_bytes(b"".join(self.lines[:STORED]))
        self.tally = Counter()
        # Broken promises that keep nobody from looking further.
        self.complaints = []
        # Where batches end, apart from the usual places.
        self.ends = set()

    # Parts

    def judge(self, outcome, place, good=(lf.IO_ERROR,), number=errno.ENOSPC):
        """How a command ended on the full disk."""
        if outcome.status not in good:
            raise Violation(f"{lf.describe(outcome.words)} on a full disk {outcome.said}")
        lf.check_message(outcome, place, number)
        if outcome.status == lf.IO_ERROR:
            self.tally["typed errors"] += 1
            if number == errno.ENOSPC and "the disk is full" not in outcome.stderr:
                raise Violation(f"the message does not say that the disk is full: {outcome.stderr!r}")

    def read_everything(self, ledger, lines, at_least):
        """Reads with every command, which changes nothing. Returns how many events there are."""
        before = lf.fingerprint(ledger)
        found = self.program.count_prefix(ledger, lines, at_least, lf.batch_ends(len(lines)) | self.ends)
        stat = json.loads(self.program.must("stat", ledger, "--json").stdout)
        if stat["events"] != found:
            raise Violation(f"stat says {stat}, export gave {found} events")
        if found:
            for number in {0, found // 2, found - 1}:
                got = json.loads(self.program.must("get", ledger, lf.id_of(lines[number])).stdout)
                if got["offset"] != number + 1:
                    raise Violation(f"get gives event {number + 1} the offset {got['offset']}")
            run = json.loads(lines[found - 1])["run_id"]
            self.program.must("run", ledger, run)
            tail = self.program.must("tail", ledger, "--after", found - 1).stdout
            if tail.count(b"\n") != 1:
                raise Violation(f"tail gives {tail[:300]!r}")
        self.program.must("runs", ledger)
        self.program.must("dump", ledger)
        lf.check_unchanged(before, ledger)
        self.tally["readings of a full disk"] += 1
        return found

    # import

    def scenario_import(self, disk, segment, leave):
        program, lines, ledger = self.program, self.lines, disk.path / "ledger"
        program.must("create", ledger, "--segment-size", segment)
        disk.fill(leave)
        outcome = program.run("import", ledger, self.large, "--acks")
        self.judge(outcome, disk.path)
        found = self.read_everything(ledger, lines, outcome.acked)
        found = self.fail_again(disk, ledger, found)
        disk.fill()
        found = self.read_everything(ledger, lines, found)
        found = self.fail_again(disk, ledger, found)
        # A single event may still fit into what the segment reserved.
        self.ends |= {found + 1}
        outcome = program.run("import", ledger, "--acks", stdin=lines[found])
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR))
        found = self.read_everything(ledger, lines, found + (outcome.status == 0))
        disk.remount("ro")
        self.read_everything(ledger, lines, found)
        outcome = program.run("import", ledger, self.large)
        if outcome.status != lf.PERMISSION:
            raise Violation(f"an import into a file system mounted read-only {outcome.said}")
        lf.check_message(outcome, disk.path, errno.EROFS)
        disk.remount("rw")
        disk.relieve()
        program.complete(ledger, self.large, lines, found)

    def fail_again(self, disk, ledger, found):
        """Imports that fail again and again do not use the disk up, nor fill the directory."""
        uses = [disk.use(ledger)]
        for _ in range(6):
            outcome = self.program.run("import", ledger, self.large, "--acks")
            self.judge(outcome, disk.path)
            now = self.program.count_prefix(ledger, self.lines, max(found, outcome.acked))
            if now > found:
                # Something fitted after all.
                uses, found = [], now
            uses.append(disk.use(ledger))
            self.tally["failing repeats"] += 1
        # The first may leave something that the next takes up.
        if len(uses) > 3 and (uses[-1][0] > uses[2][0] or uses[-1][1] > uses[2][1]):
            self.complaints.append(
                f"each import that fails on the full disk leaves more behind (files, bytes of disk): {uses}")
        return found

    # sweep

    def prepare(self, disk, count=STORED):
        ledger = disk.path / "ledger"
        self.program.must("create", ledger, "--segment-size", "16KiB")
        if count:
            self.program.must("import", ledger, self.stored)
        return ledger

    def scenario_sweep(self, disk, what, leave):
        getattr(self, "sweep_" + what)(disk, leave)
        self.tally["sweep " + what] += 1

    def sweep_import(self, disk, leave):
        ledger = self.prepare(disk)
        disk.fill(leave)
        outcome = self.program.run("import", ledger, self.small, "--acks")
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR))
        lines = self.lines[:SMALL]
        found = self.read_everything(ledger, lines, max(STORED, outcome.acked))
        if outcome.status == 0 and found != SMALL:
            raise Violation(f"the import said that it is done, and {found} events are there")
        disk.relieve()
        self.program.complete(ledger, self.small, lines, found)

    def sweep_append(self, disk, leave):
        ledger = self.prepare(disk)
        disk.fill(leave)
        outcome = self.program.run("append", ledger, *APPENDED)
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR))
        found = self.program.export(ledger)
        lf.check_prefix(found[:STORED], self.lines[:STORED], STORED, {STORED})
        if outcome.status == 0 and len(found) != STORED + 1:
            raise Violation("the append was acknowledged, and the event is not there")
        self.program.check_sound(ledger, len(found))
        disk.relieve()
        if len(found) == STORED:
            self.program.must("append", ledger, *APPENDED)
        self.program.check_sound(ledger, STORED + 1)
        lf.check_no_leftovers(ledger)

    def sweep_create(self, disk, leave):
        ledger = disk.path / "new"
        disk.fill(leave)
        outcome = self.program.run("create", ledger, "--segment-size", "16KiB")
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR, lf.CANNOT_CREATE))
        found = self.program.export(ledger)
        if found not in (None, []) or outcome.status == 0 and found is None:
            raise Violation(f"after a creation that {outcome.said}: export gives {found}")
        disk.relieve()
        again = self.program.run("create", ledger, "--segment-size", "16KiB")
        if again.status != (lf.DONE if found is None else lf.CANNOT_CREATE):
            raise Violation(f"creating it again, with room, {again.said}")
        self.program.complete(ledger, self.small, self.lines[:SMALL], 0)

    def sweep_salvage(self, disk, leave):
        self.copy(disk, leave, lambda ledger, copy: ["salvage", ledger, "--into", copy], removes=True)

    def sweep_snapshot(self, disk, leave):
        self.copy(disk, leave, lambda ledger, copy: ["snapshot", ledger, copy])

    def sweep_fork(self, disk, leave):
        self.copy(disk, leave, lambda ledger, copy: ["fork", ledger, copy])

    def copy(self, disk, leave, words, removes=False):
        """The copy is there as a whole or not at all; with room it can be made."""
        ledger, copy = self.prepare(disk), disk.path / "copy"
        disk.fill(leave)
        outcome = self.program.run(*words(ledger, copy))
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR))
        self.read_everything(ledger, self.lines[:STORED], STORED)
        found = self.program.export(copy) if copy.exists() else None
        if copy.exists() != (found == self.lines[:STORED]) or outcome.status == 0 and found is None:
            raise Violation(f"{lf.describe(outcome.words)} {outcome.said} and left a part of a copy")
        disk.relieve()
        if found is None:
            again = self.program.run(*words(ledger, copy))
            if again.status == lf.CANNOT_CREATE and removes:
                # What a salvage left of its first attempt is for the user to remove, and it says what that is.
                left = [path for path in disk.path.iterdir() if path.name.startswith("copy")]
                if not left or any(str(path) not in again.stderr for path in left):
                    raise Violation(f"making the copy again does not name what is in its way, {left}: {again.said}")
                for path in left:
                    shutil.rmtree(path)
                again = self.program.run(*words(ledger, copy))
            if again.status != 0:
                raise Violation(f"making the copy again, with room, {again.said}")
        if self.program.export(copy) != self.lines[:STORED]:
            raise Violation("the copy that was made with room is not whole")
        self.program.check_sound(copy, STORED)
        known = {"ledger", "copy", "ballast", "lost+found"}
        if left := [path.name for path in disk.path.iterdir() if path.name not in known]:
            raise Violation(f"left beside the copy: {left}")

    # reset

    def scenario_reset(self, disk, what, segment, leave):
        """What makes room has to work without any."""
        program = self.program
        ledger = disk.path / "ledger"
        program.must("create", ledger, "--segment-size", segment)
        program.must("import", ledger, self.small)
        disk.fill(leave)
        words = ["reset", ledger, "--yes"] if what == "reset" else ["trim", ledger, "--before", str(SMALL - 100)]
        outcome = program.run(*words)
        found = program.export(ledger)
        lines = self.lines[:SMALL]
        if found is None or found != lines[len(lines) - len(found) :] or outcome.status == 0 and found == lines:
            raise Violation(f"{what} {outcome.said} and left {None if found is None else len(found)} events")
        program.check_sound(ledger, len(found))
        self.tally[what + " on a full disk"] += 1
        if outcome.status != 0:
            self.judge(outcome, disk.path)
            disk.relieve()
            program.must(*words)
            raise Violation(f"with {leave} bytes free, {what}, which is to make room, {outcome.said}")
        program.must("append", ledger, *APPENDED)
        disk.relieve()
        if what == "reset":
            report = json.loads(program.must("import", ledger, self.small, "--json").stdout)
            if report["appended"] != SMALL:
                raise Violation(f"an import after the reset says {report}")
            program.check_sound(ledger, SMALL + 1)
        lf.check_no_leftovers(ledger)

    # inodes, limit, default

    def scenario_inodes(self, disk, what, count):
        ledger = disk.path / "ledger"
        words = ["create", ledger] if what == "create" else ["import", ledger, self.small, "--acks"]
        if what == "import":
            first = self.program.run("create", ledger, "--segment-size", "16KiB")
            self.judge(first, disk.path, (lf.DONE, lf.IO_ERROR))
        outcome = self.program.run(*words)
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR))
        lines = self.lines[:SMALL]
        found = self.program.count_prefix(ledger, lines, outcome.acked)
        uses = []
        for _ in range(4):
            again = self.program.run("import", ledger, self.small, "--acks")
            self.judge(again, disk.path, (lf.DONE, lf.IO_ERROR))
            found = self.program.count_prefix(ledger, lines, max(found, again.acked))
            uses.append(disk.use(ledger))
        if uses[-1][0] > uses[1][0] or uses[-1][1] > uses[1][1]:
            self.complaints.append(f"each import that fails leaves more behind (files, bytes of disk): {uses}")
        disk.remount(f"size={disk.kind.bytes},nr_inodes=1000")
        self.program.complete(ledger, self.small, lines, found)
        self.tally["inodes " + what] += 1

    def scenario_limit(self, disk, how, limit):
        ledger = disk.path / "ledger"
        self.program.must("create", ledger, "--segment-size", "64KiB")
        found, uses = 0, []
        for _ in range(5):
            outcome = self.program.run(
                "import", ledger, self.small, "--acks", limits={resource.RLIMIT_FSIZE: limit},
                ignores_file_size_signal=how == "ignored")
            if not (how == "default" and outcome.status == -signal.SIGXFSZ):
                self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR), errno.EFBIG)
            now = self.program.count_prefix(ledger, self.lines[:SMALL], max(found, outcome.acked))
            if outcome.status == 0 and now != SMALL:
                raise Violation(f"the import said that it is done, and {now} events are there")
            uses = [] if now > found else uses
            found = now
            uses.append(disk.use(ledger))
        if len(uses) > 3 and (uses[-1][0] > uses[2][0] or uses[-1][1] > uses[2][1]):
            self.complaints.append(
                f"each import that fails at the limit leaves more behind (files, bytes of disk): {uses}")
        self.program.complete(ledger, self.small, self.lines[:SMALL], found)
        self.tally["file size limits"] += 1

    def scenario_default(self, disk, leave):
        ledger = disk.path / "ledger"
        disk.fill(leave)
        outcome = self.program.run("import", ledger, self.small, "--acks")
        self.judge(outcome, disk.path, (lf.DONE, lf.IO_ERROR))
        found = self.program.count_prefix(ledger, self.lines[:SMALL], outcome.acked)
        if outcome.status == 0 and found != SMALL:
            raise Violation(f"the import said that it is done, and {found} events are there")
        disk.relieve()
        self.program.complete(ledger, self.small, self.lines[:SMALL], found)
        self.tally["default segments"] += 1


# The run


def plan(bench, quick):
    """(kind of file system, mount options, scenario, arguments)"""
    rng = random.Random(f"{bench.seed}/plan")
    commands = bench.program.commands
    makers_of_room = [what for what in ("reset", "trim") if what in commands]
    swept = [what for what in ("import", "append", "create", "salvage", "snapshot", "fork") if what in commands]
    for kind in KINDS:
        segments = ["16KiB", "64KiB", "256KiB", "1MiB"]
        for segment in [rng.choice(segments)] if quick else segments:
            for _ in range(1 if quick else 3):
                yield kind, "", "import", (segment, rng.randrange(100 * KIB, 1000 * KIB) // KIB * KIB)
        for what in makers_of_room:
            leaves = [0, kind.step, 2 * kind.step, 8 * KIB, 12 * KIB, 16 * KIB, 64 * KIB]
            # In a ledger of small segments the first is empty, and opening it for writing makes a little room by itself.
            for segment in ("16KiB", "400KiB"):
                for leave in [rng.choice(leaves)] if quick else sorted(set(leaves)):
                    yield kind, "", "reset", (what, segment, leave)
        for what in swept:
            # Up to what it needs: two batches and their segments, or a few blocks.
            top = 1000 * KIB if what in ("import", "salvage") else 64 * KIB
            near = list(range(0, 48 * KIB, kind.step)) if what != "import" else list(range(0, 24 * KIB, kind.step))
            far = [rng.randrange(0, top) // kind.step * kind.step for _ in range(24 if top > 64 * KIB else 0)]
            leaves = sorted(set(near + far))
            for leave in sorted(rng.sample(leaves, 2)) if quick else leaves:
                yield kind, "", "sweep", (what, leave)
        if kind.make is None:
            for what in ("create", "import"):
                for count in [rng.randrange(2, 9)] if quick else range(2, 12):
                    yield kind, f"nr_inodes={count}", "inodes", (what, count)
        limits = [0, 4095, 4096, 8191, 8192, 8193, 8288, 12288, 65536, *(rng.randrange(8192, 400 * KIB) for _ in range(8))]
        for how in ("ignored", "default"):
            for limit in rng.sample(limits, 1) if quick else limits:
                yield kind, "", "limit", (how, limit)
        for leave in [rng.choice([0, 512 * KIB])] if quick else [0, 4 * KIB, 8 * KIB, 12 * KIB, 300 * KIB, 512 * KIB, 2 * MIB]:
            yield kind, "", "default", (leave,)


def why_not(top, kind):
    try:
        with Disk(top, kind):
            return ""
    except OSError as error:
        return str(error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a sample, for CI")
    parser.add_argument("--ledgerctl", default=None, help="a release build; built if missing")
    parser.add_argument("--dir", default=None, help="where to work; a temporary directory unless given")
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--only", default=None, help="the front of a case's name: DISK/SCENARIO/…")
    arguments = parser.parse_args()
    if reason := lf.enter_namespace(INSIDE):
        lf.skipped(f"no mounts of one's own here ({reason}); nothing was tested")
        return 0
    seed = arguments.seed or lf.random_seed()
    program = lf.Program(lf.find_program("ledgerctl", arguments.ledgerctl))
    top = Path(tempfile.mkdtemp(prefix="full-disk-", dir=arguments.dir)).resolve()
    print(f"seed {seed}, {'quick' if arguments.quick else 'full'} run, in {top}", flush=True)
    start = time.monotonic()
    bench = Bench(program, seed, top)
    usable = []
    for kind in KINDS:
        if reason := why_not(top, kind):
            lf.skipped(f"{kind.name} cannot be mounted here: {reason}")
        else:
            usable.append(kind)
    for command in ("trim", "snapshot", "fork"):
        if command not in program.commands:
            lf.skipped(f"this ledgerctl has no `{command}`, so that is not tried on a full disk")
    lf.skipped("disk quotas need tools and mounts of their own; strace-faults.py fakes EDQUOT")
    ran, failed = Counter(), 0
    for kind, options, scenario, words in plan(bench, arguments.quick):
        name = "/".join(map(str, (kind.name, scenario, *words)))
        if kind not in usable or (arguments.only and not (name + "/").startswith(arguments.only.rstrip("/") + "/")):
            continue
        ran[f"{kind.name} {scenario}"] += 1
        with Disk(top, kind, options) as disk:
            bench.complaints, bench.ends = [], set()
            try:
                getattr(bench, "scenario_" + scenario)(disk, *words)
                if bench.complaints:
                    raise Violation("; ".join(bench.complaints))
            except (Violation, OSError, ValueError, KeyError, TypeError) as error:
                failed += 1
                kept = top / f"failed-{failed}"
                shutil.copytree(
                    disk.path, kept, ignore=shutil.ignore_patterns("ballast", "lost+found"), dirs_exist_ok=True)
                print(
                    f"FAILED {name}, seed {seed}: {'' if isinstance(error, Violation) else type(error).__name__ + ': '}{error}\n"
                    f"  a copy of the files is in {kept}; again: {sys.argv[0]} {'--quick ' if arguments.quick else ''}"
                    f"--seed {seed} --only '{name}'", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            print(f"\r{sum(ran.values())}", end="", file=sys.stderr)
    for name, count in sorted(ran.items()):
        print(f"{name:28}{count:>8,}")
    for name, count in sorted(bench.tally.items()):
        print(f"  {name:26}{count:>8,}")
    print(f"{sum(ran.values()):,} full disks, {time.monotonic() - start:.0f} s, seed {seed}")
    if failed:
        print(f"FAILED, seed {seed}: {failed} cases broke a promise", file=sys.stderr)
        return 1
    shutil.rmtree(top)
    print("every promise was kept" if ran else "nothing was tested")
    return 0


if __name__ == "__main__":
    sys.exit(main())
