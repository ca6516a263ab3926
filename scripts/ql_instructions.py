"""How many instructions the solver by QL executes: SASS, weighted by how often its lines run. kernel-report --sass calls this.

Reflections run n − 1 times. How many sweeps, windows and rotations QL takes is counted on T of X Xᴴ/n, 64 matrices, by the kernel's own rule.
Loops over rows that the compiler left as such are taken to run n times. Left out is what regular input does not reach. It is an estimate:
nothing is executed.
"""

import math
import random
import re

from instructions import BYTES_PER_SECOND, WARPS_PER_SECOND, disassembled, innermost

KERNELS = ("small", "tridiagonalise", "implicit_ql", "assemble")
CHUNK, LANES = 4, 32
SIZES = {"float32": (4, 4), "complex64": (8, 4), "float64": (8, 8), "complex128": (16, 8)}


def tridiagonal(n, complex_, rng):
    """T of X Xᴴ/n for n×n Gaussian X, as Householder's reflections leave it: B Bᵀ of a bidiagonal B, whose entries are χ."""
    degrees = 2 if complex_ else 1
    chi = lambda k: math.sqrt(2 * rng.gammavariate(degrees * k / 2, 1)) if k else 0.0
    on, below = [chi(n - i) for i in range(n)], [chi(n - 1 - i) for i in range(n - 1)]
    d = [on[i] ** 2 + (below[i - 1] ** 2 if i else 0) for i in range(n)]
    return [x / d[0] for x in d], [on[i] * below[i] / d[0] for i in range(n - 1)] + [0.0]


def windows(d, e, epsilon):
    """The rows l, m of each sweep: `ql_iteration` of kernels/eigh/tridiagonal.cuh."""
    n, found, l, m = len(d), [], 0, 0
    gone = lambda e, a, b: abs(e) <= epsilon * (abs(a) + abs(b) + 0.25)
    e = [0.0 if i == n - 1 or gone(e[i], d[i], d[i + 1]) else e[i] for i in range(n)]
    while True:
        while l < n - 1 and e[l] == 0:
            l += 1
        if l >= n - 1:
            return found
        if m <= l:
            m = l + 1
            while m < n - 1 and e[m] != 0:
                m += 1
        found.append((l, m))
        half = (d[l + 1] - d[l]) / (2 * e[l])
        g = d[m] - d[l] + e[l] / (half + math.copysign(math.hypot(half, 1), half))
        s, c, p, split, above, last = 1.0, 1.0, 0.0, m, d[m], 0.0
        for i in range(m - 1, l - 1, -1):
            f, b, r = s * e[i], c * e[i], math.hypot(g, s * e[i])
            s, c = (f / r * math.copysign(1, g), abs(g) / r) if r else (0.0, 1.0)
            lowered = above - p
            rest = (d[i] - lowered) * s + 2 * c * b
            p, above = s * rest, d[i]
            d[i + 1] = last_new = lowered + p
            if i + 1 < m:
                e[i + 1] = 0.0 if gone(r, last_new, last) else math.copysign(r, g)
                split = split if e[i + 1] else i + 1
            g, last = c * rest - b, last_new
        d[l] = above - p
        e[l] = 0.0 if gone(g, d[l], last) else g
        m = split


class Counts:
    """What sweeps come to, for a matrix and for matrices in lock step."""

    def __init__(self, n, dtype):
        rng = random.Random(n)
        epsilon = 2.0**-24 if SIZES[dtype][1] == 4 else 2.0**-53
        self.n = n
        self.all = [windows(*tridiagonal(n, "complex" in dtype, rng), epsilon) for _ in range(2 * LANES)]

    def mean(self, of):
        return sum(map(of, self.all)) / len(self.all)

    def in_step(self, together, of):
        """The mean over groups of what a group takes: `of` the windows that begin at a time."""
        groups = [self.all[k : k + together] for k in range(0, len(self.all), together)]
        times = lambda group: range(max(map(len, group)))
        return sum(of([w[t] for w in group if t < len(w)]) for group in groups for t in times(group)) / len(groups)


class Lines:
    """Lines of a kernel's file, found by what they say."""

    def __init__(self, name):
        self.name, self.lines = name.rsplit("/", 1)[-1], open(f"kernels/{name}").read().splitlines()

    def at(self, text, after=0):
        return next(k for k, line in enumerate(self.lines, 1) if k > after and text in line)

    def between(self, first, last, after=0):
        begin = self.at(first, after)
        return range(begin, self.at(last, begin) + 1)


def chunks(n, split):
    """How often a chunk of rows is reached in n − 1 steps, of which each has one row less."""
    return sum(-(-(n - k) // (split * CHUNK)) for k in range(n - 1))


def weights(kernel, n, rows, split, dtype, counts):
    """(file, lines, times a warp runs them) of each part, the first that holds counting; matrices of a warp."""
    steps, parts = n - 1, rows // split // CHUNK
    if kernel == "tridiagonalise":
        source = Lines("eigh/tridiagonalise.cu")
        body = source.at("tridiagonalise(long long batch")
        loop = source.at("for (int k = 0; k < n - 1; ++k)", body)
        each = chunks(n, split) / parts
        # A is read by its lower triangle, and has not been prepared.
        upper, prepared = source.at("else if (from == READ_UPPER)"), source.at("if (from == PREPARED)", body)
        return source, [
            (range(upper, upper + 2), 0),
            (range(prepared + 1, prepared + 3), 0),
            (source.between("for (int chunk = 0; chunk < ROWS", "const S image", loop), each),
            (range(source.at("if (pivots) subtract_rank_2", loop), source.at("else subtract_rank_2", loop) + 1), each / split),
            (range(loop, len(source.lines) + 1), steps),
        ]
    if kernel == "implicit_ql":
        source = Lines("eigh/implicit_ql.cu")
        rotations = counts.in_step(LANES, lambda some: max(m - l for l, m in some))
        loop = source.at("for (;;)", source.at("implicit_ql(long long batch"))
        return source, [
            (source.between("void flush()", "// The eigenvalues of this lane"), rotations / 4),
            (source.between("while (__any_sync(ALL_LANES, more && ql.on()))", "if (more) ql.end()", loop)[:-1], rotations),
            (source.between("for (;;)", "if (!here) return;", loop - 1)[:-1], counts.in_step(LANES, lambda some: 1)),
            (range(source.at("sort_values(d, 32, n)"), len(source.lines) + 1), 0),  # of values alone
        ]
    if kernel == "assemble":
        source = Lines("eigh/assemble.cu")
        team = 16 if rows <= 16 else 32
        together = LANES // team
        reached = lambda some: len({c for l, m in some for c in range(l // CHUNK, (m - 1) // CHUNK + 1)})
        turned, all_chunks = counts.in_step(together, reached), -(-(rows - 1) // CHUNK)
        sweeps = counts.in_step(together, lambda some: 1)
        turn, reflect = source.at("bool turn_rows("), source.at("void reflect_columns(")
        each = chunks(n, split) / parts
        sweep_loop, step_loop = source.at("for (int sweep = 0;;", turn), source.at("for (int k = n - 2; k >= 0", reflect)
        return source, [
            (source.between("unsigned find_turns(", "// Z, of which thread j"), 0),
            (range(source.at("for (int chunk", sweep_loop), source.at("// λ in ascending order in working_d")), turned / all_chunks / split),
            (range(sweep_loop, source.at("// λ in ascending order in working_d")), sweeps + 1),
            (source.between("for (int chunk", "const S product", step_loop)[:-1], each),
            (range(source.at("for (int chunk", source.at("const S by =", step_loop)), source.at("template <class T, int N, int TEAMS", step_loop)), each),
            (range(step_loop, source.at("template <class T, int N, int TEAMS", step_loop)), steps),
        ]
    source = Lines("eigh/small.cu")
    loop = source.at("for (int sweep = 0;; ++sweep)")
    at_all = lambda some: len({i for l, m in some for i in range(l, m)})
    positions = counts.in_step(LANES, at_all) / max(n - 1, 1)
    second = source.at("for (int i = N - 2; i >= 0; --i)", source.at("if (!__any_sync(ALL_LANES, go_on))", loop))
    end = source.at("}", source.at("by.turn(z[row][i]", second) + 3)
    return source, [(range(second, end), positions), (range(loop, second), counts.in_step(LANES, lambda some: 1) + 1)]


def predicted(kernel, text, n, dtype, expression):
    """Instructions of warps for a matrix of order n, and how long an H200 takes to issue them."""
    numbers = list(map(int, re.findall(r"(?<![\w.])\d+(?!\w)", expression.split("<", 1)[1])))
    rows = numbers[0] if kernel in ("tridiagonalise", "assemble") else n
    longest = {"float32": 96, "float64": 1 << 20, "complex64": 64, "complex128": 32}[dtype]
    split = 2 if kernel in ("tridiagonalise", "assemble") and rows > longest else 1
    columns = max(16, 1 << (rows - 1).bit_length())
    warps = {"small": 1 / LANES, "implicit_ql": 1 / LANES}.get(kernel, columns * split / 32)
    source, parts = weights(kernel, n, rows, split, dtype, Counts(n, dtype))
    instructions, loops = disassembled(text)
    in_loop, without_turns = {}, set()
    for first, last in innermost(loops):
        memory = sum(i.name.startswith(("LDG", "STG")) for i in instructions[first : last + 1]) or sum(
            i.name.startswith(("LDS", "STS")) for i in instructions[first : last + 1]
        )
        in_loop |= dict.fromkeys(range(first, last + 1), n / max(memory, 1))
        # The compiler has a copy of the loop over rotations for where they are not written.
        turns = any(i.name == "MUFU.RSQ" for i in instructions[first : last + 1])
        if kernel == "implicit_ql" and turns and not any(i.name.startswith("STG") for i in instructions[first : last + 1]):
            without_turns |= set(range(first, last + 1))
    # By a team, only where more are above the threshold than may be kept.
    cut = Lines("eigh/cut.cuh")
    walk = cut.between("__device__ dropped select(", "return d;") if kernel == "assemble" else ()
    total = double = multiplied = 0.0
    for at, i in enumerate(instructions):
        lines = [line for name, line in i.places if name == source.name]
        times = next((times for span, times in parts if any(line in span for line in lines)), None)
        walks = any(name == cut.name and line in walk for name, line in i.places)
        times = 0 if at in without_turns or walks else in_loop.get(at, 1) if times is None else times
        total += times
        double += times if re.match(r"D(FMA|MUL|ADD|SETP)", i.name) else 0
        multiplied += times if re.match(r"[FD](FMA|MUL|ADD)", i.name) else 0
    scalar, real = SIZES[dtype]
    rotations = Counts(n, dtype).mean(lambda w: sum(m - l for l, m in w))
    moved = {"small": 2, "tridiagonalise": 2, "assemble": 2}.get(kernel, 0) * n * n * scalar + (rotations * real if kernel in ("implicit_ql", "assemble") else 0)
    issue = max(total, total + double) * warps / WARPS_PER_SECOND * 1e9
    return {
        "kernel": kernel,
        "dtype": dtype,
        "n": n,
        "warp_instructions": round(total * warps, 1),
        "arithmetic": round(multiplied * warps, 1),
        "rotations": round(rotations, 1),
        "issue_ns": round(issue, 4),
        "bytes_ns": round(moved / BYTES_PER_SECOND * 1e9, 4),
    }
