# shellcheck shell=bash disable=SC2034  # sourced: every version and address of the cluster, and nothing else
#
# After a change of a Go version run tests/cluster/go/update.sh, which rewrites the go.mod and go.sum files.

# name=Go module@version; the built binaries are cached by name, version and compiler.
declare -A GO_MODULES=(
    [kubernetes]=k8s.io/kubernetes@v1.34.4
    [etcd]=go.etcd.io/etcd/server/v3@v3.6.4
    [k6]=go.k6.io/k6@v1.8.1
    [helm]=helm.sh/helm/v3@v3.19.0
    [prometheus]=github.com/prometheus/prometheus@v0.307.0
    [coredns]=github.com/coredns/coredns@v1.12.4
)
# Kubernetes' staging modules (k8s.io/api and so on) carry this number.
K8S_STAGING_VERSION=v0.34.4
# What Prometheus calls the release whose Go module is v0.307.0.
PROMETHEUS_RELEASE=3.7.0

# Debian packages. Their versions are the distribution's: PostgreSQL 15, Redis 7.0, containerd 1.6 on Debian 12.
DEBIAN_SUITE=bookworm
HOST_PACKAGES=(
    containerd runc containernetworking-plugins buildah mmdebstrap
    iproute2 nftables util-linux openssl curl jq ca-certificates
)

# Images
PAUSE_IMAGE=loadtest.dev/pause:1
COREDNS_IMAGE=loadtest.dev/coredns:1.12.4
PROMETHEUS_IMAGE=loadtest.dev/prometheus:3.7.0
K6_IMAGE=docker.io/grafana/k6:1.8.1
POSTGRES_IMAGE=docker.io/library/postgres:15
REDIS_IMAGE=docker.io/library/redis:7
EXPORTERS_IMAGE=loadtest.dev/exporters:bookworm
LOADTEST_OPERATOR_IMAGE=loadtest.dev/loadtest-operator:dev
TARGET_APP_IMAGE=loadtest.dev/target-app:dev
KUBECTL_LOADTEST_IMAGE=loadtest.dev/kubectl-loadtest:dev

# The cluster's inside. Addresses are in slot.sh: each checkout has a slot, each slot a range of its own.
CLUSTER_DOMAIN=cluster.local
NODE_NAME=node-1
MAX_PODS=500
