#!/usr/bin/env python3
"""Which regions of the code that stores and recovers records no test reaches.

Runs `swift test --enable-code-coverage` in a build directory of its own and compares what is left uncovered in the files
below with coverage-gaps.txt, which explains each region that is allowed to be. Fails if a region is neither covered nor
explained, if an explanation has nothing left to explain, or if there are more than ten.

    Fuzz/coverage.py                run the tests, then judge
    Fuzz/coverage.py --no-run       judge what the last run left
    Fuzz/coverage.py --json FILE    also write the figures
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GAPS = ROOT / "Fuzz" / "coverage-gaps.txt"
MOST_GAPS = 10

# Recovery, format and commit: the whole engine but for words about it, and what the ledger stores, finds again by what it
# stored, and saves from damage.
FILES = ["Sources/LogEngine/**/*.swift"] + [
    f"Sources/RunLedger/{name}.swift"
    for name in [
        "EventIndex", "EventRecord", "GrowingPart", "IDIndex", "Ledger+Append", "Ledger+Salvage", "LedgerIndex",
        "Ledger+Index", "PostingIndex", "RawSpan+Bytes", "SealedIndex", "SealedPart",
    ]
]
CODE_REGION = 0


def fail(message):
    sys.exit(f"coverage: {message}")


def files():
    found = sorted(str(path.relative_to(ROOT)) for pattern in FILES for path in ROOT.glob(pattern))
    missing = [pattern for pattern in FILES if not list(ROOT.glob(pattern))]
    if missing:
        fail(f"no such file: {', '.join(missing)}")
    return found


def tool(name):
    """From the toolchain of the `swift` that built the tests: the mapping's format changes with its version."""
    swift = shutil.which("swift") or fail("no swift in PATH")
    beside = pathlib.Path(os.path.realpath(swift)).parent / name
    if beside.exists():
        return str(beside)
    found = subprocess.run(["xcrun", "--find", name], capture_output=True, text=True) if shutil.which("xcrun") else None
    if found and found.returncode == 0:
        return found.stdout.strip()
    fail(f"no {name} beside {swift}")


def swift_test(scratch, *options):
    return ["swift", "test", "--enable-code-coverage", "--scratch-path", str(scratch), *options]


def run_tests(scratch, options):
    # One that counts regions of another build would be wrong about every line.
    for old in scratch.glob("*/debug/codecov/*"):
        old.unlink()
    if subprocess.run(swift_test(scratch, *options), cwd=ROOT).returncode != 0:
        fail("the tests failed, so what they cover means nothing")


def is_behind_endless_loop(source, start, end):
    """A region behind `while true` with nothing in it: the compiler makes one, and no program can be there. Its count is a
    difference of counters that threads race for, so that it is now and then not zero."""
    if source[start - 1] != "}" or source[start:end].strip(" \n})"):
        return False
    depth = 0
    for place in range(start - 1, -1, -1):
        depth += {"}": 1, "{": -1}.get(source[place], 0)
        if depth == 0:
            return source[:place].endswith("while true ")
    return False


def regions(scratch):
    """{file: {(line, column, end line, end column): covered}}"""
    codecov = pathlib.Path(
        subprocess.run(
            swift_test(scratch, "--show-codecov-path"), cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    ).parent
    profile = codecov / "default.profdata"
    if not profile.exists():
        fail(f"no {profile}; run without --no-run")
    bundle = next(iter(sorted(codecov.parent.glob("*PackageTests.xctest"))), None) or fail("no test bundle")
    binary = bundle if bundle.is_file() else bundle / "Contents" / "MacOS" / bundle.stem
    wanted = {str(ROOT / name): name for name in files()}
    export = subprocess.run(
        [tool("llvm-cov"), "export", f"-instr-profile={profile}", str(binary), *wanted],
        capture_output=True, text=True, check=True,
    )
    found = {name: {} for name in wanted.values()}
    sources = {name: (ROOT / name).read_bytes() for name in found}

    def offset(name, line, column):
        # Columns count bytes.
        source = sources[name]
        start = 0
        for _ in range(line - 1):
            start = source.index(b"\n", start) + 1
        return len(source[: start + column - 1].decode())

    for function in json.loads(export.stdout)["data"][0]["functions"]:
        for line, column, end_line, end_column, count, file, _, kind in function["regions"]:
            name = wanted.get(function["filenames"][file])
            if name is None or kind != CODE_REGION:
                continue
            # A generic function, or one that is inlined, has more than one record of the same source.
            place = (line, column, end_line, end_column)
            if is_behind_endless_loop(
                sources[name].decode(), offset(name, line, column), offset(name, end_line, end_column)
            ):
                continue
            found[name][place] = found[name].get(place, False) or count > 0
    return found


def gaps():
    """[(file, piece, reason)]"""
    listed = []
    for number, text in enumerate(GAPS.read_text().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        parts = [part.strip() for part in text.split(" | ")]
        if len(parts) != 3 or not all(parts):
            fail(f"{GAPS.name}:{number}: not `file | piece of the line | reason`")
        listed.append(tuple(parts))
    return listed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-run", action="store_true", help="judge what the last run left")
    parser.add_argument("--scratch-path", type=pathlib.Path, default=ROOT / ".build" / "coverage")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    parser.add_argument("options", nargs="*", help="for swift test, behind `--`")
    arguments = parser.parse_args()

    started = time.monotonic()
    if not arguments.no_run:
        run_tests(arguments.scratch_path, arguments.options)
    found = regions(arguments.scratch_path)

    allowed = gaps()
    used = dict.fromkeys(allowed, 0)
    uncovered = []
    for name, places in found.items():
        lines = (ROOT / name).read_text().splitlines()
        for place in sorted(place for place, is_covered in places.items() if not is_covered):
            source = lines[place[0] - 1].strip()
            reason = None
            for gap in allowed:
                if gap[0] == name and gap[1] in source:
                    used[gap] += 1
                    reason = gap[2]
            uncovered.append({"file": name, "line": place[0], "column": place[1], "source": source, "reason": reason})

    print(f"\n{'file':<52}{'regions':>9}{'covered':>9}{'explained':>11}")
    table = []
    for name, places in found.items():
        explained = sum(1 for region in uncovered if region["file"] == name and region["reason"])
        table.append({"file": name, "regions": len(places), "covered": sum(places.values()), "explained": explained})
        if places:
            print(f"{name:<52}{len(places):>9}{sum(places.values()):>9}{explained or '':>11}")
    total = {key: sum(row[key] for row in table) for key in ("regions", "covered", "explained")}
    print(f"{'all':<52}{total['regions']:>9}{total['covered']:>9}{total['explained']:>11}")

    problems = []
    for region in uncovered:
        if not region["reason"]:
            problems.append("{file}:{line}:{column}: not covered: {source}".format(**region))
    for (name, piece, _), count in used.items():
        if count == 0:
            problems.append(f"{name}: explained, but covered or gone: {piece}")
    if total["explained"] > MOST_GAPS:
        problems.append(f"{total['explained']} regions are explained and not covered; at most {MOST_GAPS} may be")
    for region in uncovered:
        if region["reason"]:
            print("{file}:{line}:{column}: {source}\n    {reason}".format(**region))
    for problem in problems:
        print(problem)
    if arguments.json:
        arguments.json.write_text(json.dumps({
            "passed": not problems, "seconds": round(time.monotonic() - started), "total": total, "files": table,
            "uncovered": uncovered, "problems": problems,
        }, indent=2) + "\n")
    print(f"coverage: {total['covered']} of {total['regions']} regions, {time.monotonic() - started:.0f} s")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
