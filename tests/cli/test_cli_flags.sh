# Flags, help, config files, environment, exit codes.
. "$(dirname "$0")/lib.sh"

# every command has help with an example, on stdout, exit 0
"$RUNG" --help | sed '/^every command/,$d' | sed -n 's/^  \([a-z]* \{0,1\}[a-z-]*\)  .*/\1/p' >"$T/commands"
grep -q '^trace sample' "$T/commands" || fail "the overview lists no commands"
while read -r noun verb; do
  [ -n "$noun" ] || continue
  expect 0 '^example' -- "$RUNG" "$noun" $verb --help
  [ -s "$T/err" ] && fail "$noun $verb --help talks on stderr"
  expect 0 '"key":"json"' -- "$RUNG" config show --json
  expect 2 'unknown option --nonsense' -- "$RUNG" "$noun" $verb --nonsense
  [ -s "$T/out" ] && fail "$noun $verb: an error on stdout"
done <"$T/commands"
[ "$(wc -l <"$T/commands")" -ge 30 ] || fail "only $(wc -l <"$T/commands") commands in the overview"

# misuse: stderr, exit 2, the nearest match
expect 2 'usage' -- "$RUNG"
expect 2 'did you mean trace' -- "$RUNG" trase sample
expect 2 'did you mean trace sample' -- "$RUNG" trace sampel
expect 2 'did you mean --temperature' -- "$RUNG" trace sample --temprature 1
expect 2 'did you mean "majority"' -- "$RUNG" search run --method majorty
expect 2 'out of range' -- "$RUNG" trace sample --top-p 1.5
expect 2 'did you mean --repeat-penalty' -- "$RUNG" label mc --repeat-penalti 1.1
expect 2 'out of range' -- "$RUNG" model chat --presence-penalty 101
expect 2 'not a whole number' -- "$RUNG" trace sample --n many
expect 2 'not a whole number' -- "$RUNG" trace sample --n 99999999999999999999
expect 2 'needs a value' -- "$RUNG" trace sample --n
expect 2 'neither true nor false' -- "$RUNG" label mc --stop-at-zero=maybe
expect 2 'unexpected argument' -- "$RUNG" trace sample loose
expect 2 'is missing' -- "$RUNG" problem import gsm8k
expect 2 'policy' -- "$RUNG" trace sample --store "$T/a.db"
expect 2 'unknown option -n' -- "$RUNG" trace sample -n 3
expect 2 'options come after' -- "$RUNG" --json version
expect 0 'usage: rung trace' -- "$RUNG" trace --help
expect 2 'usage: rung trace' -- "$RUNG" trace
expect 0 'rung [0-9]' -- "$RUNG" --version
expect 0 '"version"' -- "$RUNG" version --json

# the words of the command, before its options
words() { case $2 in [a-z]*) echo "$1 $2" ;; *) echo "$1" ;; esac; }

# --name value, --name=value, --no-name, --, _ for -
value() { "$RUNG" $(words "$@") --dry-run --json "${@:$(($(words "$@" | wc -w) + 1))}" 2>/dev/null | sed -n "s/.*\"key\":\"$KEY\",\"value\":\"\([^\"]*\)\",\"origin\":\"\([a-z]*\)\".*/\1 \2/p"; }
is() { # is KEY "VALUE ORIGIN" ARGS...
  local want=$2
  KEY=$1
  shift 2
  n_checks=$((n_checks + 1))
  local got
  got=$(value "$@")
  [ "$got" = "$want" ] || fail "$KEY is \"$got\", not \"$want\": $*"
}
is trace.sample.n "1 default" trace sample
is trace.sample.n "3 flag" trace sample --n 3
is trace.sample.n "4 flag" trace sample --n=4
is trace.sample.n "5 flag" trace sample --n 3 --n 5
is trace.sample.max-tokens "9 flag" trace sample --max_tokens 9
is label.mc.stop-at-zero "true flag" label mc --stop-at-zero
is label.mc.stop-at-zero "false flag" label mc --stop-at-zero --no-stop-at-zero
is verify.file "--gold flag" verify -- --gold

# defaults < file < environment < flag
cat >"$T/a.conf" <<'C'
# a comment
store = other.db
trace.sample.n = 8   # samples
trace.sample.system = "with # and  blanks"
label.mc.k = 4
C
is trace.sample.n "8 file" trace sample --config "$T/a.conf"
is store "other.db file" trace sample --config "$T/a.conf"
is trace.sample.system "with # and  blanks file" trace sample --config "$T/a.conf"
export RUNG_TRACE_SAMPLE_N=12
is trace.sample.n "12 environment" trace sample --config "$T/a.conf"
is trace.sample.n "2 flag" trace sample --config "$T/a.conf" --n 2
export RUNG_TRACE_SAMPLE_N=twelve
expect 2 'environment RUNG_TRACE_SAMPLE_N' -- "$RUNG" trace sample
unset RUNG_TRACE_SAMPLE_N
RUNG_CONFIG=$T/a.conf is trace.sample.n "8 file" trace sample
printf 'trace.sample.n = 8\ntrace.sample.tempreature = 1\n' >"$T/b.conf"
expect 3 'b.conf:2: unknown key' -- "$RUNG" trace sample --config "$T/b.conf"
expect 3 'did you mean "trace.sample.temperature"' -- "$RUNG" trace sample --config "$T/b.conf"
printf 'label.mc.k = lots\n' >"$T/b.conf"
expect 3 'b.conf:1: k: "lots" is not a whole number' -- "$RUNG" trace sample --config "$T/b.conf"
printf 'trace.sample.n 8\n' >"$T/b.conf"
expect 3 'b.conf:1: no "="' -- "$RUNG" trace sample --config "$T/b.conf"
expect 3 'not be read|no such file|No such file' -- "$RUNG" trace sample --config "$T/none.conf"

# config show is a config file
"$RUNG" config show --config "$T/a.conf" >"$T/c.conf"
expect 0 '' -- "$RUNG" config show --config "$T/c.conf"
KEY=trace.sample.n
is trace.sample.n "8 file" trace sample --config "$T/c.conf"

# exit codes: 0 done, 1 no, 2 usage, 3 input, 4 store or system, 5 model (6: test_cli_interrupt.sh)
expect 0 '^correct' -- "$RUNG" verify --gold 1/2 --answer 0.50
expect 1 '^wrong' -- "$RUNG" verify --gold 1/2 --answer 0.51
expect 2 'a pair needs' -- "$RUNG" verify --gold 1/2
expect 3 'there is no store' -- "$RUNG" problem show --store "$T/none.db"
expect 4 '' -- "$RUNG" problem generate total --store "$T/no/such/folder/a.db"
expect 5 '' -- "$RUNG" model info "$T/c.conf"

# a reader that leaves, output that cannot be written
"$RUNG" config show 2>"$T/err" | head -n 1 >/dev/null
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "config show | head: exit ${PIPESTATUS[0]}"
[ -s "$T/err" ] && fail "config show | head: talk on stderr"
if [ -w /dev/full ]; then
  n_checks=$((n_checks + 1))
  "$RUNG" help --man >/dev/full 2>"$T/err"
  [ $? -eq 4 ] || fail "help --man >/dev/full: not exit 4"
  grep -q 'standard output' "$T/err" || fail "help --man >/dev/full: no reason given"
fi
finish
