#!/bin/sh
# ci.sh BIN TARGET [ARGUMENT...]: judges one target's suite and leaves what CI
# services read in results/ci: junit.xml, conform.sarif, summary.md,
# result.json, report.html.
#
# BIN holds postrider.  The target's packages are fetched when there are any
# (setup-targets.sh).  Further arguments go to `postrider conform`.  The exit
# status is its own.
set -eu
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
postrider=$(realpath "$1/postrider")
target=$2
shift 2
cd "$(dirname "$0")/.."
exec </dev/null

# For programs that were built outside this tree.
POSTRIDER_SHARE=$PWD
export POSTRIDER_SHARE

packages=${target%-hardened} # a variant runs the packages of what it varies
if "$postrider" targets --packages | grep -q "^$packages "; then
	sh packaging/setup.sh targets
	sh packaging/setup-targets.sh "$postrider" "$packages"
fi
rm -rf results/ci
mkdir -p results/ci
status=0
"$postrider" conform --target "$target" --quiet --results results --junit results/ci/junit.xml \
	--sarif results/ci/conform.sarif --markdown results/ci/summary.md "$@" || status=$?
for file in result.json report.html; do
	[ ! -f "results/latest/$file" ] || cp "results/latest/$file" results/ci
done
echo "ci: results/ci has junit.xml, conform.sarif, summary.md, result.json and report.html"
exit "$status"
