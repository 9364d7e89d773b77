# rung model train: what its options mean, read off the files that it writes. Two batches of two rows are one of four; the moving
# average is the recurrence over the weights after each step; the learning rate follows its schedule; decay leaves norms alone;
# curves are in the store and in the event files alike.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "no python3: skipped" >&2; exit 77; }
need_model
export PYTHONPATH=$SRC/tests/cli PYTHONDONTWRITEBYTECODE=1
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  printf '{"prompt":"Start at %d. +5 x2. Total?\\n","completion":"%d+5=%d\\n"}\n' "$i" "$i" $((i + 5))
done >"$T/pairs.jsonl"
# rows hold one document each, so that four rows are the same four documents however they are cut into batches
common=(model train --quiet --threads 1 --from "$MODEL" --data "$T/pairs.jsonl" --held 0 --tokens 24 --warmup 0 --type f32)
train() { # train NAME OPTION...: $T/NAME.gguf
  local name=$1
  shift
  expect 0 '' -- "$RUNG" "${common[@]}" --out "$T/$name.gguf" "$@"
}
python() { # python WHAT: a program on stdin
  n_checks=$((n_checks + 1))
  python3 - "$T" "$MODEL" || fail "$1"
}

# accumulation
constant=(--schedule constant --lr 0.0005)
train one --rows 4 --steps 3 "${constant[@]}"
train two --rows 2 --accumulate 2 --steps 3 "${constant[@]}"
train half --rows 2 --steps 3 "${constant[@]}"
python "two batches of two rows are not one of four" <<'P'
import sys, gguf_weights
t = sys.argv[1]
one, two, half = (gguf_weights.read(t + "/%s.gguf" % n) for n in ("one", "two", "half"))
def far(a, b): return max(abs(x - y) for k in a for x, y in zip(a[k], b[k]))
moved = far(one, gguf_weights.read(sys.argv[2]))
print("moved %.2g, accumulated differs by %.2g, half of the batch by %.2g" % (moved, far(one, two), far(one, half)), file=sys.stderr)
sys.exit(not (moved > 1e-3 and far(one, two) < 2e-5 and far(one, half) > 2e-4))
P

# the moving average: e0 = w0, e += (1 - d)(w - e) after each step
for k in 1 2 3; do train raw$k --rows 2 --steps $k "${constant[@]}"; done
train ema --rows 2 --steps 3 "${constant[@]}" --ema 0.6
python "the moving average is not the recurrence over the weights" <<'P'
import sys, gguf_weights
t = sys.argv[1]
e = {k: list(v) for k, v in gguf_weights.read(sys.argv[2]).items()}
for i in (1, 2, 3):
    w = gguf_weights.read(t + "/raw%d.gguf" % i)
    for k in e:
        e[k] = [x + 0.4 * (y - x) for x, y in zip(e[k], w[k])]
got = gguf_weights.read(t + "/ema.gguf")
far = max(abs(x - y) for k in e for x, y in zip(e[k], got[k]))
raw = max(abs(x - y) for k in e for x, y in zip(w[k], got[k]))
print("recurrence %.2g, raw weights %.2g" % (far, raw), file=sys.stderr)
sys.exit(not (e.keys() == got.keys() and far < 1e-6 and raw > 1e-4))
P

# decay: lr x decay x w off every matrix, nothing off a norm (one step, so both runs have the same gradient)
train plain --rows 2 --steps 1 "${constant[@]}" --weight-decay 0
train decayed --rows 2 --steps 1 "${constant[@]}" --weight-decay 2
python "decay is not lr x decay x w on matrices alone" <<'P'
import sys, gguf_weights
t = sys.argv[1]
w, plain, got = (gguf_weights.read(p) for p in (sys.argv[2], t + "/plain.gguf", t + "/decayed.gguf"))
norms = [k for k in w if "norm" in k]
for k in w:
    rate = 0 if k in norms else 0.0005 * 2
    worst = max(abs(p - rate * x - y) for p, x, y in zip(plain[k], w[k], got[k]))
    assert worst <= (0 if k in norms else 2e-7), (k, worst)
assert len(norms) == 9 and len(w) > 20
P

# schedules, and the names of the curves
for s in constant linear cosine; do
  expect 0 '' -- "$RUNG" "${common[@]}" --out "$T/s.gguf" --rows 1 --steps 10 --lora-rank 1 --schedule $s --lr 0.004 --lr-min 0.001 --warmup 4 \
    --store "$T/s.db" --name $s --tensorboard "$T/tb-$s" --force
done
python "the learning rate does not follow its schedule" <<'P'
import math, sqlite3, sys
db = sqlite3.connect(sys.argv[1] + "/s.db")
def rate(kind, step):
    if step < 4: return 0.004 * (step + 1) / 4
    done = (step - 4) / 6
    left = {"constant": 1, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[kind]
    return 0.001 + 0.003 * left
for kind in ("constant", "linear", "cosine"):
    rows = db.execute("select metric.name, step, value from metric join run on run.id = metric.run where run.name = ?", (kind,)).fetchall()
    want = {"train/loss", "train/learning_rate", "train/grad_norm", "train/num_tokens", "train/step_time", "perf/throughput"}
    assert {r[0] for r in rows} == want, {r[0] for r in rows} ^ want
    got = {r[1]: r[2] for r in rows if r[0] == "train/learning_rate"}
    assert sorted(got) == list(range(1, 11)), got
    for step, value in got.items():
        assert abs(value - rate(kind, step - 1)) < 1e-12, (kind, step, value)
P
python "event files: not what the store has" <<'P'
import glob, sqlite3, struct, sys
def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8):
            c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    c ^= 0xffffffff
    return ((c >> 15 | c << 17) + 0xa282ead8) & 0xffffffff
def varint(d, at):
    value = shift = 0
    while True:
        b = d[at]; at += 1
        value |= (b & 127) << shift; shift += 7
        if b < 128: return value, at
def fields(d):
    at = 0
    while at < len(d):
        key, at = varint(d, at)
        kind = key & 7
        if kind == 0: value, at = varint(d, at)
        elif kind == 2:
            n, at = varint(d, at); value = d[at:at + n]; at += n
        else:
            n = 8 if kind == 1 else 4; value = d[at:at + n]; at += n
        yield key >> 3, value
assert crc(b"123456789") == ((0xe3069283 >> 15 | 0xe3069283 << 17) + 0xa282ead8) & 0xffffffff
got = {}
for path in glob.glob(sys.argv[1] + "/tb-cosine/events.out.tfevents.*"):
    d, at = open(path, "rb").read(), 0
    while at < len(d):
        n, check = struct.unpack_from("<QI", d, at)
        assert check == crc(d[at:at + 8])
        event = d[at + 12:at + 12 + n]
        assert struct.unpack_from("<I", d, at + 12 + n)[0] == crc(event)
        at += 16 + n
        step = dict(fields(event)).get(2, 0)
        for key, summary in fields(event):
            for k, value in (fields(summary) if key == 5 else ()):
                item = dict(fields(value))
                got[item[1].decode(), step] = struct.unpack("<f", item[2])[0]
db = sqlite3.connect(sys.argv[1] + "/s.db")
want = {(n, s): v for n, s, v in db.execute("select metric.name, step, value from metric join run on run.id = metric.run where run.name = 'cosine'")}
assert got.keys() == want.keys() and len(want) == 60, (len(got), len(want))
assert all(abs(got[k] - v) <= 1e-6 * abs(v) for k, v in want.items())
P

# a store of trainings alone has a report: its curves
expect 0 '' -- "$RUNG" report --store "$T/s.db" --out "$T/r.html"
check "the report has the loss" grep -q '"train/loss":\[\[1,' "$T/r.html"

# on a terminal: a live line of loss, rate and what is left; nothing held out: no loss of that is told
cat >"$T/on_terminal.py" <<'P'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.environ.pop("NO_COLOR", None)
    os.execv(sys.argv[1], sys.argv[1:])
try:
    while data := os.read(fd, 4096):
        sys.stdout.buffer.write(data)
except OSError:
    pass
P
expect 0 '[0-9]+/60 .*tokens/s.* left .*loss [0-9.e-]+ .*lr 0\.0005' -- python3 "$T/on_terminal.py" "$RUNG" "${common[@]}" --no-quiet \
  --out "$T/live.gguf" --rows 4 --steps 60 "${constant[@]}"
n_checks=$((n_checks + 1))
tr '\r' '\n' <"$T/out" | grep -q 'held-out' && fail "a loss on no held-out replies is told"
expect 0 '' -- "$RUNG" "${common[@]}" --out "$T/live.gguf" --rows 4 --steps 1 --json
n_checks=$((n_checks + 1))
grep -q '"held_loss":null' "$T/out" || fail "a loss on no held-out replies: $(cat "$T/out")"
finish
