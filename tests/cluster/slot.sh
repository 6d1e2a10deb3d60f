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

# claim_slot: uses and locks the slot of this checkout, or a free one, which becomes its own.
claim_slot() {
    local machine
    until [[ -n ${ROOT:-} && -n ${SLOT_LOCK:-} && $ROOT -ef /proc/self/fd/$SLOT_LOCK ]]; do
        # Slots are given and cleared by one process at a time. A folder can be locked without leaving a lock file.
        exec {machine}</var/lib
        flock "$machine"
        remove_dead_slots
        take_slot
        exec {machine}<&-
        # While this waits for the lock, its holder may remove the cluster: then once more.
        lock_slot
    done
}

take_slot() {
    local n
    if find_slot; then return; fi
    mkdir -p "$SLOTS_DIR"
    for ((n = 0; n < SLOTS; n++)); do
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
# A slot that a script holds is somebody's, and so is one with a living process and a checkout.
remove_dead_slots() {
    local dir checkout
    for dir in "$SLOTS_DIR"/[0-9]*; do
        checkout=$(cat "$dir/checkout" 2>/dev/null || true)
        [[ -d $dir && $checkout != "$REPO" ]] || continue
        use_slot "${dir##*/}"
        exec {SLOT_LOCK}<"$ROOT"
        if flock --nonblock "$SLOT_LOCK" && [[ ! -d $checkout || -z $(slot_pids) ]]; then
            step "removing the dead cluster of ${checkout:-a lost checkout}"
            remove_cluster
        fi
        unlock_slot
    done
}
