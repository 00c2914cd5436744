#!/bin/sh
# fuzz.sh OUT RUNS FUZZER...: a short run of every fuzzer with a fixed seed, from its
# seed corpus.  Finds go to OUT/finds; a long search is `make fuzz`.
set -eu
cd "$(dirname "$0")/.."
. tests/results.sh
out=$1
runs=$2
shift 2
results_begin
log=$(mktemp)
new=$(mktemp -d) # libFuzzer writes new inputs to the first directory it is given
trap 'rm -rf "$log" "$new"; [ -z "$results_own" ] || rm -f "$RESULTS"' EXIT
mkdir -p "$out/finds"

for program in "$@"; do
	name=$(basename "$program")
	seeds=tests/corpus/$name
	if [ ! -d "$seeds" ] || [ -z "$(ls "$seeds")" ]; then
		fail "$name has no seed corpus in $seeds"
		continue
	fi
	find "$new" -type f -delete
	if timeout -k 5 120 "$program" -seed=1 -runs="$runs" -max_total_time=20 -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
		-artifact_prefix="$out/finds/$name-" "$new" "$seeds" >"$log" 2>&1 </dev/null; then
		pass "$name"
	else
		tail -n 60 "$log" >"$log.tail"
		fail "$name" "$log.tail"
		rm -f "$log.tail"
	fi
done
results_end
