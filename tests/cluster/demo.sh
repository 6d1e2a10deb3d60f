#!/usr/bin/env bash
# From nothing to a verdict: the cluster, the images, both charts, then examples/chat-failover/loadtest.yaml.
# Exits by the verdict: 0 Pass, 1 Fail, 2 Warn, 3 Inconclusive, 4 Error, 5 Aborted. Run again it makes a sibling.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/cluster/demo-lib.sh
source "$here/demo-lib.sh"

prepare
# A demo-fail that was killed may have left its own.
set_chat_system "$STURDY"
run_to_verdict "$EXAMPLE/loadtest.yaml"
exit "$VERDICT"
