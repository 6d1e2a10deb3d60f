# shellcheck shell=bash
# Sourced by the demos, after lib.sh: what a LoadTest of examples/chat-failover needs, and how it is run.

EXAMPLE=$REPO/examples/chat-failover
RUNS=loadtests
# The chat system as its chart has it.
# shellcheck disable=SC2034  # used by the scripts that source this one
STURDY=$REPO/charts/target-app/values.yaml

# show COMMAND...: says what is run, then runs it.
show() {
    local words=("${@//$REPO\//}")
    printf '\n$ %s\n' "${words[*]}" >&2
    "$@"
}

# prepare: the cluster, the images, the operator, the chat system and the k6 scripts.
prepare() {
    "$CLUSTER_DIR/up.sh"
    "$CLUSTER_DIR/build-images.sh"
    "$CLUSTER_DIR/install.sh"
    eval "$("$CLUSTER_DIR/env.sh")"
    # The plugin that was built for its image, so that nothing is compiled twice. kubectl finds it on the PATH.
    PATH=${CARGO_TARGET_DIR:-$REPO/target}/$(rustc -vV | sed -n 's/^host: //p')/image:$PATH
    kubectl apply -k "$EXAMPLE" >/dev/null
}

# set_chat_system VALUES: the chat system with the values of this file and no others; helm alone would keep those of the
# demo before.
set_chat_system() {
    helm upgrade target-app "$REPO/charts/target-app" --namespace msg-server --reset-values --values "$1" \
        --wait --timeout 2m >/dev/null || die "the chat system did not take its values" "kubectl get pods -n msg-server"
}

# run_to_verdict FILE: runs the LoadTest of FILE, or a sibling of it when it was run before. Sets VERDICT to the exit
# code of `kubectl loadtest status`.
run_to_verdict() {
    local file=$1 run
    run=$(kubectl create --dry-run=client -o jsonpath='{.metadata.name}' -f "$file")
    if kubectl get loadtest "$run" -n "$RUNS" >/dev/null 2>&1; then
        run=$(show kubectl loadtest run -f "$file" -o name)
        run=${run#*/}
    else
        show kubectl apply -f "$file"
    fi
    VERDICT=0
    show kubectl loadtest watch "$run" -n "$RUNS" || VERDICT=$?
    # Interrupted, and the plugin has said how to go on.
    if ((VERDICT > 128)); then exit "$VERDICT"; fi
    show kubectl get loadtests -n "$RUNS"
    VERDICT=0
    show kubectl loadtest status "$run" -n "$RUNS" || VERDICT=$?
}
