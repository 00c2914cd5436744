#!/bin/sh
# alone.sh: the project stands alone.  No file may name a place outside it, and
# the npm lock no host to download from.
set -eu
bad=0
# The names are put together here so that this file does not hold them.
outside="(^|[^[:alnum:]_.-])/wo""rk(/|[^[:alnum:]_-]|$)|\.\./sha""red"
status=0
grep -rnIE --exclude-dir=.git --exclude=.git --exclude-dir=build --exclude-dir=node_modules --exclude-dir=results -e "$outside" . || status=$?
if [ "$status" -ne 1 ]; then
	echo 'a path outside the project is named'
	bad=1
fi
if grep -nE '"resolved"|https?://' packaging/npm/package-lock.json; then
	echo 'packaging/npm/package-lock.json names a host; remove its "resolved" and "funding" entries'
	bad=1
fi
exit $bad
