#!/usr/bin/env python3
"""Records every write and flush of a disk under Fuzz/Writer, and mounts what a power cut at any moment may have left of it.

The disk is a file of a FUSE file system (Fuzz/blocklog.c), which logs all that the block layer does to it: mkfs ext4, xfs or
btrfs, a loop device, and the writer lives on it. Then, for random moments of that log, an image is built: all that was written
before the last flush that was done, and of what was written since

  prefix     everything, up to the moment          none       nothing
  subset     some of the writes                    reordered  some of the writes, the later ones perhaps first
  sectors    some sectors of 512 bytes             torn       everything, and some first sectors of the write under way

It is mounted, the file system recovers, and the ledger is held against all that was acknowledged before the moment. What a
file system refuses to mount is counted apart, as REFUSED: a state that breaks its own assumptions says nothing of a ledger.

Each image also calibrates the simulated disk (Tests/StorageTesting/SimulatedDisk), on which the engine meets far more power cuts
than here: `explore --calibrate` repeats the session's file operations on it up to the moment, and what was mounted must be
something that it can produce. What it cannot is a failure: it is too tame, or the file system breaks what FORMAT.md assumes. One
session in four has no ledger, but scribbles: files that are cut, lengthened, renamed and synced as no ledger would.

usage: block-replay.py [--images N] [--seed S] [--filesystems ext4,xfs,btrfs] [--dir DIR] [--writer PATH] [--json FILE]
                       [--keep DIR] [--quick] [--allow-skip] [--canary] [--only FS/SESSION]

`--keep` leaves what the simulated disk is told: each session's lines and traces of file operations, and of each image the files
as they were mounted, with the moment in nanoseconds. Needs root, loop devices, /dev/fuse, gcc and libfuse3, and says SKIPPED
where it has them not. The session's timing is real; a seed repeats the choices, not the log. A failure prints the story and keeps
the image. Under `--canary` the ledger's promise must be broken and the simulated disk must have no explanation.
"""

import argparse
import contextlib
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import disks
import ledgerfaults as lf
import lives
from ledgerfaults import Violation

INSIDE = "BLOCK_REPLAY_NAMESPACE"
BLOCK, SECTOR = 4096, 512
ZEROS = bytes(BLOCK)
ENTRY = struct.Struct("<QQQQQ")
# Of each session so many images.
IMAGES, QUICK_IMAGES = 60, 14
KINDS = ["prefix", "none", "subset", "reordered", "sectors", "torn"]
# What the simulated disk says of an image. Those between put it to the test.
EXTENTS = {"all": "all had arrived", "synced": "only what was synced had", "between": "some of the rest had"}
# Where a directory that was removed may come back, empty, although its parent was synced since: btrfs (Linux 6.18), where it had been
# exchanged with another before, both below that parent, and two others were exchanged after. `--seed full2 --only btrfs/1` shows
# it in three runs of four; the same operations from one thread do not. To a ledger it is what an interrupted copy leaves.
RETURNING = {"btrfs"}
MAKING = {"ext4": [["-b", "1024"], ["-b", "4096"]], "xfs": [[]], "btrfs": [[]]}
WANTED = [
    "opened: clean", "opened: torn", "opened: sealed", "events lost that may be", "unacknowledged batches that are there",
]


class Blocks:
    """What a disk holds, in blocks that are not all zeros."""

    def __init__(self, blocks=()):
        self.blocks = dict(blocks)

    @classmethod
    def read(cls, path):
        blocks, size = {}, os.path.getsize(path)
        with open(path, "rb", buffering=0) as file:
            place = 0
            while place < size:
                try:
                    place = os.lseek(file.fileno(), place, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(file.fileno(), place, os.SEEK_HOLE)
                for start in range(place // BLOCK * BLOCK, end, BLOCK):
                    data = os.pread(file.fileno(), BLOCK, start)
                    if data != ZEROS:
                        blocks[start // BLOCK] = data
                place = end
        return cls(blocks)

    def write(self, offset, data):
        blocks, place = self.blocks, 0
        while place < len(data):
            number, inside = divmod(offset + place, BLOCK)
            count = min(BLOCK - inside, len(data) - place)
            if count == BLOCK:
                blocks[number] = data[place : place + BLOCK]
            else:
                old = blocks.get(number, ZEROS)
                blocks[number] = old[:inside] + data[place : place + count] + old[inside + count :]
            place += count

    def store(self, path, size):
        with open(path, "wb", buffering=0) as file:
            file.truncate(size)
            run, start, last = [], None, None
            for number in sorted(self.blocks):
                if last is not None and number == last + 1:
                    run.append(self.blocks[number])
                else:
                    if run:
                        os.pwrite(file.fileno(), b"".join(run), start * BLOCK)
                    run, start = [self.blocks[number]], number
                last = number
            if run:
                os.pwrite(file.fileno(), b"".join(run), start * BLOCK)


def read_log(path):
    """Entries as (kind, start, end, offset, bytes)."""
    raw, place, entries = Path(path).read_bytes(), 0, []
    while place < len(raw):
        kind, start, end, offset, length = ENTRY.unpack_from(raw, place)
        place += ENTRY.size
        entries.append((chr(kind), start, end, offset, raw[place : place + length]))
        place += length
    return entries


class Recorder:
    """A disk whose image is the logged one."""

    def __init__(self, place, program, image):
        self.place, self.log = place / "fuse", place / "log"
        self.place.mkdir()
        self.daemon = subprocess.Popen([program, str(self.place), str(image), str(self.log)], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 10
        while not os.path.exists(self.place / "image"):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"no FUSE: {self.daemon.communicate()[1].decode(errors='replace').strip()}")
            time.sleep(0.002)

    def stop(self):
        if os.path.ismount(self.place):
            if disks.call("findmnt", "-n", "-o", "SOURCE", "--mountpoint", self.place) != "blocklog":
                raise OSError(f"not our own mount: {self.place}")
            disks.call("umount", self.place)
        self.daemon.wait(10)
        self.place.rmdir()


class Session:
    """One recorded file system, and the images of its crashes."""

    def __init__(self, writer, recorder, explore, top, seed, kind, number, keep, environment):
        self.explore, self.environment = explore, environment
        self.writer, self.program, self.kind, self.number = writer, recorder, kind, number
        self.rng = random.Random(f"{seed}/{kind}/{number}")
        self.place = Path(top) / f"{kind}-{number}"
        self.place.mkdir()
        self.keep = Path(keep) / f"{kind}-{number}" if keep else self.place / "kept"
        self.keep.mkdir(parents=True)
        (self.keep / "mount").write_text(str(self.place / "recorded"))
        self.content = str(self.rng.getrandbits(63))
        self.tally, self.said, self.last_words = Counter(), [], []
        # No ledger, only files, for the simulated disk to explain.
        self.scribbles = not environment and number % 4 == 3

    def child(self, path, mode, life, *more):
        return lives.Child([self.writer, mode, str(path / "l"), self.content, str(life), *map(str, more)], self.environment)

    # Recording

    def record(self):
        raw = disks.Disk(self.place, self.kind, "raw")
        raw.make(*self.rng.choice(MAKING[self.kind]))
        self.size, self.base = raw.image.stat().st_size, Blocks.read(raw.image)
        recorder = Recorder(self.place, self.program, raw.image)
        disk = disks.Disk(self.place, self.kind, "recorded", recorder.place / "image")
        try:
            disk.mount()
            # All before is the file system's own beginning.
            os.sync()
            self.begun = recorder.log.stat().st_size
            for life in range(1, self.rng.choice([2, 3, 3, 4]) + 1):
                self.live(disk.path, life)
            self.ended = time.monotonic_ns()
            disk.unmount()
        finally:
            if disk.is_mounted():
                disk.unmount()
            recorder.stop()
        self.entries = read_log(recorder.log)
        recorder.log.unlink()
        raw.remove()
        disk.path.rmdir()
        self.said.sort(key=lambda said: said[0])
        (self.keep / "lines").write_text("".join(f"{life}: {line}\n" for _, life, line in self.said))

    def live(self, path, life):
        words = ["--trace", self.keep / f"trace-{life}.jsonl"]
        if self.scribbles:
            words += ["--operations", self.rng.choice([50, 100, 200])]
        else:
            words += ["--mood", self.rng.choice(lives.MOODS), "--operations", self.rng.choice([15, 30, 60])]
            if self.rng.random() < 0.5:
                # Between flushes far apart much is under way.
                words += ["--sync", "never"]
        child = self.child(path, "scribble" if self.scribbles else "live", life, *words)
        draw = self.rng.random()
        with (disks.Writeback(path / "l", 0.001) if draw < 0.4
              else disks.Writeback(path, self.rng.choice([0.001, 0.005, 0.02]), whole=True) if draw < 0.75
              else contextlib.nullcontext()):
            if self.rng.random() < 0.4:
                child.hear_line(lambda line: line[0] == "o") and child.hear_until(
                    time.monotonic() + lives.log_uniform(self.rng, 1e-3, 0.3))
                child.kill()
            child.end()
        self.said += [(int(line.rsplit(" ", 1)[1]), life, line) for line in child.lines]
        if not child.killed and child.status != lives.DONE:
            raise Violation(f"life {life} ended with {child.status}: {child.lines[-1:]}")

    # Replaying

    def replay(self, count):
        first = 0
        place = 0
        while place < self.begun:
            place += ENTRY.size + len(self.entries[first][4])
            first += 1
        last = sum(1 for entry in self.entries if entry[1] <= self.ended)
        if last <= first:
            raise Violation("nothing reached the disk")
        self.tally["writes recorded"] += sum(entry[0] == "w" for entry in self.entries[first:last])
        self.tally["flushes recorded"] += sum(entry[0] == "f" for entry in self.entries[first:last])
        # The bytes that every image has, the story so far, and the entries since the last flush.
        flushed, open_writes, applied = self.base, [], 0
        story, told = lives.Story(), 0
        for number, point in enumerate(self.moments(first, last, count)):
            for entry in self.entries[applied:point]:
                if entry[0] == "f":
                    for offset, data in open_writes:
                        flushed.write(offset, data)
                    open_writes = []
                else:
                    open_writes.append(entry[3:5])
            applied = point
            moment = self.entries[point][1]
            while told < len(self.said) and self.said[told][0] <= moment and not self.scribbles:
                story.tell(self.said[told][2], self.said[told][1])
                told += 1
            self.last_words = [f"{life}: {line}" for _, life, line in self.said[max(0, told - 10) : told]]
            how = self.rng.choice(KINDS)
            self.tally["writes since the last flush, all images"] += len(open_writes)
            image = Blocks(flushed.blocks)
            for offset, data in self.crash(how, open_writes, self.entries[point]):
                image.write(offset, data)
            self.check(number, how, moment, image, story.copy())
        self.tally += story.tally

    def moments(self, first, last, count):
        """Entries before which the power fails: the more likely the more there is that no flush has covered."""
        weights, since = [], 0
        for entry in self.entries[first:last]:
            weights.append(since + 0.5)
            since = 0 if entry[0] == "f" else since + 1
        return sorted(self.rng.choices(range(first, last), weights, k=count))

    def crash(self, how, writes, under_way):
        """Of the writes since the last flush those that arrived, in the order in which they did."""
        rng = self.rng
        if how == "none":
            return []
        if how in ("subset", "sectors"):
            share = rng.choice([0.1, 0.5, 0.5, 0.9])
            if how == "sectors":
                writes = [(offset + place, data[place : place + SECTOR])
                          for offset, data in writes for place in range(0, len(data), SECTOR)]
            return [write for write in writes if rng.random() < share]
        if how == "reordered":
            writes = rng.sample(writes, len(writes))
            return writes[: rng.randint(0, len(writes))]
        if how == "torn" and under_way[0] == "w":
            count = rng.randint(0, len(under_way[4]) // SECTOR)
            return [*writes, (under_way[3], under_way[4][: count * SECTOR])]
        return writes

    def check(self, number, how, moment, image, story):
        self.tally[f"{self.kind}: images"] += 1
        self.tally[f"{self.kind}: {how}"] += 1
        disk = disks.Disk(self.place, self.kind, "crashed")
        image.store(disk.image, self.size)
        try:
            disk.mount()
        except OSError as error:
            self.tally[f"{self.kind}: REFUSED to mount, {how}"] += 1
            (self.keep / f"refused-{number:04}-{how}").write_text(f"{moment} {error}\n")
            return
        try:
            kept = self.keep / f"{number:04}-{how}-{moment}"
            disks.call("cp", "-a", "--sparse=always", disk.path, kept)
            if self.scribbles:
                return
            before = lf.fingerprint(disk.path) if number % 4 == 0 else None
            life = 1000
            if before is not None:
                self.hear_out(self.child(disk.path, "look", life), life, story)
                lf.check_unchanged(before, disk.path)
            self.hear_out(self.child(disk.path, "check", life + 1), life + 1, story)
        except Exception as error:
            image.store(self.place / "failed.image", self.size)
            raise Violation(f"image {number}, {how}, at {moment}: {type(error).__name__}: {error}") from error
        finally:
            disk.unmount()
        self.tally += story.tally

    def calibrate(self):
        """Whether the simulated disk can produce what was mounted too."""
        if not any(self.keep.glob("[0-9]*-*-*")):
            return
        done = subprocess.run(
            [self.explore, "--calibrate", str(self.keep)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        reasons, returned = [], 0
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            name, _, reason = rest.removeprefix(f"{self.keep}/").partition(": ")
            if word == "explained":
                self.tally[f"{self.kind}: explained, {name.split('-')[1]}"] += 1
                self.tally[f"{self.kind}: explained, {EXTENTS[reason]}"] += 1
            elif word == "RETURNED" and self.kind in RETURNING:
                self.tally[f"{self.kind}: explained but for an empty directory that is back"] += 1
                returned += 1
            elif word in ("RETURNED", "UNEXPLAINED"):
                self.tally[f"{self.kind}: UNEXPLAINED, {name.split('-')[1]}"] += 1
                reasons.append(f"{name}: {reason}")
        if reasons:
            raise Violation(
                f"the simulated disk cannot produce {len(reasons)} of the images; {reasons[0]}\n"
                f"  again: {self.explore} --calibrate {self.keep}")
        if done.returncode and not (done.returncode == 1 and returned):
            raise Violation(f"{self.explore} ended with {done.returncode}: {done.stdout[-1000:]}")

    def hear_out(self, child, life, story):
        child.end()
        self.last_words += [f"{life}: {line}" for line in child.lines]
        for line in child.lines:
            story.tell(line, life, after_cut=True)
        if child.status != lives.DONE:
            raise Violation(f"the check ended with {child.status}: {child.lines[-1:]}")


def run_session(writer, recorder, explore, top, seed, kind, number, count, keep, environment):
    session = Session(writer, recorder, explore, top, seed, kind, number, keep, environment)
    errors = []
    try:
        session.record()
        session.replay(count)
    except Exception as error:
        # A mistake of the harness's own is a failure with a story too.
        errors.append(error)
    try:
        # Of a broken promise too it is good to know whether it takes a real disk to see it.
        session.calibrate()
    except Exception as error:
        errors.append(error)
    if not errors:
        shutil.rmtree(session.place)
        return session.tally, None
    said = "; and ".join(f"{type(error).__name__}: {error}" for error in errors)
    (session.place / "story").write_text(
        "".join(f"{life}: {line}\n" for _, life, line in session.said) + f"\n{said}\n" + "\n".join(session.last_words))
    end = "\n    ".join(line[:300] for line in session.last_words)
    return session.tally, f"{kind}/{number}: {said}\n    {end}\n  kept in {session.place}"


def build_recorder(top):
    """The FUSE program, or why there is none."""
    if not os.path.exists("/dev/fuse"):
        return None, "there is no /dev/fuse"
    if not os.path.exists("/usr/include/fuse3/fuse.h") or not shutil.which("gcc"):
        disks.install("libfuse3-dev", "fuse3", "gcc", "libc6-dev", "pkg-config")
    program = Path(top) / "blocklog"
    flags = disks.call("pkg-config", "--cflags", "--libs", "fuse3").split()
    disks.call("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, lf.ROOT / "Fuzz/blocklog.c", *flags)
    return str(program), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1800, help="so many of all file systems together")
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--filesystems", default="ext4,xfs,btrfs")
    parser.add_argument("--dir", default=None, help="where the images are; /dev/shm if there is one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--writer", default=None, help="a release build; built if missing")
    parser.add_argument("--json", default=None, help="a file for the numbers")
    parser.add_argument("--keep", default=None, help="a directory for what a simulated disk is to explain")
    parser.add_argument("--quick", action="store_true", help="a session a file system, for CI")
    parser.add_argument("--allow-skip", action="store_true", help="what cannot be had here is no failure")
    parser.add_argument("--canary", action="store_true", help="let no sync do anything; not to notice is the failure")
    parser.add_argument("--only", default=None, help="this session of the seed's, as FS/NUMBER")
    arguments = parser.parse_args()
    if reason := os.geteuid() and "not root" or lf.enter_namespace(INSIDE):
        lf.skipped(f"no mounts of one's own here ({reason}); no disk was recorded")
        return 0 if arguments.allow_skip else 1
    writer = lf.find_program("writer", arguments.writer)
    explore = lf.find_program("explore")
    seed = arguments.seed or lf.random_seed()
    where = arguments.dir or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
    top = Path(tempfile.mkdtemp(prefix="block-replay-", dir=where)).resolve()
    try:
        recorder, reason = build_recorder(top)
    except OSError as error:
        recorder, reason = None, str(error)
    if recorder is None:
        lf.skipped(f"no FUSE program ({reason}); no disk was recorded")
        return 0 if arguments.allow_skip else 1
    kinds = arguments.filesystems.split(",")
    for kind in list(kinds):
        if reason := disks.why_unusable(kind, top):
            lf.skipped(f"{kind} cannot be mounted here: {reason}")
            kinds.remove(kind)
            if not arguments.allow_skip:
                return 1
    count = QUICK_IMAGES if arguments.quick else IMAGES
    sessions = 1 if arguments.quick else -(-arguments.images // (count * max(1, len(kinds))))
    tasks = [(kind, number) for number in range(sessions) for kind in kinds]
    if arguments.only:
        kind, _, number = arguments.only.partition("/")
        tasks = [(kind, int(number))]
    print(f"seed {seed}, {len(tasks)} sessions of {count} images on {', '.join(kinds) or 'nothing'}, in {top}", flush=True)
    try:
        environment = disks.build_canary(top) if arguments.canary else None
    except OSError as error:
        lf.skipped(f"no canary ({error})")
        return 0 if arguments.allow_skip else 1
    start = time.monotonic()
    work = {
        f"{kind}/{number}": (
            run_session, writer, recorder, explore, top, seed, kind, number, count, arguments.keep, environment)
        for kind, number in tasks}
    tally, failures, noticed = lives.run_all(
        work, arguments.jobs, seed,
        lambda found: arguments.canary and any("UNEXPLAINED" in key for key in found))
    if noticed:
        return lives.canary_died(top, noticed)
    images = sum(count for key, count in tally.items() if key.endswith(": images"))
    status = lives.conclude(
        "block-replay", arguments, seed, time.monotonic() - start, tally, images, "images", failures,
        WANTED if kinds and not arguments.only else [], 1000)
    if arguments.canary and kinds:
        print("FAILED: syncs did nothing, and nobody noticed, or the simulated disk had an explanation", file=sys.stderr)
        return 1
    if not failures:
        shutil.rmtree(top)
    return status


if __name__ == "__main__":
    sys.exit(main())
