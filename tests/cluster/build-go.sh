#!/usr/bin/env bash
# Builds the Go modules named on the command line (default: all) once, into the cache outside the checkout.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What each program prints as its version, since it is not built from its own repository.
ldflags() {
    local v
    v=$(go_version "$1")
    case $1 in
        kubernetes)
            local pkg
            for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
                echo -n " -X $pkg.gitVersion=v$v -X $pkg.gitMajor=${v%%.*} -X $pkg.gitMinor=$(cut -d. -f2 <<<"$v")"
                echo -n " -X $pkg.gitTreeState=clean"
            done
            ;;
        helm) echo -n " -X helm.sh/helm/v3/internal/version.version=v$v" ;;
        prometheus) echo -n " -X github.com/prometheus/common/version.Version=$PROMETHEUS_RELEASE" ;;
    esac
}

build() {
    local name=$1 out tmp
    out=$(go_bin "$name")
    [[ -d $out ]] && return
    grep -q " ${GO_MODULES[$name]##*@}\( \|$\)" "$CLUSTER_DIR/go/$name/go.mod" ||
        die "go/$name/go.mod is not at ${GO_MODULES[$name]}" "run tests/cluster/go/update.sh $name"
    step "building ${GO_MODULES[$name]} (once, then cached)"
    tmp=$(mktemp -d "$CACHE/bin/.build-XXXXXX")
    if ! (cd "$CLUSTER_DIR/go/$name" &&
        CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false \
            -ldflags "-s -w$(ldflags "$name")" -o "$tmp/" tool) >&2; then
        rm -rf "$tmp"
        die "building ${GO_MODULES[$name]} failed" "the Go module proxy must be reachable: $(go env GOPROXY)"
    fi
    # etcd's main package is named for its folder.
    if [[ -f $tmp/server ]]; then mv "$tmp/server" "$tmp/etcd"; fi
    chmod 755 "$tmp"
    # The folder appears whole or not at all.
    mv -T "$tmp" "$out"
    step "built $name"
}

# One builder at a time; what a killed one left is removed.
mkdir -p "$CACHE/bin"
exec {lock}<"$CACHE/bin"
flock --nonblock "$lock" || { step "waiting for another build of the cluster's programs"; flock "$lock"; }
rm -rf "$CACHE"/bin/.build-*

if (($# == 0)); then set -- etcd kubernetes coredns prometheus k6 helm; fi
for name in "$@"; do build "$name"; done
