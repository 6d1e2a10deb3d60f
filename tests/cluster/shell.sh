#!/usr/bin/env bash
# A shell, or the command given, inside the cluster's network and mount namespaces.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/cluster/slot.sh
source "$here/slot.sh"
# shellcheck source=tests/cluster/namespace.sh
source "$here/namespace.sh"

find_slot || die "this checkout has no cluster" "run 'make cluster-up'"
export CONTAINERD_ADDRESS=$CONTAINERD CONTAINERD_NAMESPACE=k8s.io
if (($# == 0)); then set -- bash; fi
exec nsenter --net="$ROOT/ns/net" --mount="$ROOT/ns/mnt" --wd="$PWD" -- "$@"
