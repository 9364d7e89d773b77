# ---- part 5: one line rewritten (labels.md 7)

import ast


def rewrites(source):
    return []
