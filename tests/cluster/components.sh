# shellcheck shell=bash
# One function for each process of the cluster. Each starts what is not running and returns at once.

# render FILE: a template of this folder with its @NAMES@ filled in.
render() {
    local name script="" hash
    # In a pod template: a changed file makes a new pod.
    hash=$(sha256sum <"$CLUSTER_DIR/$1" | cut -c1-12)
    for name in ROOT CONTAINERD NODE_IP NODE_NAME POD_CIDR SERVICE_CIDR DNS_SERVICE_IP CLUSTER_DOMAIN CGROUP MAX_PODS \
        PAUSE_IMAGE COREDNS_IMAGE PROMETHEUS_IMAGE; do
        script+="s|@$name@|${!name}|g;"
    done
    sed "$script s|@CONFIG_HASH@|$hash|g" "$CLUSTER_DIR/$1"
}

# write_config TEMPLATE FILE: touches the file only when it changes, since kube-proxy ends when its file does.
write_config() {
    render "$1" >"$2.new"
    if cmp -s "$2.new" "$2"; then rm "$2.new"; else mv "$2.new" "$2"; fi
}

write_configs() {
    local file
    mkdir -p "$ROOT/cni" "$ROOT/etc"
    write_config config/cni.conflist "$ROOT/cni/10-loadtest.conflist"
    for file in audit-policy.yaml kubelet.yaml kube-proxy.yaml scheduler.yaml containerd.toml; do
        write_config "config/$file" "$ROOT/etc/$file"
    done
    : >"$ROOT/resolv.conf"
}

start_etcd() {
    # No fsync: the cluster may be lost with the machine, and a shared disk's fsync takes most of a write's time.
    start "$(go_bin etcd)/etcd" --name=node --data-dir="$ROOT/etcd" --unsafe-no-fsync --log-level=warn \
        --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
        --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
        --initial-cluster=node=http://127.0.0.1:2380
}

start_apiserver() {
    local pki=$ROOT/pki
    start "$(go_bin kubernetes)/kube-apiserver" \
        --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address="$NODE_IP" --service-cluster-ip-range="$SERVICE_CIDR" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/ca.crt" \
        --service-account-issuer="https://kubernetes.default.svc.$CLUSTER_DOMAIN" \
        --service-account-signing-key-file="$pki/service-accounts.key" \
        --service-account-key-file="$pki/service-accounts.pub" \
        --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
        --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
        --kubelet-certificate-authority="$pki/ca.crt" \
        --kubelet-preferred-address-types=InternalIP \
        --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --audit-policy-file="$ROOT/etc/audit-policy.yaml" --audit-log-path="$STATE/audit.log" \
        --audit-log-maxsize=500 --audit-log-maxbackup=1 \
        --max-requests-inflight=4000 --max-mutating-requests-inflight=2000 \
        --profiling=false
}

start_controller_manager() {
    local conf=$ROOT/pki/controller-manager.conf
    start "$(go_bin kubernetes)/kube-controller-manager" \
        --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" \
        --service-account-private-key-file="$ROOT/pki/service-accounts.key" --root-ca-file="$ROOT/pki/ca.crt" \
        --use-service-account-credentials --leader-elect=false \
        --kube-api-qps=1000 --kube-api-burst=2000 --profiling=false
}

start_scheduler() {
    local conf=$ROOT/pki/scheduler.conf
    start "$(go_bin kubernetes)/kube-scheduler" --config="$ROOT/etc/scheduler.yaml" \
        --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf"
}

start_containerd() { start "$(command -v containerd)" --config "$ROOT/etc/containerd.toml" --log-level warn; }

start_kubelet() {
    mkdir -p "$ROOT/kubelet"
    # --containerd: where the cAdvisor in it asks for the names of pods and containers.
    start "$(go_bin kubernetes)/kubelet" --config="$ROOT/etc/kubelet.yaml" --kubeconfig="$ROOT/pki/kubelet.conf" \
        --root-dir="$ROOT/kubelet" --cert-dir="$ROOT/kubelet/pki" --containerd="$CONTAINERD" \
        --hostname-override="$NODE_NAME" --node-ip="$NODE_IP"
}

start_kube_proxy() { start "$(go_bin kubernetes)/kube-proxy" --config="$ROOT/etc/kube-proxy.yaml"; }

api_ready() { curl -ksf --noproxy '*' --max-time 2 "$API_URL/readyz"; }
containerd_ready() { ctr --address "$CONTAINERD" version; }

# start_components: all of them, each as soon as what it needs is there.
start_components() {
    STARTED=()
    start_etcd
    start_containerd
    start_apiserver
    wait_for 20 "containerd" containerd containerd_ready
    # While the API server starts.
    import_image "$PAUSE_IMAGE" pause
    import_image "$COREDNS_IMAGE" coredns
    import_image "$PROMETHEUS_IMAGE" prometheus
    wait_for 60 "the API server" kube-apiserver api_ready
    start_controller_manager
    start_scheduler
    start_kubelet
    start_kube_proxy
    if ((${#STARTED[@]})); then step "started ${STARTED[*]}"; fi
}
