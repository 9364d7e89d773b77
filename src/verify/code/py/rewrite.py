# ---- part 6: one line of a program rewritten (labels.md 7, PRLCoder): mutations and refactorings
#
# Only candidates: whether a rewrite is harmless the tests say, never the name of its operation.
# A rewrite replaces one expression that stands in one line by another; the rest of the line and
# of the program stays as it was, byte for byte.

import hashlib

OTHER_OPERATOR = {"Add": "- *", "Sub": "+", "Mult": "+ //", "Div": "* //", "FloorDiv": "% /",
                  "Mod": "// *", "Pow": "*", "LShift": ">>", "RShift": "<<", "BitAnd": "|",
                  "BitOr": "&", "BitXor": "|", "MatMult": "*"}
SIGN = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "FloorDiv": "//", "Mod": "%", "Pow": "**",
        "LShift": "<<", "RShift": ">>", "BitAnd": "&", "BitOr": "|", "BitXor": "^", "MatMult": "@",
        "Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Is": "is",
        "IsNot": "is not", "In": "in", "NotIn": "not in"}
OPPOSITE = {"Eq": "!=", "NotEq": "==", "Lt": ">=", "LtE": ">", "Gt": "<=", "GtE": "<", "Is": "is not",
            "IsNot": "is", "In": "not in", "NotIn": "in"}
NEIGHBOUR = {"Lt": "<=", "LtE": "<", "Gt": ">=", "GtE": ">"}
MIRRORED = {"Eq": "==", "NotEq": "!=", "Lt": ">", "LtE": ">=", "Gt": "<", "GtE": "<="}
COMMUTES = ("Add", "Mult", "BitAnd", "BitOr", "BitXor")


def kind(node):
    return type(node).__name__


def same_tree(a, b):
    return ast.dump(a) == ast.dump(b)


class Rewriter(ast.NodeVisitor):
    """Walks a tree and notes (line, mode, op, first byte, end byte, text) of every candidate."""

    def __init__(self, source):
        self.source = source.encode()
        self.starts = [0]
        for line in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.tree = ast.parse(source)
        self.found = []
        self.names = [[]]               # of the functions around: what a variable may be swapped with

    # ---- text

    def span(self, node):
        return (self.starts[node.lineno - 1] + node.col_offset,
                self.starts[node.end_lineno - 1] + node.end_col_offset)

    def text(self, node):
        a, b = self.span(node)
        return self.source[a:b].decode()

    def operand(self, node):
        """Its text, in brackets where a neighbour could pull it apart."""
        simple = (ast.Name, ast.Constant, ast.Call, ast.Subscript, ast.Attribute, ast.List, ast.Dict,
                  ast.Set, ast.ListComp, ast.SetComp, ast.DictComp)
        negative = isinstance(node, ast.Constant) and self.text(node).startswith("-")
        return self.text(node) if isinstance(node, simple) and not negative else f"({self.text(node)})"

    def note(self, mode, op, node, text):
        if node.lineno == node.end_lineno and "\n" not in text:
            self.found.append((node.lineno, mode, op, *self.span(node), text))

    def mutate(self, op, node, text):
        self.note("mutate", op, node, text)

    def refactor(self, op, node, text):
        self.note("refactor", op, node, text)

    def between(self, op, left, right, new):
        """The operator that stands between two operands becomes another one."""
        a, b = self.span(left)[1], self.span(right)[0]
        gap = self.source[a:b].decode()
        old = SIGN.get(kind(op)) or ("and" if isinstance(op, ast.And) else "or")
        if left.end_lineno != right.lineno or gap.count(old) != 1:
            return
        self.found.append((right.lineno, "mutate", self.op_name, a, b, gap.replace(old, new)))

    # ---- names that a function knows

    def visit_FunctionDef(self, node):
        args = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        known = [a.arg for a in args]
        for n in ast.walk(node):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id not in known:
                known.append(n.id)
        self.names.append([x for x in known if x not in ("self", "cls", "_")])
        for n in node.body:
            self.visit(n)
        self.names.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_JoinedStr(self, node):
        pass                            # places inside are not told

    def visit_Expr(self, node):
        if not isinstance(node.value, ast.Constant):      # a text alone in its line says nothing
            self.visit(node.value)

    # ---- operators

    def visit_BinOp(self, node):
        self.op_name = "operator"
        name = kind(node.op)
        for new in OTHER_OPERATOR[name].split():
            self.between(node.op, node.left, node.right, new)
        left, right = self.operand(node.left), self.operand(node.right)
        if name in COMMUTES and not same_tree(node.left, node.right):
            self.refactor("commute", node, f"{right} {SIGN[name]} {left}")
        plain = isinstance(node.left, ast.Name) and isinstance(node.right, ast.Constant)
        if plain and type(node.right.value) is int and node.right.value == 2:
            if name in ("Mult", "Pow"):
                self.refactor("expand", node, f"({left} {'+' if name == 'Mult' else '*'} {left})")
        if name == "Sub":
            self.refactor("expand", node, f"({left} + (-{right}))")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        name = kind(node.op)
        sign = SIGN[name]
        a, b = self.span(node.target)[1], self.span(node.value)[0]
        gap = self.source[a:b].decode()
        if node.target.end_lineno == node.value.lineno and gap.count(sign + "=") == 1:
            for new in OTHER_OPERATOR[name].split():
                self.found.append((node.lineno, "mutate", "operator", a, b,
                                   gap.replace(sign + "=", new + "=")))
            if isinstance(node.target, ast.Name):
                self.refactor("expand", node, f"{node.target.id} = {node.target.id} {sign} "
                                              f"{self.operand(node.value)}")
        self.visit(node.value)

    def visit_BoolOp(self, node):
        self.op_name = "condition"
        for left, right in zip(node.values, node.values[1:]):
            self.between(node.op, left, right, "or" if isinstance(node.op, ast.And) else "and")
        for part in node.values:
            self.mutate("condition", node, f"({self.text(part)})")
        word, other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        inner = other.join(f"(not {self.operand(v)})" for v in node.values)
        if isinstance(getattr(node, "truth", None), bool):
            self.refactor("expand", node, f"(not ({inner}))")
            self.refactor("commute", node, word.join(f"({self.text(v)})" for v in node.values[::-1]))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        what = self.operand(node.operand)
        if isinstance(node.op, ast.Not):
            self.mutate("condition", node, what)
            self.refactor("expand", node, f"(False if {what} else True)")
        elif isinstance(node.op, ast.USub):
            self.mutate("operator", node, what)
            if not isinstance(node.operand, ast.Constant):
                self.refactor("expand", node, f"(0 - {what})")
        self.generic_visit(node)

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, operands, operands[1:]):
            name = kind(op)
            self.op_name = "condition"
            self.between(op, left, right, OPPOSITE[name])
            if name in NEIGHBOUR:
                self.op_name = "off-by-one"
                self.between(op, left, right, NEIGHBOUR[name])
        left, right = self.operand(node.left), self.operand(node.comparators[0])
        name = kind(node.ops[0])
        if len(node.ops) == 1:
            if name in MIRRORED:
                self.refactor("commute", node, f"{right} {MIRRORED[name]} {left}")
            self.refactor("expand", node, f"(not {left} {OPPOSITE[name]} {right})")
        elif len(node.ops) == 2 and isinstance(node.comparators[0], (ast.Name, ast.Constant)):
            third = self.operand(node.comparators[1])
            self.refactor("expand", node, f"({left} {SIGN[name]} {right} and {right} "
                                          f"{SIGN[kind(node.ops[1])]} {third})")
        self.generic_visit(node)

    # ---- conditions

    def condition(self, test):
        test.truth = True               # only whether it holds matters
        if not isinstance(test, (ast.Compare, ast.UnaryOp)):
            self.mutate("condition", test, f"not {self.operand(test)}")
        if isinstance(test, (ast.Name, ast.Call, ast.Attribute, ast.Subscript)):
            self.refactor("expand", test, f"not not {self.text(test)}")

    def visit_If(self, node):
        self.condition(node.test)
        self.generic_visit(node)

    visit_While = visit_If

    def visit_IfExp(self, node):
        self.condition(node.test)
        body, test, other = map(self.operand, (node.body, node.test, node.orelse))
        self.mutate("condition", node, f"({other} if {test} else {body})")
        self.refactor("expand", node, f"({other} if not {test} else {body})")
        self.generic_visit(node)

    # ---- constants, places, names

    def visit_Constant(self, node):
        v = node.value
        if type(v) is bool:
            self.mutate("constant", node, str(not v))
        elif type(v) is int:
            for new in (v + 1, v - 1):
                self.mutate("off-by-one", node, str(new) if new >= 0 else f"({new})")
            for new in (x for x in (0, 1, 2 * v) if x not in (v, v + 1, v - 1)):
                self.mutate("constant", node, str(new))
        elif type(v) is float:
            for new in (x for x in (0.0, v + 1.0, v * 2) if x != v and x - x == 0):
                self.mutate("constant", node, repr(new))
        elif type(v) is str:
            for new in (x for x in ("", v[:-1], v + " ") if x != v):
                self.mutate("constant", node, repr(new))
        elif v is None:
            self.mutate("constant", node, "0")

    def visit_Subscript(self, node):
        if isinstance(node.ctx, ast.Load) and isinstance(node.slice, (ast.Name, ast.BinOp)):
            for sign in "+-":
                self.mutate("off-by-one", node.slice, f"{self.text(node.slice)} {sign} 1")
        self.generic_visit(node)

    def visit_Slice(self, node):
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                for sign in "+-":
                    self.mutate("off-by-one", bound, f"{self.text(bound)} {sign} 1")
        self.generic_visit(node)

    def visit_Call(self, node):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        args = [self.text(a) for a in node.args]
        if name in ("range", "len") and args and not node.keywords:
            last = node.args[-1 if name == "len" or len(args) == 1 else 1]
            if name == "len":
                self.mutate("off-by-one", node, f"(len({args[0]}) - 1)")
            elif not isinstance(last, (ast.Constant, ast.Starred)):
                for sign in "+-":
                    self.mutate("off-by-one", last, f"{self.operand(last)} {sign} 1")
            if name == "range" and len(args) == 1 and not isinstance(last, ast.Starred):
                self.refactor("expand", node, f"range(0, {args[0]})")
        if name in ("min", "max", "any", "all"):
            other = {"min": "max", "max": "min", "any": "all", "all": "any"}[name]
            self.mutate("operator", node.func, other)
        for part in [node.func] * (not name) + node.args + node.keywords:
            self.visit(part)

    def visit_Name(self, node):
        known = self.names[-1]
        if isinstance(node.ctx, ast.Load) and node.id in known:
            at = known.index(node.id)
            for step in (1, 2, 3):      # the nearest few, so that long functions stay small
                for other in (known[(at + step) % len(known)], known[(at - step) % len(known)]):
                    if other != node.id:
                        self.mutate("variable", node, other)

    def visit_comprehension_like(self, node):
        """Names bound by a comprehension live in it alone: renaming them changes one line."""
        bound = [n for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)]
        self.rename(node, {n.id for n in bound}, ())
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension_like

    def visit_Lambda(self, node):
        args = node.args.posonlyargs + node.args.args
        if not (node.args.vararg or node.args.kwarg or node.args.kwonlyargs or node.args.defaults):
            self.rename(node, {a.arg for a in args}, args)
        self.visit(node.body)

    def rename(self, node, bound, args):
        if node.lineno != node.end_lineno:
            return
        inner = [n for n in ast.walk(node) if isinstance(n, ast.JoinedStr)]
        used = {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)}
        for name in sorted(bound):
            new = name + "_"
            if inner or new in used:
                continue
            a, b = self.span(node)
            text = bytearray(self.source[a:b])
            places = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name]
            places += [n for n in args if n.arg == name]
            for n in sorted(places, key=lambda n: -n.col_offset):
                at = self.span(n)[0] - a
                text[at:at + len(name.encode())] = new.encode()
            self.refactor("rename", node, text.decode())


def turns(found, seed):
    """The candidates of one line and mode, every operation in its turn, each operation's in an order
    drawn by the seed and the candidate itself: the same wherever and whenever it is drawn."""
    def draw(f):
        return hashlib.blake2b(f"{seed}:{f[0]}:{f[1:]}".encode(), digest_size=8).digest()
    by_op = {}
    for f in sorted(found, key=draw):
        by_op.setdefault(f[2], []).append(f)
    return [f for _, _, f in sorted((i, draw(x[0]), f) for x in by_op.values()
                                    for i, f in enumerate(x))]


def rewrites(source, seed, per_line, first_line):
    """[[line, mode, op, new line, first byte, end byte, text], ...] by line: at most per_line (0:
    all) of each mode and line.  Who puts `text` for those bytes has the rewritten program."""
    walker = Rewriter(source)
    walker.visit(walker.tree)
    own, out, groups = ast.dump(walker.tree), [], {}
    for f in walker.found:
        if f[0] >= first_line:
            groups.setdefault(f[:2], []).append(f)
    for (line, mode), found in sorted(groups.items()):
        seen, chosen = set(), []
        for f in turns(found, seed):
            a, b, text = f[3:]
            new = walker.source[:a] + text.encode() + walker.source[b:]
            first = walker.starts[line - 1]
            end = new.find(b"\n", first)
            whole = new[first:end if end >= 0 else len(new)].decode()
            if whole in seen:
                continue
            seen.add(whole)
            try:
                changed = ast.dump(ast.parse(new)) != own
            except (SyntaxError, ValueError):
                changed = False
            if changed:
                chosen.append([line, mode, f[2], whole, a, b, text])
            if len(chosen) == per_line:
                break
        out += sorted(chosen, key=lambda c: (c[4], c[5], c[6]))
    return out
