"""What the scripts of this folder share: input, running `ledgerctl`, and what must hold of a ledger afterwards.

Python 3 and its standard library only. Not a program of its own.
"""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# `import` stores at most so many events in one atomic batch.
BATCH = 1000
# Every way a command may end, CLI.md; 70 is a bug and in no list.
DONE, USAGE, BAD_DATA, NOT_FOUND, CANNOT_CREATE, IO_ERROR, LOCKED, PERMISSION = 0, 64, 65, 66, 73, 74, 75, 77
DOCUMENTED = {DONE, USAGE, BAD_DATA, NOT_FOUND, CANNOT_CREATE, IO_ERROR, LOCKED, PERMISSION}
# A run that takes so long hangs.
TIMEOUT = 120


class Violation(Exception):
    """A promise was broken."""


# Input


def make_events(seed, count, size=60):
    """The lines of an import, as `export` should give them back; payloads of about `size` bytes."""
    rng = random.Random(f"events/{seed}")
    lines = []
    for number in range(count):
        text = "".join(rng.choice("abcdefghij klmnopqrstuvwxyzü本") for _ in range(rng.randrange(size)))
        spelling = rng.choice(["1", "-0", "1.0", "1e3", "1.50E-2", "123456789012345678901234567890"])
        session = '"session-%d"' % (number % 7) if number % 3 else "null"
        lines.append(
            '{"id":"e%06d-%08x","run_id":"run-%d","turn":%d,"kind":"%s","actor":"%s","payload":{"t":"%s" , "n":%s},'
            '"created_at":"2026-02-%02dT%02d:%02d:%02d.%06dZ","schema_version":1,"session_id":%s,'
            '"model_profile":null,"model_id":null}\n'
            % (
                number, rng.getrandbits(32), number // 50, number, rng.choice(["tool.called", "agent.spoke"]),
                rng.choice(["planner", "Prüfer"]), text, spelling, rng.randrange(1, 29), rng.randrange(24),
                rng.randrange(60), rng.randrange(60), rng.randrange(1, 999_999) // 10 * 10 + 1, session,
            )
        )
    return [line.encode() for line in lines]


def batch_ends(count):
    """Where the batches of an import end that started with a ledger at such an end."""
    return {*range(0, count, BATCH), count}


def id_of(line):
    return json.loads(line)["id"]


# Running


@dataclass
class Outcome:
    words: list
    status: int
    stdout: bytes
    stderr: str

    @property
    def acked(self):
        acks = [json.loads(line)["acked"] for line in self.stdout.split(b"\n")[:-1] if line.startswith(b'{"acked"')]
        if acks != sorted(acks):
            raise Violation(f"acknowledgements fall: {acks}")
        return acks[-1] if acks else 0

    @property
    def said(self):
        """How it ended, for a message."""
        return f"ended with {self.status}: {self.stderr.strip()[:600]}"


def describe(words):
    return "`ledgerctl " + " ".join(map(str, words)) + "`"


def limit_process(limits, ignores_file_size_signal):
    """For a child, before it runs its program."""

    def apply():
        for which, value in limits.items():
            resource.setrlimit(which, (value, resource.getrlimit(which)[1]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN if ignores_file_size_signal else signal.SIG_DFL)

    return apply


class Program:
    """The `ledgerctl` under test."""

    def __init__(self, path):
        self.path = str(path)
        self.commands = self._commands()

    def _commands(self):
        text = subprocess.run([self.path, "help"], stdout=subprocess.PIPE, check=True).stdout.decode()
        listed = text.split("commands:")[1].split("exit codes:")[0]
        return {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line.strip()}

    def run(self, *words, prefix=(), limits=None, ignores_file_size_signal=True, stdin=None):
        words = list(map(str, words))
        preparation = limit_process(limits, ignores_file_size_signal) if limits else None
        try:
            done = subprocess.run(
                [*prefix, self.path, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                preexec_fn=preparation, restore_signals=not limits,
                **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        except subprocess.TimeoutExpired as error:
            raise Violation(f"{describe(words)} hung for {TIMEOUT} s: {(error.stderr or b'')[-400:]!r}") from error
        return Outcome(words, done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def must(self, *words, good=(0,), **options):
        done = self.run(*words, **options)
        if done.status not in good:
            raise Violation(f"{describe(done.words)} without a fault {done.said}")
        return done

    # Checking

    def export(self, ledger):
        """The lines of a ledger, or None if there is none."""
        done = self.run("export", ledger)
        if done.status == NOT_FOUND:
            return None
        if done.status != 0:
            raise Violation(f"export {done.said}")
        return done.stdout.splitlines(keepends=True)

    def check_sound(self, ledger, count):
        """`verify` must find the ledger whole (a torn tail is told on stderr and is no damage), and `stat` agree."""
        done = self.run("verify", ledger, "--json")
        if done.status != 0:
            raise Violation(f"verify {done.said} {done.stdout[:600].decode(errors='replace')}")
        report = json.loads(done.stdout)
        if report["ok"] is not True or report["damage"] or report["events"] != count:
            raise Violation(f"verify says {report}, export gave {count} events")

    def count_prefix(self, ledger, lines, at_least, ends=None):
        """How many events the ledger holds; they must be the input's first, whole batches, and sound."""
        found = self.export(ledger)
        if found is None:
            if at_least:
                raise Violation(f"there is no ledger any more; it held {at_least} events")
            return 0
        check_prefix(found, lines, at_least, batch_ends(len(lines)) if ends is None else ends)
        self.check_sound(ledger, len(found))
        return len(found)

    def complete(self, ledger, file, lines, found, twice=True):
        """Importing again without faults stores what is missing, once."""
        report = json.loads(self.must("import", ledger, file, "--json").stdout)
        wanted = {"appended": len(lines) - found, "duplicates": found, "conflicts": 0, "latest_offset": len(lines)}
        if report != wanted:
            raise Violation(f"the completing import says {report}, not {wanted}")
        if self.count_prefix(ledger, lines, len(lines)) != len(lines):
            raise Violation("the completed ledger is not complete")
        check_no_leftovers(ledger)
        if twice:
            report = json.loads(self.must("import", ledger, file, "--json").stdout)
            if report["appended"] != 0 or report["duplicates"] != len(lines):
                raise Violation(f"importing once more says {report}")


def check_prefix(found, lines, at_least, ends):
    for number, (line, wanted) in enumerate(zip(found, lines)):
        if line != wanted:
            raise Violation(
                f"event {number + 1} is not what was offered:\n  got    {line[:300]!r}\n  wanted {wanted[:300]!r}")
    if len(found) > len(lines):
        raise Violation(f"{len(found)} events are stored, {len(lines)} were offered")
    if len(found) < at_least:
        raise Violation(f"{len(found)} events are left of at least {at_least} that were acknowledged or there before")
    if len(found) not in ends:
        raise Violation(f"{len(found)} events are left, which is no end of a batch: a batch was torn apart")


def check_no_leftovers(ledger):
    left = [path.name for path in Path(ledger).iterdir() if path.name.endswith(".tmp")]
    if left:
        raise Violation(f"temporary files were left behind by a writer that succeeded: {left}")


def check_message(outcome, place, errno_number=None):
    """A failure is told in one sentence that names the place; nothing else that looks like an accident is said."""
    for word in ("Fatal error", "Crash", "precondition", "Thread 0", "swift-backtrace"):
        if word in outcome.stderr:
            raise Violation(f"{describe(outcome.words)} {outcome.said}")
    lines = outcome.stderr.splitlines()
    if any(not line.startswith("ledgerctl: ") for line in lines):
        raise Violation(f"a message is more than one sentence, or none of ledgerctl's: {outcome.stderr[:600]!r}")
    if outcome.status in (0,) or outcome.status < 0:
        return
    if not lines:
        raise Violation(f"{describe(outcome.words)} ended with {outcome.status} and said nothing")
    # `import` says first how far it came, and readers may say that the tail is torn.
    if len(lines) > 2:
        raise Violation(f"more than a sentence: {outcome.stderr[:600]!r}")
    if str(place) not in lines[-1]:
        raise Violation(f"the message does not say where: {lines[-1]!r}")
    if errno_number is not None and f"errno {errno_number})" not in lines[-1]:
        raise Violation(f"the message does not say why (errno {errno_number}): {lines[-1]!r}")
    if ": " not in lines[-1][len("ledgerctl: "):] or not (";" in lines[-1] or "cannot" in lines[-1]):
        raise Violation(f"the message does not say what and what to do: {lines[-1]!r}")


def fingerprint(directory):
    """Every file of a tree: length and contents. LOCK's contents are a hint and change with every writer."""
    found = {}
    for path in sorted(Path(directory).rglob("*")):
        if path.is_file():
            name = str(path.relative_to(directory))
            found[name] = "a lock" if path.name == "LOCK" else (
                path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        else:
            found[str(path.relative_to(directory))] = "a directory"
    return found


def check_unchanged(before, directory):
    after = fingerprint(directory)
    if after != before:
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        raise Violation(f"reading changed the ledger: {names}")


def find_program(name, argument=None):
    """The path given, or a release build of this product of today's sources: an older one would prove nothing."""
    if argument:
        return Path(argument).resolve()
    command = ["swift", "build", "-c", "release", "--product", name]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed\n{done.stdout}")
    return ROOT / ".build/release" / name


def enter_namespace(mark):
    """Starts the script again in a mount namespace of its own, so that nothing stays mounted, whatever happens. `mark` is
    the variable that says it is there. Returns why it cannot be."""
    if os.environ.get(mark):
        return ""
    reasons = []
    for options in (["-m"], ["-r", "-m"]):
        if shutil.which("unshare") is None:
            return "unshare is not installed"
        probe = subprocess.run(["unshare", *options, "true"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if probe.returncode == 0:
            os.environ[mark] = "1"
            os.execvp("unshare", ["unshare", *options, sys.executable, *sys.argv])
        reasons.append(probe.stderr.decode(errors="replace").strip())
    return "; ".join(reasons)


def random_seed():
    return "%08x" % random.SystemRandom().getrandbits(32)


def skipped(what):
    print(f"SKIPPED: {what}", flush=True)
