#!/bin/sh
# manuals.sh: man pages without a warning.
set -eu
[ -n "$(find docs/man -name '*.[158]')" ] || { echo 'no man page found'; exit 1; }
find docs/man -name '*.[158]' | sort | xargs mandoc -Tlint -Wwarning
