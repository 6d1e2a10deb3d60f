# shellcheck shell=bash
# Sourced by every script here: paths, and how progress and trouble are told.
set -euo pipefail

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$CLUSTER_DIR/../.." && pwd)
# shellcheck source=tests/cluster/versions.sh
source "$CLUSTER_DIR/versions.sh"

# shellcheck disable=SC2034  # used by the scripts that source this one
STATE=$REPO/.cluster
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/loadtest-operator

# step MESSAGE: one line of progress, with the seconds since this script began.
step() { printf '%6ds  %s\n' "$SECONDS" "$*" >&2; }

# die WHAT [WHAT TO DO]: ends the script.
die() {
    printf 'error: %s\n' "$1" >&2
    if [[ -n ${2:-} ]]; then printf '       %s\n' "$2" >&2; fi
    exit 1
}

# need COMMAND WHAT-TO-DO: the command must be on the PATH.
need() { command -v "$1" >/dev/null || die "the command '$1' is missing" "$2"; }

# go_version NAME: the version of a module in GO_MODULES, without the v.
go_version() { local ref=${GO_MODULES[$1]}; echo "${ref##*@v}"; }

# go_folder NAME: where in go/ it is pinned. The add-ons share one list of modules, and so what is compiled of it.
go_folder() {
    case $1 in
        coredns | prometheus) echo addons ;;
        *) echo "$1" ;;
    esac
}

# go_bin NAME: the folder of its built binaries, named by all that they are made from.
go_bin() { echo "$CACHE/bin/$1-$(go_version "$1")-$(go_toolchain)-$(go_inputs "$1")"; }

# need_go NAME: builds it, unless the cache has it.
need_go() { [[ -d $(go_bin "$1") ]] || "$CLUSTER_DIR/build-go.sh" "$1"; }

# go_inputs NAME: a hash of its modules and of our own sources.
go_inputs() {
    local hash
    hash=$(find "$CLUSTER_DIR/go/$(go_folder "$1")" -type f -print0 | sort -z | xargs -0 cat | sha256sum)
    echo "${hash:0:8}"
}

# The compiler is a part of the cache's key. Asked once: each call costs 20 ms.
go_toolchain() {
    if [[ -z ${GO_TOOLCHAIN_NAME:-} ]]; then
        need go "install Go 1.25 or later: https://go.dev/dl"
        GO_TOOLCHAIN_NAME=$(go env GOVERSION)
        export GO_TOOLCHAIN_NAME
    fi
    echo "$GO_TOOLCHAIN_NAME"
}
