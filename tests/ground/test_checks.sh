# The checks of the tree can fail: each is fed one bad file in a copy and must name it.
set -u
src=${RUNG_SOURCE_DIR:?}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
# expect NAME CODE TEXT COMMAND...: exit code and a text in the output
expect() {
    local name=$1 want=$2 text=$3 code
    shift 3
    "$@" >"$work/out" 2>&1; code=$?
    if [ $code -eq "$want" ] && grep -qF -- "$text" "$work/out"; then echo "ok    $name"; return; fi
    echo "FAIL  $name: exit $code, want $want with '$text' in:"; cat "$work/out"; failed=1
}
tree() {                  # a small house with one good file
    rm -rf "$work/t"; mkdir -p "$work/t"/{include/rung,src/{base,store,model,label,train,cli},tools,docs}
    cat >"$work/t/CMakeLists.txt" <<'T'
rung_module(base LINK m)
rung_module(store DEPS base)
rung_module(model DEPS base)
rung_module(train DEPS base model)
rung_module(label DEPS store model)
T
    printf '#ifndef A\n#define A\nint a(void);\n#endif\n' >"$work/t/include/rung/base.h"
    printf '#include "rung/base.h"\nint a(void) {\n    return 1;\n}\n' >"$work/t/src/base/a.c"
    printf '| word | meaning | not |\n|---|---|---|\n| trace | an attempt | trajectory |\n' >"$work/t/docs/glossary.md"
}
layers() { "$src/tools/check_layers.sh" "$work/t"; }
size() { "$src/tools/check_size.sh" "$work/t"; }
headers() { "$src/tools/check_headers.sh" "$work/t"; }
words() { "$src/tools/check_words.sh" "$work/t"; }

tree; expect "layers: a clean tree" 0 "right direction" layers
bad_include() {           # bad_include NAME FILE LINE TEXT
    tree; printf 'int x;\n%s\n' "$3" >"$work/t/$2"; expect "layers: $1" 1 "$4" layers
    expect "layers: $1, by line" 1 "$2:2" layers
}
bad_include "upwards" src/base/b.c '#include "rung/label.h"' 'src/base may not include "rung/label.h"'
bad_include "upwards, internal header" src/store/b.c '#include "label/plan.h"' 'src/store may not include'
bad_include "sideways" src/store/b.c '  #  include "rung/model.h"' 'src/store may not include'
bad_include "a public header upwards" include/rung/store.h '#include "rung/label.h"' 'src/store may not include'
bad_include "llama.h outside model" src/label/b.c '#include <llama.h>' 'only be included in src/model'
bad_include "llama.h in quotes" src/train/b.c '#include "llama.h"' 'only be included in src/model'
bad_include "ggml-cpu.h outside model" src/train/b.c '#include <ggml-cpu.h>' 'only be included in src/model'
bad_include "curl outside model" src/cli/b.c '#include <curl/curl.h>' 'only be included in src/model'
bad_include "oneDNN outside train" src/model/b.c '#include <dnnl.h>' 'only be included in src/train'
bad_include "SQLite outside store" src/label/b.c '#include <sqlite3.h>' 'only be included in src/store'
bad_include "no folder" src/label/b.c '#include "plan.h"' 'write the folder'
bad_include "up by dots" src/label/b.c '#include "../cli/cli.h"' 'write the folder'
tree; printf '#include "rung/model.h"\n#include "rung/base.h"\n' >"$work/t/src/label/b.c"
expect "layers: down, directly and through others" 0 "right direction" layers
tree; sed -i 's/rung_module(base LINK m)/rung_module(base DEPS label LINK m)/' "$work/t/CMakeLists.txt"
expect "layers: a loop in CMakeLists.txt" 1 "src/base may not depend on src/label" layers

body() { local i; for i in $(seq "$1"); do echo '    x++;'; done; }
tree; expect "size: a clean tree" 0 "1 functions" size
long_one() {              # long_one N: a function of N + 3 lines
    tree
    { printf 'static int long_one(int x,\n                    int y) {\n'; body "$1"; echo '}'; } \
        >"$work/t/src/base/b.c"
}
long_one 117
expect "size: a function of 120 lines" 0 "2 functions" size
long_one 118
expect "size: a function of 121 lines" 1 "src/base/b.c:long_one: lines of the function (line 1) is 121" size
echo 'src/base/b.c:long_one 121 one state machine' >"$work/t/tools/size_allow.txt"
expect "size: allowed with a reason" 0 "within the norms" size
echo 'src/base/b.c:long_one 121' >"$work/t/tools/size_allow.txt"
expect "size: allowed without a reason" 1 "has no reason" size
printf 'src/base/b.c:long_one 121 one state machine\nsrc/base/a.c:a 130 old\n' >"$work/t/tools/size_allow.txt"
expect "size: an exception nobody needs" 1 "not needed any more" size
tree
{ printf 'static const struct row {\n    int (*f)(void);\n} rows[] = {\n'; body 200; echo '};'; } \
    >"$work/t/src/base/b.c"
expect "size: a long table is no function" 0 "1 functions" size
tree; { for i in $(seq 301); do echo "/* $i */"; done; } >"$work/t/include/rung/long.h"
expect "size: a header of 301 lines" 1 "include/rung/long.h: lines of the file is 301, at most 300" size
tree; printf '/* %0100d */\n' 0 >"$work/t/src/base/wide.c"
expect "size: a line of 106 columns" 1 "wide.c:columns: widest line (line 1) is 106" size
tree; printf '/* %s */\n' "$(printf 'é%.0s' $(seq 94))" >"$work/t/src/base/wide.c"
expect "size: columns are characters, not bytes" 0 "within the norms" size

tree; expect "headers: a clean tree" 0 "1 headers" headers
tree; echo 'size_t n(void);' >"$work/t/include/rung/bare.h"
expect "headers: one that needs another first" 1 "bare.h: not clean as C11" headers
tree; printf '#ifndef B\n#define B\nint b(int class);\n#endif\n' >"$work/t/include/rung/cxx.h"
expect "headers: a C++ keyword" 1 "cxx.h: not clean as C++17" headers
tree; echo 'typedef struct { int a; } t;' >"$work/t/include/rung/guard.h"
expect "headers: no include guard" 1 "guard.h: not clean" headers

tree; expect "words: a clean tree" 0 "none of 1" words
tree; echo 'int n_trajectory;' >"$work/t/src/base/w.c"
expect "words: inside an identifier" 1 "src/base/w.c:1" words
tree; echo 'int n_trajectory;' >"$work/t/src/base/w.c"
echo 'src/base/w.c trajectory a field of someone else' >"$work/t/tools/words_allow.txt"
expect "words: allowed with a reason" 0 "none of 1" words
tree; echo 'broken' >"$work/t/docs/glossary.md"
expect "words: a broken glossary is no pass" 1 "bans nothing" words
exit $failed
