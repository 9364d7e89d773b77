#!/usr/bin/env bash
# One word per concept: fails on the synonyms that docs/glossary.md lists in its last column ("not").  A word is looked
# for whole, in any case, also as a part of an identifier (trajectory, n_trajectory).  Exceptions with a reason, such
# as a field's name in someone else's format: tools/words_allow.txt, one "PATH WORD reason" a line.
#   tools/check_words.sh [ROOT]     exit 0 clean, 1 a banned word
set -euo pipefail
root=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
cd "$root"
words=$(awk -F'|' '/^\|/ && NF >= 5 && $2 !~ /^ *(word|-+) *$/ { print $4 }' docs/glossary.md | tr ',' '\n' |
    sed 's/^ *//; s/ *$//; s/`//g' | awk '!/^-*$/' | LC_ALL=C sort -u)
[ -n "$words" ] || { echo "check_words: docs/glossary.md bans nothing: is its table broken?" >&2; exit 1; }
alternatives=$(paste -sd'|' <<<"$words")
hits=$(grep -rniEI --include='*.[ch]' --include='*.md' --include='*.yaml' --include='*.sql' --include='*.js' \
    --exclude-dir=node_modules --exclude=glossary.md "(^|[^A-Za-z])($alternatives)s?([^A-Za-z]|\$)" \
    include src recipes docs web/src README.md CONTRIBUTING.md 2>/dev/null || true)
[ ! -f tools/words_allow.txt ] || while read -r path word reason; do
    case $path in ''|'#'*) continue ;; esac
    hits=$(awk -v p="$path:" -v w="$word" '!(index($0, p) == 1 && index(tolower($0), tolower(w)))' <<<"$hits")
done <tools/words_allow.txt
if [ -n "$hits" ]; then
    printf '%s\n' "$hits"
    echo "check_words: $(grep -c . <<<"$hits") lines with a word that docs/glossary.md replaces"
    exit 1
fi
echo "check_words: none of $(grep -c . <<<"$words") banned synonyms"
