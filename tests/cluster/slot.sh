# shellcheck shell=bash
# Which cluster is this checkout's: a slot (a number), with a folder and an address range of its own.
# So clusters of several checkouts on one machine do not meet, and what a killed one left is found and removed.

SLOTS_DIR=/var/lib/loadtest-operator
SLOTS=8

# use_slot N: sets the paths and addresses of slot N.
# shellcheck disable=SC2034  # used by the scripts that source this one
use_slot() {
    SLOT=$1
    ROOT=$SLOTS_DIR/$SLOT
    LINK=loadtest$SLOT      # the host's end of the veth
    CGROUP=loadtest-$SLOT   # every container lives below it
    CONTAINERD=$ROOT/containerd.sock
    # 198.18.0.0/15 is the benchmarking range (RFC 2544), which no real network routes.
    HOST_IP=198.18.$SLOT.1
    NODE_IP=198.18.$SLOT.2
    POD_CIDR=198.19.$((SLOT * 32)).0/20
    SERVICE_CIDR=198.19.$((SLOT * 32 + 16)).0/20
    API_SERVICE_IP=198.19.$((SLOT * 32 + 16)).1
    DNS_SERVICE_IP=198.19.$((SLOT * 32 + 16)).10
    API_URL=https://$NODE_IP:6443
}

# find_slot: uses the slot of this checkout; fails when it has none.
find_slot() {
    local n
    for ((n = 0; n < SLOTS; n++)); do
        if [[ $(cat "$SLOTS_DIR/$n/checkout" 2>/dev/null) == "$REPO" ]]; then
            use_slot "$n"
            return
        fi
    done
    return 1
}

# take_slot: uses the slot of this checkout, or a free one, which becomes its own.
take_slot() {
    local n
    if find_slot; then return; fi
    mkdir -p "$SLOTS_DIR"
    for ((n = 0; n < SLOTS; n++)); do
        # mkdir succeeds for one process only.
        if mkdir "$SLOTS_DIR/$n" 2>/dev/null; then
            use_slot "$n"
            echo "$REPO" >"$ROOT/checkout"
            return
        fi
    done
    die "all $SLOTS cluster slots of this machine are taken" \
        "run 'make cluster-down' in: $(cat "$SLOTS_DIR"/*/checkout | tr '\n' ' ')"
}

# lock_slot: holds the slot until this script ends, so that two of them never work on it at once.
lock_slot() {
    exec {SLOT_LOCK}<"$ROOT"
    if ! flock --nonblock "$SLOT_LOCK"; then
        step "waiting for another cluster-up or cluster-down of this checkout"
        flock "$SLOT_LOCK"
    fi
}

unlock_slot() { exec {SLOT_LOCK}<&-; }

# remove_dead_slots: clears what killed clusters of other checkouts left: mounts, namespaces, links, files.
# A slot that a script holds, or in which a process lives, is somebody's and stays.
remove_dead_slots() {
    local dir mine=${SLOT:-}
    for dir in "$SLOTS_DIR"/[0-9]*; do
        [[ -d $dir && ${dir##*/} != "$mine" ]] || continue
        use_slot "${dir##*/}"
        exec {SLOT_LOCK}<"$ROOT"
        if flock --nonblock "$SLOT_LOCK" && [[ -z $(slot_pids) ]]; then
            step "removing the dead cluster of $(cat "$ROOT/checkout" 2>/dev/null || echo "a lost checkout")"
            remove_cluster
        fi
        unlock_slot
    done
    if [[ -n $mine ]]; then use_slot "$mine"; fi
}
