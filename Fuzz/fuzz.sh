#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and the address sanitizer, and runs them, as many at once as there are processors. First
# the canary: if the two bugs planted in it go unnoticed, nothing else here means anything. At the end a table, and an error if a
# target broke a promise or ran less often than it has to.
#
# usage: Fuzz/fuzz.sh [--quick | --minutes N] [--json FILE] [--no-build] [TARGET…]
#   --quick       4 seconds a target, a minute in all (this is the default)
#   --minutes N   N minutes in all, shared by the targets
#   --json FILE   the table as JSON, too
set -euo pipefail
cd "$(dirname "$0")/.."

# Each target: its program, the executions a second below which something is wrong even on a busy machine, the longest input, and
# whether libFuzzer watches how near each comparison comes (its value profile). Where inputs are programs or checksums hide all
# that could be guessed, that finds nothing and takes half of the time.
table='
frames        parse 300 1024 0
program       parse 50  256  0
batch         parse 300 1024 0
header        parse 300 256  1
sidecarHeader parse 300 260  1
index         parse 100 512  0
catalog       parse 30  256  0
manifest      parse 300 512  1
event         parse 300 512  1
json          parse 300 512  1
lines         parse 300 512  1
segment       fuzz  5   8192 1
repaired      fuzz  5   8192 0
sidecar       fuzz  5   2048 1
snapshot      fuzz  5   2048 0
lives         fuzz  5   256  0
'

seconds=4 minutes="" json="" build=1 targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) ;;
    --minutes) minutes=$2 && shift ;;
    --json) json=$2 && shift ;;
    --no-build) build= ;;
    -*) sed -n 's/^# \{0,1\}//p' "$0" | sed -n '/^usage/,/^ *--json/p' >&2 && exit 64 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
known=$(awk 'NF { print $1 }' <<<"$table")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets <<<"$known"
jobs=$(getconf _NPROCESSORS_ONLN)
[ -z "$minutes" ] || seconds=$((minutes * 60 * jobs / ${#targets[@]}))

fail() { printf 'fuzz: %s\n' "$*" >&2; exit 1; }
field() { awk -v target="$1" -v place="$2" '$1 == target { print $place }' <<<"$table"; }
for target in "${targets[@]}"; do [ -n "$(field "$target" 2)" ] || fail "no target $target; there are" $known; done

# A repeated --sanitize loses one of the two; this way both are in. -O, since what ships is optimised.
bin=.build/fuzz/release
if [ -n "$build" ]; then
  for product in canary parse fuzz; do
    RUNLEDGER_FUZZ=1 swift build -c release --scratch-path .build/fuzz --sanitize=fuzzer \
      -Xswiftc -sanitize=fuzzer,address -Xswiftc -parse-as-library --product "$product" 2>&1 | tail -n 1
  done
fi

# Swift's own backtracer takes minutes over a crash that the sanitizer has described. Where memory was got is not noted, which took
# a quarter of the time: run a find again without these options to know it.
export SWIFT_BACKTRACE=enable=no
export ASAN_OPTIONS=malloc_context_size=0:quarantine_size_mb=8:max_malloc_fill_size=0:detect_leaks=0
flags=(-rss_limit_mb=2048 -timeout=10 -print_final_stats=1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each bug by itself, and as what it is: libFuzzer also ends with an error where nothing is instrumented.
canary() {
  RUNLEDGER_CANARY=$1 $bin/canary "${flags[@]}" -use_value_profile=1 -max_total_time=60 -max_len=16 -artifact_prefix="$work/" \
    >"$work/canary.log" 2>&1 && fail "the canary bug \"$1\" was not caught"
  grep -qE "$2" "$work/canary.log" || fail "the canary bug \"$1\" was caught as something else: $(tail -n 3 "$work/canary.log")"
  printf 'canary %-9s caught\n' "$1"
}
canary overread 'ERROR: AddressSanitizer: heap-buffer-overflow'
canary planted 'Fatal error: planted'

run() {
  local target=$1 corpus=.build/corpus/$1 found=Fuzz/Regressions/$1
  mkdir -p "$corpus" "$found" "$work/seeds/$target"
  if ! "$bin/$(field "$target" 2)" --target="$target" --seeds="$work/seeds/$target" "${flags[@]}" \
    -max_total_time="$seconds" -max_len="$(field "$target" 4)" -use_value_profile="$(field "$target" 5)" -artifact_prefix="$found/" \
    "$corpus" "$work/seeds/$target" >"$work/$target.log" 2>&1; then
    printf 'broken' >"$work/$target.state"
    { printf '== %s\n' "$target" && tail -n 40 "$work/$target.log"; } >&2
  fi
  rmdir "$found" 2>/dev/null || true
}
for target in "${targets[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  run "$target" &
done
wait

failed=0 rows=()
stat() { sed -n "s/^stat::$1: *//p" "$work/$target.log"; }
printf '\n%-14s %13s %12s %8s %8s\n' target executions executions/s corpus coverage
for target in "${targets[@]}"; do
  runs=$(stat number_of_executed_units) rate=$(stat average_exec_per_sec)
  corpus=$(find ".build/corpus/$target" -type f | wc -l)
  coverage=$(grep -aoE ' cov: [0-9]+' "$work/$target.log" | tail -n 1 | grep -oE '[0-9]+' || true)
  minimum=$(($(field "$target" 3) * seconds))
  verdict=ok
  [ "${runs:-0}" -ge "$minimum" ] || verdict="too few, at least $minimum"
  [ ! -e "$work/$target.state" ] || verdict="broke a promise; the input is in Fuzz/Regressions/$target"
  [ "$verdict" = ok ] || failed=1
  printf '%-14s %13s %12s %8s %8s %s\n' "$target" "${runs:-?}" "${rate:-?}" "$corpus" "${coverage:-?}" "${verdict/#ok/}"
  rows+=("$(printf '  {"target": "%s", "executions": %s, "executionsPerSecond": %s, "corpus": %s, "coverage": %s, "verdict": "%s"}' \
    "$target" "${runs:-null}" "${rate:-null}" "$corpus" "${coverage:-null}" "$verdict")")
done
if [ -n "$json" ]; then
  { printf '[\n' && printf '%s\n' "${rows[@]}" | sed '$!s/$/,/' && printf ']\n'; } >"$json"
fi
exit "$failed"
