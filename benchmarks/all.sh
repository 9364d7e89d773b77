#!/usr/bin/env bash
# Every benchmark in turn (or those named), a result line each; --out: all raw runs as CSV with machine and commit.
#   benchmarks/all.sh [--quick] [--out FILE.csv] [NAME[:OPTIONS]...] [-- options of each]
#   such as: benchmarks/all.sh --out raw.csv rollouts prefill 'decode:--reps 1' 'score:--rows 40' tiny resident
#   exits   0 all measured   1 one failed   2 usage   3 a peer, model or data set could not be had
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out='' names=() pass=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) pass+=(--quick) ;;
    --out) [ $# -gt 1 ] || { echo "all.sh: --out needs a file" >&2; exit 2; }; out=$2; shift ;;
    --help | -h) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --) shift; pass+=("$@"); break ;;
    -*) echo "all.sh: unknown option $1" >&2; exit 2 ;;
    *)  n=${1%%:*}
        [ -f "$here/$n.sh" ] && [ "$n" != all ] || { echo "all.sh: no such benchmark: $n" >&2; exit 2; }
        names+=("$1") ;;
    esac
    shift
done
if [ ${#names[@]} -eq 0 ]; then            # the long one first, while the machine is as it was found
    names=(rollouts)
    for f in "$here"/*.sh "$here"/train/*.sh; do
        n=${f#"$here"/} n=${n%.sh}
        case $n in all | rollouts) ;; *) names+=("$n") ;; esac
    done
fi
raw=$(mktemp "${TMPDIR:-/tmp}/rung-raw.XXXXXX")
table() { [ -z "$out" ] || [ ! -s "$raw" ] || python3 "$here/lib/raw_csv.py" "$raw" "$out"; }
trap 'table; rm -f "$raw"' EXIT            # stopped half-way, what was measured is kept
trap 'exit 143' TERM
trap 'exit 130' INT
export RUNG_BENCH_RAW=$raw
worst=0
for name in "${names[@]}"; do
    n=${name%%:*} own=()
    [ "$n" = "$name" ] || read -ra own <<<"${name#*:}"
    "$here/$n.sh" "${pass[@]}" "${own[@]}"
    rc=$?
    [ $rc -eq 0 ] || echo "all.sh: $n ended with exit $rc" >&2
    case $rc in 0) ;; 3) [ $worst -ne 0 ] || worst=3 ;; *) worst=1 ;; esac
    table || worst=1
done
exit $worst
