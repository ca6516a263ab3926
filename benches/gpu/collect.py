#!/usr/bin/env python3
"""Makes one JSON object of what the steps of a section printed: collect.py SECTION FOLDER --seconds N --commit C; run.sh calls it."""
import argparse, datetime, json, pathlib, re, subprocess

p = argparse.ArgumentParser()
p.add_argument("section")
p.add_argument("folder", type=pathlib.Path)
p.add_argument("--seconds", type=int)
p.add_argument("--commit")
a = p.parse_args()


def read(name):
    path = a.folder / name
    return path.read_text(errors="replace") if path.exists() else ""


def rows(text):
    """The JSON objects in a text, of which a test's name may stand before the first."""
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line[max(line.find("{"), 0):]))
        except ValueError:
            pass
    return [row for row in found if isinstance(row, dict)]


def tests(text):
    """What libtest says: how many passed, which failed and why, and what had not ended, of which one thread alone gives a name."""
    text = re.sub(r'\{"fact".*\}\n', "", text)
    results = re.findall(r"^test (\S+).* \.\.\. (ok|FAILED|ignored)", text, re.M)
    message = {name: why.strip() for name, why in re.findall(r"^---- (\S+) stdout ----\n(.*?)(?=^---- |^failures:$)", text, re.M | re.S)}
    not_ended = sum(map(int, re.findall(r"^running (\d+) tests?$", text, re.M))) - len(results)
    begun = re.findall(r"^test (\S+) \.\.\. *\Z", text, re.M)
    failed = [dict(test=name, message=message.get(name, "")[:1000]) for name, how in results if how == "FAILED"]
    counted = {how: sum(1 for _, end in results if end == how) for how in ("ok", "ignored")}
    return dict(passed=counted["ok"], ignored=counted["ignored"], failed=failed, **(dict(not_ended=not_ended, begun=begun) if not_ended else {}))


def step(line):
    name, end, milliseconds, command = line.split("\t")
    if not end.isdigit():
        return dict(step=name, missing=end)
    out, err, end = read(f"{name}.out"), read(f"{name}.err"), int(end)
    about = dict(step=name, command=command, exit=end, seconds=int(milliseconds) / 1e3)
    if end in (124, 137):
        about["timed_out"] = True
    if re.search(r"^running \d+ tests?$", out, re.M):
        about |= tests(out)
    errors = re.findall(r"ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard", out + err)
    if errors:
        about["errors"] = sum(int(x or y) for x, y in errors)
        about["report"] = [line for line in (out + err).splitlines() if line.startswith("=========")][:40] if end else []
    facts = rows(read(f"{name}.facts") or out)
    if end and not about.get("failed") and (err or not facts):
        about["output"] = (err or out)[-3000:]
    return about | (dict(facts=facts) if facts else {})


def shown():
    """The GPU, the driver and the libraries: what nvidia-smi says, or the library's own list."""
    devices = read("devices")
    libraries = dict(re.findall(r"(lib\w+) version ([\d.]+)", devices))
    found = dict(gpu=None, driver=None, cuda=libraries)
    if named := re.search(r"cuda:0 (.*), compute capability ([\d.]+)", devices):
        found |= dict(gpu=named[1], capability=named[2])
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        first = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()[0]
        found["gpu"], found["driver"], found["memory"] = [part.strip() for part in first.split(",")]
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        pass
    return found if libraries else found | dict(devices=devices)


def ratios(steps):
    """Ours over the fastest peer on the same batch, medians over turns."""
    times = {}
    for row in (row for s in steps for row in s.get("facts", []) if "median_ns" in row and "peer" in row):
        times.setdefault((row["dtype"], row["n"], row["what"], row["batch"]), {}).setdefault(row["peer"], []).append(row["median_ns"])
    found = []
    for (dtype, n, what, batch), by in times.items():
        middle = {peer: sorted(ns)[(len(ns) - 1) // 2] for peer, ns in by.items()}
        ours = middle.pop("eigengrad", None)
        if ours and middle:
            best = min(middle, key=middle.get)
            found.append(dict(dtype=dtype, n=n, what=what, batch=batch, ours_ns=ours, best=best, best_ns=middle[best], ratio=round(ours / middle[best], 3)))
    return found


# Flops of 32-bit and of 64-bit arithmetic without tensor cores, of NVIDIA's data sheets.
PEAKS = {"H200": (67e12, 34e12), "H100 PCIe": (51e12, 26e12), "H100": (67e12, 34e12), "GH200": (67e12, 34e12), "A100": (19.5e12, 9.7e12)}


def verdicts(steps, gpu):
    """Of each backward up to n = 32: the floor by bytes and flops, whether it is within twice of it, and how many times torch's speed."""
    facts = [row for s in steps for row in s.get("facts", [])]
    bandwidth = max((row["bytes_per_second"] for row in facts if "bytes_per_second" in row), default=None)
    peaks = next((peak for name, peak in PEAKS.items() if name in (gpu or "")), None)
    ours, torch = {}, {}
    for row in facts:
        if row.get("what") != "backward" or "median_ns" not in row or row["n"] > 32:
            continue
        if row.get("peer") == "torch":
            torch.setdefault((row["dtype"], row["n"], row["batch"]), []).append(row["median_ns"])
        elif "flops" in row:
            ours.setdefault((row["dtype"], row["n"], row["batch"], row["form"], row.get("kernels", "auto")), []).append(row)
    middle = lambda times: sorted(times)[(len(times) - 1) // 2]
    found = []
    for (dtype, n, batch, form, kernels), rows in ours.items():
        ns, other = middle([row["median_ns"] for row in rows]), torch.get((dtype, n, batch), []) if form == "full" else []
        peak = peaks and peaks[dtype in ("float64", "complex128")]
        floor = max(rows[0]["bytes"] / bandwidth, rows[0]["flops"] / peak) * 1e9 if bandwidth and peak else None
        found.append(dict(dtype=dtype, n=n, batch=batch, form=form, kernels=kernels, ns=ns, floor_ns=floor, within_2x_of_floor=floor and ns <= 2 * floor,
                          times_torch=round(middle(other) / ns, 2) if other else None, at_least_5x_torch=middle(other) >= 5 * ns if other else None))
    return found


def captures(steps):
    """Which passes a graph can hold, by solver, and why not."""
    keys = ("what", "n", "solver", "captured", "same_bits", "error")
    return [{key: row[key] for key in keys if key in row} for s in steps for row in s.get("facts", []) if row.get("fact") == "capture"]


def line(value):
    return json.dumps(value, ensure_ascii=False)


def block(lines):
    """A list whose members stand on lines of their own."""
    return "[\n" + ",\n".join(lines) + "\n]"


steps = [step(one) for one in read("steps").splitlines()]
ends = [s["exit"] for s in steps if "exit" in s]
whole = not any("missing" in s for s in steps)
result = shown() | dict(commit=a.commit, date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(), section=a.section,
                        seconds=a.seconds, ok=whole and not any(ends) if ends else None)
if a.section in ("peers", "cusolverdx"):
    result["ratios"] = ratios(steps)
if a.section in ("backward", "peers", "bars"):
    result["verdicts"] = verdicts(steps, result["gpu"])
if a.section == "forward":
    result["captures"] = captures(steps)
written = [line(s | dict(facts=None))[:-len("null}")] + block(map(line, s["facts"])) + "}" if "facts" in s else line(s) for s in steps]
print(line(result)[:-1] + ', "steps": ' + block(written) + "}")
