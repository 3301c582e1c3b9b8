"""meltemi-proxy beside nginx, HAProxy and Envoy: requests per CPU-second, latency, memory."""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import measure
import peers

# name, what it is, downstream HTTP/2, upstream HTTP/2
CASES = {
    "http1": ("HTTP/1.1, keep-alive, 32 connections, 12 bytes", False, False),
    "http2": ("HTTP/2 both sides, 8 connections × 16 streams, 12 bytes", True, True),
    "http2-http1": ("HTTP/2 → HTTP/1.1, 8 connections × 16 streams, 12 bytes", True, False),
    "connections": ("HTTP/1.1, a new connection for each request", False, False),
    "large": ("HTTP/1.1, keep-alive, 8 connections, 1 MiB", False, False),
}


def load(case, port, seconds):
    url = "http://127.0.0.1:%d/%s" % (port, "large" if case == "large" else "small")
    core = peers.LOAD_CORE
    if case.startswith("http2"):
        return measure.h2load(core, url, seconds, 8, 16)
    connections = 8 if case == "large" else 32
    return measure.wrk(core, url, seconds, connections, close=case == "connections")


def one_run(case, program, seconds):
    load(case, program.port, 1)  # warm: connections, caches
    pid = program.process.pid
    before = measure.cpu_seconds(pid)
    result = load(case, program.port, seconds)
    cpu = measure.cpu_seconds(pid) - before
    result["cpu_s"] = cpu
    result["per_cpu_s"] = result["requests"] / cpu if cpu > 0 else 0
    result["rss_kb"] = measure.resident_kb(pid)
    return result


def added_latency(result, proxy_port, upstream_port, options, folder):
    """At half of the proxy's own saturation: through it, and straight to the upstream."""
    rate = result["requests"] / options.seconds / 2

    def at(port):
        return measure.fortio(peers.LOAD_CORE, options.fortio,
                              "http://127.0.0.1:%d/small" % port, options.seconds, rate, folder)
    latency, direct = at(proxy_port), at(upstream_port)
    latency.update({"direct_" + key: direct[key] for key in ("p50_ms", "p99_ms")})
    return latency


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def run_case(case, starters, options, folder):
    _, down2, up2 = CASES[case]
    figures = {}
    with peers.Upstream(folder) as upstream:
        port = upstream.http2_port if up2 else upstream.http1_port
        for round_number in range(options.rounds):
            for name, start in starters.items():
                program = start(folder, port, down2, up2)
                if program is None:
                    continue
                say("%s, round %d: %s" % (case, round_number + 1, name))
                with program:
                    idle_kb = measure.resident_kb(program.process.pid)
                    result = one_run(case, program, options.seconds)
                    if case == "http1" and round_number == 0 and options.fortio:
                        result.update(added_latency(result, program.port, port, options, folder))
                result["idle_kb"] = idle_kb
                figures.setdefault(name, []).append(result)
    return figures


def summary(runs):
    merged = {key: statistics.median(r[key] for r in runs)
              for key in ("per_cpu_s", "rss_kb", "idle_kb", "requests")}
    merged["failed"] = sum(r["failed"] for r in runs)
    merged["spread"] = [min(r["per_cpu_s"] for r in runs), max(r["per_cpu_s"] for r in runs)]
    for key in ("p50_ms", "p99_ms", "direct_p50_ms", "direct_p99_ms", "rate"):
        if key in runs[0]:
            merged[key] = runs[0][key]
    return merged


def print_case(case, merged):
    ours = merged.get("meltemi", {}).get("per_cpu_s", 0)
    print("\n### %s: %s\n" % (case, CASES[case][0]))
    print("| proxy | requests per CPU-second | meltemi is | failed | resident idle | after load "
          "| p50 / p99 at half load (direct) |")
    print("|---|---|---|---|---|---|---|")
    for name, row in merged.items():
        latency = "-"
        if "p50_ms" in row:
            latency = "%.2f / %.2f ms at %.0f/s (%.2f / %.2f)" % (
                row["p50_ms"], row["p99_ms"], row["rate"], row["direct_p50_ms"],
                row["direct_p99_ms"])
        print("| %s | %d (%d – %d) | %s | %d | %.1f MB | %.1f MB | %s |" % (
            name, row["per_cpu_s"], row["spread"][0], row["spread"][1],
            "1" if name == "meltemi" else "%.2f ×" % (ours / row["per_cpu_s"]) if row["per_cpu_s"] else "-",
            row["failed"], row["idle_kb"] / 1024, row["rss_kb"] / 1024, latency))


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "?")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": os.uname().release,
            "date": datetime.date.today().isoformat()}


def find_envoy(options):
    """Envoy and fortio come from their registries through test/interop's script, where it can be had."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../interop/peers/fetch.sh")
    found = {}
    for name in ("envoy", "fortio"):
        given = getattr(options, name) or shutil.which(name)
        if not given and os.access(script, os.X_OK):
            done = subprocess.run([script, name], capture_output=True, text=True, check=False)
            given = done.stdout.strip() if done.returncode == 0 else None
            if not given:
                say("without %s: %s" % (name, done.stderr.strip()))
        found[name] = given
    options.fortio = found["fortio"]
    return found["envoy"]


def main():
    parser = argparse.ArgumentParser(prog="./meltemi bench proxy", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=8, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each proxy and case")
    parser.add_argument("--only", default=",".join(CASES), help="cases: " + ", ".join(CASES))
    parser.add_argument("--peers", default="meltemi,nginx,haproxy,envoy")
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--envoy", help="path of an Envoy binary")
    parser.add_argument("--fortio", help="path of fortio, for latency at a constant rate")
    options = parser.parse_args()
    unknown = [c for c in options.only.split(",") if c not in CASES]
    if unknown:
        parser.error("unknown case %s; there are %s" % (unknown[0], ", ".join(CASES)))
    if (os.cpu_count() or 1) < 2:
        parser.error("two cores are needed: one for the proxy, one for the load")
    envoy = find_envoy(options)
    starters = {name: start for name, start in peers.starters(options.bin, envoy).items()
                if name in options.peers.split(",")}
    report = {"machine": machine(), "seconds": options.seconds, "rounds": options.rounds, "cases": {}}
    print("machine: %(cpu)s, %(cores)d cores, Linux %(kernel)s, %(date)s" % report["machine"])
    for case in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix="meltemi-bench-") as folder:
            os.chmod(folder, 0o755)
            runs = run_case(case, starters, options, folder)
        report["cases"][case] = {name: summary(r) for name, r in runs.items()}
        print_case(case, report["cases"][case])
        sys.stdout.flush()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()
