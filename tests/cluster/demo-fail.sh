#!/usr/bin/env bash
# The other side of the demo: a chat system with a single dbman and no retries loses that dbman.
# Exits 0 when the verdict is Fail, as it must be, and 1 otherwise. The chat system is put right again at the end.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=tests/cluster/demo-lib.sh
source "$here/demo-lib.sh"

FAIL=1

prepare
step "making the chat system fragile: a single dbman, no retries"
trap 'step "putting the chat system right again"; set_chat_system "$STURDY"' EXIT
set_chat_system "$EXAMPLE/values-fail.yaml"
run_to_verdict "$EXAMPLE/loadtest-fail.yaml"
if ((VERDICT != FAIL)); then die "the verdict should be Fail (exit code $FAIL), and the exit code is $VERDICT"; fi
step "the verdict is Fail, as it should be"
