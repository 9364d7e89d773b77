# Man page, completions, examples of help and documents, recipes.
. "$(dirname "$0")/lib.sh"

"$RUNG" help --man >"$T/rung.1"
check "docs/rung.1 is the man page of this command (rung help --man > docs/rung.1)" cmp -s "$T/rung.1" "$SRC/docs/rung.1"
if command -v mandoc >/dev/null; then
  n_checks=$((n_checks + 1))
  mandoc -T lint -W warning "$T/rung.1" >"$T/lint" 2>&1
  grep -vE 'outdated mandoc.db|missing date|lower case character' "$T/lint" | grep -E 'WARNING|ERROR' && fail "mandoc warns"
elif command -v groff >/dev/null; then
  n_checks=$((n_checks + 1))
  groff -man -Tutf8 -ww -z "$T/rung.1" 2>"$T/lint"
  [ -s "$T/lint" ] && { fail "groff warns"; head "$T/lint"; }
else
  echo "no mandoc and no groff: the man page is not rendered here" >&2
fi

for shell in bash zsh fish; do
  "$RUNG" completion $shell >"$T/c.$shell" || fail "completion $shell"
  command -v $shell >/dev/null || continue
  check "$shell completion parses" $shell -n "$T/c.$shell"
done
expect 2 'is not one of' -- "$RUNG" completion csh
complete_line() { # words of a line; prints the candidates for the last one
  bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rung; printf "%s\n" "${COMPREPLY[@]}"' - "$T/c.bash" "$@"
}
check "completes nouns" grep -qx trace <(complete_line rung tr)
check "completes verbs" grep -qx sample <(complete_line rung trace sa)
check "completes flags" grep -qx -- --temperature <(complete_line rung trace sample --te)
check "completes choices" grep -qx majority <(complete_line rung search run --method maj)

# every example parses: of the help pages and of the documents' fenced lines that begin with rung
parse() {
  local line=$1
  n_checks=$((n_checks + 1))
  line=$(awk -v q="'" '{ # up to a comment, a redirection or a pipe outside quotes
    for (i = 1; i <= length($0); i++) {
      c = substr($0, i, 1)
      if (in_quotes) { if (c == in_quotes) in_quotes = ""; continue }
      if (c == q || c == "\"") in_quotes = c
      else if (c == "#" || c == ">" || c == "|") { print substr($0, 1, i - 1); exit }
    }
    print
  }' <<<"$line")
  line=${line%%\\}
  eval "set -- $line"
  shift
  if ! "$RUNG" "$@" --dry-run >/dev/null 2>"$T/err"; then
    fail "does not parse: rung $*"
    cat "$T/err" >&2
  fi
}
"$RUNG" help --man | sed -n 's/\\-/-/g; s/\\e/\\/g; s/^  rung /rung /p' >"$T/examples"
[ "$(wc -l <"$T/examples")" -ge 30 ] || fail "only $(wc -l <"$T/examples") examples in the man page"
for f in "$SRC/README.md" "$SRC"/docs/*.md; do
  [ -f "$f" ] && awk '/^```/{on=!on; next} on && /^(\$ )?(build\/bin\/|\$)?rung [a-z]/ && !/</{sub(/^\$ /,""); sub(/^build\/bin\//,""); sub(/^\$/,""); print}' "$f"
done | sed 's/\[--[^]]*\]//g' >>"$T/examples"
n_doc=$(($(wc -l <"$T/examples") - $(grep -c '^  rung' <("$RUNG" help --man))))
[ "$n_doc" -ge 5 ] || fail "only $n_doc examples in the documents"
while read -r line; do parse "$line"; done <"$T/examples"

for r in "$SRC"/recipes/*.yaml; do
  expect 0 'all options known' -- "$RUNG" run "$r" --check
  expect 0 'all options known' -- "$RUNG" run "$r" --check --quick
done
# errors of recipes: file, line, column, the nearest
bad() { # bad TEXT < recipe
  cat >"$T/new" && mv "$T/new" "$T/r.yaml"
  expect 3 "$1" -- "$RUNG" run "$T/r.yaml" --check
}
bad 'r.yaml:2:8: unknown key "titel"' <<'Y'
recipe: x
titel: y
stages: [{do: version}]
Y
bad 'did you mean "title"' <"$T/r.yaml"
bad 'r.yaml:3:9: unknown command "trace sampel"' <<'Y'
recipe: x
stages:
  - do: trace sampel
Y
bad 'did you mean "trace sample"' <"$T/r.yaml"
bad 'r.yaml:4:25: unknown option tempreature' <<'Y'
recipe: x
stages:
  - do: trace sample
    with: {tempreature: 1}
Y
bad 'r.yaml:6:14: unknown variable "stepz"' <<'Y'
recipe: x
vars: {steps: 3}
stages:
  - do: model train
    with:
      steps: ${stepz}
Y
bad 'r.yaml:4:15: n: "lots" is not a whole number' <<'Y'
recipe: x
stages:
  - do: trace sample
    with: {n: lots}
Y
bad 'world is missing' <<'Y'
recipe: x
stages:
  - do: problem generate
Y
bad 'unknown variable "b"' <<'Y'
recipe: x
vars: {a: 1}
quick: {a: 2}
stages: [{do: version, with: {}}, {do: problem show, with: {set: "${b}"}}]
Y
bad 'r.yaml:[0-9]+' <<'Y'
recipe: [unclosed
Y
expect 2 'no variable "seeed"' -- "$RUNG" run "$SRC/recipes/demo.yaml" --check --set seeed=3
expect 3 '' -- "$RUNG" run "$T/none.yaml" --check
finish
