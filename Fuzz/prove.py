#!/usr/bin/env python3
"""Every way in which this project tries to break its ledger, in one run that ends in one table.

usage: prove.py short | long [--seed S] [--only PART,…] [--allow-skip] [--json FILE]

`short` takes some five minutes and is part of CI; `long` takes an hour and a half on two idle cores. Parts: explore (crash states, faults,
rot and lies on a simulated disk), fuzz (libFuzzer with the address sanitizer), kills, cuts and replay (real processes and file
systems), calls (an error or a kill at each system call of ledgerctl), full (full disks), import (kills of `ledgerctl import`).
Planted bugs are a command of their own, Fuzz/mutants.py.

What a part needs and is not there is said by SKIPPED, and is a failure unless `--allow-skip`. The seed is everybody's; a part
that fails prints how to repeat what it did.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ledgerfaults as lf

ROOT = lf.ROOT
# What a long run is to come by, as the issue of this harness asks for two cores. A short run only shows that all of it works.
AIMS = {
    "distinct crash states": 10_000_000,
    "nested crash states": 1_000_000,
    "parser executions": 100_000_000,
    "whole-engine executions": 1_000_000,
    "kills": 20_000,
    "power cuts": 2_000,
}
# Fuzz targets that open a whole log or ledger for each input.
WHOLE = ["segment", "repaired", "sidecar", "snapshot", "lives"]
# And those that do not.
PARSERS = [
    "frames", "program", "batch", "header", "sidecarHeader", "index", "catalog", "manifest", "event", "json", "lines",
]


def parts(kind, seed, allow_skip):
    """Each part's command, and whether it writes its numbers as JSON."""
    is_long = kind == "long"
    skip = ["--allow-skip"] if allow_skip else []
    number = str(sum(seed.encode()) % 100_000)
    quick = [] if is_long else ["--quick"]
    return {
        "explore": ([lf.find_program("explore"), "--seconds", "1900" if is_long else "60", "--seed", number], True),
        **fuzz(is_long),
        "kills": (python("kills.py", "--seed", seed, *quick), True),
        "cuts": (python("power-cuts.py", "--seed", seed, *quick, *skip), True),
        "cuts-canary": (python("power-cuts.py", "--seed", seed, "--quick", "--canary", *skip), False),
        "replay": (python("block-replay.py", "--seed", seed, *(["--images", "1200"] if is_long else quick), *skip), True),
        "replay-canary": (python("block-replay.py", "--seed", seed, "--quick", "--canary", *skip), False),
        "calls": (python("strace-faults.py", "--seed", seed, *(["--every", "12"] if is_long else quick)), False),
        "full": (python("full-disk.py", "--seed", seed, "--quick"), False),
        "import": (python("kill-import.py", "--cycles", "100" if is_long else "10"), False),
    }


def fuzz(is_long):
    script = ROOT / "Fuzz/fuzz.sh"
    if not is_long:
        return {"fuzz": ([script, "--quick"], True)}
    # Apart, since those that open a log for each input are slower by far.
    return {
        "fuzz-parsers": ([script, "--minutes", "34", *PARSERS], True),
        "fuzz-logs": ([script, "--no-build", "--minutes", "14", *WHOLE], True),
    }


def python(script, *words):
    return [sys.executable, ROOT / "Fuzz" / script, *words]


def rows(name, numbers):
    """What a part's numbers come to in the last table."""
    if name == "explore":
        wanted = ["distinct crash states", "nested crash states", "operations with crashes", "fault points",
                  "crash states after faults", "bits flipped", "sectors gone astray or stale", "states after syncs that lied"]
        kinds = [key for key in numbers if key.startswith("states ") and key not in wanted]
        protocols = [key for key in numbers if key.startswith("in ")]
        yield from ((key, numbers[key]) for key in wanted + kinds if key in numbers)
        yield from ((f"distinct crash states {key}", numbers[key]) for key in protocols)
    elif name.startswith("fuzz"):
        runs = {row["target"]: row["executions"] or 0 for row in numbers}
        for kind, targets in (("parser", PARSERS), ("whole-engine", WHOLE)):
            if set(targets) & set(runs):
                yield f"{kind} executions", sum(runs.get(target, 0) for target in targets)
        yield from ((f"  by {target}", count) for target, count in runs.items())
    elif name == "kills":
        yield "kills", numbers["kills"]
    elif name == "cuts":
        yield "power cuts", numbers["cuts"]
        for filesystem in ("ext4", "xfs"):
            yield f"  on {filesystem}", sum(
                count for key, count in numbers["numbers"].items() if key.startswith(f"{filesystem} cuts, "))
    elif name == "replay":
        yield "crash images", numbers["images"]
        yield from ((f"  {key}", count) for key, count in numbers["numbers"].items() if key.endswith(": images"))
        extents = (": explained, all had arrived", ": explained, only what was synced had", ": explained, some of the rest had")
        yield "explained by the simulated disk", sum(
            count for key, count in numbers["numbers"].items() if key.endswith(extents))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=["short", "long"])
    parser.add_argument("--seed", default=None, help="any text; random unless given")
    parser.add_argument("--only", default=None, help="these parts, with commas")
    parser.add_argument("--allow-skip", action="store_true", help="what this machine cannot do is no failure")
    parser.add_argument("--json", default=None, help="a file for the numbers")
    arguments = parser.parse_args()
    seed = arguments.seed or lf.random_seed()
    commands = parts(arguments.kind, seed, arguments.allow_skip)
    wanted = arguments.only.split(",") if arguments.only else list(commands)
    if unknown := set(wanted) - set(commands):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(commands)}")
    table, failed, times = [], [], {}
    environment = {**os.environ, "SWIFT_BACKTRACE": "enable=no"}
    with tempfile.TemporaryDirectory(prefix="prove-") as top:
        for name in wanted:
            words, has_numbers = commands[name]
            file = Path(top) / f"{name}.json"
            print(f"\n== {name}", flush=True)
            start = time.monotonic()
            status = subprocess.run([*map(str, words), *(["--json", str(file)] if has_numbers else [])],
                                    cwd=ROOT, env=environment).returncode
            times[name] = round(time.monotonic() - start)
            if status:
                failed.append(name)
            if file.exists():
                table += rows(name, json.loads(file.read_text()))
    print(f"\n{arguments.kind} run, seed {seed}")
    short_of = []
    for name, count in table:
        aim = AIMS.get(name) if arguments.kind == "long" else None
        if aim and count < aim:
            short_of.append(name)
        print(f"{name:44}{count:>14,}" + (f"   of {aim:,}" if aim else ""))
    print("seconds: " + ", ".join(f"{name} {seconds}" for name, seconds in times.items()))
    if short_of:
        print(f"short of the aim: {', '.join(short_of)}")
    if arguments.json:
        Path(arguments.json).write_text(
            json.dumps({"run": arguments.kind, "seed": seed, "numbers": dict(table), "seconds": times, "failed": failed}, indent=1))
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
        return 1
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
