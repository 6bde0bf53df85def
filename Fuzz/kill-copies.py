#!/usr/bin/env python3
"""kill -9 at each file system call of snapshot, fork, restore, trim and reset.

strace delivers the signal when the N-th call of a kind is entered, for N = 1, 2, 3 … until the command gets through. After
each kill the source must hold what it did, and the destination nothing, the old ledger or the new one, whole; then the
command must succeed. Needs strace; says so and exits with 0 if it may not trace.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile

CALLS = ["mkdir", "openat", "link", "renameat2", "unlink", "rmdir", "fdatasync", "fsync", "pwrite64", "ftruncate"]


def event(number):
    return json.dumps({
        "id": f"e-{number}", "run_id": f"run-{number % 3}", "turn": number, "kind": "test.event", "actor": "t",
        "payload": {"x": "x" * 700}, "created_at": "2025-03-04T09:00:00Z"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledgerctl", default=".build/release/ledgerctl")
    tool = os.path.abspath(parser.parse_args().ledgerctl)

    def run(*arguments, **options):
        return subprocess.run([tool, *arguments], capture_output=True, text=True, **options)

    def ids(ledger):
        result = run("export", ledger)
        assert result.returncode == 0, (ledger, result.stderr)
        assert run("verify", ledger).returncode == 0, ledger
        return [json.loads(line)["id"] for line in result.stdout.splitlines()]

    if not shutil.which("strace") or subprocess.run(
            ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        print("SKIPPED: strace is missing or may not trace here", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as place:
        made, work = os.path.join(place, "made"), os.path.join(place, "work")
        ledger, copy, new = (os.path.join(made, name) for name in ("ledger", "copy", "new"))
        os.mkdir(made)
        assert run("create", ledger, "--segment-size", "16KiB").returncode == 0
        for number in range(12):
            assert run("import", ledger, input=event(number)).returncode == 0
        assert run("snapshot", ledger, copy).returncode == 0
        assert run("create", new).returncode == 0 and run("import", new, input=event(99)).returncode == 0
        assert run("import", ledger, input=event(12)).returncode == 0
        everything = [f"e-{number}" for number in range(13)]
        old = ["e-99"]
        ledger, copy, new, fresh = (os.path.join(work, name) for name in ("ledger", "copy", "new", "fresh"))
        # The command, where its outcome is, and what that may be before and after; "source" is what must stay.
        cases = [
            (["snapshot", ledger, fresh], fresh, None, everything, ledger),
            (["snapshot", ledger, new, "--replace"], new, old, everything, ledger),
            (["fork", ledger, fresh, "--through", "8"], fresh, None, everything[:8], ledger),
            (["restore", copy, fresh], fresh, None, everything[:12], copy),
            (["restore", copy, new, "--replace"], new, old, everything[:12], copy),
            (["append", copy, "--id", "more", "--run", "r", "--kind", "a.b", "--actor", "t", "--payload", "{}"],
             copy, everything[:12], everything[:12] + ["more"], ledger),
            (["trim", ledger, "--before", "9"], ledger, everything, None, copy),
            (["reset", ledger, "--yes"], ledger, everything, [], copy),
        ]
        for command, where, before, after, source in cases:
            kills, seen = 0, set()
            for call in CALLS:
                for number in range(1, 200):
                    shutil.rmtree(work, ignore_errors=True)
                    # Hard links stay hard links.
                    subprocess.run(["cp", "-a", made, work], check=True)
                    stays = ids(source)
                    traced = subprocess.run(
                        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                         "-e", f"inject={call}:signal=KILL:when={number}", tool, *command],
                        capture_output=True, text=True)
                    killed = traced.returncode != 0
                    assert ids(source) == stays, (command, call, number)
                    found = ids(where) if os.path.exists(where) else None
                    new_state = after if after is not None else everything[len(everything) - len(found):]
                    assert found == new_state or (killed and found == before), (command, call, number, found)
                    if command[0] == "trim" and not killed:
                        assert 4 < len(found) < 13, found
                    seen.add(found == before)
                    if not killed:
                        break
                    kills += 1
                    again = run(*command)
                    expected = 73 if found is not None and where == fresh else 0
                    assert again.returncode == expected, (command, call, number, again.stderr)
                    assert not os.path.exists(where + ".tmp") or expected == 73, (command, call, number)
            assert seen == {True, False}, (command, seen)
            print(f"{' '.join(command[:1] + command[3:])}: {kills} kills, old or new each time")


main()
