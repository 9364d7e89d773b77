"""Raw records (JSON lines) -> CSV, a row a run; details stay one JSON object in the last column."""
import csv
import json
import os
import sys

COLUMNS = ["time", "commit", "cpu", "simd", "cores", "load", "model", "bench", "case", "side", "rep", "quick", "value",
           "unit", "wall_s", "tokens", "detail"]


def cell(v):
    if isinstance(v, float):
        return "%.6g" % v
    return "" if v is None else v


def main(raw, out):
    with open(raw) as f, open(out + ".tmp", "w", newline="") as g:
        w = csv.writer(g, lineterminator="\n")
        w.writerow(COLUMNS)
        for line in f:
            r = json.loads(line)
            m = r["machine"]
            r.update(cpu=m["cpu"], simd=m["simd"], cores=m["cores"], detail=json.dumps(r["detail"], sort_keys=True))
            w.writerow([cell(r.get(c)) for c in COLUMNS])
    os.rename(out + ".tmp", out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
