#!/usr/bin/env bash
# Brings the cluster up: new, or what is missing of one that is there. See README.md.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/cluster/slot.sh
source "$here/slot.sh"
# shellcheck source=tests/cluster/process.sh
source "$here/process.sh"
# shellcheck source=tests/cluster/namespace.sh
source "$here/namespace.sh"
# shellcheck source=tests/cluster/pki.sh
source "$here/pki.sh"
# shellcheck source=tests/cluster/image.sh
source "$here/image.sh"
# shellcheck source=tests/cluster/components.sh
source "$here/components.sh"
# shellcheck source=tests/cluster/host.sh
source "$here/host.sh"

if [[ ${CLUSTER:-} == existing ]]; then
    need kubectl "install kubectl"
    step "using the current kubeconfig's cluster: $(kubectl config current-context)"
    exit 0
fi

kubectl() { "$(go_bin kubernetes)/kubectl" --kubeconfig "$STATE/kubeconfig" "$@"; }

node_ready() { kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=1s; }

start_node() {
    namespaces_alive || make_namespaces
    mkdir -p "$STATE/logs"
    make_cgroup
    save_sysctls
    make_pki
    write_configs
    start_components
}

start_addons() {
    local addon
    for addon in coredns prometheus; do
        render "manifests/$addon.yaml"
        echo ---
    done | kubectl apply --server-side --force-conflicts -f - >/dev/null
    wait_for 60 "the node" kubelet node_ready
    addon_ready kube-system coredns kube-dns:ready/proxy/ready
    wait_for 20 "the cluster's DNS" kubelet dns_answers
    addon_ready monitoring prometheus prometheus:http/proxy/-/ready
}

# dns_answers: kubernetes.default.svc.cluster.local has an address. A query by hand, for no resolver's program is sure
# to be here: a header with one question, the name as lengths and labels, type A, class IN.
dns_answers() {
    local query='\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00' label socket answers
    for label in kubernetes default svc ${CLUSTER_DOMAIN//./ }; do
        query+=$(printf '\\x%02x%s' "${#label}" "$label")
    done
    exec {socket}<>"/dev/udp/$DNS_SERVICE_IP/53"
    # By dd, in one piece: printf would end a datagram after the 10 (a line feed) that is the length of kubernetes.
    printf '%b' "$query\x00\x00\x01\x00\x01" | dd bs=512 iflag=fullblock status=none >&"$socket"
    answers=$(timeout 1 dd bs=512 count=1 <&"$socket" 2>/dev/null | od -An -tu1 -j7 -N1)
    exec {socket}<&-
    ((answers > 0))
}

# addon_ready NAMESPACE DEPLOYMENT SERVICE: the newest version runs and answers. After a crash the Deployment's
# status tells of the time before it, so the answer counts.
addon_ready() {
    if ! kubectl rollout status --namespace "$1" "deployment/$2" --timeout=60s >/dev/null ||
        ! wait_for 60 "$2" kubelet kubectl get --raw "/api/v1/namespaces/$1/services/$3"; then
        kubectl describe pods --namespace "$1" | grep -A 10 '^Events:' >&2 || true
        kubectl logs --namespace "$1" "deployment/$2" --tail=5 >&2 || true
        return 1
    fi
}

# bring_up: sets RESULT. Never call it as a condition: bash would then ignore every error inside.
bring_up() {
    set +e
    (
        set -e
        start_node
        start_addons
    )
    RESULT=$?
    set -e
}

check_machine
install_packages
claim_slot
"$CLUSTER_DIR/build-go.sh" etcd kubernetes coredns prometheus {SLOT_LOCK}<&-

if [[ -d $ROOT/etcd ]] && ! namespaces_alive; then
    # Without its namespaces nothing of it can be used again; what still runs is for a person to look at.
    [[ -z $(slot_pids) ]] || die "the cluster's namespaces or its link $LINK are gone, but its processes run" \
        "'make cluster-down cluster-up' begins anew"
    step "the cluster's namespaces are gone (a reboot?): beginning anew"
    remove_cluster
    unlock_slot
    claim_slot
fi
# Whoever has objects in a cluster decides when it goes: a failed check never removes one.
bring_up
[[ $RESULT == 0 ]] || die "the cluster did not come up; it is left as it is" \
    "look into $STATE/logs and run tests/cluster/describe.sh; 'make cluster-down cluster-up' begins anew"
step "the cluster is up: export KUBECONFIG=$STATE/kubeconfig"
