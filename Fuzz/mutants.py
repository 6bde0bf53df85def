#!/usr/bin/env python3
"""Plants the bugs of mutants.toml one at a time and sees that something notices.

    Fuzz/mutants.py                     all of them; goes on where an interrupted run stopped
    Fuzz/mutants.py --sample 3 --seed 7 three of them, chosen by the seed
    Fuzz/mutants.py --only NAME …       these
    Fuzz/mutants.py --list              what there is

The working tree is copied to .build/mutants/src and built there, so nothing of it is touched. A layer notices a mutant if it
fails, ends by a signal (`trap`), or takes five times as long as it does without (`hang`). The exit code is 0 if every mutant
was noticed, 1 if one survived, 2 if the catalogue or the unmutated sources are at fault.
"""

import argparse
import hashlib
import json
import os
import random
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CATALOGUE = HERE / "mutants.toml"
# What a result depends on, beside the mutant: what it changes, and who looks at that.
SOURCES = ("Package.swift", "Sources/", "Fuzz/Targets/")
JUDGES = ("Tests/", "Fuzz/ledgerfaults.py", "Fuzz/strace-faults.py", "Fuzz/full-disk.py")
BUILD = ["swift", "build", "--build-tests", "-debug-info-format", "none"]
PRODUCTS = ".build/debug"
# What was built without a mutant is kept here, so that a layer can be timed while one is planted.
UNMUTATED = ".build/unmutated"
TESTS = [PRODUCTS + "/RunLedgerPackageTests.xctest", "--testing-library", "swift-testing"]
# Swift Testing says so when it happens, not at the end.
FAILED_TEST = re.compile(r'^\S+ Test (?:case .* to )?(?:"(.+?)"|(\S+\(.*?\))).* recorded an issue')
FAILED_CASE = re.compile(r"^FAILED ([^,]+), seed")
# Tests that take more than a quarter of a second. All of a layer's start at once, so that one that fails at once still waits
# for its turn among these: they have layers of their own.
MORE_ENGINE = (
    "stopped after any file operation, a close",
    "a flipped bit anywhere in a sidecar",
    "hostile lists under a right checksum",
    "a power cut ",
    "groups cross segments",
    "a replacement after a killed one",
    "the records of a segment that is gone",
    "a roll in the middle of reading",
    "opening a log neither reads nor writes the space",
    "a reader on a trimmed segment",
    "bytes that rot while the log is open",
)
MORE_LEDGER = (
    "an index that lies under a right checksum",
    "a large event is a batch by itself",
    "random lives lose nothing",
    "a reader of a run goes on behind a trim",
    "whatever is done at once",
    "a reader beside a living writer",
    "hashes that all meet",
    "lookups agree with the events",
    "No mutation of a line traps",
    "threads append and read at once",
    "appends, lookups, snapshots and trims at once",
)
# Each a pass over every bit of some files, or many random lives.
SLOW = (
    "every single flipped bit of",
    "truncation at every length",
    "power cuts at random moments of random lives",
    "several threads find what one thread finds",
)


@dataclass
class Layer:
    name: str
    command: list[str]
    # Its first group that is not None names what failed.
    failure: re.Pattern = FAILED_TEST


def tests(name: str, *filters: str, skip: tuple[str, ...] = ()) -> Layer:
    arguments = [part for text in filters for part in ("--filter", text)]
    arguments += [part for text in skip for part in ("--skip", text)]
    return Layer(name, TESTS + arguments)


def program(name: str, script: str, *arguments: str) -> Layer:
    """One of the programs that let system calls fail. Where they cannot, they say so and pass."""
    command = [sys.executable, "Fuzz/" + script, "--ledgerctl", PRODUCTS + "/ledgerctl", *arguments]
    return Layer(name, command, FAILED_CASE)


def among(target: str, names: tuple[str, ...]) -> list[str]:
    return [rf"^{target}\..*{name}" for name in names]


# In the order of their cost. The first that fails is the one that a mutant is caught by.
LAYERS = [
    tests("platform", r"^PlatformIOTests\."),
    tests("engine", r"^LogEngineTests\.", skip=MORE_ENGINE + SLOW),
    tests("fuzz", r"^FuzzTests\."),
    tests("ledger", r"^RunLedgerTests\.", skip=MORE_LEDGER),
    tests("engine-more", *among("LogEngineTests", MORE_ENGINE), skip=SLOW),
    tests("tool", r"^ledgerctlTests\."),
    tests("ledger-more", *among("RunLedgerTests", MORE_LEDGER)),
    program("strace", "strace-faults.py", "--quick", "--seed", "1", "--jobs", "2"),
    program("full-disk", "full-disk.py", "--quick"),
    tests("engine-slow", *among("LogEngineTests", SLOW)),
]
# However fast a layer is, so long may it take.
PATIENCE = 60.0


class Fault(Exception):
    """The catalogue or the unmutated sources are not as they have to be."""


# MARK: The catalogue


@dataclass
class Edit:
    file: str
    find: str
    replace: str


@dataclass
class Mutant:
    name: str
    rule: str
    loses: str
    edits: list[Edit]

    def digest(self) -> str:
        return digest(*(part for edit in self.edits for part in (edit.file, edit.find, edit.replace)))


def digest(*parts: str) -> str:
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.hexdigest()


def read_catalogue() -> list[Mutant]:
    mutants: list[Mutant] = []
    with CATALOGUE.open("rb") as file:
        tables = tomllib.load(file)["mutant"]
    for table in tables:
        name = table.get("name", "?")
        try:
            edits = [Edit(e["file"], e["find"], e["replace"]) for e in table.get("edit", [table])]
            mutants.append(Mutant(name, table["rule"], table["loses"], edits))
        except KeyError as key:
            raise Fault(f"{name}: {key} is missing") from None
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise Fault(f"{name}: a name is in kebab-case")
    names = [mutant.name for mutant in mutants]
    for name in names:
        if names.count(name) > 1:
            raise Fault(f"{name}: two mutants have this name")
    faults = []
    for mutant in mutants:
        try:
            mutated(mutant)
        except Fault as fault:
            faults.append(str(fault))
    if faults:
        raise Fault("\n".join(faults))
    return mutants


def mutated(mutant: Mutant) -> dict[str, str]:
    """The files that a mutant changes, with the change made."""
    files: dict[str, str] = {}
    for edit in mutant.edits:
        path = "Sources/" + edit.file
        text = files.get(path) or (ROOT / path).read_text()
        count = text.count(edit.find)
        if count != 1:
            raise Fault(f"{mutant.name}: stale: what it replaces stands {count} times in {path}")
        files[path] = text.replace(edit.find, edit.replace)
        if files[path] == text:
            raise Fault(f"{mutant.name}: changes nothing in {path}")
    return files


# MARK: The copy


class Copy:
    """The working tree in a directory of its own, as it is or with a mutant in it."""

    def __init__(self, directory: Path):
        self.directory = directory
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.split("\0")
        names = sorted(name for name in set(listed) if name and (ROOT / name).is_file())
        wanted = set(names)
        # A file that did not change keeps its time, so that it is not compiled again.
        for name in names:
            self.put(name, (ROOT / name).read_bytes(), (ROOT / name).stat().st_mode)
        for path in directory.rglob("*"):
            name = path.relative_to(directory)
            if name.parts[0] != ".build" and path.is_file() and str(name) not in wanted:
                path.unlink()
        self.sources = self.digest_of(names, SOURCES)
        self.tests = self.digest_of(names, JUDGES)

    def digest_of(self, names: list[str], prefixes: tuple[str, ...]) -> str:
        chosen = [name for name in names if name.startswith(prefixes)]
        return digest(*(
            part for name in chosen for part in (name, hashlib.sha256((ROOT / name).read_bytes()).hexdigest())))

    def put(self, name: str, data: bytes, mode: int | None = None) -> None:
        path = self.directory / name
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if mode is not None:
            path.chmod(mode & 0o777)

    def restore(self, names: dict[str, str]) -> None:
        for name in names:
            self.put(name, (ROOT / name).read_bytes())

    def build(self) -> tuple[bool, str]:
        done = subprocess.run(
            BUILD, cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        errors = [line for line in done.stdout.splitlines() if "error:" in line]
        return done.returncode == 0, "\n".join(errors[:5]) or done.stdout[-2000:]

    def keep_products(self) -> None:
        """Programs find each other beside themselves, so all of them are copied."""
        target = self.directory / UNMUTATED
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in (self.directory / PRODUCTS).iterdir():
            if path.is_file() and os.access(path, os.X_OK):
                shutil.copy2(path, target)


# MARK: Layers


@dataclass
class Verdict:
    # `passed`, `failed`, `trap` or `hang`.
    outcome: str
    detail: str
    seconds: float


def run(layer: Layer, directory: Path, timeout: float | None) -> Verdict:
    """Runs a layer up to its first failure.

    A failure counts if it comes again: some tests have to do with processes, threads and clocks of the real machine, and one
    that fails now and then by itself would hide a survivor.
    """
    verdict = run_once(layer, directory, timeout)
    if verdict.outcome in ("passed", "hang"):
        return verdict
    again = run_once(layer, directory, timeout)
    if again.outcome == "passed":
        say(f"  did not come again: {layer.name} {verdict.outcome} {verdict.detail}")
    return Verdict(again.outcome, again.detail, verdict.seconds + again.seconds)


def run_once(layer: Layer, directory: Path, timeout: float | None) -> Verdict:
    """Nothing that it started outlives it."""
    started = time.monotonic()
    # Swift's own crash reports take seconds each, and nobody reads them here.
    environment = dict(os.environ, SWIFT_BACKTRACE="enable=no")
    process = subprocess.Popen(
        layer.command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True)
    assert process.stdout is not None
    unfinished: dict[str, None] = {}
    tail: list[str] = []
    fatal = ""
    pending = b""

    def ended(outcome: str, detail: str) -> Verdict:
        return Verdict(outcome, detail, time.monotonic() - started)

    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                rest = None if timeout is None else timeout - (time.monotonic() - started)
                if rest is not None and rest <= 0:
                    return ended("hang", running(unfinished))
                if not selector.select(rest):
                    continue
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    break
                *lines, pending = (pending + data).split(b"\n")
                for line in (line.decode(errors="replace") for line in lines):
                    tail = (tail + [line])[-5:]
                    if match := layer.failure.match(line):
                        return ended("failed", next(group for group in match.groups() if group))
                    if match := re.match(r'^\S+ Test (?:"(.+?)"|(\S+\(.*?\))) (started|passed)', line):
                        name = match.group(1) or match.group(2)
                        unfinished.pop(name, None)
                        if match.group(3) == "started":
                            unfinished[name] = None
                    if "Fatal error" in line or "Precondition failed" in line:
                        fatal = line.strip()
        code = process.wait()
        if code < 0:
            return ended("trap", fatal or f"{signal.Signals(-code).name} in {running(unfinished)}")
        return ended("passed", "") if code == 0 else ended("failed", "\n".join(tail))
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.stdout.close()
        process.wait()


def running(unfinished: dict[str, None]) -> str:
    names = list(unfinished)
    return "; ".join(names[:3]) + (f" or {len(names) - 3} more" if len(names) > 3 else "")


# MARK: Results


class Results:
    """What was found out, on the disk, so that an interrupted run goes on."""

    def __init__(self, path: Path):
        self.path = path
        self.entries = json.loads(path.read_text()) if path.exists() else {}

    def find(self, key: str, tests: str, keeps_catches: bool) -> dict | None:
        entry = self.entries.get(key)
        if entry is None:
            return None
        is_caught = entry.get("caught_by") is not None
        return entry if entry["tests"] == tests or (keeps_catches and is_caught) else None

    def put(self, key: str, entry: dict) -> None:
        self.entries[key] = entry
        partial = self.path.with_suffix(".tmp")
        partial.write_text(json.dumps(self.entries, indent=1))
        partial.rename(self.path)


class Unmutated:
    """The sources as they are: they have to build, and to pass every layer that is asked for."""

    def __init__(self, copy: Copy, results: Results):
        self.copy = copy
        self.results = results
        self.key = digest("unmutated", copy.sources)
        known = results.entries.get(self.key)
        self.known: dict[str, float] = known["seconds"] if known and known["tests"] == copy.tests else {}
        started = time.monotonic()
        is_built, errors = copy.build()
        if not is_built:
            raise Fault(f"the unmutated sources do not build:\n{errors}")
        copy.keep_products()
        say(f"built without a mutant in {time.monotonic() - started:.0f} s")

    def seconds(self, layer: Layer) -> float:
        """How long a layer takes; measured when that is first asked."""
        if layer.name not in self.known:
            command = [part.replace(PRODUCTS, UNMUTATED) for part in layer.command]
            verdict = run(Layer(layer.name, command, layer.failure), self.copy.directory, None)
            say(f"  without a mutant: {layer.name} {verdict.outcome} in {verdict.seconds:.1f} s {verdict.detail}")
            if verdict.outcome != "passed":
                raise Fault(f"the unmutated sources do not pass {layer.name}: {verdict.detail}")
            self.known[layer.name] = verdict.seconds
            self.results.put(self.key, {"tests": self.copy.tests, "seconds": self.known})
        return self.known[layer.name]


def is_settled(entry: dict, layers: list[Layer], all_layers: bool) -> bool:
    """Is there nothing more to run?"""
    if "error" in entry or (entry["caught_by"] is not None and not all_layers):
        return True
    return all(layer.name in entry["layers"] for layer in layers)


def plant(
    mutant: Mutant, copy: Copy, layers: list[Layer], unmutated: Unmutated, all_layers: bool, known: dict | None
) -> dict:
    """Runs the layers that are not known yet."""
    files = mutated(mutant)
    entry = known or {"name": mutant.name, "tests": copy.tests, "caught_by": None, "layers": {}, "seconds": 0}
    started = time.monotonic()
    try:
        for name, text in files.items():
            copy.put(name, text.encode())
        is_built, errors = copy.build()
        entry["build_seconds"] = round(time.monotonic() - started, 1)
        if not is_built:
            return entry | {"error": "does not compile: " + errors}
        for layer in layers:
            if layer.name in entry["layers"]:
                continue
            verdict = run(layer, copy.directory, max(PATIENCE, 5 * unmutated.seconds(layer)))
            entry["layers"][layer.name] = {
                "outcome": verdict.outcome, "detail": verdict.detail, "seconds": round(verdict.seconds, 1)}
            if verdict.outcome == "passed":
                continue
            if entry["caught_by"] is None:
                entry["caught_by"] = layer.name
                entry["how"] = verdict.outcome
                entry["by"] = verdict.detail
            if not all_layers:
                break
    finally:
        copy.restore(files)
    entry["seconds"] = round(entry["seconds"] + time.monotonic() - started, 1)
    return entry


# MARK: Telling


def say(text: str) -> None:
    print(text, flush=True)


def row(mutant: Mutant, entry: dict | None) -> list[str]:
    if entry is None:
        return [mutant.name, mutant.rule, "not run", "", ""]
    if "error" in entry:
        return [mutant.name, mutant.rule, "ERROR", entry["error"].splitlines()[0], ""]
    if entry["caught_by"] is None:
        return [mutant.name, mutant.rule, "SURVIVED", "", f"{entry['seconds']:.0f}"]
    layer = entry["caught_by"] + ("" if entry["how"] == "failed" else f" ({entry['how']})")
    return [mutant.name, mutant.rule, layer, entry["by"].splitlines()[-1] if entry["by"] else "", f"{entry['seconds']:.0f}"]


def write_table(path: Path, mutants: list[Mutant], entries: dict[str, dict]) -> None:
    lines = ["| mutant | rule | caught by layer | first to fail | s |", "|---|---|---|---|---|"]
    for mutant in mutants:
        cells = [cell.replace("|", "\\|") for cell in row(mutant, entries.get(mutant.name))]
        lines.append("| " + " | ".join(cells) + " |")
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of them, chosen by the seed")
    parser.add_argument("--seed", type=int, default=None, help="for --sample; random unless given")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", help="these layers, instead of all")
    parser.add_argument("--all-layers", action="store_true", help="do not stop at the first layer that fails")
    parser.add_argument("--again", action="store_true", help="run also what has a result for these sources and tests")
    parser.add_argument(
        "--keep-catches", action="store_true",
        help="a mutant that was caught counts as caught though tests have changed since; for work on survivors")
    parser.add_argument("--scratch", type=Path, default=ROOT / ".build/mutants", help="where to build")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write it as Markdown")
    options = parser.parse_args()

    mutants = read_catalogue()
    if options.list:
        for mutant in mutants:
            say(f"{mutant.name}\n    {mutant.rule}\n    loses: {mutant.loses}")
        say(f"{len(mutants)} mutants; layers: {', '.join(layer.name for layer in LAYERS)}")
        return 0
    if options.only:
        unknown = set(options.only) - {mutant.name for mutant in mutants}
        if unknown:
            raise Fault(f"no mutant is called {', '.join(sorted(unknown))}")
        mutants = [mutant for mutant in mutants if mutant.name in options.only]
    if options.sample is not None:
        seed = options.seed if options.seed is not None else random.randrange(1 << 32)
        say(f"sample of {options.sample}, seed {seed}")
        mutants = random.Random(seed).sample(mutants, min(options.sample, len(mutants)))
    layers = [layer for layer in LAYERS if not options.layers or layer.name in options.layers]
    if options.layers and len(layers) != len(set(options.layers)):
        raise Fault(f"the layers are {', '.join(layer.name for layer in LAYERS)}")

    started = time.monotonic()
    options.scratch.mkdir(parents=True, exist_ok=True)
    results = Results(options.scratch / "results.json")
    copy = Copy(options.scratch / "src")
    unmutated = Unmutated(copy, results)
    entries: dict[str, dict] = {}
    for number, mutant in enumerate(mutants, 1):
        key = digest(copy.sources, mutant.digest())
        entry = None if options.again else results.find(key, copy.tests, options.keep_catches)
        is_new = entry is None or not is_settled(entry, layers, options.all_layers)
        if is_new:
            entry = plant(mutant, copy, layers, unmutated, options.all_layers, entry)
            results.put(key, entry)
        entries[mutant.name] = entry
        _, rule, layer, by, seconds = row(mutant, entry)
        say(f"[{number}/{len(mutants)}] {mutant.name}: {layer} {by} {seconds + ' s' if is_new else '(known)'}")

    say("")
    width = max((len(mutant.name) for mutant in mutants), default=0)
    for mutant in mutants:
        name, rule, layer, by, seconds = row(mutant, entries[mutant.name])
        say(f"{name:{width}}  {layer:18}  {seconds:>4}  {by[:90]}\n{'':{width}}    {rule}")
    if options.json:
        told = [
            {"name": m.name, "rule": m.rule, "loses": m.loses} | entries[m.name] for m in mutants]
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.table:
        write_table(options.table, mutants, entries)
    errors = [name for name, entry in entries.items() if "error" in entry]
    survivors = [name for name, entry in entries.items() if "error" not in entry and entry["caught_by"] is None]
    say(f"\n{len(mutants)} mutants, {len(mutants) - len(errors) - len(survivors)} caught, "
        f"{time.monotonic() - started:.0f} s")
    if errors:
        say("do not compile: " + ", ".join(errors))
    if survivors:
        say("survived: " + ", ".join(survivors))
    return 2 if errors else 1 if survivors else 0


if __name__ == "__main__":
    # So that what runs is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Fault as fault:
        print(f"mutants.py: {fault}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        # Whatever was found out is on the disk.
        sys.exit(130)
