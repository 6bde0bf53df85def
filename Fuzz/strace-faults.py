#!/usr/bin/env python3
"""Lets single system calls of the real `ledgerctl` fail, or kills it at them, and checks what it said and what is left.

strace injects the faults: an error number in place of a call (which is then not executed), or SIGKILL just before it.
For each protocol (create, imports of several kinds, append, reset, reading commands, salvage, and snapshot, restore,
fork and trim where this `ledgerctl` has them) and each kind of call, the fault is put at call 1, 2, 3 … until a run in
which it did not happen any more. Each case starts from a copy of a prepared ledger. Then it is held to this:

  - the exit code is a documented one that suits the error (never 70, no signal but the injected one; an I/O error is
    never reported as damage or as a missing ledger), and 0 only if the work is done; a failed sync is never 0;
  - the message is one sentence of ledgerctl's that names the file and the error number;
  - after a failed sync of the ledger the process writes and syncs nothing more there;
  - then, without faults: `verify` is sound, `export` is byte by byte a prefix of the input that ends where a batch ends
    and holds what was acknowledged; importing again completes it, without duplicates and without leftovers; once more
    appends nothing. A reset, trim, snapshot, restore, fork or salvage has happened or has not, and can be done (again).
    A command that reads changes no file.

Which calls are hit. The dynamic loader and the runtime open and read files too, and failing those tests nothing. So
strace gets a path filter (-P) of the case's own files: the paths that a first, undisturbed run of the protocol touched
below the case's directory, and the names that a run with a fault may use beyond these. The N-th call is the N-th one
that passes the filter, counted by strace for each thread and each system call by itself. A name made of random parts
could not be filtered; a full run compares two undisturbed ones, and says so loudly.

What is not faked. With `retval=` strace does not execute the call: a faked short count of `pwrite` would be a kernel
that claims bytes it never took, a hole that no program can find, and of `pread` bytes that are not there. Nor does a
faked failure of fdatasync lose data, as a real one may; that needs a simulated disk. Real short counts come from
RLIMIT_FSIZE (class `short`: the kernel writes up to the limit, and the next write fails with EFBIG, or SIGXFSZ kills
where it is not ignored), and from the tiny file systems of full-disk.py. Class `files` sets RLIMIT_NOFILE, for a real
EMFILE.

Class `repeat` injects the same fault into the same command five times in a row: as long as nothing gets stored by it,
the directory may not go on growing. Class `pair` lets a write fail for want of space and then kills, or fails, the
taking back of it. Class `chain` runs a few randomly disturbed imports in a row on one ledger before anybody looks. An
effect with a `+` stays from call N on.

usage: strace-faults.py [--quick] [--ledgerctl PATH] [--dir DIR] [--seed N] [--only NAME] [--every K]
                        [--jobs N] [--list]

`--quick` samples protocols, effects and calls by seed, and takes under 40 s on two cores. A full run takes half an
hour, and with `--every K` about a K-th of that. NAME is the front of a case's name, such as `import`, `import/sync`,
`import/sync/EIO` or `import/sync/EIO/3`. A failure prints its seed, its name and how to replay it, and keeps its files;
the run goes on to the end. Without strace, or where it may not trace, the script installs nothing, says SKIPPED, and
exits with 0. A protocol whose command this ledgerctl lacks is SKIPPED loudly."""

import argparse
import dataclasses
import errno
import json
import multiprocessing
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import ledgerfaults as lf
from ledgerfaults import Violation

SHORT, LONG, HALF = 2300, 4300, 2000
SMALL_SEGMENT, SEGMENT = "16KiB", "400KiB"
# Every call up to this one gets its fault; of more calls of one kind, which are reads of one record each, ever fewer.
EVERY_CALL = 40
KILL = "KILL"

# class: system calls; errors for one call; errors from a call on. `?`: where the machine has it.
FAULTS = {
    "sync": ("fdatasync,fsync,?sync_file_range,?syncfs", "EIO ENOSPC EDQUOT EINTR", "EIO"),
    "write": ("pwrite64,write,writev,?pwritev", "ENOSPC EDQUOT EFBIG EIO EINTR", "ENOSPC EIO"),
    "reserve": ("fallocate", "ENOSPC EDQUOT EFBIG EIO EOPNOTSUPP EINTR", "ENOSPC EOPNOTSUPP"),
    "cut": ("ftruncate,truncate", "EIO ENOSPC EPERM EINTR", "EIO"),
    "read": ("pread64,read,?preadv", "EIO EINTR", "EIO"),
    "open": ("openat,?open,?creat", "EMFILE EACCES EROFS EIO EINTR", "EMFILE EROFS"),
    "link": ("?link,linkat", "EMLINK EXDEV EPERM EOPNOTSUPP ENOSPC EDQUOT EIO EROFS", "EXDEV EPERM"),
    "unlink": ("?unlink,unlinkat,?rmdir", "EIO EPERM EROFS EBUSY", "EIO"),
    "rename": ("?rename,renameat,renameat2", "EIO EXDEV ENOSPC EPERM", "EIO"),
    "mkdir": ("?mkdir,mkdirat", "EACCES ENOSPC EDQUOT EROFS EMLINK", ""),
    "lock": ("flock", "ENOLCK EAGAIN EINTR", "ENOLCK"),
    "map": ("mmap", "ENOMEM ENODEV", "ENOMEM"),
    "look": ("?newfstatat,?fstatat64,fstat,?stat,?lstat,?statx", "EIO", ""),
    "list": ("getdents64", "EIO", ""),
    "seek": ("lseek", "EIO EINVAL", ""),
    "copy": ("copy_file_range,sendfile,ioctl", "EXDEV EOPNOTSUPP ENOSPC EIO", "EXDEV EOPNOTSUPP"),
    "close": ("close", "EIO", ""),
    "kill": (
        "pwrite64,write,fdatasync,fsync,?link,linkat,?unlink,unlinkat,?rmdir,?rename,renameat,renameat2,ftruncate,"
        "fallocate,openat,?mkdir,mkdirat,flock,copy_file_range,close",
        KILL, ""),
}
NAMES_OF_CALLS = sorted({name.lstrip("?") for calls, _, _ in FAULTS.values() for name in calls.split(",")})
TRACED = ",".join("?" + name for name in NAMES_OF_CALLS)
NOT_PERMITTED = {"EACCES", "EPERM", "EROFS"}
# Where a signal that interrupts one call must not be felt.
RETRIED = {"write", "reserve", "cut", "read", "lock"}
# What a fault in the middle of a failed write's taking back may hit.
PAIRED = [
    (effect, call, later)
    for effect in (KILL, "EIO") for call in ("fdatasync", "ftruncate", "fsync", "close", "openat") for later in (1, 2)
    if not (effect == "EIO" and call == "close")
]
# What a user does who tries again, and what a supervisor does who starts a crashing program again.
REPEATED = [
    ("write:pwrite64", "ENOSPC"), ("write:pwrite64", "ENOSPC+"), ("sync:fdatasync", "EIO"), ("sync:fsync", "EIO"),
    ("reserve:fallocate", "ENOSPC+"), ("link:link", "EIO"), ("unlink:unlink", "EIO"), ("cut:ftruncate", "EIO"),
    ("kill:pwrite64", KILL), ("kill:fdatasync", KILL), ("kill:fsync", KILL), ("kill:ftruncate", KILL),
    ("kill:link", KILL), ("kill:unlink", KILL),
]
TRIES = 5
# Reading commands change nothing, so being killed in them leaves nothing to see.
READ_FAULTS = ["read", "open", "map", "look", "list", "seek", "lock", "write", "close"]


# What is tested


@dataclass
class Protocol:
    name: str
    command: str
    template: str
    # Of the case's directory.
    words: object
    check: object
    faults: list = field(default_factory=lambda: list(FAULTS))
    # One thread writes, so what it does after a failed sync it does because of it.
    poisons: bool = True
    paired: bool = False
    chained: bool = False


@dataclass
class Reference:
    """What an undisturbed run of a protocol touched, and how often it made each call."""

    paths: list
    calls: Counter
    # The system calls in order.
    order: list
    stdout: bytes
    # The ledgers' lines by name after it.
    exports: dict


@dataclass(frozen=True)
class Case:
    protocol: str
    kind: str
    effect: str
    number: int

    @property
    def name(self):
        return f"{self.protocol}/{self.kind}/{self.effect}/{self.number}"


@dataclass
class Result:
    case: Case
    fired: bool
    status: int = 0
    violation: str = ""
    place: str = ""


class Bench:
    """Everything the workers share; made before they are."""

    def __init__(self, program, seed, top):
        self.program, self.seed, self.top = program, seed, top
        self.lines = lf.make_events(seed, LONG)
        self.short_file, self.long_file = top / "short.jsonl", top / "long.jsonl"
        self.half_file = top / "half.jsonl"
        self.short_file.write_bytes(b"".join(self.lines[:SHORT]))
        self.half_file.write_bytes(b"".join(self.lines[:HALF]))
        self.long_file.write_bytes(b"".join(self.lines))
        self.references = {}
        self.exports = {}
        self.protocols = {protocol.name: protocol for protocol in make_protocols(self)}

    # Prepared ledgers

    def prepare(self):
        run = self.program.must
        for name in ("none", "empty", "half", "full", "unclosed", "torn", "copied", "replaced"):
            (self.top / "templates" / name).mkdir(parents=True)
        self.ledger_of("none", None)
        ledger = self.template("empty") / "ledger"
        run("create", ledger, "--segment-size", SMALL_SEGMENT)
        self.ledger_of("empty", [])
        ledger = self.template("half") / "ledger"
        run("create", ledger, "--segment-size", SEGMENT)
        run("import", ledger, self.half_file)
        self.ledger_of("half", self.lines[:HALF])
        ledger = self.template("full") / "ledger"
        run("create", ledger, "--segment-size", SEGMENT)
        run("import", ledger, self.long_file)
        self.ledger_of("full", self.lines)
        if len(list(ledger.glob("*.seg"))) < 3:
            raise Violation("the prepared ledger has too few segments to test rolls; lower SEGMENT")
        self.prepare_unclosed("unclosed")
        self.prepare_unclosed("torn")
        self.tear(self.template("torn") / "ledger")
        if self.program.must("verify", self.template("torn") / "ledger").stderr == "":
            raise Violation("the prepared torn ledger is not seen as torn")
        if "snapshot" in self.program.commands:
            for name in ("copied", "replaced"):
                shutil.copytree(self.template("full") / "ledger", self.template(name) / "ledger")
                run("snapshot", self.template(name) / "ledger", self.template(name) / "snapshot")
                self.ledger_of(name, self.lines)
            shutil.copytree(self.template("half") / "ledger", self.template("replaced") / "half")
            run("snapshot", self.template("replaced") / "half", self.template("replaced") / "copy")
            shutil.rmtree(self.template("replaced") / "half")

    def template(self, name):
        return self.top / "templates" / name

    def ledger_of(self, template, lines):
        self.exports[template] = lines

    def prepare_unclosed(self, name):
        """Stored and synced, and then killed before the mark of a clean close: its last write is not made."""
        ledger = self.template(name) / "ledger"
        for last in (None, 0):
            if ledger.exists():
                shutil.rmtree(ledger)
            self.program.must("create", ledger, "--segment-size", SEGMENT)
            paths = [ledger / f"{number:08}.seg{end}" for number in range(1, 9) for end in ("", ".tmp")]
            trace = self.template(name) / "trace"
            inject = ["-e", f"inject=pwrite64:signal=KILL:when={writes}"] if last == 0 else []
            self.program.run(
                "import", ledger, self.half_file,
                prefix=["strace", "-f", "-qq", "-o", trace, "-e", "trace=pwrite64", *path_filter(paths), *inject])
            writes = trace.read_text().count("pwrite64(")
            trace.unlink()
        if self.program.export(ledger) != self.lines[:HALF]:
            raise Violation("the prepared unclosed ledger does not hold what was stored")
        self.ledger_of(name, self.lines[:HALF])

    def tear(self, ledger):
        """What an interrupted write may leave: a part of it behind the last batch, and zeros."""
        segment = max(ledger.glob("*.seg"))
        data = segment.read_bytes()
        end = (len(data.rstrip(b"\0")) + 7) // 8 * 8
        rng = random.Random(f"{self.seed}/tear")
        with segment.open("r+b") as file:
            file.seek(end)
            file.write(bytes(rng.randrange(1, 256) for _ in range(min(1304, len(data) - end - 64))))

    # References

    def refer(self, protocol, times):
        """Runs a protocol undisturbed, so often to see its files and once more to count."""
        names, stdout, exports = [], b"", {}
        for attempt in range(times):
            place = self.place(protocol, f"reference-{attempt}")
            trace = place / "trace"
            # The trace is kept out of the case's files by its name alone.
            done = self.program.must(
                *protocol.words(place),
                prefix=["strace", "-f", "-y", "-s", "4096", "-qq", "-o", trace, "-e", "trace=%file,%desc"])
            text = trace.read_text(errors="replace")
            found = re.findall(r'["<](%s(?:/[^"<>]*)?)[">]' % re.escape(str(place)), text)
            relative = {str(Path(path).relative_to(place)) for path in found}
            names.append({name for name in relative if name not in ("trace", "ledgerctl")})
            stdout = done.stdout.replace(str(place).encode(), b"@")
            if attempt == 0:
                exports = {
                    path.name: self.program.export(path) for path in sorted(place.iterdir()) if path.is_dir()}
            shutil.rmtree(place)
        if names[0] != names[-1]:
            print(f"LOUD: {protocol.name}: names that differ from run to run are not hit: {sorted(names[0] ^ names[-1])}")
        paths = self.more_names(sorted(names[0] & names[-1]))
        place = self.place(protocol, "reference")
        trace = place / "trace"
        self.program.must(
            *protocol.words(place), prefix=["strace", *tracing(trace), *path_filter(place / path for path in paths)])
        calls, order = Counter(), []
        for line in trace.read_text(errors="replace").splitlines():
            if match := re.match(r"(\d+) +(\w+)\(", line):
                calls[match.groups()] += 1
                order.append(match.group(2))
        shutil.rmtree(place)
        most = Counter()
        for (_, call), count in calls.items():
            most[call] = max(most[call], count)
        self.references[protocol.name] = Reference(paths, most, order, stdout, exports)

    @staticmethod
    def more_names(names):
        """With what a run that is disturbed may use besides: later segments, temporary names, bytes kept aside."""
        paths = set(names)
        for name in names:
            path = Path(name)
            if path.suffix == ".seg":
                number = int(path.stem)
                for later in range(number, number + 4):
                    stem = path.with_name("%08d" % later)
                    paths |= {f"{stem}{end}" for end in (".seg", ".seg.tmp", ".idx", ".idx.tmp")}
            elif name.endswith(".torn"):
                paths |= {name + ".tmp", re.sub(r"-1\.torn$", "-2.torn", name), re.sub(r"-1\.torn$", ".torn.tmp", name)}
        return sorted(paths)

    def place(self, protocol, name):
        """A directory for one case, with copies of its ledgers."""
        place = self.top / f"{protocol.name}-{name}"
        if place.exists():
            shutil.rmtree(place)
        template = self.template(protocol.template)
        # As links: a copy of a snapshot is a snapshot only with its files' contents, so copies are real ones.
        shutil.copytree(template, place)
        return place

    # A case

    def run_case(self, case):
        protocol = self.protocols[case.protocol]
        place = self.place(protocol, re.sub(r"[^\w-]", "-", f"{case.kind}-{case.effect}-{case.number}"))
        result = Result(case, False, place=str(place))
        try:
            runner = {
                "short": self.run_limited, "files": self.run_limited, "chain": self.run_chain, "repeat": self.run_repeat}
            outcome, result.fired = runner.get(case.kind, self.run_injected)(protocol, case, place)
            result.status = outcome.status
            if case.kind == "repeat":
                pass
            elif result.fired or case.kind in runner:
                protocol.check(self, protocol, place, outcome)
            elif outcome.status != 0:
                raise Violation(f"nothing was injected, and yet {lf.describe(outcome.words)} {outcome.said}")
        except Violation as violation:
            result.fired, result.violation = True, str(violation)
        except Exception as error:  # A check that stumbles found something too.
            result.fired, result.violation = True, f"{type(error).__name__}: {error}"
        if not result.violation:
            shutil.rmtree(place)
        return result

    def run_injected(self, protocol, case, place, words=None):
        reference = self.references[protocol.name]
        injections, errors = self.injections(protocol, case)
        trace = place.parent / f"{place.name}.trace"
        outcome = self.program.run(
            *(words or protocol.words(place)),
            prefix=[
                "strace", *tracing(trace, kills="KILL" in case.effect),
                *path_filter(place / path for path in reference.paths),
                *(word for injection in injections for word in ("-e", "inject=" + injection))])
        text = trace.read_text(errors="replace")
        injected = [line for line in text.splitlines() if "(INJECTED)" in line]
        killed = outcome.status == -signal.SIGKILL
        fired = killed or (case.effect != KILL and bool(injected))
        if fired:
            self.judge(protocol, case, place, outcome, errors, injected, killed, text)
            # Kept for who has to look at a failure.
            trace.rename(place / "trace")
        else:
            trace.unlink()
        return outcome, fired

    def injections(self, protocol, case):
        if case.kind == "pair":
            first, second = case.effect.split(",")
            effect, call, later = re.match(r"(\w+)@(\w+)\+(\d)", second).groups()
            order, seen = self.references[protocol.name].order, 0
            before = Counter()
            for name in order:
                seen += name == "pwrite64"
                if seen == case.number:
                    break
                before[name] += 1
            when = before[call] + int(later)
            what = "signal=KILL" if effect == KILL else f"error={effect}"
            return [f"pwrite64:error={first}:when={case.number}", f"{call}:{what}:when={when}"], {first, effect} - {KILL}
        effect, stays = case.effect.rstrip("+"), "+" if case.effect.endswith("+") else ""
        what = "signal=KILL" if effect == KILL else f"error={effect}"
        kind, call = (case.kind.split(":") + [None])[:2]
        calls = call or ",".join("?" + name.lstrip("?") for name in FAULTS[kind][0].split(","))
        return [f"{calls}:{what}:when={case.number}{stays}"], {effect} - {KILL}

    def judge(self, protocol, case, place, outcome, errors, injected, killed, trace):
        """How the disturbed run itself ended."""
        if killed and (case.effect == KILL or "KILL" in case.effect):
            return
        if outcome.status < 0 or outcome.status not in lf.DOCUMENTED:
            raise Violation(f"{lf.describe(outcome.words)} {outcome.said}")
        good = {lf.DONE, lf.IO_ERROR}
        if errors & NOT_PERMITTED:
            good.add(lf.PERMISSION)
        if errors == {"EAGAIN"}:
            good = {lf.DONE, lf.LOCKED}
        kind = case.kind.split(":")[0]
        if kind in RETRIED and case.effect == "EINTR":
            good = {lf.DONE}
        if kind == "open" and case.effect == "EINTR":
            good = {lf.DONE}
        # A sidecar only saves work: one that cannot be made fails nothing.
        if kind == "sync" and not (injected and ".idx" in injected[0]):
            good.discard(lf.DONE)
        # What the disk does not give a salvage reports, as it does with damage, and goes on.
        if kind == "read" and protocol.command == "salvage":
            good.add(lf.BAD_DATA)
        if outcome.status not in good:
            raise Violation(
                f"{case.effect} at {injected[0][:300] if injected else '?'}: the exit code is none of {sorted(good)}: "
                f"{lf.describe(outcome.words)} {outcome.said}")
        numbers = {getattr(errno, name) for name in errors}
        if outcome.status != lf.BAD_DATA:
            lf.check_message(
                outcome, place, numbers.pop() if len(numbers) == 1 and outcome.status != lf.LOCKED else None)
        if kind == "sync" and protocol.poisons:
            self.check_stopped(trace, place)

    @staticmethod
    def check_stopped(trace, place):
        """After a failed sync of the ledger nothing more is written to it or synced there."""
        ledger = f"{place}/ledger"
        lines = trace.splitlines()
        first = next(number for number, line in enumerate(lines) if "(INJECTED)" in line)
        if ledger not in lines[first] or ".idx" in lines[first]:
            return
        writing = re.compile(r"\d+ +(pwrite64|write|fdatasync|fsync|ftruncate|fallocate|link|linkat|rename\w*)\(")
        for line in lines[first + 1 :]:
            if ledger in line and writing.match(line) and ".idx" not in line:
                raise Violation(f"after a failed sync\n  {lines[first][:200]}\nthe writer went on with\n  {line[:200]}")

    def run_limited(self, protocol, case, place):
        """With a limit of the process in place of strace: real short writes, and a real EFBIG or EMFILE."""
        if case.kind == "files":
            limits, ignores = {resource.RLIMIT_NOFILE: case.number}, True
        else:
            limits, ignores = {resource.RLIMIT_FSIZE: case.number}, case.effect == "EFBIG"
        outcome = self.program.run(*protocol.words(place), limits=limits, ignores_file_size_signal=ignores)
        if outcome.status == -signal.SIGXFSZ and not ignores:
            return outcome, True
        # With hardly a descriptor the loader cannot even find its libraries.
        if outcome.status == 127 and "error while loading shared libraries" in outcome.stderr:
            return lf.Outcome(outcome.words, lf.IO_ERROR, b"", ""), False
        if outcome.status not in (lf.DONE, lf.IO_ERROR):
            raise Violation(f"with a limit of {case.number}: {lf.describe(outcome.words)} {outcome.said}")
        lf.check_message(outcome, place, errno.EMFILE if case.kind == "files" else errno.EFBIG)
        return outcome, outcome.status != 0

    def run_chain(self, protocol, case, place):
        """Some disturbed imports in a row; what one acknowledged has to outlive the next."""
        rng = random.Random(f"{self.seed}/{case.name}")
        fired, acked, outcome = False, 0, None
        words = protocol.words(place)
        for _ in range(rng.randrange(2, 5)):
            kind = rng.choice(["kill", "kill", "write", "sync", "reserve", "cut", "open", "link", "unlink", "read"])
            _, once, stays = FAULTS[kind]
            effect = rng.choice([*once.split(), *(name + "+" for name in stays.split())])
            calls = self.references[protocol.name].calls
            call = rng.choice([name for name in names(kind) if calls[name]] or names(kind))
            number = rng.randrange(1, max(2, calls[call] + 1))
            link = Case(protocol.name, f"{kind}:{call}", effect, number)
            outcome, has_fired = self.run_injected(protocol, link, place, words)
            fired |= has_fired
            acked = max(acked, outcome.acked)
            if outcome.status == 0:
                break
        stdout = outcome.stdout if outcome.acked >= acked else b'{"acked":%d}\n' % acked
        return lf.Outcome(words, outcome.status, stdout, outcome.stderr), fired


    def run_repeat(self, protocol, case, place):
        """The same again and again: what cannot succeed must not use the disk up."""
        fired, acked, uses, counts, complaint = False, 0, [], [], ""
        label, effect = case.effect.split("=")
        outcome = None
        for _ in range(TRIES):
            outcome, has_fired = self.run_injected(
                protocol, Case(protocol.name, label, effect, case.number), place)
            if not has_fired:
                break
            fired = True
            acked = max(acked, outcome.acked)
            found = self.program.export(place / "ledger")
            counts.append(-1 if found is None else len(found))
            files = [path for path in (place / "ledger").rglob("*") if path.is_file()]
            uses.append((len(files), sum(path.stat().st_blocks * 512 for path in files)))
        # What one leaves the next may take up, so only what goes on growing counts.
        if len(uses) == TRIES and counts[0] == counts[-1] and any(
                uses[0][which] < uses[2][which] < uses[4][which] for which in (0, 1)):
            names = sorted(path.name for path in (place / "ledger").iterdir())
            complaint = f"each run with this fault leaves more behind (files, bytes of disk): {uses}, {names}"
        stdout = outcome.stdout if outcome.acked >= acked else b'{"acked":%d}\n' % acked
        outcome = lf.Outcome(outcome.words, outcome.status, stdout, outcome.stderr)
        protocol.check(self, protocol, place, outcome)
        if complaint:
            raise Violation(complaint)
        return outcome, fired


def names(kind):
    return [name.lstrip("?") for name in FAULTS[kind][0].split(",")]


def tracing(trace, kills=False):
    # With a seccomp filter strace is much faster, but delivers no signal of its own at a call.
    faster = [] if kills else ["--seccomp-bpf"]
    return ["-f", "-y", "-qq", *faster, "-o", trace, "-e", "signal=none", "-e", f"trace={TRACED}"]


def path_filter(paths):
    return [word for path in paths for word in ("-P", str(path))]


# Checks, without faults


def check_import(file_of):
    def check(bench, protocol, place, outcome):
        file = file_of(bench)
        lines = bench.lines[: {bench.short_file: SHORT, bench.long_file: LONG}[file]]
        before = bench.exports[protocol.template] or []
        ledger = place / "ledger"
        found = bench.program.count_prefix(ledger, lines, max(len(before), outcome.acked))
        if outcome.status == 0 and found != len(lines):
            raise Violation(f"the import said that it is done, and {found} of {len(lines)} events are there")
        bench.program.complete(ledger, file, lines, found)

    return check


def check_create(bench, protocol, place, outcome):
    ledger = place / "ledger"
    found = bench.program.export(ledger)
    if found not in (None, []) or (outcome.status == 0 and found is None):
        raise Violation(f"after a creation that {outcome.said}: export gives {found}")
    again = bench.program.run("create", ledger, "--segment-size", SMALL_SEGMENT)
    if again.status != (lf.DONE if found is None else lf.CANNOT_CREATE):
        raise Violation(f"creating it again {again.said}")
    bench.program.complete(ledger, bench.short_file, bench.lines[:SHORT], 0)


def check_append(bench, protocol, place, outcome):
    ledger, before = place / "ledger", bench.exports[protocol.template]
    found = bench.program.export(ledger)
    is_there = len(found) > len(before)
    lf.check_prefix(found[: len(before)], before, len(before), {len(before)})
    if len(found) > len(before) + 1 or (is_there and lf.id_of(found[-1]) != "appended-1"):
        raise Violation(f"the append left {len(found)} events")
    if not is_there and (outcome.status == 0 or b"appended" in outcome.stdout):
        raise Violation("the append was acknowledged, and the event is not there")
    bench.program.check_sound(ledger, len(found))
    # Also if the event is there: a kill after the append, in the close, leaves its sidecar to the next writer.
    bench.program.must(*protocol.words(place))
    got = bench.program.must("get", ledger, "appended-1").stdout
    if json.loads(got)["offset"] != len(before) + 1:
        raise Violation(f"the event is at the wrong place: {got!r}")
    bench.program.check_sound(ledger, len(before) + 1)
    lf.check_no_leftovers(ledger)


def check_reset(bench, protocol, place, outcome):
    ledger, before = place / "ledger", bench.exports[protocol.template]
    found = bench.program.export(ledger)
    if found not in ([], before):
        raise Violation(f"the reset left {None if found is None else len(found)} of {len(before)} events")
    if outcome.status == 0 and found:
        raise Violation("the reset said that it is done, and the events are there")
    bench.program.check_sound(ledger, len(found))
    # Before anything else writes there, as a user would who was told that it failed.
    bench.program.must("reset", ledger, "--yes")
    if bench.program.export(ledger) != []:
        raise Violation("the repeated reset left events")
    stat = json.loads(bench.program.must("stat", ledger, "--json").stdout)
    if stat["first_offset"] != len(before) + 1 or stat["segments"] != 1:
        raise Violation(f"after the repeated reset stat says {stat}")
    report = json.loads(bench.program.must("import", ledger, bench.short_file, "--json").stdout)
    if report["appended"] != SHORT or report["latest_offset"] != len(before) + SHORT:
        raise Violation(f"an import after the reset says {report}")
    if bench.program.export(ledger) != bench.lines[:SHORT]:
        raise Violation("an import after the reset is not what was stored")
    bench.program.check_sound(ledger, SHORT)
    lf.check_no_leftovers(ledger)


def check_trim(bench, protocol, place, outcome):
    ledger, before = place / "ledger", bench.exports[protocol.template]
    after = bench.references[protocol.name].exports["ledger"]
    found = bench.program.export(ledger)
    if found not in (before, after) or (outcome.status == 0 and found != after):
        raise Violation(f"trim {outcome.said} and left {len(found)} events of {len(before)}; {len(after)} stay")
    bench.program.check_sound(ledger, len(found))
    bench.program.must(*protocol.words(place))
    if bench.program.export(ledger) != after:
        raise Violation("the repeated trim gave something else")
    bench.program.check_sound(ledger, len(after))
    again = bench.program.must("append", ledger, *APPENDED)
    if json.loads(again.stdout)["offset"] != len(before) + 1:
        raise Violation(f"offsets do not go on after a trim: {again.stdout!r}")
    lf.check_no_leftovers(ledger)


def check_reading(bench, protocol, place, outcome):
    reference = bench.references[protocol.name]
    stdout = outcome.stdout.replace(str(place).encode(), b"@")
    if protocol.command == "stat":
        # How the ledger was opened is another thing than what it holds.
        stdout = stdout.partition(b',"metrics":')[0]
        reference = dataclasses.replace(reference, stdout=reference.stdout.partition(b',"metrics":')[0])
    if outcome.status == 0 and stdout != reference.stdout:
        raise Violation(f"it ended with 0 and gave {len(stdout)} bytes, not the {len(reference.stdout)} that are there")
    if protocol.command != "verify" and not reference.stdout.startswith(stdout):
        raise Violation(f"what it gave before it failed is not the beginning of what is there: {stdout[-300:]!r}")
    (place / "trace").unlink(missing_ok=True)
    lf.check_unchanged(lf.fingerprint(bench.template(protocol.template)), place)


def check_copying(source, copy, replaces=False):
    """The copy is there as a whole, or not at all, and the source is as it was."""

    def check(bench, protocol, place, outcome):
        program, before = bench.program, bench.exports[protocol.template]
        wanted = bench.references[protocol.name].exports[copy]
        if program.export(place / source) != before:
            raise Violation("the source has changed")
        if (place / source / "LOCK").exists():
            program.check_sound(place / source, len(before))
        dest = place / copy
        old = bench.lines[:HALF] if replaces else None
        is_there = dest.exists()
        found = program.export(dest) if is_there else None
        allowed = [wanted, old]
        if replaces:
            # Moved aside first, and then the new one moved in; between the two there is neither.
            allowed.append(None)
        if found not in allowed or (is_there and found is None) or (outcome.status == 0 and found != wanted):
            raise Violation(
                f"{protocol.command} {outcome.said} and left at the destination "
                f"{'nothing' if not is_there else 'something' if found is None else f'{len(found)} events'}")
        if replaces and found is None and not any(
            program.export(path) in (wanted, old)
            for path in place.iterdir() if path.is_dir() and path.name not in (source, "ledger")):
            raise Violation("neither the old nor the new copy is anywhere")
        if is_there:
            program.check_sound(dest, len(found))
        words = protocol.words(place)
        if is_there and not replaces:
            again = program.run(*words)
            if again.status != lf.CANNOT_CREATE:
                raise Violation(f"doing it again over a finished copy {again.said}")
        else:
            program.must(*words)
        if program.export(dest) != wanted:
            raise Violation("doing it again did not give the whole copy")
        known = {path.name for path in bench.template(protocol.template).iterdir()} | {copy, "trace"}
        if left := sorted(path.name for path in place.iterdir() if path.name not in known):
            raise Violation(f"left beside the copy, after it was done again: {left}")
        # What is written on in one must not show in the other.
        copied = lf.fingerprint(dest)
        if (place / "ledger").exists() and source == "ledger":
            program.must("append", place / "ledger", *APPENDED)
            lf.check_unchanged(copied, dest)
        program.must("append", dest, *APPENDED)
        program.check_sound(dest, len(wanted) + 1)
        if source != "ledger":
            program.check_sound(place / source, len(before))
        elif (place / "ledger").exists():
            program.check_sound(place / "ledger", len(before) + 1)

    return check


def check_salvage(bench, protocol, place, outcome):
    program, before = bench.program, bench.exports[protocol.template]
    lf.check_unchanged(lf.fingerprint(bench.template(protocol.template) / "ledger"), place / "ledger")
    dest = place / "copy"
    found = program.export(dest) if dest.exists() else None
    if outcome.status == lf.BAD_DATA:
        rest = iter(before)
        if found is None or not all(line in rest for line in found):
            raise Violation(f"a salvage that left something out {outcome.said}, and the rest is not what there was")
        program.check_sound(dest, len(found))
        return
    if dest.exists() and found != before or outcome.status == 0 and found != before:
        raise Violation(f"salvage {outcome.said} and left {None if found is None else len(found)} events")
    if dest.exists():
        program.check_sound(dest, len(before))
        return
    again = program.run(*protocol.words(place))
    if again.status != 0:
        # What was left of the first attempt is in the way; it must say so, and go when that is moved away.
        left = [path for path in place.iterdir() if path.name not in ("ledger", "trace")]
        if again.status != lf.CANNOT_CREATE or not left:
            raise Violation(f"salvaging again {again.said}")
        for path in left:
            if str(path) not in again.stderr:
                raise Violation(f"salvaging again does not name what is in its way, {path}: {again.stderr}")
            shutil.rmtree(path)
        program.must(*protocol.words(place))
    if program.export(dest) != before:
        raise Violation("the repeated salvage is not complete")
    program.check_sound(dest, len(before))


APPENDED = [
    "--run", "run-appended", "--kind", "agent.spoke", "--actor", "planner", "--payload", '{"n":7}', "--id", "appended-1",
]


def make_protocols(bench):
    short, long = (lambda bench: bench.short_file), (lambda bench: bench.long_file)

    def importing(file, *more):
        return lambda place: ["import", place / "ledger", file, "--acks", *more]

    reading = dict(check=check_reading, faults=READ_FAULTS)
    ids = [lf.id_of(bench.lines[number]) for number in (0, HALF // 2, HALF - 1)]
    some = [
        Protocol("create", "create", "none", lambda place: ["create", place / "ledger", "--segment-size", SMALL_SEGMENT],
                 check_create),
        # Every batch is larger than a segment of this ledger, so each rolls.
        Protocol("import", "import", "empty", importing(bench.short_file), check_import(short), paired=True, chained=True),
        # A new ledger, with segments as large as by default.
        Protocol("fresh", "import", "none", importing(bench.short_file), check_import(short)),
        # Repeats, and then two batches to a segment.
        Protocol("grow", "import", "half", importing(bench.long_file), check_import(long), paired=True, chained=True),
        # Recovery: synced records to vouch for; torn bytes to keep aside.
        Protocol("unclosed", "import", "unclosed", importing(bench.long_file), check_import(long)),
        Protocol("torn", "import", "torn", importing(bench.long_file), check_import(long), paired=True, chained=True),
        Protocol("never", "import", "half", importing(bench.long_file, "--sync", "never"), check_import(long)),
        Protocol("interval", "import", "half", importing(bench.long_file, "--sync", "interval=1ms"), check_import(long),
                 faults=["sync", "write", "kill"], poisons=False),
        Protocol("append", "append", "half", lambda place: ["append", place / "ledger", *APPENDED], check_append,
                 paired=True),
        Protocol("append-torn", "append", "torn", lambda place: ["append", place / "ledger", *APPENDED], check_append),
        Protocol("reset", "reset", "full", lambda place: ["reset", place / "ledger", "--yes"], check_reset),
        Protocol("reset-torn", "reset", "torn", lambda place: ["reset", place / "ledger", "--yes"], check_reset),
        Protocol("export", "export", "torn", lambda place: ["export", place / "ledger"], **reading),
        Protocol("export-full", "export", "full", lambda place: ["export", place / "ledger"], **reading),
        Protocol("verify", "verify", "torn", lambda place: ["verify", place / "ledger", "--json"], **reading),
        Protocol("verify-full", "verify", "full", lambda place: ["verify", place / "ledger", "--json"], **reading),
        Protocol("stat", "stat", "torn", lambda place: ["stat", place / "ledger", "--json"], **reading),
        Protocol("get", "get", "torn", lambda place: ["get", place / "ledger", *ids], **reading),
        Protocol("run", "run", "full", lambda place: ["run", place / "ledger", "run-40"], **reading),
        Protocol("tail", "tail", "torn", lambda place: ["tail", place / "ledger", "--after", str(HALF - 20)], **reading),
        Protocol("query", "query", "full", lambda place: ["query", place / "ledger", "--kind", "agent.*"], **reading),
        Protocol("dump", "dump", "torn", lambda place: ["dump", place / "ledger"], **reading),
        Protocol("salvage", "salvage", "full", lambda place: ["salvage", place / "ledger", "--into", place / "copy"],
                 check_salvage),
        Protocol("snapshot", "snapshot", "full", lambda place: ["snapshot", place / "ledger", place / "copy"],
                 check_copying("ledger", "copy")),
        Protocol("snapshot-torn", "snapshot", "torn", lambda place: ["snapshot", place / "ledger", place / "copy"],
                 check_copying("ledger", "copy")),
        Protocol("snapshot-replace", "snapshot", "replaced",
                 lambda place: ["snapshot", place / "ledger", place / "copy", "--replace"],
                 check_copying("ledger", "copy", True)),
        Protocol("restore", "restore", "copied", lambda place: ["restore", place / "snapshot", place / "copy"],
                 check_copying("snapshot", "copy")),
        Protocol("restore-replace", "restore", "replaced",
                 lambda place: ["restore", place / "snapshot", place / "copy", "--replace"],
                 check_copying("snapshot", "copy", True)),
        Protocol("fork", "fork", "full", lambda place: ["fork", place / "ledger", place / "copy"],
                 check_copying("ledger", "copy")),
        Protocol("fork-through", "fork", "full",
                 lambda place: ["fork", place / "ledger", place / "copy", "--through", "3000"],
                 check_copying("ledger", "copy")),
        Protocol("trim", "trim", "full", lambda place: ["trim", place / "ledger", "--before", str(LONG - 100)], check_trim),
    ]
    return some


# The run


def plan(bench, quick, every):
    """The tasks: (protocol, kind, effect, numbers), where no numbers means 1, 2, 3 … until it does not happen."""
    rng = random.Random(f"{bench.seed}/plan")
    for protocol in bench.protocols.values():
        reference = bench.references.get(protocol.name)
        if reference is None:
            continue
        for kind in protocol.faults:
            _, once, stays = FAULTS[kind]
            effects = [*once.split(), *(effect + "+" for effect in stays.split())]
            # Each call by itself, for strace counts them so.
            for call in names(kind):
                count = reference.calls[call]
                if count == 0:
                    continue
                label = f"{kind}:{call}"
                if quick and rng.random() > SAMPLED.get(kind, 0.25):
                    continue
                chosen = effects if not quick else sample_effects(rng, kind, effects)
                for effect in chosen:
                    numbers = None
                    if quick:
                        numbers = sample_numbers(rng, kind, count)
                    elif every > 1:
                        numbers = [number for number in counting(count) if rng.randrange(every) == 0]
                    if numbers != []:
                        yield protocol, label, effect, numbers
        if protocol.paired:
            writes = reference.calls["pwrite64"]
            for effect, call, later in PAIRED if not quick else rng.sample(PAIRED, 1):
                numbers = range(1, writes + 1, every) if not quick else [rng.randrange(1, writes + 1)]
                yield protocol, "pair", f"ENOSPC,{effect}@{call}+{later}", list(numbers)
        if protocol.paired or protocol.name.startswith("reset"):
            chosen = [(label, effect) for label, effect in REPEATED if reference.calls[label.split(":")[1]]]
            for label, effect in chosen if not quick else rng.sample(chosen, 1):
                count = reference.calls[label.split(":")[1]]
                numbers = rng.sample(range(1, count + 1), min(count, 1 if quick else max(1, 12 // every)))
                yield protocol, "repeat", f"{label}={effect}", sorted(numbers)
        if protocol.chained:
            yield protocol, "chain", "random", list(range(1, 3 if quick else 2 + 60 // every))
        if protocol.command in ("import", "append", "create", "reset") or protocol.name in ("salvage", "snapshot", "fork"):
            for effect in ("EFBIG", "SIGXFSZ"):
                largest = 400 << 10
                numbers = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 8224, 8288, 12287, 12288, 12289, 65536]
                numbers += [rng.randrange(8192, largest) for _ in range(16)]
                yield protocol, "short", effect, rng.sample(numbers, 1) if quick else sorted(numbers)[::every]
        if not quick or rng.random() < 0.5:
            yield protocol, "files", "EMFILE", [rng.randrange(4, 9)] if quick else list(range(4, 14))


# How likely a quick run tests a call of a class, 0.25 unless said.
SAMPLED = {"sync": 1, "write": 1, "kill": 0.5, "reserve": 0.6, "cut": 0.6}


def sample_effects(rng, kind, effects):
    return [effects[0] if kind == "sync" and rng.random() < 0.5 else rng.choice(effects)]


def sample_numbers(rng, kind, count):
    return sorted(rng.sample(range(1, count + 1), min(2 if kind == "sync" else 1, count)))


BENCH = None


def counting(count=1 << 30):
    number = 1
    while number <= count:
        yield number
        number += 1 if number < EVERY_CALL else number // 2


def run_task(name, kind, effect, numbers):
    results = []
    for number in numbers or counting():
        result = BENCH.run_case(Case(name, kind, effect, number))
        results.append(result)
        if numbers is None and not result.fired and not result.violation:
            break
    return results


def matches(only, protocol, kind, effect):
    """How far `--only` leads: None if not here, else the number it names or 0."""
    if only is None:
        return 0
    parts = only.split("/")
    for part, name in zip(parts, (protocol.name, kind, effect)):
        if part != name and not (part == kind.split(":")[0] and name == kind):
            return None
    return int(parts[3]) if len(parts) > 3 else 0


def can_trace():
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(
        ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=?write,close", "-e",
         "inject=close:error=EIO:when=9999", "-P", "/nowhere", "true"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return "" if probe.returncode == 0 else f"strace cannot be used here: {probe.stderr.decode(errors='replace').strip()}"


def main():
    global BENCH
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a sample, for CI")
    parser.add_argument("--ledgerctl", default=None, help="a release build; built if missing")
    parser.add_argument("--dir", default=None, help="where to work; a temporary directory unless given")
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--only", default=None, help="the front of a case's name: PROTOCOL/CLASS/EFFECT/NUMBER")
    parser.add_argument("--every", type=int, default=1, help="a full run of every K-th call or so, chosen by seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="say what would be run")
    arguments = parser.parse_args()
    if reason := can_trace():
        lf.skipped(f"{reason}; no fault was injected")
        return 0
    seed = arguments.seed or lf.random_seed()
    program = lf.Program(lf.find_program("ledgerctl", arguments.ledgerctl))
    top = Path(tempfile.mkdtemp(prefix="strace-faults-", dir=arguments.dir)).resolve()
    print(f"seed {seed}, {'quick' if arguments.quick else 'full'} run, in {top}", flush=True)
    start = time.monotonic()
    BENCH = bench = Bench(program, seed, top)
    bench.prepare()
    wanted = (arguments.only or "").split("/")[0]
    missing, present = defaultdict(list), []
    for protocol in bench.protocols.values():
        needs = {protocol.command} | ({"snapshot"} if protocol.template in ("copied", "replaced") else set())
        if lacking := needs - program.commands:
            missing[", ".join(sorted(lacking))].append(protocol.name)
        elif wanted in ("", protocol.name):
            present.append(protocol)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda protocol: bench.refer(protocol, 1 if arguments.quick else 2), present))
    for command, protocols in missing.items():
        lf.skipped(f"this ledgerctl has no `{command}`, so these protocols are not tested: {', '.join(protocols)}")
    tasks = []
    for protocol, kind, effect, numbers in plan(bench, arguments.quick, arguments.every):
        number = matches(arguments.only, protocol, kind, effect)
        if number is not None:
            tasks.append((protocol.name, kind, effect, [number] if number else numbers))
    if arguments.list:
        for task in tasks:
            print("/".join(task[:3]), "at", task[3] or "every call")
        shutil.rmtree(top)
        return 0
    cases = Counter()
    fired, codes, violations = Counter(), defaultdict(Counter), []
    by_protocol = Counter()
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        futures = [pool.submit(run_task, *task) for task in tasks]
        for done, future in enumerate(as_completed(futures)):
            for result in future.result():
                kind = result.case.kind
                cases[kind] += 1
                fired[kind] += result.fired
                by_protocol[result.case.protocol] += result.fired
                if result.fired:
                    codes[kind][result.status] += 1
                if result.violation:
                    violations.append(result)
                    print(
                        f"FAILED {result.case.name}, seed {seed}: {result.violation}\n  the files are kept in {result.place}; "
                        f"again: {sys.argv[0]} --seed {seed} --only '{result.case.name}'",
                        file=sys.stderr, flush=True)
            if sys.stderr.isatty() or done * 20 // len(futures) != (done + 1) * 20 // len(futures):
                end = "" if sys.stderr.isatty() else "\n"
                print(f"\r{done + 1}/{len(futures)} parts, {sum(cases.values())} runs", end=end, file=sys.stderr, flush=True)
    print(f"{'class':26}{'runs':>7}{'faults':>8}  exit codes")
    for kind in sorted(cases):
        ends = ", ".join(f"{status}: {count}" for status, count in sorted(codes[kind].items()))
        print(f"{kind:26}{cases[kind]:>7,}{fired[kind]:>8,}  {ends}")
    print("faults by protocol: " + ", ".join(f"{name} {count:,}" for name, count in by_protocol.items()))
    print(f"{sum(cases.values()):,} runs, {sum(fired.values()):,} faults, {time.monotonic() - start:.0f} s, seed {seed}")
    # A way of injecting that this strace does not know would else look like success.
    happened = {kind.split(":")[0] for kind in cases if fired[kind]}
    idle = {kind.split(":")[0] for kind in cases} & {"sync", "write", "kill"} - happened
    if idle and not arguments.only:
        print(f"FAILED, seed {seed}: not one fault happened of {', '.join(idle)}; does strace work?", file=sys.stderr)
        return 1
    if violations:
        print(f"FAILED, seed {seed}: {len(violations)} promises were broken", file=sys.stderr)
        return 1
    shutil.rmtree(top)
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
