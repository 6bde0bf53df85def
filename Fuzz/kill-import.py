#!/usr/bin/env python3
"""Kills `ledgerctl import` at random moments and checks what is left.

Each cycle imports a file of JSON lines, kills the import with SIGKILL, often kills the repeated import too, and then
holds the ledger to its promises:

  - `verify` finds no damage;
  - `export` is a prefix of the input, byte by byte, that ends where a batch ends;
  - it holds at least what was acknowledged, and never less than was seen after an earlier kill;
  - importing the same file again completes it, and once more appends nothing.

A run that has not produced every state it is there to test goes on for up to three times as long, and then fails. Timing is real, so a seed repeats the inputs and the
choices but not the exact moment of each kill.

usage: kill-import.py [--cycles N] [--seed S] [--first CYCLE] [--ledgerctl PATH] [--dir DIR]

`--cycles 10` is a smoke run of some seconds. A failure prints its seed and keeps its files. On a RAM disk (`--dir
/dev/shm`) 200 cycles take two minutes, and the page cache keeps what a killed process wrote just as on a disk.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import ledgerfaults as lf

BATCH = 1000
# Above this many bytes of lines an import may end a batch early.
BATCH_BYTES = 8 << 20
# From this many cycles on a run must have seen every kind of state; below, rare ones may be missing.
FULL_RUN = 50
WORDS = (
    "the agent read a file and wrote its answer; then tests failed with error 17 in module überlauf, "
    "日本語 text, tabs\\t and \\\"quotes\\\" and \\u0041 escapes, commit offset segment frame checksum "
) * 40


class Violation(Exception):
    """A promise was broken."""


@dataclass
class Tally:
    """What a run has produced; `required` says which of it must not stay at zero."""

    cycles: int = 0
    imports: int = 0
    kills: int = 0
    kills_mid_import: int = 0
    kills_before_first_ack: int = 0
    kills_of_repeats: int = 0
    kills_in_recovery: int = 0
    kills_in_a_row: int = 0
    kills_at_the_end: int = 0
    finished_before_kill: int = 0
    events_acknowledged: int = 0
    events_beyond_acknowledged: int = 0
    torn_tails: int = 0
    ledgers_with_rolls: int = 0
    segments: int = 0
    by_mode: dict = field(default_factory=dict)

    def missing(self, cycles):
        required = ["kills", "kills_mid_import", "kills_of_repeats", "events_acknowledged", "ledgers_with_rolls"]
        if cycles >= FULL_RUN:
            required += ["torn_tails", "kills_in_recovery", "kills_in_a_row", "events_beyond_acknowledged"]
        return [name for name in required if getattr(self, name) == 0]


# Input


def payload(rng, size):
    """A JSON object of about `size` bytes, in spellings that a careless rewrite would change."""
    start = rng.randrange(200)
    text = (WORDS * (size // len(WORDS) + 2))[start : start + size]
    # A cut must not leave half an escape.
    text = text.rstrip("\\")
    cut = text.rfind("\\")
    if cut >= 0 and len(text) - cut < 6:
        text = text[:cut]
    if text.startswith(("u0041", "\"")):
        text = text.lstrip("\"u0041")
    number = rng.choice(["1", "-0", "1.0", "1e3", "1.50E-2", "123456789012345678901234567890", "0.1"])
    return '{"text":"%s" , "n":%s,"z":null, "a":[true,{"k":%d}]}' % (text, number, rng.randrange(1000))


def sizes(rng, heavy):
    draw = rng.random()
    if draw < 0.85:
        return rng.randrange(20, 900)
    if draw < 0.99:
        return rng.randrange(900, 8000)
    return rng.randrange(100_000, 3_000_000 if heavy else 120_000)


def make_events(rng):
    """The lines of one cycle's input, as `export` should give them back."""
    heavy = rng.random() < 0.35
    count = rng.randrange(1, 4000) if heavy else rng.choice([rng.randrange(1, 900), rng.randrange(1000, 15_000), 5000])
    runs = ["run-%08x" % rng.getrandbits(32) for _ in range(max(1, count // 50))]
    lines = []
    for number in range(count):
        run = rng.choice(runs[max(0, number // 50 - 20) : number // 50 + 1] or runs)
        body = payload(rng, sizes(rng, heavy))
        json.loads(body)
        session = '"session-%d"' % (number % 7) if number % 3 else "null"
        model = '"fast"' if number % 4 == 0 else "null"
        lines.append(
            '{"id":"%032x","run_id":"%s","turn":%d,"kind":"%s","actor":"%s","payload":%s,'
            '"created_at":"2026-02-%02dT%02d:%02d:%02d.%06dZ","schema_version":1,"session_id":%s,'
            '"model_profile":%s,"model_id":%s}\n'
            % (
                rng.getrandbits(128), run, number // 50, rng.choice(["tool.called", "agent.spoke", "run.started"]),
                rng.choice(["planner", "bash", "Prüfer"]), body, rng.randrange(1, 29), rng.randrange(24),
                rng.randrange(60), rng.randrange(60), rng.randrange(1, 999_999) // 10 * 10 + 1, session, model, model,
            )
        )
    return [line.encode() for line in lines]


# Running


@dataclass
class Outcome:
    acked: int
    acks: list
    killed: bool
    seconds: float
    status: int
    stderr: str


class Harness:
    def __init__(self, ledgerctl, seed):
        self.ledgerctl = ledgerctl
        self.seed = seed
        self.tally = Tally()

    def run(self, *words, check=True, good=(0,)):
        done = subprocess.run([self.ledgerctl, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode not in good:
            raise Violation(
                f"`ledgerctl {' '.join(map(str, words))}` ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
            )
        return done

    def start_import(self, ledger, file, sync, kill_after=None, kill_at_ack=None, then=0.0):
        """Imports; kills the process after some seconds, or some moments behind an acknowledgement."""
        self.tally.imports += 1
        errors = tempfile.TemporaryFile()
        start = time.monotonic()
        process = subprocess.Popen(
            [self.ledgerctl, "import", str(ledger), str(file), "--acks", "--sync", sync],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, bufsize=0,
        )
        pipe = process.stdout.fileno()
        deadline = start + kill_after if kill_after is not None else None
        text, acks = b"", []
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([pipe], [], [], wait)
            if not ready:
                process.send_signal(signal.SIGKILL)
                break
            part = os.read(pipe, 1 << 16)
            if not part:
                break
            text += part
            acks = self.parse_acks(text)
            if kill_at_ack is not None and acks and acks[-1] >= kill_at_ack:
                kill_at_ack = None
                if then <= 0:
                    process.send_signal(signal.SIGKILL)
                    break
                deadline = time.monotonic() + then
        # What was in the pipe when the kill came was acknowledged too.
        while part := os.read(pipe, 1 << 16):
            text += part
        acks = self.parse_acks(text)
        process.stdout.close()
        status = process.wait()
        errors.seek(0)
        message = errors.read().decode(errors="replace")
        errors.close()
        killed = status == -signal.SIGKILL
        if not killed and status != 0:
            raise Violation(f"an import ended with {status}: {message}")
        return Outcome(acks[-1] if acks else 0, acks, killed, time.monotonic() - start, status, message)

    @staticmethod
    def parse_acks(text):
        acks = [json.loads(line)["acked"] for line in text.split(b"\n")[:-1]]
        if acks != sorted(acks):
            raise Violation(f"acknowledgements fall: {acks}")
        return acks

    # Checking

    def count_prefix(self, ledger, lines, boundaries, at_least):
        """How many events the ledger holds; they must be the input's first."""
        exported = self.run("export", ledger, check=False)
        if exported.returncode == 66 and at_least == 0:
            # Killed before there was a ledger.
            return 0
        if exported.returncode != 0:
            raise Violation(f"export ended with {exported.returncode}: {exported.stderr.decode(errors='replace')}")
        found = exported.stdout.splitlines(keepends=True)
        for number, (line, wanted) in enumerate(zip(found, lines)):
            if line != wanted:
                raise Violation(
                    f"event {number + 1} is not what was imported:\n  got    {line[:400]!r}\n  wanted {wanted[:400]!r}")
        if len(found) > len(lines):
            raise Violation(f"{len(found)} events are stored, {len(lines)} were imported")
        if len(found) < at_least:
            raise Violation(f"{len(found)} events are left of at least {at_least} that were acknowledged or seen")
        if len(found) not in boundaries:
            raise Violation(f"{len(found)} events are left, which is no end of a batch: a batch was torn apart")
        report = json.loads(self.run("verify", ledger, "--json").stdout)
        if report["ok"] is not True or report["damage"] or report["events"] != len(found):
            raise Violation(f"verify says {report}, export gave {len(found)} events")
        return len(found)

    def reference(self, directory, file, lines):
        """Imports undisturbed: how long that takes, and where batches end."""
        ledger = directory / "reference"
        outcome = self.start_import(ledger, file, "always")
        shutil.rmtree(ledger)
        boundaries = {0, *outcome.acks}
        total = sum(map(len, lines))
        if outcome.acked != len(lines):
            raise Violation(f"an undisturbed import acknowledged {outcome.acked} of {len(lines)} events")
        expected = {0, *range(BATCH, len(lines), BATCH), len(lines)}
        if total < BATCH_BYTES and boundaries != expected:
            raise Violation(f"batches end at {sorted(boundaries)}, not at every {BATCH} events")
        return outcome, boundaries

    # A cycle

    def cycle(self, number, directory):
        rng = random.Random(f"{self.seed}/{number}")
        tally = self.tally
        lines = make_events(rng)
        file = directory / "events.jsonl"
        file.write_bytes(b"".join(lines))
        reference, boundaries = self.reference(directory, file, lines)

        ledger = directory / "ledger"
        size = rng.choice([None, "16KiB", "64KiB", "256KiB", "1MiB", "4MiB"])
        if size is not None:
            self.run("create", ledger, "--segment-size", size)
        acked = seen = in_a_row = torn = 0
        after_kill = False
        for _ in range(rng.choice([1, 1, 2, 3, 5])):
            sync = rng.choice(["always", "never"])
            mode = rng.choice(["delay", "start", "ack", "behind", "behind"] if sync == "always" else ["delay", "delay", "start"])
            stored_before, torn_before = seen, torn
            if mode == "delay":
                outcome = self.start_import(ledger, file, sync, kill_after=rng.uniform(0, 1.1 * reference.seconds))
            elif mode == "start":
                limit = max(0.012, 0.15 * reference.seconds)
                outcome = self.start_import(ledger, file, sync, kill_after=rng.uniform(0, limit))
            else:
                later = [ack for ack in reference.acks if ack >= seen] or reference.acks
                then = 0.0 if mode == "ack" else rng.uniform(0, reference.seconds / len(reference.acks))
                outcome = self.start_import(ledger, file, sync, kill_at_ack=rng.choice(later), then=then)
            in_a_row = in_a_row + 1 if outcome.killed else 0
            self.count_kill(outcome, mode, after_kill, in_a_row, len(lines))
            acked = max(acked, outcome.acked)
            if acked not in boundaries:
                raise Violation(f"{acked} events were acknowledged, which is no end of a batch")
            if outcome.killed and rng.random() < 0.3:
                # The next import meets this state before anybody has looked at it.
                after_kill = True
                continue
            seen = self.count_prefix(ledger, lines, boundaries, max(acked, seen))
            if outcome.killed:
                tally.kills_mid_import += 0 < seen < len(lines) and seen > stored_before
                tally.events_beyond_acknowledged += seen - acked
            after_kill = outcome.killed
            torn = self.torn_files(ledger)
            if torn < torn_before:
                raise Violation("torn bytes that were kept aside are gone")
            if not outcome.killed:
                break
        tally.events_acknowledged += acked
        self.complete(ledger, file, lines, boundaries, max(acked, seen))

    def count_kill(self, outcome, mode, after_kill, in_a_row, count):
        tally = self.tally
        if not outcome.killed:
            tally.finished_before_kill += 1
            return
        tally.kills += 1
        tally.by_mode[mode] = tally.by_mode.get(mode, 0) + 1
        tally.kills_before_first_ack += outcome.acked == 0
        tally.kills_at_the_end += outcome.acked == count
        tally.kills_of_repeats += after_kill
        tally.kills_in_recovery += after_kill and outcome.acked == 0 and mode == "start"
        tally.kills_in_a_row += in_a_row > 1

    @staticmethod
    def torn_files(ledger):
        return len(list(ledger.glob("*.torn"))) if ledger.exists() else 0

    def complete(self, ledger, file, lines, boundaries, at_least):
        tally = self.tally
        report = json.loads(self.run("import", ledger, file, "--json").stdout)
        if report["appended"] + report["duplicates"] != len(lines) or report["conflicts"] != 0:
            raise Violation(f"the import that should complete {len(lines)} events says {report}")
        if report["duplicates"] < at_least:
            raise Violation(f"the completing import found {report['duplicates']} events of at least {at_least}")
        if self.count_prefix(ledger, lines, boundaries, len(lines)) != len(lines):
            raise Violation("the completed ledger is not complete")
        again = json.loads(self.run("import", ledger, file, "--json").stdout)
        if again["appended"] != 0 or again["duplicates"] != len(lines) or again["latest_offset"] != len(lines):
            raise Violation(f"importing once more says {again}")
        stat = json.loads(self.run("stat", ledger, "--json").stdout)
        if stat["events"] != len(lines) or stat["latest_offset"] != len(lines):
            raise Violation(f"stat says {stat}")
        torn = self.torn_files(ledger)
        leftovers = [path.name for path in ledger.iterdir() if path.name.endswith(".tmp")]
        if leftovers:
            raise Violation(f"temporary files were left behind: {leftovers}")
        tally.torn_tails += torn
        tally.segments += stat["segments"]
        # A torn tail makes a new segment too.
        tally.ledgers_with_rolls += stat["segments"] > 1 + torn
        tally.cycles += 1


# The run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--ledgerctl", default=None, help="a release build; built if missing")
    parser.add_argument("--dir", default=None, help="where to work; a temporary directory unless given")
    parser.add_argument("--first", type=int, default=0, help="start at this cycle of the seed")
    arguments = parser.parse_args()
    seed = arguments.seed or "%08x" % random.SystemRandom().getrandbits(32)
    ledgerctl = lf.find_program("ledgerctl", arguments.ledgerctl)
    harness = Harness(str(ledgerctl), seed)
    top = Path(tempfile.mkdtemp(prefix="kill-import-", dir=arguments.dir))
    print(f"seed {seed}, {arguments.cycles} cycles, in {top}", flush=True)
    start = time.monotonic()
    number = arguments.first
    end, last = number + arguments.cycles, number + 3 * arguments.cycles
    while number < end or (number < last and harness.tally.missing(arguments.cycles)):
        directory = top / f"cycle-{number}"
        directory.mkdir()
        try:
            harness.cycle(number, directory)
        except Exception as error:
            print(
                f"FAILED in cycle {number}, seed {seed}: {error}\n"
                f"the files are kept in {directory}; again: "
                f"{sys.argv[0]} --seed {seed} --first {number} --cycles 1",
                file=sys.stderr)
            if not isinstance(error, (Violation, KeyError, ValueError)):
                raise
            return 1
        shutil.rmtree(directory)
        if sys.stderr.isatty():
            print(f"\r{number + 1 - arguments.first}/{arguments.cycles}", end="", file=sys.stderr)
        number += 1
    tally = harness.tally
    for name, value in vars(tally).items():
        if name != "by_mode":
            print(f"{name.replace('_', ' '):28}{value:>10,}")
    for mode, count in sorted(tally.by_mode.items()):
        print(f"{'  killed by ' + mode:28}{count:>10,}")
    print(f"{'seconds':28}{time.monotonic() - start:>10.0f}")
    if missing := tally.missing(arguments.cycles):
        print(f"FAILED, seed {seed}: no {', no '.join(name.replace('_', ' ') for name in missing)}", file=sys.stderr)
        return 1
    shutil.rmtree(top)
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
