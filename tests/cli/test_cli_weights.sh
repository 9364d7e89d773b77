# Types of weights: --weights, model info, model calibrate, model compare.
. "$(dirname "$0")/lib.sh"
need_model
export XDG_CACHE_HOME=$T/cache
json() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" "$T/out" | head -n 1; }
same() { # same WHAT GOT WANT
  n_checks=$((n_checks + 1))
  [ "$2" = "$3" ] || fail "$1 is \"$2\", not \"$3\""
}

expect 0 'not calibrated' -- "$RUNG" model info "$MODEL"
expect 0 'by name only' -- "$RUNG" model info "$MODEL"
expect 2 'did you mean "bf16"' -- "$RUNG" trace sample --policy "$MODEL" --weights bf61
expect 3 'no such|No such|could not open' -- "$RUNG" model calibrate "$T/none.gguf"

# a file against itself is the same to the last bit; against 4 bits it is not
echo 'start 17; +5; x2' >"$T/text"
expect 0 '"mean_kl":0,"max_kl":0,"top1":1,"max_abs_diff":0,' -- "$RUNG" model compare "$MODEL" "$MODEL" --text "$T/text" --json
expect 0 'mean KL  *0 nats' -- "$RUNG" model compare "$MODEL"
expect 0 '"v":1,"command":"model compare"' -- "$RUNG" model compare "$MODEL" --weights-b q4_0 --json
same weights_b "$(json weights_b)" q4_0
expect 1 'mean KL is' -- "$RUNG" model compare "$MODEL" --weights-b q4_0 --kl-max 1e-9
expect 0 '' -- "$RUNG" model compare "$MODEL" --weights-b f32 --kl-max 1e-3
expect 2 'no text' -- "$RUNG" model compare "$MODEL" --text /dev/null
expect 0 'on 3 tokens' -- "$RUNG" model compare "$MODEL" --tokens 3

# measured once, shown afterwards, what is broken is measured again
expect 0 '<- auto' -- "$RUNG" model calibrate "$MODEL"
expect 0 '"calibration":\{"weights":' -- "$RUNG" model info "$MODEL" --json
kept=$(ls "$T"/cache/rung/calibration/*.json)
cp "$kept" "$T/first"
expect 0 '' -- "$RUNG" model calibrate "$MODEL"
check "a kept calibration is not measured again" cmp -s "$kept" "$T/first"
echo '{"v":1,"model":' >"$kept"
expect 0 'not calibrated' -- "$RUNG" model info "$MODEL"
expect 0 '<- auto' -- "$RUNG" model info "$MODEL" --calibrate
grep -q '"best":' "$kept" || fail "the broken file was not replaced"

# every run of one model, whatever the type, has the model's hash; the run's config says the type
"$RUNG" problem generate total --splits test=4 --quiet >/dev/null 2>&1
seed=0
for w in as-is f32 q8_0 auto; do
  expect 0 '"weights":"' -- "$RUNG" trace sample --policy "$MODEL" --n 1 --max-tokens 8 --weights $w --seed $((++seed)) --name "r-$w" --json
  got=$(json weights)
  [ $w = auto ] || same "weights of the run" "$got" $w
  [ "$got" != auto ] || fail "auto was not resolved"
  expect 0 "\"weights\\\\*\":\\\\*\"$got" -- "$RUNG" store export -
done

# a cache that cannot be written: a named type fails with a hint, auto goes on
: >"$T/file"
XDG_CACHE_HOME=$T/file expect 4 'hint: .*XDG_CACHE_HOME' -- "$RUNG" model chat --policy "$MODEL" --prompt hi --max-tokens 2 --weights q8_0
XDG_CACHE_HOME=$T/file expect 0 '' -- "$RUNG" model chat --policy "$MODEL" --prompt hi --max-tokens 2 --weights auto
finish
