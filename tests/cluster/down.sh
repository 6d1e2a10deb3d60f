#!/usr/bin/env bash
# Removes this checkout's cluster: processes, mounts, namespaces, interface, control groups and files.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/cluster/slot.sh
source "$here/slot.sh"
# shellcheck source=tests/cluster/process.sh
source "$here/process.sh"
# shellcheck source=tests/cluster/namespace.sh
source "$here/namespace.sh"

if [[ ${CLUSTER:-} == existing ]]; then
    step "CLUSTER=existing: the cluster is not ours and stays"
    exit 0
fi
[[ $(id -u) == 0 ]] || die "root is needed to remove the cluster" "run make as root, or with sudo -E"
if find_slot; then
    lock_slot
    remove_cluster
    unlock_slot
    step "the cluster is gone"
else
    rm -rf "$STATE"
    step "this checkout has no cluster"
fi
remove_dead_slots
