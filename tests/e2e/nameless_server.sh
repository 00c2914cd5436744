#!/bin/sh
# nameless_server.sh: $FAKE_REAL, but for its queue, which it does not list.
[ "$1" = queue ] && exit 1
exec "$FAKE_REAL" "$@"
