# rung verify sql and retrieve: pairs, JSON lines in order, stored traces, exit codes; generate and import of their problems.
. "$(dirname "$0")/lib.sh"
cd "$T" || exit 1

cat >geo.sql <<'SQL'
CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT, people INT);
INSERT INTO city VALUES(1,'Oslo',700),(2,'Bergen',290),(3,'Vik',29);
SQL
sql() { "$RUNG" verify sql --quiet "$@"; }

# a pair: 0 correct, 1 wrong, 3 unknown, 2 misuse, 3 a database that is not there
expect 0 '^correct' -- sql --script geo.sql --gold 'SELECT 3' --answer 'SELECT count(*) FROM city'
expect 1 '^wrong' -- sql --script geo.sql --gold 'SELECT 3' --answer 'SELECT 4'
expect 1 'not a query' -- sql --script geo.sql --gold 'SELECT 3' --answer 'DELETE FROM city'
expect 3 '^unknown' -- sql --script geo.sql --gold 'SELECT nope' --answer 'SELECT 4'
expect 3 'work limit' -- sql --script geo.sql --work 1000 --gold 'SELECT 3' \
  --answer 'SELECT count(*) FROM city a, city b, city c, city d, city e, city f, city g'
expect 2 'needs a database' -- sql --gold 'SELECT 3' --answer 'SELECT 4'
expect 2 'a pair needs' -- sql --script geo.sql --gold 'SELECT 3'
expect 2 'two databases' -- sql --script geo.sql --db x.db --gold 'SELECT 3' --answer 'SELECT 4'
expect 3 'no database "nowhere.db"' -- sql --db nowhere.db --gold 'SELECT 3' --answer 'SELECT 4'
echo '{"gold":"SELECT 1","answer":"SELECT 1","db":{"script":"CREATE"}}' >bad.jsonl
expect 3 'could not open the database' -- sql --in bad.jsonl
expect 0 '"exact":"correct"' -- sql --json --script geo.sql --gold 'SELECT name FROM city' --answer 'select T1.name from city as T1'
expect 1 '^wrong  .exact set' -- sql --by exact --script geo.sql --gold 'SELECT name FROM city' --answer 'SELECT id FROM city'

# JSON lines: one out for each, in order, bad ones too
cat >rows.jsonl <<'ROWS'
{"gold":"SELECT 1","answer":"SELECT 1.0"}
{"gold":"SELECT 1"}
not json
{"query":"SELECT name FROM city ORDER BY people","text":"I say ```sql\nSELECT name FROM city ORDER BY id DESC\n```"}
{"gold":"SELECT a FROM t","answer":"SELECT a FROM t LIMIT 1","db":{"script":"CREATE TABLE t(a); INSERT INTO t VALUES(7),(8);"}}
ROWS
expect 3 'needs the strings' -- sql --script geo.sql --in rows.jsonl
got=$(grep -o '"verdict":"[a-z]*"' out | tr '\n' ' ')
[ "$got" = '"verdict":"correct" "verdict":"unknown" "verdict":"unknown" "verdict":"correct" "verdict":"wrong" ' ] ||
  fail "JSON lines out of order: $got"
printf '%s\n' '{"gold":"SELECT 1","answer":"SELECT 1"}' '{"gold":"SELECT 1","answer":"select 1;"}' >same.jsonl
expect 0 '"n_correct":2' -- sql --json --script geo.sql --in same.jsonl
grep -q '"n_cached":[1-9]' out || fail "the second query ran again"

# problems of the worlds; traces; what is stored is judged again
expect 0 '"n_new":12' -- "$RUNG" problem generate sql --splits train=6,test=6 --seed 3 --json --store s.db
expect 0 'CREATE TABLE' -- "$RUNG" problem show --set sql --limit 1 --store s.db
expect 0 '"n_new":20' -- "$RUNG" problem generate lookup --splits test=20 --json --store s.db
gold='"SELECT count(*) FROM city"'
db='{"script":"CREATE TABLE city(a); INSERT INTO city VALUES(1),(2);"}'
for n in 2 3; do
  printf '{"set":"geo","question":"How many?","answer":%s,"verifier":"sql","world":"sql",' "$gold"
  printf '"meta":{"world":"sql","gold":%s,"db":%s},"separator":"\\n",' "$gold" "$db"
  printf '"steps":["SELECT count(*) FROM city => %s","#### SELECT %s"]}\n' $n $n
done >trace.jsonl
echo '{"set":"where","question":"Where?","answer":"Oslo","verifier":"qa","steps":["I looked.","The answer is Oslo."]}' >>trace.jsonl
expect 0 '"n_traces":3' -- "$RUNG" trace import jsonl trace.jsonl --json --store s.db
expect 0 '"n_correct":1,"n_wrong":1' -- sql --stored --set geo --json --store s.db
[ "$(grep -c '"stored":"correct"\|"stored":"wrong"' out)" = 2 ] || fail "the import judged neither"
expect 0 '1 correct, 0 wrong' -- "$RUNG" verify retrieve --stored --set where --store s.db
expect 3 'no trace of a problem' -- sql --stored --set where --store s.db

# retrieval: recall of stored problems, by words, by vectors, by both
expect 0 '"recall":0' -- "$RUNG" verify retrieve --stored --set lookup --json --store s.db
[ "$(grep -c '"hits"' out)" = 20 ] || fail "not a line for each question"
for rank in dense fused; do
  expect 0 '"recall":' -- "$RUNG" verify retrieve --stored --set lookup --limit 2 --rank $rank --json \
    --embed "$RUNG_SOURCE_DIR/models/tiny.gguf" --store s.db
done
expect 2 'needs --embed' -- "$RUNG" verify retrieve --stored --set lookup --rank fused --store s.db
echo '{"id":"a","text":"blue whale"}' >docs.jsonl
expect 0 'whale' -- "$RUNG" verify retrieve --docs docs.jsonl --query 'whales?'
expect 1 'nothing found' -- "$RUNG" verify retrieve --docs docs.jsonl --query 'NEAR("'
echo '{"id":"b"}' >>docs.jsonl
expect 3 'docs.jsonl:2' -- "$RUNG" verify retrieve --docs docs.jsonl --query x
expect 0 '"em":true' -- "$RUNG" verify retrieve --json --gold $'NYC\nNew York' --answer 'new york.'
finish
