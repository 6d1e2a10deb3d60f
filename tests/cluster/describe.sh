#!/usr/bin/env bash
# Prints the state of the cluster for somebody who comes too late to look: pods, runs, warnings, the operator's log.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${CLUSTER:-} != existing && ! -f $STATE/kubeconfig ]]; then
    echo "there is no cluster"
    exit 0
fi
eval "$("$CLUSTER_DIR/env.sh")"
set +e
set -x
kubectl get nodes,pods --all-namespaces --output wide
kubectl get loadtests --all-namespaces
kubectl get events --all-namespaces --field-selector type=Warning --sort-by .lastTimestamp | tail -n 20
kubectl logs --namespace loadtest-system deployment/loadtest-operator --tail 50
for log in "$STATE"/logs/*.log; do tail -n 2 "$log"; done
