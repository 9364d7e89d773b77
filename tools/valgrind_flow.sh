#!/usr/bin/env bash
# One flow of the command under valgrind: problems made and shown, store checked, exported, read into a new store.
# Build it with the preset "valgrind" (valgrind 3.19 does not know AVX-512).
#   tools/valgrind_flow.sh path/to/rung     exit 0: no error, nothing lost
set -euo pipefail
export OMP_WAIT_POLICY=passive   # rung would start itself once more to set it, and leave valgrind
rung=$(realpath "${1:?which rung?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
under() {
    valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect \
        --child-silent-after-fork=yes "$rung" "$@" >out.txt 2>err.txt && return
    cat err.txt >&2
    echo "valgrind_flow: rung $* failed" >&2
    exit 1
}
under problem generate total --splits train=4,test=4 --store a.db
under problem generate word --splits train=4,test=4 --store a.db
under problem show --limit 2 --store a.db
under store check --json --store a.db
under store export a.jsonl --store a.db
under store import a.jsonl --store b.db
under store check --json --store b.db
under help trace sample
echo "valgrind_flow: 8 commands, no error, nothing lost"
