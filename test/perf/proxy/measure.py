"""Load on a proxy, and what it cost the proxy."""

import json
import os
import re
import subprocess

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
HOST = "service-50"


def _tree(pid):
    """The process and its descendants."""
    pids = [pid]
    for candidate in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % candidate, encoding="ascii") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if parent in pids:
            pids.append(int(candidate))
    return pids


def cpu_seconds(pid):
    total = 0
    for one in _tree(pid):
        with open("/proc/%d/stat" % one, encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


def resident_kb(pid):
    total = 0
    for one in _tree(pid):
        with open("/proc/%d/status" % one, encoding="ascii") as f:
            match = re.search(r"VmRSS:\s+(\d+)", f.read())
        total += int(match.group(1)) if match else 0
    return total


def _run(core, argv, seconds):
    done = subprocess.run(["taskset", "-c", core] + argv, capture_output=True, text=True, check=False,
                          timeout=seconds + 60)
    return done.stdout + done.stderr


def _number(pattern, text):
    match = re.search(pattern, text)
    return float(match.group(1)) if match else 0.0


def wrk(core, url, seconds, connections, close):
    argv = ["wrk", "-t", "1", "-c", str(connections), "-d", "%ds" % seconds, "-H", "Host: " + HOST]
    if close:
        argv += ["-H", "Connection: close"]
    text = _run(core, argv + [url], seconds)
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", text))
    return {
        "requests": _number(r"(\d+) requests in", text),
        "failed": _number(r"Non-2xx or 3xx responses: (\d+)", text) + errors,
    }


def h2load(core, url, seconds, connections, streams):
    argv = ["h2load", "-t", "1", "-c", str(connections), "-m", str(streams), "-D", str(seconds),
            "-H", ":authority: " + HOST, url]
    text = _run(core, argv, seconds)
    total = _number(r"requests: (\d+) total", text)
    good = _number(r"status codes: (\d+) 2xx", text)
    return {"requests": good, "failed": max(0.0, total - good) if good == 0 else
            _number(r"(\d+) failed", text)}


def fortio(core, program, url, seconds, rate, folder):
    """p50 and p99 in milliseconds at a constant rate."""
    report = os.path.join(folder, "fortio.json")
    _run(core, [program, "load", "-quiet", "-c", "8", "-qps", str(int(rate)), "-t", "%ds" % seconds,
                "-uniform", "-nocatchup=false", "-H", "Host: " + HOST, "-p", "50,99", "-r", "0.00001",
                "-json", report, url], seconds)
    with open(report, encoding="utf-8") as f:
        data = json.load(f)
    values = {p["Percentile"]: p["Value"] * 1000 for p in data["DurationHistogram"]["Percentiles"]}
    return {"p50_ms": values.get(50), "p99_ms": values.get(99), "rate": data["ActualQPS"]}
