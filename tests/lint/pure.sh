#!/bin/sh
# pure.sh OBJECT...: objects of pure folders call nothing that reads, writes,
# waits, allocates or draws numbers.  What counts is what the linker sees: they
# may call each other, functions on bytes, and the base modules they may include.
set -eu
[ $# -gt 0 ] || { echo 'no pure objects: nothing was checked'; exit 1; }
ALLOWED='^(mem(cpy|move|chr|rchr|cmp|set|mem)|str(len|nlen|cmp|ncmp|chr)|__(mem|str)[a-z]+_chk|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|(span|buf|err)_[a-z0-9_]+|__(asan|ubsan|tsan|sanitizer|gcov|llvm)_.*|llvm_gc.*)$'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm -g --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u >"$work/own"
for object in "$@"; do
	nm -u "$object" | awk -v object="$object" '$1 ~ /^[Uw]$/ { print $2, object }'
done | awk -v own="$work/own" -v allowed="$ALLOWED" '
	BEGIN { while ((getline name <own) > 0) defined[name] = 1 }
	$1 !~ allowed && !($1 in defined) { print $2 ": calls " $1; bad = 1 }
	END { exit bad }'
