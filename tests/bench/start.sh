#!/usr/bin/env bash
# Measures how fast runners start, beside bare k6 pods: start.sh [--runners 4,20,50] [--pairs 5] (--help for all).
# It brings up what it needs and measures the operator of this checkout as it is in its image. With CLUSTER=existing
# it measures the installed one, in a namespace that it serves: --namespace.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../cluster/lib.sh"

operator=()
if [[ ${CLUSTER:-} != existing && " $* " != *" --help "* ]]; then
    "$CLUSTER_DIR/up.sh"
    "$CLUSTER_DIR/build-images.sh" k6 loadtest-operator
    "$CLUSTER_DIR/install.sh" crds
    triple=$(rustc -vV | sed -n 's/^host: //p')
    operator=(--operator "${CARGO_TARGET_DIR:-$REPO/target}/$triple/image/loadtest-operator")
fi
cd "$REPO"
# Built before, so that the compiler's heat is not in the first figures.
cargo build --quiet --package bench
exec "${CARGO_TARGET_DIR:-$REPO/target}/debug/bench" "${operator[@]}" "$@"
