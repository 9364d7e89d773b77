# Every "$ rung ..." line of docs/verifiers.md is run; what it prints must be the lines below it (* stands for anything).
set -u
doc=${RUNG_SOURCE_DIR:?}/docs/verifiers.md
export PATH=$(dirname "${RUNG_BIN:?}"):$PATH
cd "$(mktemp -d)" || exit 1
# what the examples of sql stand on
cat >geo.sql <<'SQL'
CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT, people INT);
INSERT INTO city VALUES(1,'Oslo',700),(2,'Bergen',290),(3,'Vik',29),(4,'Moss',29);
SQL
cat >docs.jsonl <<'DOCS'
{"id":"d1","title":"Oslo","text":"Oslo is a harbour town with trams."}
{"id":"d2","title":"Bergen","text":"Rain falls on Bergen and its harbour."}
{"id":"d3","title":"Vik","text":"Vik has a stave church."}
DOCS
failed=0 n=0 command='' want=''
run() {
    [ -n "$command" ] || return 0
    n=$((n + 1))
    got=$(eval "$command" 2>&1 | grep -v '^hint:')
    # shellcheck disable=SC2053  # the right side is a pattern
    pattern=$(sed 's/[][\\?]/\\&/g' <<<"$want")
    if [[ $got != $pattern ]]; then
        printf 'FAIL  %s\n--- want\n%s\n--- got\n%s\n' "$command" "$want" "$got"
        failed=1
    fi
    command='' want=''
}
inside=no
while IFS= read -r line; do
    case $line in
    '```'*) run; if [ $inside = no ]; then inside=yes; else inside=no; fi ;;
    '$ rung '*) [ $inside = yes ] || continue; run; command=${line#\$ } ;;
    *)  [ $inside = yes ] && [ -n "$command" ] || continue
        want=${want:+$want$'\n'}$line ;;
    esac
done <"$doc"
run
echo "$n examples of docs/verifiers.md run"
[ $n -ge 15 ] || { echo "FAIL  too few examples found"; failed=1; }
exit $failed
