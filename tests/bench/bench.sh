#!/usr/bin/env bash
# Measures the operator of this checkout as it is in its image: bench.sh start|active [ARGUMENTS] (--help for all).
#   start   how fast runners start, beside bare k6 pods; with CLUSTER=existing of the operator that is installed there,
#           in a namespace that it serves: --namespace
#   active  how large it is with many tests under way, and how late their faults are; on the project's own cluster
# It brings up what it needs.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../cluster/lib.sh"

what=${1:-}
[[ $what == start || $what == active ]] || die "there is no measurement '$what'" "start, active"
shift
arguments=()
if [[ " $* " != *" --help "* ]]; then
    if [[ ${CLUSTER:-} != existing ]]; then
        "$CLUSTER_DIR/up.sh"
        "$CLUSTER_DIR/build-images.sh" k6 loadtest-operator
        # For its load store; the operator that is measured is started beside the cluster.
        "$CLUSTER_DIR/install.sh" crds operator
        triple=$(rustc -vV | sed -n 's/^host: //p')
        arguments=(--operator "${CARGO_TARGET_DIR:-$REPO/target}/$triple/image/loadtest-operator")
        if [[ $what == active ]]; then arguments+=(--victim "$PAUSE_IMAGE"); fi
    elif [[ $what == active ]]; then
        die "the operator that is installed in another cluster cannot be measured so" "leave out CLUSTER=existing"
    fi
fi
cd "$REPO"
# Built before, so that the compiler's heat is not in the first figures; as the tests are, so that no library is
# compiled under other features.
cargo build --quiet --workspace --test program --bin bench
exec "${CARGO_TARGET_DIR:-$REPO/target}/debug/bench" "$what" "${arguments[@]}" "$@"
