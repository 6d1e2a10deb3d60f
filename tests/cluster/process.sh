# shellcheck shell=bash
# Starting, finding and ending the cluster's processes.
#
# Each carries LOADTEST_CLUSTER=<its slot's folder> in its environment, and is found by it. A pid file could name
# a stranger after a crash or a reboot; this cannot, and also finds the containerd shims.

# slot_pids: all processes of the slot, containers' own ones excepted.
slot_pids() {
    grep -lsz "^LOADTEST_CLUSTER=$ROOT\$" /proc/[0-9]*/environ | cut -d/ -f3 || true
}

# pid_of COMPONENT: its process, or nothing.
pid_of() {
    local pid
    for pid in $(slot_pids); do
        # The kernel keeps 15 characters of a process's name.
        if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "${1:0:15}" ]]; then
            echo "$pid"
            return
        fi
    done
}

# start COMMAND ARGS...: in the cluster's namespaces, with its output in .cluster/logs. Does nothing when it runs.
# It outlives the calling shell: a session of its own, no terminal, no lock inherited, not the caller's either.
start() {
    local name=${1##*/}
    [[ -z $(pid_of "$name") ]] || return 0
    STARTED+=("$name")
    (
        close_inherited
        LOADTEST_CLUSTER=$ROOT exec setsid nsenter --net="$ROOT/ns/net" --mount="$ROOT/ns/mnt" -- "$@"
    ) >>"$STATE/logs/$name.log" 2>&1 </dev/null &
    disown
}

# close_inherited: closes every file of this shell but its input and outputs, as a lock around `make cluster-up`.
close_inherited() {
    local file
    for file in "/proc/$BASHPID/fd"/*; do
        file=${file##*/}
        if ((file > 2)); then exec {file}<&-; fi
    done
}

# wait_for SECONDS WHAT COMPONENT COMMAND...: until the command succeeds; a dead component ends the wait at once.
wait_for() {
    local limit=$((SECONDS + $1)) what=$2 component=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= limit)) || [[ -z $(pid_of "$component") ]]; then
            printf 'error: %s: not there; the end of .cluster/logs/%s.log:\n' "$what" "$component" >&2
            tail -n 5 "$STATE/logs/$component.log" >&2 || true
            return 1
        fi
        sleep 0.1
    done
}

# container_pids: the processes inside the cluster's containers, by their control group.
container_pids() {
    find /sys/fs/cgroup -path "*/$CGROUP/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un || true
}

# kill_all: ends every process of the slot. The cluster holds nothing worth a graceful end.
kill_all() {
    local tries pids
    for ((tries = 0; tries < 100; tries++)); do
        pids=$(slot_pids; container_pids)
        [[ -n $pids ]] || return 0
        # shellcheck disable=SC2086  # a list of numbers
        kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
    die "processes of the cluster cannot be killed: $(echo "$pids" | tr '\n' ' ')" "look at them with ps"
}
