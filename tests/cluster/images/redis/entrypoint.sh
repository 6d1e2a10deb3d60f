#!/bin/sh
# Starts Redis; arguments that begin with a dash are its options.
set -eu

case ${1:-} in
    '' | -*) set -- redis-server "$@" ;;
esac
# Protected mode would refuse every client that is not in the pod.
if [ "$1" = redis-server ]; then set -- "$@" --protected-mode no; fi

exec "$@"
