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

# go_build NAME FOLDER: its programs into FOLDER. Every step is joined by &&, for errexit is off in a condition.
go_build() {
    local name=$1 out=$2 packages=tool flags=()
    if [[ $name == coredns ]]; then packages=./coredns; fi
    if [[ $name == prometheus ]]; then
        lean_prometheus "$out.source" || return
        flags=(-modfile "$out.source/build.mod")
    fi
    CGO_ENABLED=0 GOFLAGS=-mod=readonly go build "${flags[@]}" -trimpath -buildvcs=false \
        -ldflags "-s -w$(ldflags "$name")" -o "$out/" "$packages"
}

# lean_prometheus FOLDER: its source in FOLDER, with our list of plugins instead of its own, and in FOLDER/build.mod
# our go.mod with this source. The list is a file of the module, so there is no way to it from outside.
lean_prometheus() {
    local copy=$1 module=${GO_MODULES[prometheus]%@*} original
    original=$(go mod download -json "$module" | jq -er .Dir) &&
        cp -r --no-preserve=mode "$original" "$copy" &&
        cp prometheus/plugins.go "$copy/plugins/plugins.go" &&
        cp go.sum "$copy/build.sum" &&
        cp go.mod "$copy/build.mod" &&
        go mod edit -replace "$module=$copy" "$copy/build.mod"
}

build() {
    local name=$1 out tmp folder
    out=$(go_bin "$name")
    [[ -d $out ]] && return
    folder=$CLUSTER_DIR/go/$(go_folder "$name")
    grep -q " ${GO_MODULES[$name]##*@}\( \|$\)" "$folder/go.mod" ||
        die "$folder/go.mod is not at ${GO_MODULES[$name]}" "run tests/cluster/go/update.sh $name"
    step "building ${GO_MODULES[$name]} (once, then cached)"
    tmp=$(mktemp -d "$CACHE/bin/.build-XXXXXX")
    if ! (cd "$folder" && go_build "$name" "$tmp") >&2; then
        rm -rf "$tmp" "$tmp.source"
        die "building ${GO_MODULES[$name]} failed" "the Go module proxy must be reachable: $(go env GOPROXY)"
    fi
    rm -rf "$tmp.source"
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

if (($# == 0)); then set -- "${!GO_MODULES[@]}"; fi
for name in "$@"; do build "$name"; done
