# tools/deps.sh: quick when there is nothing to do, refuses a bad hash, stops with the list on another system.
# Everything happens in a copy of tools/ with its own cache folder; no network, no package manager is reached.
set -u
src=${RUNG_SOURCE_DIR:?}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
check() { if [ "$2" = "$3" ]; then echo "ok    $1"; else echo "FAIL  $1: got '$2', want '$3'"; failed=1; fi; }
has() { if grep -qF -- "$3" "$2"; then echo "ok    $1"; else echo "FAIL  $1: no '$3' in:"; cat "$2"; failed=1; fi; }

cp -r "$src/tools" "$work/tools"
deps=$work/tools/deps.sh
export XDG_CACHE_HOME=$work/cache RUNG_DEPS_NO_GIT=1
unset RUNG_DOWNLOADS RUNG_PORTABLE RUNG_OS_RELEASE
built=${RUNG_DEPS_DIR:?}

# a prefix that is whole: nothing to do, in less than five seconds, twice, and nothing is touched
before=$(find "$built" -printf '%p %s %T@\n' | sort | sha256sum)
for i in 1 2; do
    start=$(date +%s%N)
    "$deps" >"$work/out" 2>&1; code=$?
    ms=$((($(date +%s%N) - start) / 1000000))
    check "run $i with nothing to do exits" "$code" 0
    check "run $i says nothing" "$(cat "$work/out")" ""
    check "run $i took $ms ms, below 5000" "$([ $ms -lt 5000 ] && echo yes)" yes
done
check "the prefix is as it was" "$(find "$built" -printf '%p %s %T@\n' | sort | sha256sum)" "$before"
check "no cache folder appeared" "$(ls "$work/cache" 2>/dev/null)" ""

# the prefix's name depends on the lock file and on portable, and is stable
unset RUNG_DEPS_DIR
a=$("$deps" --print-dir); b=$("$deps" --print-dir); p=$("$deps" --print-dir --portable)
check "print-dir is stable" "$a" "$b"
check "portable has its own prefix" "$([ "$a" != "$p" ] && echo yes)" yes
echo '# a line of talk more' >>"$work/tools/deps.lock"
check "talk in the lock is no other prefix" "$("$deps" --print-dir)" "$a"
echo 'more        pip     x 1 y z' >>"$work/tools/deps.lock"
check "another lock, another prefix" "$([ "$("$deps" --print-dir)" != "$a" ] && echo yes)" yes

# a file that is not what the lock says: exit 3, both hashes named, nothing installed
mkdir -p "$work/cache/rung/downloads"
echo tampered >"$work/cache/rung/downloads/yyjson-4.0.6.tar.gz"
"$deps" >"$work/out" 2>&1; code=$?
if pkg-config --exists 'yyjson >= 0.10.0' 'yyjson < 0.11'; then
    echo "skip  bad hash of a downloaded file: the system's yyjson is used"
else
    check "a tampered download exits" "$code" 3
    has "it names the hash it got" "$work/out" "$(echo tampered | sha256sum | cut -d' ' -f1)"
    has "it names the hash it wants" "$work/out" \
        "$(awk '$1 == "yyjson" && $2 == "pip" { print $6 }' "$work/tools/deps.lock")"
    check "no prefix was made" "$([ -e "$("$deps" --print-dir)" ] && echo made)" ""
fi
rm -rf "$work/cache"

# a source that says it is another version than the lock declares: exit 3 (with the real file, when it is on this machine)
real=$HOME/.cache/rung/downloads/yyjson-4.0.6.tar.gz
if [ -f "$real" ] && ! pkg-config --exists 'yyjson >= 0.10.0' 'yyjson < 0.11'; then
    cp "$work/tools/deps.lock" "$work/lock.kept"
    sed -i 's/^\(yyjson  *is  *pip  *\)0\.10\.0/\10.10.7/' "$work/tools/deps.lock"
    RUNG_DEPS_DIR=$work/other RUNG_DOWNLOADS=${real%/*} "$deps" >"$work/out" 2>&1; code=$?
    check "a source of another version than declared exits" "$code" 3
    has "it says both versions" "$work/out" "says it is 0.10.0 -, but tools/deps.lock declares 0.10.7 -"
    mv "$work/lock.kept" "$work/tools/deps.lock"
else
    echo "skip  another version than declared: no yyjson-4.0.6.tar.gz here"
fi
rm -rf "$work/other" "$work/other.work"

# a half-made prefix is not taken for a good one: without a way to finish it the run fails
mkdir -p "$work/own/lib"; touch "$work/own/lib/libyyjson.a"
mkdir -p "$work/downloads"; echo bad >"$work/downloads/yyjson-4.0.6.tar.gz"
RUNG_DEPS_DIR=$work/own RUNG_DOWNLOADS=$work/downloads "$deps" >"$work/out" 2>&1; code=$?
check "a half-made prefix is not accepted" "$([ $code -ne 0 ] && echo refused)" refused

# another system with something missing: the list, exit 2; with nothing missing: no objection
printf 'ID=fedora\nID_LIKE="rhel"\n' >"$work/os-release"
RUNG_DEPS_DIR=$built RUNG_OS_RELEASE=$work/os-release RUNG_DEPS_ASSUME_MISSING="libfyaml-dev ninja-build" \
    "$deps" >"$work/out" 2>&1; code=$?
check "another system exits" "$code" 2
has "the list has what is there" "$work/out" "libsqlite3-dev         here"
has "the list has what is missing" "$work/out" "libfyaml-dev           MISSING"
RUNG_DEPS_DIR=$built RUNG_OS_RELEASE=$work/os-release "$deps" >"$work/out" 2>&1
check "another system where all is there exits" $? 0

"$deps" --frobnicate >"$work/out" 2>&1
check "an unknown option exits" $? 2
"$deps" --help >"$work/out" 2>&1
check "help exits" $? 0
exit $failed
