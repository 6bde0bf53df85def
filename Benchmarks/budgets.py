#!/usr/bin/env python3
"""Counts the instructions of each operation and compares them with budgets.toml, so that a regression shows on a noisy machine.

usage: budgets.py [--rounds N]           compare; fails if an operation is more than 5 % over its budget
       budgets.py --update [--rounds N]  write what was counted as the budgets; a raised one wants its reason in the commit
       budgets.py --profile OPERATION    where an operation's instructions go

How it counts: `operations` (Sources/operations) makes everything ready and then does one operation so many times in a function
of its own, under callgrind. Two things keep the rest out.

- Callgrind collects only inside that function (`--toggle-collect`), and of the thread that called it: it keeps that state for
  each thread, so what timers and the housekeeper do in the background counts nowhere. The difference of two whole runs would
  have to have the events made in both and subtract far more than it keeps (of `append` a third is making events).
- What happens once inside it (symbols bound, metadata made) cancels out: the same is run N and 2 N times, and the figure is
  the difference by the number of operations between them. Growth of tables is amortised.

What is left varies with the random seeds of hash tables, which decide what collides and when a table grows: under 1 % for
`append-batched`, whatever N is, and far less for the rest; see README.md. System calls count as one instruction; time in the
kernel, cache misses, waiting and what `open` leaves to other threads are not seen at all: this is no clock, `bench` is.

Instructions belong to a compiler and a processor architecture; budgets.toml names them. Valgrind 3.19 does not know AVX-512. No
flag is needed for it: Swift compiles for plain x86-64, and glibc picks its routines by what valgrind's processor claims to have,
which ends at AVX2. But glibc would copy large blocks with `rep movsb`, of which valgrind counts every byte as an instruction (ten
thousand for 10 KB that AVX moves in a thousand), from a size on that depends on the machine's caches; GLIBC_TUNABLES forbids it.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUDGETS = HERE / "budgets.toml"
# N of each operation: rounds of all events for `scan`, runs for `read-run`. Longest first, so that both cores end together.
COUNTS = {"append": 5000, "append-batched": 5000, "get": 5000, "miss": 5000, "open": 10, "read-run": 100, "scan": 1}
UNITS = {"read-run": "event", "scan": "event", "append-batched": "event"}
ALLOWED = 0.05
# As the compiler mangles `operations.measured`.
COLLECTED = "$s10operations8measured*"
ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-ERMS,-FSRM"}


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        sys.exit(f"budgets: {' '.join(map(str, command))} failed\n{done.stdout}{done.stderr}")
    return done.stdout


def build():
    """With the flags of .ci/run, which then has nothing to build."""
    run("swift", "build", "-c", "release", "--package-path", HERE, "--product", "operations", "-Xswiftc", "-warnings-as-errors")
    return HERE / ".build/release/operations"


def toolchain():
    version = re.search(r"Swift version (\S+)", run("swift", "--version"))[1]
    return f"Swift {version}, {os.uname().machine}"


class Bench:
    """A directory with a filled store, and what runs on it."""

    def __init__(self, program, place):
        self.program, self.place = program, Path(place)
        self.store = self.place / "store"
        run(program, "fill", self.store)

    def count(self, operation, count):
        """How many operations were done, how many instructions they took, and callgrind's file about them."""
        path = self.place / f"{operation}-{count}" if operation.startswith("append") else self.store
        out = self.place / f"{operation}-{count}.callgrind"
        done = run("valgrind", "--tool=callgrind", f"--toggle-collect={COLLECTED}", f"--callgrind-out-file={out}",
                   self.program, operation, count, path, env=ENVIRONMENT)
        if path != self.store:
            shutil.rmtree(path)
        instructions = int(re.search(r"^summary: (\d+)", out.read_text(), re.MULTILINE)[1])
        if not instructions:
            sys.exit(f"budgets: nothing was counted: no function of `operations` is called {COLLECTED}")
        return int(done), instructions, out


def measure(program, rounds):
    """The figures of each operation, one a round, each round with a store of its own."""
    figures = {operation: [] for operation in COUNTS}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(os.cpu_count()) as pool:
            bench = Bench(program, place)
            jobs = {operation: [pool.submit(bench.count, operation, n) for n in (2 * count, count)]
                    for operation, count in COUNTS.items()}
            for operation, (twice, once) in jobs.items():
                (operations2, instructions2, _), (operations1, instructions1, _) = twice.result(), once.result()
                figures[operation].append((instructions2 - instructions1) / (operations2 - operations1))
    return figures


def update(figures, toolchain):
    lines = [
        "# Instructions an operation (an event, for append-batched, read-run and scan), as budgets.py counts them.",
        "# Raised only in a commit that gives the reason.",
        f'toolchain = "{toolchain}"',
        "",
        "[instructions]",
        *(f"{operation} = {round(statistics.median(values))}" for operation, values in figures.items()),
    ]
    BUDGETS.write_text("\n".join(lines) + "\n")


def compare(figures, toolchain):
    """Prints the table. False if a budget was passed."""
    known = tomllib.loads(BUDGETS.read_text())
    budgets = known["instructions"]
    if known["toolchain"] != toolchain:
        print(f"The budgets are for {known['toolchain']}, and this is {toolchain}: differences may be the compiler's.\n")
    print(f"{'operation':<16}{'instructions':>14}{'budget':>10}{'':>9}  spread")
    verdicts = []
    for operation, values in figures.items():
        figure, budget = statistics.median(values), budgets.get(operation)
        spread = f"{max(values) / min(values) - 1:.2%}" if len(values) > 1 else "–"
        if budget is None:
            verdicts.append((True, f"{operation} has no budget; add it with --update"))
            print(f"{operation:<16}{figure:>14,.0f}{'none':>10}{'':>9}  {spread}")
            continue
        change = figure / budget - 1
        print(f"{operation:<16}{figure:>14,.0f}{budget:>10,}{change:>+9.1%}  {spread}")
        if change > ALLOWED:
            verdicts.append((True, f"{operation} takes {change:.1%} more instructions than its budget; make it cheaper, or raise "
                                   f"the budget with --update and give the reason (--profile {operation} shows where they go)"))
        elif change < -ALLOWED:
            verdicts.append((False, f"{operation} takes {-change:.1%} less than its budget; lower it with --update, to keep it so"))
    for operation in budgets.keys() - figures.keys():
        verdicts.append((True, f"{operation} has a budget, but there is no such operation"))
    for _, text in verdicts:
        print(f"budgets: {text}")
    return not any(is_failure for is_failure, _ in verdicts)


# MARK: Profile

def functions(path, *options):
    """Instructions of each function by callgrind_annotate, by its name as the linker knows it."""
    found = {}
    for line in run("callgrind_annotate", "--auto=no", "--threshold=100", *options, path).splitlines():
        match = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+[^:]*:(.+?)(?: \[[^\]]*\])?$", line)
        if match:
            found[match[2]] = found.get(match[2], 0) + int(match[1].replace(",", ""))
    return found


def profile(program, operation, rows=25):
    with tempfile.TemporaryDirectory() as place:
        # Without debug information what was inlined counts where it was inlined, and not as many functions of one name.
        stripped = Path(place) / "operations"
        run("strip", "--strip-debug", "-o", stripped, program)
        bench = Bench(stripped, place)
        with ThreadPoolExecutor(2) as pool:
            (times2, all2, path2), (times1, all1, path1) = pool.map(
                lambda n: bench.count(operation, n), (2 * COUNTS[operation], COUNTS[operation]))
        times, total = times2 - times1, all2 - all1
        for title, options in (("with what they call", ["--inclusive=yes"]), ("alone", [])):
            before, after = functions(path1, *options), functions(path2, *options)
            # Differences, as in the budgets: what happens once is not the operation's. What calls the operation is not either.
            taken = {name: after[name] - before.get(name, 0) for name in after}
            top = sorted(((n, name) for name, n in taken.items() if n < total or not options), reverse=True)[:rows]
            names = run("swift", "demangle", "--simplified", input="\n".join(name for _, name in top)).splitlines()
            print(f"\n{operation}: {total / times:,.0f} instructions an {UNITS.get(operation, 'operation')}; functions {title}\n")
            for (n, _), name in zip(top, names, strict=True):
                print(f"{n / times:>10,.1f}  {n / total:>6.1%}  {name[:140]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="count everything so often, take medians and show the spread")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--profile", choices=sorted(COUNTS), metavar="OPERATION")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("budgets: valgrind is not installed; apt-get install valgrind")
    program = build()
    if arguments.profile:
        return profile(program, arguments.profile)
    figures = measure(program, arguments.rounds)
    if arguments.update:
        update(figures, toolchain())
    sys.exit(not compare(figures, toolchain()))


main()
