#!/bin/sh
# demo.sh BIN: sends mail through two real servers on 127.0.0.0/8, then again
# with the second one down for ten seconds; BIN holds postrider and postriderd.
#
# Ends with the verdicts and the paths of the reports.  The exit status is that
# of the runs.  Needs no environment and no terminal.
set -eu
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
[ $# = 1 ] || {
	echo 'usage: demo.sh BIN' >&2
	exit 2
}
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
exec </dev/null

# For programs that were built outside this tree.
POSTRIDER_SHARE=$PWD
export POSTRIDER_SHARE

echo 'demo: three-steps      barney@isp2.example writes to sales@fredsco.example, who fetches the mail'
echo 'demo: next-hop-down    the same, but the server of fredsco is down for 10 s in mid run'
echo
status=0
"$bin/postrider" run three-steps next-hop-down || status=$?
[ "$status" = 0 ] || echo "demo: postrider ended with $status" >&2
exit "$status"
