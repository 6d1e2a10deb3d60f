#!/usr/bin/env bash
# Rewrites go.mod and go.sum of the modules named (default: all) for the versions in versions.sh.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# programs FOLDER: what is built in it beside its own main packages.
programs() {
    case $1 in
        etcd) echo go.etcd.io/etcd/server/v3 ;;
        k6) echo go.k6.io/k6 ;;
        helm) echo helm.sh/helm/v3/cmd/helm ;;
        addons) echo github.com/prometheus/prometheus/cmd/prometheus ;;
        kubernetes) printf 'k8s.io/kubernetes/cmd/%s\n' kube-{apiserver,controller-manager,scheduler,proxy} kubelet kubectl ;;
    esac
}

# Kubernetes' module replaces its staging modules by folders that the published module has not: by their releases.
staging() {
    local file
    file=$(go mod download -json "$1" | jq -r .GoMod)
    echo "godebug default=go$(sed -n 's/^godebug default=go//p' "$file")"
    go mod edit -json "$file" | jq -r --arg v "$K8S_STAGING_VERSION" \
        '.Replace[] | select(.New.Path | startswith("./staging")) | "replace \(.Old.Path) => \(.Old.Path) \($v)"'
}

update() {
    local folder=$1 dir=$CLUSTER_DIR/go/$1 name ref
    step "$folder"
    mkdir -p "$dir"
    rm -f "$dir/go.mod" "$dir/go.sum"
    {
        printf 'module loadtest.dev/cluster/%s\n\ngo 1.24.0\n\n' "$folder"
        programs "$folder" | sed 's/^/tool /'
        for name in "${!GO_MODULES[@]}"; do
            [[ $(go_folder "$name") == "$folder" ]] || continue
            ref=${GO_MODULES[$name]}
            echo "require ${ref%@*} ${ref##*@}"
            if [[ $name == kubernetes ]]; then staging "$ref"; fi
        done
    } >"$dir/go.mod"
    (cd "$dir" && go mod tidy)
}

if (($# == 0)); then set -- "${!GO_MODULES[@]}"; fi
for folder in $(for name in "$@"; do go_folder "$name"; done | sort -u); do update "$folder"; done
