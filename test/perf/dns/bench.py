"""The cluster's DNS: questions per second on one core, CPU per question, memory; beside dnsmasq."""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

A, SRV = 1, 33
ZONE = "svc.cluster.local"


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def service(i):
    return "svc-%d.ns-%d.%s" % (i, i // 100, ZONE)


def cases(services):
    with_address = [i for i in range(services) if i % 10 != 9]
    headless = [i for i in range(services) if i % 10 == 9]
    return {
        "service A": [(service(i), A) for i in with_address],
        "no such name": [("example-%d.com.ns-%d.%s" % (i, i % 100, ZONE), A) for i in range(services)],
        "headless A (10)": [(service(i), A) for i in headless],
        "SRV": [("_http._tcp." + service(i), SRV) for i in with_address],
    }


def cpu_s(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def on_core(core, argv):
    return ["taskset", "-c", str(core)] + argv if os.cpu_count() > 1 else argv


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(address):
    """Whether the server answers at all."""
    host, port = address.rsplit(":", 1)
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0\7cluster\5local\0\0\6\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.1)
        s.sendto(question, (host, int(port)))
        try:
            return len(s.recv(512)) > 0
        except OSError:
            return False


class Server:
    """A process that is ended with the block."""

    def __init__(self, argv, address=None):
        self.process = subprocess.Popen(on_core(0, argv), stdout=subprocess.PIPE, text=True)
        self.address = address or self.process.stdout.readline().strip()
        until = time.monotonic() + 30
        while not answers(self.address):
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(argv[0] + " does not answer")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait()


def ours(options):
    return Server([os.path.join(options.bin, "test/perf/dns/server"),
                   "--services=%d" % options.services, "--endpoints=%d" % options.endpoints])


def dnsmasq(options, folder):
    """The same names, from a hosts file."""
    hosts = os.path.join(folder, "hosts")
    with open(hosts, "w", encoding="ascii") as f:
        for i in range(options.services):
            if i % 10 != 9:
                f.write("10.96.%d.%d %s\n" % (i // 250 + 1, i % 250, service(i)))
            else:
                for e in range(options.endpoints):
                    n = i * options.endpoints + e
                    f.write("10.%d.%d.%d %s\n" % (128 + n // 65536, n // 256 % 256, n % 256, service(i)))
    port = free_port()
    return Server([options.dnsmasq, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--no-daemon",
                   "--port=%d" % port, "--listen-address=127.0.0.1", "--bind-interfaces", "--conf-file=/dev/null",
                   "--addn-hosts=" + hosts, "--local=/cluster.local/", "--cache-size=10000", "--user=root",
                   "--pid-file=" + os.path.join(folder, "pid")], "127.0.0.1:%d" % port)


def measure(options, server, names, rate=0):
    before = cpu_s(server.process.pid)
    out = subprocess.run(on_core(1, [
        os.path.join(options.bin, "test/perf/dns/load"), "--to=" + server.address, "--names=" + names,
        "--seconds=%d" % options.seconds, "--rate=%d" % rate]), check=True, capture_output=True, text=True)
    result = json.loads(out.stdout)
    result["cpu_us"] = (cpu_s(server.process.pid) - before) / max(1, result["answered"]) * 1e6
    return result


def run(options, folder, server, wanted):
    rows = {}
    for name, questions in wanted.items():
        path = os.path.join(folder, "names")
        with open(path, "w", encoding="ascii") as f:
            f.writelines("%s %d\n" % question for question in questions)
        rows[name] = measure(options, server, path)
        half = measure(options, server, path, rate=max(1, int(rows[name]["per_second"] / 2)))
        rows[name]["p50_us"], rows[name]["p99_us"] = half["p50_us"], half["p99_us"]
    return rows


def show(title, rows):
    print("\n%s\n  %-18s %12s %10s %12s %10s %10s" % (
        title, "question", "answers/s", "CPU us", "per CPU s", "p50 us", "p99 us"))
    for name, row in rows.items():
        print("  %-18s %12d %10.2f %12d %10d %10d%s" % (
            name, row["per_second"], row["cpu_us"], 1e6 / max(row["cpu_us"], 0.01), row["p50_us"], row["p99_us"],
            "  (%d failed)" % row["failed"] if row["failed"] else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--dnsmasq", default=shutil.which("dnsmasq") or "/usr/sbin/dnsmasq")
    parser.add_argument("--json")
    options = parser.parse_args()
    wanted = cases(options.services)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        with ours(options) as server:
            result["resident_mb"] = resident_mb(server.process.pid)
            result["ours"] = run(options, folder, server, wanted)
        show("meltemi dns: %d services with %d endpoints, %.1f MB resident; latency at half the load" % (
            options.services, options.endpoints, result["resident_mb"]), result["ours"])
        if not os.access(options.dnsmasq, os.X_OK):
            say("no dnsmasq to compare with (apt-get install dnsmasq-base)")
        else:
            with dnsmasq(options, folder) as server:
                peer_mb = resident_mb(server.process.pid)
                peer = {name: questions for name, questions in wanted.items() if name != "SRV"}
                result["dnsmasq"] = run(options, folder, server, peer)
            show("dnsmasq with the same names in a hosts file, %.1f MB" % peer_mb, result["dnsmasq"])
            print("\nanswers per CPU second, meltemi : dnsmasq")
            for name in result["dnsmasq"]:
                print("  %-18s %.1f x" % (name, result["dnsmasq"][name]["cpu_us"] / result["ours"][name]["cpu_us"]))
    if options.json:
        with open(options.json, "w", encoding="ascii") as f:
            json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
