#!/usr/bin/env bash
# Prints what a shell needs to use this checkout's cluster: eval "$(tests/cluster/env.sh)"
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${CLUSTER:-} == existing ]] && command -v kubectl helm >/dev/null; then exit 0; fi
if [[ ${CLUSTER:-} != existing ]]; then echo "export KUBECONFIG=$STATE/kubeconfig"; fi
echo "export PATH=$(go_bin kubernetes):$(go_bin helm):$(go_bin k6):\$PATH"
