#!/usr/bin/env bash
# The tests under the address and the thread sanitizer. First a canary, built with the very flags of the tests: an overread and a
# data race have to be reported, and what is locked, atomic or handed over must not be.
#
# usage: Fuzz/sanitizers.sh [address | thread | all] [--quick]     all of the tests unless --quick
set -euo pipefail
cd "$(dirname "$0")/.."
which=all quick=""
for argument; do
  case $argument in
    address | thread | all) which=$argument ;;
    --quick) quick=1 ;;
    *) sed -n 's/^# usage/usage/p' "$0" >&2 && exit 64 ;;
  esac
done

# --quick: where bytes of anybody's are read, and where threads meet. The longest of both kinds are left out.
readers='FuzzTests|HostileBytesTests|RecoveryTests|SidecarAttackTests|EventLine|JSON'
threads='WorkerTests|GroupCommitTests|ReaderBesideWriterTests|HandleTests|SyncPolicyTests|ConcurrencyTests'

fail() { printf 'sanitizers: %s\n' "$*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Swift's own backtracer takes minutes over what a sanitizer has described.
export SWIFT_BACKTRACE=enable=no

# NAME WHAT PATTERN: starts the canary and looks for a report; without a pattern there must be none.
canary() {
  local status=0
  "$scratch/debug/sanitizer-canary" "$2" >"$work/canary.log" 2>&1 || status=$?
  if [ -n "${3:-}" ]; then
    grep -q "$3" "$work/canary.log" || fail "the $1 sanitizer overlooks the planted $2"
  elif [ $status -ne 0 ] || grep -q Sanitizer "$work/canary.log"; then
    cat "$work/canary.log" >&2
    fail "the $1 sanitizer reports what is no fault"
  fi
  printf 'canary: %s sanitizer, %s as it should be\n' "$1" "$2"
}

# NAME SUITES FLAGS…: builds and runs the tests with a sanitizer, all of them or, if --quick, those.
sanitize() {
  local name=$1 suites=$2 started=$SECONDS
  shift 2
  scratch=.build/$name
  export RUNLEDGER_SANITIZER=$name
  for what in --build-tests "--product sanitizer-canary"; do
    # shellcheck disable=SC2086
    swift build $what --scratch-path "$scratch" --sanitize="$name" "$@" >"$work/build.log" 2>&1 || {
      grep -a 'error:' "$work/build.log" || tail -n 20 "$work/build.log"
      fail "the $name build fails"
    }
  done
  printf '%s sanitizer: built after %d s\n' "$name" "$((SECONDS - started))"
  canary "$name" innocent
  if [ "$name" = address ]; then
    canary address overread 'ERROR: AddressSanitizer: heap-buffer-overflow'
  else
    canary thread race 'WARNING: ThreadSanitizer: .*race'
  fi
  swift test --skip-build --scratch-path "$scratch" --sanitize="$name" "$@" \
    ${quick:+--filter "$suites"} >"$work/$name.log" 2>&1 || { tail -n 100 "$work/$name.log" && fail "the tests fail"; }
  # A report need not end the tests with an error.
  if grep -aE '(WARNING|ERROR): (Address|Thread)Sanitizer' "$work/$name.log"; then fail "something was reported"; fi
  grep -aoE 'Test run with .*' "$work/$name.log" | tail -n 1
  printf '%s sanitizer: done after %d s\n' "$name" "$((SECONDS - started))"
}

if [ "$which" != thread ]; then
  export ASAN_OPTIONS=detect_leaks=0:suppressions=$PWD/Fuzz/address.supp
  sanitize address "$readers"
fi
if [ "$which" != address ]; then
  # The standard library takes its locks where the sanitizer does not see it, so that it would report all that they guard. In all
  # of these modules its `Synchronization` is another (Fuzz/Locks), whose locks are pthread's.
  sanitize thread "$threads" -Xswiftc -module-alias -Xswiftc Synchronization=Locks
fi
