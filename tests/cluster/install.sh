#!/usr/bin/env bash
# Installs into the cluster: install.sh [crds | operator | target-app]... [-- HELM ARGUMENTS], all parts by default.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/cluster/slot.sh
source "$CLUSTER_DIR/slot.sh"

if [[ ${CLUSTER:-} != existing ]]; then
    [[ -f $STATE/kubeconfig ]] || die "this checkout has no cluster" "run 'make cluster-up'"
    need_go helm
fi
eval "$("$CLUSTER_DIR/env.sh")"
need kubectl "install kubectl, or leave out CLUSTER=existing"
need helm "install helm, or leave out CLUSTER=existing"

install_crds() {
    # helm installs CRDs only once and never updates them.
    kubectl apply --server-side --force-conflicts -f "$REPO/charts/loadtest-operator/crds" >/dev/null
    kubectl wait --for=condition=Established --all customresourcedefinitions --timeout=30s >/dev/null
    step "installed the CRDs"
}

# install_chart CHART NAMESPACE [HELM ARGUMENTS...]
install_chart() {
    local chart=$1 namespace=$2
    shift 2
    kubectl apply --server-side -f "$CLUSTER_DIR/manifests/namespaces.yaml" >/dev/null
    if ! helm upgrade --install "$chart" "$REPO/charts/$chart" --namespace "$namespace" --reset-values \
        --wait --timeout 90s "$@" "${helm_arguments[@]}" >/dev/null; then
        kubectl get pods --namespace "$namespace" >&2
        kubectl get events --namespace "$namespace" --field-selector type=Warning | tail -n 5 >&2
        die "installing the chart $chart failed"
    fi
    renew_pods "$namespace"
    step "installed $chart in $namespace"
}

# renew_pods NAMESPACE: the tag dev always stays, so a changed image needs new pods to be told. Each Deployment
# carries the archive that its pods were made from.
renew_pods() {
    local deployment image archive before
    find_slot || return 0
    for deployment in $(kubectl get deployments --namespace "$1" -o name); do
        image=$(kubectl get "$deployment" --namespace "$1" -o jsonpath='{.spec.template.spec.containers[0].image}')
        image=${image##*/}
        archive=$(cat "$ROOT/images/${image%%:*}" 2>/dev/null) || continue
        before=$(kubectl get "$deployment" --namespace "$1" -o jsonpath='{.metadata.annotations.loadtest\.dev/archive}')
        kubectl annotate --overwrite "$deployment" --namespace "$1" "loadtest.dev/archive=$archive" >/dev/null
        if [[ -n $before && $before != "$archive" ]]; then
            kubectl rollout restart "$deployment" --namespace "$1" >/dev/null
            kubectl rollout status "$deployment" --namespace "$1" --timeout=60s >/dev/null
        fi
    done
}

# In the project's own cluster the load store runs from the image that is there.
store_image=()
if [[ ${CLUSTER:-} != existing ]]; then
    store_image=(--set "loadStore.image.repository=${PROMETHEUS_IMAGE%:*}" --set "loadStore.image.tag=${PROMETHEUS_IMAGE##*:}")
fi

parts=()
while (($#)) && [[ $1 != -- ]]; do
    parts+=("$1")
    shift
done
helm_arguments=("${@:2}")
((${#parts[@]})) || parts=(crds target-app operator)
for part in "${parts[@]}"; do
    case $part in
        crds) install_crds ;;
        target-app) install_chart target-app msg-server ;;
        operator)
            install_chart loadtest-operator loadtest-system \
                --values "$REPO/charts/loadtest-operator/ci/chat-failover-values.yaml" "${store_image[@]}"
            ;;
        *) die "there is no part '$part'" "crds, target-app, operator" ;;
    esac
done
