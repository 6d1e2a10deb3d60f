#!/usr/bin/env bash
# Builds every image that the tests and the demo use, and imports what the cluster does not have yet.
# Names on the command line limit it to these: k6, postgres, redis, exporters, loadtest-operator, target-app,
# kubectl-loadtest.
# With CLUSTER=existing it stops at the archives and says how to push them.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/cluster/slot.sh
source "$here/slot.sh"
# shellcheck source=tests/cluster/process.sh
source "$here/process.sh"
# shellcheck source=tests/cluster/image.sh
source "$here/image.sh"

THIRD_PARTY=(k6 postgres redis exporters)
# Our own: the name of the binary and the folder of its Containerfile.
declare -A OWN=([loadtest-operator]=operator [target-app]=target-app [kubectl-loadtest]=cli)

TARGET_DIR=${CARGO_TARGET_DIR:-$REPO/target}
TRIPLE=$(rustc -vV | sed -n 's/^host: //p')

# Static binaries, so that an image is one file. glibc resolves names by DNS without any library beside it.
build_binaries() { # PACKAGES...
    step "building the binaries (profile image)"
    (cd "$REPO" && cargo build --profile image --target "$TRIPLE" \
        --config "target.$TRIPLE.rustflags=[\"-C\", \"target-feature=+crt-static\"]" \
        "${@/#/--package=}") >&2
}

# own_archive NAME: prints the archive of our image NAME, built again when its binary or Containerfile changed.
own_archive() {
    local name=$1 binary=$TARGET_DIR/$TRIPLE/image/$1 containerfile=$REPO/${OWN[$1]}/Containerfile key archive context
    key=$(cat "$binary" "$containerfile" | sha256sum | cut -c1-12)
    archive=$TARGET_DIR/images/$name-$key.tar
    if [[ ! -f $archive ]]; then
        step "building the image $(image_of "$name")"
        mkdir -p "$TARGET_DIR/images"
        rm -f "$TARGET_DIR/images/$name"-*.tar
        context=$(mktemp -d "$TARGET_DIR/images/context-XXXXXX")
        cp "$binary" "$context/"
        cp -L /etc/ssl/certs/ca-certificates.crt "$context/"
        build_archive "$(image_of "$name")" "$containerfile" "$context" "$archive"
        rm -rf "$context"
    fi
    echo "$archive"
}

# deliver NAME ARCHIVE: into the cluster, unless this very archive is there.
deliver() {
    local name=$1 archive=$2
    if [[ ${CLUSTER:-} == existing ]]; then
        echo "skopeo copy oci-archive:$archive docker://REGISTRY/$(image_of "$name")"
        return
    fi
    mkdir -p "$ROOT/images"
    [[ $(cat "$ROOT/images/$name" 2>/dev/null) != "$archive" ]] || return 0
    import_archive "$archive"
    echo "$archive" >"$ROOT/images/$name"
    step "imported $(image_of "$name")"
}

need cargo "install Rust: https://rustup.rs"
if [[ ${CLUSTER:-} == existing ]]; then
    need buildah "apt-get install buildah skopeo"
    step "CLUSTER=existing: building archives; push them where your cluster pulls from:"
else
    need buildah "run 'make cluster-up', which installs it"
    find_slot || die "this checkout has no cluster" "run 'make cluster-up'"
fi

if (($# == 0)); then set -- "${THIRD_PARTY[@]}" "${!OWN[@]}"; fi
own=()
for name in "$@"; do
    if [[ -n ${OWN[$name]:-} ]]; then
        own+=("$name")
    else
        archive=$(third_party "$name")
        deliver "$name" "$archive"
    fi
done
if ((${#own[@]})); then
    build_binaries "${own[@]}"
    for name in "${own[@]}"; do
        archive=$(own_archive "$name")
        deliver "$name" "$archive"
    done
fi
step "the images are ready"
