# shellcheck shell=bash
# What the machine must have, and what is installed when it has not.

check_machine() {
    [[ $(uname -s) == Linux ]] || die "the cluster runs on Linux only" "use CLUSTER=existing with a cluster of your own"
    [[ $(id -u) == 0 ]] || die "root is needed for namespaces, mounts and control groups" "run make as root, or with sudo -E"
    go_toolchain >/dev/null
    [[ -n $(cgroup_parents) ]] || die "no control groups are mounted" "mount cgroup2 on /sys/fs/cgroup"
    local free
    mkdir -p "$CACHE"
    free=$(df --output=avail -BG "$CACHE" | tail -n 1 | tr -dc 0-9)
    ((free >= 8)) || die "$CACHE has ${free} GB free, 8 are needed" "free some space, or set XDG_CACHE_HOME"
}

install_packages() {
    local missing=() package
    for package in "${HOST_PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    need apt-get "install these Debian packages' programs by hand: ${missing[*]}"
    step "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "${missing[@]}"; } \
        >"$CACHE/apt.log" 2>&1 </dev/null; then
        tail -n 5 "$CACHE/apt.log" >&2
        die "the packages ${missing[*]} could not be installed" "the whole output is in $CACHE/apt.log"
    fi
}
