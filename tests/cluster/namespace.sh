# shellcheck shell=bash
# The network and mount namespaces that the whole cluster runs in, and the one link from the host into them.
#
# The mount namespace is why nothing stays behind and why a containerd of the host is not met: /run and /var/log
# are the cluster's own, and every mount that kubelet and containerd make goes away with their last process.
# Enter with nsenter, as `make cluster-shell` does: `ip netns exec` would remount /sys and hide the cgroups.

inside() { nsenter --net="$ROOT/ns/net" --mount="$ROOT/ns/mnt" -- "$@"; }

namespaces_alive() {
    [[ $(stat -fc %T "$ROOT/ns/net" 2>/dev/null) == nsfs && $(stat -fc %T "$ROOT/ns/mnt" 2>/dev/null) == nsfs ]] &&
        ip link show "$LINK" >/dev/null 2>&1
}

make_namespaces() {
    mkdir -p "$ROOT/ns" /var/lib/cni
    # A mount namespace can be pinned only below a private mount.
    mountpoint -q "$ROOT/ns" || mount --bind "$ROOT/ns" "$ROOT/ns"
    mount --make-private "$ROOT/ns"
    touch "$ROOT/ns/net" "$ROOT/ns/mnt"
    unshare --net="$ROOT/ns/net" true ||
        die "no network namespace can be made" "run as root on a machine or in a container with CAP_SYS_ADMIN"
    unshare --mount="$ROOT/ns/mnt" --propagation private true ||
        die "no mount namespace can be made" "run as root on a machine or in a container with CAP_SYS_ADMIN"
    # Volumes with mount propagation want a shared root; it is shared with nobody outside.
    inside mount --make-rshared /
    inside mount -t tmpfs -o mode=755 tmpfs /run
    inside mount -t tmpfs -o mode=755 tmpfs /var/log
    inside mount -t tmpfs -o mode=755 tmpfs /var/lib/cni
    make_network
}

make_network() {
    ip link delete "$LINK" 2>/dev/null || true
    inside sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=1
    inside ip link add eth0 type veth peer name "$LINK" netns $$
    inside ip link set lo up
    inside ip link set eth0 up
    inside ip addr add "$NODE_IP/30" dev eth0
    # So that the node's own processes reach services; kube-proxy redirects what goes this way. There is no
    # default route: nothing inside can reach beyond the host's end of the link.
    inside ip route add "$SERVICE_CIDR" via "$HOST_IP"
    ip addr add "$HOST_IP/30" dev "$LINK"
    ip link set "$LINK" up
    ip route replace "$POD_CIDR" via "$NODE_IP" dev "$LINK"
    ip route replace "$SERVICE_CIDR" via "$NODE_IP" dev "$LINK"
}

# cgroup_parents: where the slot's control group belongs: each hierarchy of cgroup v1, or the one of v2.
cgroup_parents() {
    if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
        echo /sys/fs/cgroup
    else
        find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
    fi
}

make_cgroup() {
    local parent
    for parent in $(cgroup_parents); do mkdir -p "$parent/$CGROUP"; done
    if [[ -f /sys/fs/cgroup/cgroup.subtree_control ]]; then
        local controllers
        controllers=$(sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers)
        echo "$controllers" >/sys/fs/cgroup/cgroup.subtree_control || true
        echo "$controllers" >"/sys/fs/cgroup/$CGROUP/cgroup.subtree_control" || true
    fi
}

remove_cgroup() {
    local parent
    for parent in $(cgroup_parents); do
        [[ -d $parent/$CGROUP ]] || continue
        find "$parent/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

# kubelet sets these for the whole machine; they are put back when the last cluster goes.
KUBELET_SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
    kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

save_sysctls() {
    [[ -f $SLOTS_DIR/sysctls ]] || sysctl "${KUBELET_SYSCTLS[@]}" >"$SLOTS_DIR/sysctls" 2>/dev/null || true
}

restore_sysctls() {
    [[ -f $SLOTS_DIR/sysctls ]] || return 0
    sysctl -q --load="$SLOTS_DIR/sysctls" >/dev/null 2>&1 || true
    rm "$SLOTS_DIR/sysctls"
}

# remove_cluster: everything of the slot, whatever state it is in.
remove_cluster() {
    local checkout
    checkout=$(cat "$ROOT/checkout" 2>/dev/null || true)
    kill_all
    ip link delete "$LINK" 2>/dev/null || true
    # Crashed attempts may have stacked mounts.
    while read -r mount; do umount --lazy "$mount"; done \
        < <(awk -v root="$ROOT/" 'index($2, root) == 1 {print $2}' /proc/self/mounts | sort -r)
    remove_cgroup
    if [[ -n $checkout ]]; then rm -rf "${checkout:?}/.cluster"; fi
    rm -rf --one-file-system "$ROOT"
    # What the clusters of this machine share goes with the last of them.
    if ! compgen -G "$SLOTS_DIR/[0-9]*" >/dev/null; then
        restore_sysctls
        rmdir --ignore-fail-on-non-empty "$SLOTS_DIR" /var/lib/cni
    fi
}
