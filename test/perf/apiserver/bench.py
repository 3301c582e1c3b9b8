"""meltemi-orchestrator's API server: creation, latency, watches, memory, start-up; on SQLite and on etcd."""

import argparse
import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def resident_mb(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


class Etcd:
    def __init__(self, folder):
        self.url = "http://127.0.0.1:%d" % free_port()
        peer = "http://127.0.0.1:%d" % free_port()
        with open(os.path.join(folder, "etcd.log"), "w", encoding="ascii") as log:
            self.process = subprocess.Popen(
                ["etcd", "--data-dir", os.path.join(folder, "etcd"), "--listen-client-urls", self.url,
                 "--advertise-client-urls", self.url, "--listen-peer-urls", peer,
                 "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
                 "--quota-backend-bytes", str(8 << 30)], stdout=log, stderr=log)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Server:
    def __init__(self, options, folder, etcd):
        self.folder = os.path.join(folder, "data")
        url_file = os.path.join(folder, "url")
        argv = [os.path.join(options.bin, "orchestrator/app/meltemi-orchestrator"), "apiserver",
                "--data-dir", self.folder, "--bind-address", "127.0.0.1", "--secure-port", "0",
                "--disable-admission-plugins", "ServiceAccount", "--address-file", url_file,
                "--log-level", "warn"]
        if etcd:
            argv += ["--etcd-servers", etcd.url]
        if os.path.exists(url_file):  # of an earlier start
            os.remove(url_file)
        began = time.monotonic()
        self.process = subprocess.Popen(argv)
        while not os.path.exists(url_file):
            if self.process.poll() is not None:
                sys.exit("the API server ended: %d" % self.process.returncode)
            time.sleep(0.002)
        self.ready_s = time.monotonic() - began
        with open(url_file, encoding="ascii") as f:
            self.address = f.read().strip().removeprefix("https://")

    def load(self, options, *args):
        here = os.path.dirname(os.path.abspath(__file__))
        argv = [os.path.join(options.bin, "test/perf/apiserver/load"), "--server", self.address,
                "--pki", os.path.join(self.folder, "pki"), "--pod", os.path.join(here, "pod.json")]
        done = subprocess.run(argv + [str(a) for a in args], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def measure(options, folder, etcd):
    figures = {}
    server = Server(options, folder, etcd)
    try:
        figures["first_start_s"] = server.ready_s
        time.sleep(1)
        figures["empty_mb"] = resident_mb(server.process.pid)
        present = 0
        for pods in options.pods:
            say("%s: %d pods" % ("etcd" if etcd else "SQLite", pods))
            row = server.load(options, "--pods", pods - present, "--first-pod", present,
                              "--rate", options.rate, "--seconds", options.seconds)
            present = pods
            row["mb"] = resident_mb(server.process.pid)
            if pods == options.pods[0]:
                row.update(server.load(options, "--watchers", options.watchers))
                row["mb_watched"] = resident_mb(server.process.pid)
            figures["pods_%d" % pods] = row
        server.stop()
        server = Server(options, folder, etcd)
        figures["start_with_all_s"] = server.ready_s
        figures["mb_after_restart"] = resident_mb(server.process.pid)
    finally:
        server.stop()
    return figures


def print_table(report):
    stores = list(report["stores"])
    rows = []

    def walk(prefix, first):
        for key in first:
            if isinstance(first[key], dict):
                walk(prefix + [key], first[key])
            else:
                rows.append(prefix + [key])
    walk([], report["stores"][stores[0]])
    print("| | " + " | ".join(stores) + " |\n|---|" + "---|" * len(stores))
    for path in rows:
        cells = []
        for store in stores:
            value = report["stores"][store]
            for key in path:
                value = value.get(key, {}) if isinstance(value, dict) else {}
            cells.append("%.2f" % value if isinstance(value, (int, float)) else "-")
        print("| %s | %s |" % (" ".join(path).replace("_", " "), " | ".join(cells)))


def main():
    parser = argparse.ArgumentParser(prog="./meltemi bench apiserver", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--pods", default="5000", help="numbers of pods, growing: 5000,150000")
    parser.add_argument("--rate", type=int, default=200, help="requests per second")
    parser.add_argument("--seconds", type=int, default=10, help="for so long")
    parser.add_argument("--watchers", type=int, default=5000)
    parser.add_argument("--stores", default="sqlite,etcd")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    options.pods = sorted(int(n) for n in options.pods.split(","))
    report = {"machine": "%d cores, Linux %s, %s" % (os.cpu_count(), os.uname().release,
                                                     datetime.date.today().isoformat()), "stores": {}}
    print("machine: " + report["machine"])
    for store in options.stores.split(","):
        if store == "etcd" and not shutil.which("etcd"):
            say("without etcd: it is not installed (etcd-server)")
            continue
        with tempfile.TemporaryDirectory(prefix="meltemi-bench-") as folder:
            etcd = Etcd(folder) if store == "etcd" else None
            try:
                report["stores"][store] = measure(options, folder, etcd)
            finally:
                if etcd:
                    etcd.stop()
    print_table(report)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()
