#!/usr/bin/env bash
# Lints what cargo does not: the scripts and the charts.
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need shellcheck "apt-get install shellcheck"
cd "$REPO"
git ls-files '*.sh' .ci/run | xargs shellcheck --external-sources --source-path=.
need_go helm
for chart in charts/*/; do
    if [[ -f $chart/Chart.yaml ]]; then "$(go_bin helm)/helm" lint --strict --quiet "$chart"; fi
done
