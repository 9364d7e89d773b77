"""Random bytes and mutated answers through `rung verify math`: no crash, no slow check, memory flat.
   verify_hostile.py RUNG PAIRS.jsonl N_RANDOM N_MUTATED     exit 1: a broken promise"""
import fcntl
import json
import os
import random
import subprocess
import sys
import tempfile
import termios
import time

rung, pairs_path, n_random, n_mutated = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
SLOW_US = 100_000
AGAIN_US = 25_000          # measured again: what the verdict took and not what the machine did beside it
FLAT_KIB = 8 << 10
WORDS = ["\\frac", "\\sqrt", "{", "}", "^", "_", "(", ")", "[", "]", ",", "\\pi", "\\cdot", "!", "10^", "\\sum_{k=1}^", "\\left(", "|",
         "=", "<", "\\text{", "%", "\\begin{pmatrix}", "&", "\\\\", "\\infty", "e", "i", "\\pm", "9", "0.", "\\log_", "\\boxed{", "\0", "\x7f"]
rng = random.Random(20)


def golds():
    with open(pairs_path) as f:
        out = [r["gold"] for r in map(json.loads, f)]
    path = os.path.join(os.environ.get("RUNG_DATA", ""), "math500", "test.jsonl")
    if os.path.exists(path):
        with open(path) as f:
            out += [json.loads(line)["answer"] for line in f]
    return out


def random_text(n):
    return bytes(rng.randrange(256) for _ in range(rng.randrange(n))).decode("latin-1")


def mutated(s):
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(s) + 1)
        j = min(len(s), i + rng.randint(1, 4))
        s = rng.choice([s[:i] + s[j:], s[:i] + rng.choice(WORDS) + s[i:], s[:i] + rng.choice(WORDS) + s[j:], s[:j] + s[i:],
                        s[:i] + s[i:j] * rng.randint(2, 40) + s[j:], s[:i] + chr(rng.randrange(1, 0x250)) + s[i:]])
    return s[:1000]


def rows():
    all_golds = golds()
    for k in range(n_random):
        gold = rng.choice(all_golds) if k % 2 else random_text(120)
        yield {"gold": gold, "text" if k % 3 == 0 else "answer": random_text(300)}
    for _ in range(n_mutated):
        gold = rng.choice(all_golds)
        yield {"gold": gold, "answer": mutated(gold)}


def peak_kib(pid):
    """Of the program that runs now; what getrusage says of a child holds the size of who started it, too."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0


def run(lines, folder):
    """The rows go down a pipe that stays open until all are read, so that the peak can be asked for."""
    result = os.path.join(folder, "out.jsonl")
    with open(result, "wb") as f:
        p = subprocess.Popen([rung, "verify", "math", "--in", "-", "--json", "--quiet"], stdin=subprocess.PIPE, stdout=f)
        try:
            p.stdin.write("".join(lines).encode())
            p.stdin.flush()
            while p.poll() is None and fcntl.ioctl(p.stdin, termios.FIONREAD, b"\0" * 4) != b"\0" * 4:
                time.sleep(0.005)
            time.sleep(0.02)
        except BrokenPipeError:
            pass
        peak = peak_kib(p.pid)
        try:
            p.stdin.close()
        except BrokenPipeError:
            pass
        p.wait()
    if p.returncode != 0:
        sys.exit(f"FAIL  exit {p.returncode} for {len(lines)} rows")
    with open(result) as f:
        out = [json.loads(line) for line in f]
    if len(out) != len(lines) + 1 or any("verdict" not in o for o in out[:-1]):
        sys.exit(f"FAIL  {len(out)} lines out for {len(lines)} rows in")
    return out[:-1], peak


def main():
    lines = [json.dumps(r) + "\n" for r in rows()]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        part = lines[::10]
        _, small = run(part, folder)
        out, large = run(lines, folder)
        worst = 0
        for line, o in zip(lines, out):
            us = o["us"]
            for _ in range(5):                    # a busy machine: only what is slow every time is slow
                if us <= AGAIN_US:
                    break
                us = min(us, run([line], folder)[0][0]["us"])
            worst = max(worst, us)
            if us > SLOW_US:
                failed = 1
                print(f"FAIL  {us / 1000:.0f} ms: {line}", end="")
        verdicts = {v: sum(o["verdict"] == v for o in out) for v in ("correct", "wrong", "unknown")}
        print(f"{len(lines)} rows: {verdicts}; slowest {worst / 1000:.1f} ms; peak {large / 1024:.1f} MiB, "
              f"{small / 1024:.1f} MiB with a tenth of them")
        if large - small > FLAT_KIB:
            failed = 1
            print("FAIL  memory grows with the number of rows")
    for k in range(min(300, n_random // 10)):     # bytes that are no text at all come by the command line only
        text = bytes(rng.randrange(1, 256) for _ in range(rng.randrange(1, 200)))
        r = subprocess.run([os.fsencode(rung), b"verify", b"math", b"--quiet", b"--gold=" + text, b"--answer=" + text[::-1]],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if r.returncode not in (0, 1, 3):
            failed = 1
            print(f"FAIL  exit {r.returncode} for the bytes {text!r}")
    sys.exit(failed)


main()
