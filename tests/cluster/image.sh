# shellcheck shell=bash
# Building third-party images once, into archives of the cache, and importing archives into the cluster.

IMAGES=$CLUSTER_DIR/images

# buildah without a daemon, user namespaces or a registry.
builder() {
    buildah --root "$CACHE/buildah" --runroot "$CACHE/buildah-run" --storage-driver vfs "$@"
}

# build_archive IMAGE CONTAINERFILE CONTEXT ARCHIVE
build_archive() {
    local image=$1 containerfile=$2 context=$3 archive=$4 log=$CACHE/build.log
    mkdir -p "$CACHE"
    if ! builder bud --isolation chroot --quiet --timestamp 0 --tag "$image" --file "$containerfile" "$context" \
        >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "building $image failed"
    fi
    rm -f "$archive.new"
    # Uncompressed: read once, from this disk, by an import that somebody waits for.
    builder push --quiet --disable-compression "$image" "oci-archive:$archive.new:$image" >>"$log" 2>&1 || die "saving $image failed: see $log"
    mv "$archive.new" "$archive"
    # Archives are what is kept: vfs storage is a whole copy for each layer.
    builder rmi --force "$image" >>"$log" 2>&1 || true
}

# third_party NAME: prints the archive of image NAME, after building it unless the cache has it.
# Its key is the content of images/NAME with the folder of the Go program of the same name, where it is one.
third_party() {
    local name=$1 image key archive context program=
    image=$(image_of "$name")
    if [[ -n ${GO_MODULES[$name]:-} ]]; then program=$(basename "$(go_bin "$name")"); fi
    key=$({ find "$IMAGES/$name" -type f -print0 | sort -z | xargs -0 cat; echo "$image $program"; go_toolchain; } |
        sha256sum | cut -c1-12)
    archive=$CACHE/images/$name-$key.tar
    if [[ ! -f $archive ]]; then
        step "building the image $image (once, then cached)"
        mkdir -p "$CACHE/images"
        context=$(mktemp -d "$CACHE/context-XXXXXX")
        cp -r "$IMAGES/$name/." "$context/"
        prepare_context "$name" "$context"
        build_archive "$image" "$context/Containerfile" "$context" "$archive"
        rm -rf "$context"
    fi
    echo "$archive"
}

# image_of NAME: k6 → the value of K6_IMAGE.
image_of() {
    local variable=${1^^}
    variable=${variable//-/_}_IMAGE
    echo "${!variable}"
}

# prepare_context NAME FOLDER: puts beside the Containerfile what it copies.
prepare_context() {
    local name=$1 context=$2
    case $name in
        pause) CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$context/pause" "$context/pause.go" ;;
        coredns | prometheus | k6)
            need_go "$name"
            cp "$(go_bin "$name")/$name" "$context/"
            ;;
    esac
    if [[ -f $context/packages ]]; then make_rootfs "$context"; fi
    if [[ $name == k6 ]]; then cp -L /etc/ssl/certs/ca-certificates.crt "$context/"; fi
}

# make_rootfs FOLDER: FOLDER/rootfs.tar of the Debian packages listed in FOLDER/packages and what they depend on,
# unpacked only, without what FOLDER/prune lists, and with the users and writable folders of the other files,
# where there are any.
make_rootfs() {
    local context=$1 root=$1/rootfs packages folder
    packages=$(xargs <"$context/packages")
    mmdebstrap --quiet --variant=extract --include="${packages// /,}" "$DEBIAN_SUITE" "$root" >"$CACHE/mmdebstrap.log" 2>&1 ||
        { tail -n 5 "$CACHE/mmdebstrap.log" >&2; die "the packages $packages could not be unpacked" "a Debian mirror must be reachable"; }
    xargs -I{} rm -rf "$root/{}" < <(tr ' ' '\n' <"$context/prune")
    mkdir -p "$root/etc" "$root/tmp"
    ln -sf dash "$root/bin/sh"
    if [[ -f $context/etc-passwd ]]; then cp "$context/etc-passwd" "$root/etc/passwd"; fi
    chmod 1777 "$root/tmp"
    [[ -f $context/folders ]] || : >"$context/folders"
    for folder in $(<"$context/folders"); do install -d -m 1777 -o 999 -g 999 "$root/$folder"; done
    tar --create --file "$context/rootfs.tar" --directory "$root" --sort=name --mtime=@0 --numeric-owner .
    rm -rf "$root"
}

# import_image IMAGE NAME: into the cluster, unless it is there.
import_image() {
    [[ -z $(ctr --address "$CONTAINERD" --namespace k8s.io images list -q "name==$1") ]] || return 0
    import_archive "$(third_party "$2")"
}

import_archive() {
    ctr --address "$CONTAINERD" --namespace k8s.io images import --digests=false "$1" >/dev/null
}
