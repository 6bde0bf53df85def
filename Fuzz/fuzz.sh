#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and the address sanitizer, and runs each for a while. First the canary: if the two bugs
# planted in it go unnoticed, nothing else here means anything.
#
# usage: Fuzz/fuzz.sh [SECONDS A TARGET [TARGET…]]     10 seconds each unless given
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(segment repaired sidecar snapshot lines)

# A repeated --sanitize loses one of the two; this way both are in. -O, since what ships is optimised.
RUNLEDGER_FUZZ=1 swift build -c release --scratch-path .build/fuzz --sanitize=fuzzer \
  -Xswiftc -sanitize=fuzzer,address -Xswiftc -parse-as-library --product canary 2>&1 | tail -n 1
RUNLEDGER_FUZZ=1 swift build -c release --scratch-path .build/fuzz --sanitize=fuzzer \
  -Xswiftc -sanitize=fuzzer,address -Xswiftc -parse-as-library --product fuzz 2>&1 | tail -n 1

# Swift's own backtracer takes minutes over a crash that the sanitizer has described.
export SWIFT_BACKTRACE=enable=no
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for bug in overread planted; do
  if RUNLEDGER_CANARY=$bug .build/fuzz/release/canary -use_value_profile=1 -max_total_time=60 -max_len=64 \
    -artifact_prefix="$work/" >"$work/canary.log" 2>&1; then
    printf 'fuzz: the canary bug "%s" was not caught\n' "$bug" >&2
    exit 1
  fi
  printf 'canary %-9s caught\n' "$bug"
done
grep -q 'heap-buffer-overflow' "$work"/*.log || grep -q 'planted' "$work/canary.log"

mkdir -p .build/corpus
failed=0
for target in "${targets[@]}"; do
  mkdir -p ".build/corpus/$target" "Fuzz/Regressions/$target"
  if ! RUNLEDGER_FUZZ_TARGET=$target .build/fuzz/release/fuzz -use_value_profile=1 -max_total_time="$seconds" \
    -max_len=8192 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 -artifact_prefix="Fuzz/Regressions/$target/" \
    ".build/corpus/$target" >"$work/$target.log" 2>&1; then
    tail -n 40 "$work/$target.log" >&2
    failed=1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
  printf 'target %-9s %12s executions\n' "$target" "${runs:-?}"
done
rmdir Fuzz/Regressions/* Fuzz/Regressions 2>/dev/null || true
exit "$failed"
