"""A node's pods: how long from apply to Ready, beside `ctr run` as the floor, and what everything costs in memory."""

import argparse
import base64
import datetime
import glob
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time

IMAGE = "registry.ioros.com/docker.io/busybox"


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def part_of(sorted_values, part):
    return sorted_values[min(len(sorted_values) - 1, int(part * len(sorted_values)))]


class Api:
    """Calls to the API server as the kubeconfig's user; one connection."""

    def __init__(self, kubeconfig):
        with open(kubeconfig, encoding="utf-8") as f:
            text = f.read()

        def field(name):
            return re.search(name + r": *\"?([^\s\"]+)", text).group(1)

        self.host = field("server").split("//")[1]
        self.tls = ssl.create_default_context(
            cadata=base64.b64decode(field("certificate-authority-data")).decode())
        with tempfile.NamedTemporaryFile("w") as pem:
            pem.write(base64.b64decode(field("client-certificate-data")).decode() +
                      base64.b64decode(field("client-key-data")).decode())
            pem.flush()
            self.tls.load_cert_chain(pem.name)
        self.connection = self.connect()

    def connect(self):
        return http.client.HTTPSConnection(self.host, context=self.tls, timeout=120)

    def call(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body else None,
                                {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        content = json.loads(response.read())
        if response.status >= 300:
            sys.exit("%s %s: %s" % (method, path, content.get("message")))
        return content


class ReadyWatch(threading.Thread):
    """Notes when each pod of the namespace becomes Ready, and when it is gone."""

    def __init__(self, api):
        super().__init__(daemon=True)
        self.ready, self.gone, self.changed = {}, set(), threading.Condition()
        self.connection = api.connect()
        self.connection.request("GET", "/api/v1/namespaces/default/pods?watch=true")
        self.response = self.connection.getresponse()
        self.start()

    def run(self):
        while True:
            line = self.response.readline()
            if not line:
                return
            now, event = time.monotonic(), json.loads(line)
            pod = event["object"]
            name = pod["metadata"]["name"]
            conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
            with self.changed:
                if event["type"] == "DELETED":
                    self.gone.add(name)
                elif conditions.get("Ready") == "True":
                    self.ready.setdefault(name, now)
                self.changed.notify_all()

    def wait(self, names, of, timeout=180):
        with self.changed:
            if not self.changed.wait_for(lambda: all(n in of for n in names), timeout):
                sys.exit("not in time: %s" % [n for n in names if n not in of][:5])


def pod(name):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "3600"],
                        "imagePullPolicy": "IfNotPresent"}]}}


def memory(data):
    """Resident and proportional MB of each part, containerd apart."""
    out = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, encoding="utf-8") as f:
                argv = f.read().split("\0")
            with open("/proc/%s/smaps_rollup" % entry, encoding="ascii") as f:
                rollup = f.read()
        except OSError:
            continue
        if not any(data in word for word in argv):
            continue
        name = os.path.basename(argv[0])
        if name == "meltemi-orchestrator":
            name = argv[1]
        elif name != "containerd":
            continue
        rss, pss = (int(re.search(r"^%s: +(\d+)" % what, rollup, re.M).group(1)) / 1024
                    for what in ("Rss", "Pss"))
        out[name] = (rss, pss)
    return out


def print_memory(title, data):
    parts = memory(data)
    ours = [v for name, v in parts.items() if name != "containerd"]
    print("memory %s: %s; all but containerd: resident MB %.1f, proportional MB %.1f" % (
        title, ", ".join("%s MB %.1f" % (n, v[0]) for n, v in sorted(parts.items())),
        sum(v[0] for v in ours), sum(v[1] for v in ours)))


def one_by_one(api, watch, count):
    times = []
    for i in range(count):
        name = "one-%d" % i
        began = time.monotonic()
        api.call("POST", "/api/v1/namespaces/default/pods", pod(name))
        watch.wait([name], watch.ready)
        times.append((watch.ready[name] - began) * 1000)
        api.call("DELETE", "/api/v1/namespaces/default/pods/" + name)
        watch.wait([name], watch.gone)
    times.sort()
    print("one pod: apply to Ready ms p50 %.0f, p99 %.0f" % (part_of(times, .5), part_of(times, .99)))


def floor(socket, count):
    times = []
    ctr = ["ctr", "--address", socket, "--namespace", "k8s.io"]
    image = subprocess.run(ctr + ["images", "ls", "-q"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.split()
    image = next(name for name in image if "busybox" in name)
    for i in range(count):
        name = "floor-%d" % i
        began = time.monotonic()
        subprocess.run(ctr + ["run", "--detach", image, name, "sleep", "3600"], check=True)
        times.append((time.monotonic() - began) * 1000)
        subprocess.run(ctr + ["task", "rm", "--force", name], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        subprocess.run(ctr + ["container", "rm", name], check=True)
    times.sort()
    print("ctr run (no network, no sandbox): ms p50 %.0f, p99 %.0f" % (
        part_of(times, .5), part_of(times, .99)))


def at_once(api, watch, data, count):
    names = ["many-%d" % i for i in range(count)]
    began = time.monotonic()
    for name in names:
        api.call("POST", "/api/v1/namespaces/default/pods", pod(name))
    watch.wait(names, watch.ready)
    print("%d pods at once: all Ready after s %.1f" % (
        count, max(watch.ready[n] for n in names) - began))
    print_memory("with %d pods" % count, data)
    began = time.monotonic()
    for name in names:
        api.call("DELETE", "/api/v1/namespaces/default/pods/" + name)
    watch.wait(names, watch.gone)
    print("%d pods deleted: all gone after s %.1f" % (count, time.monotonic() - began))


def main():
    parser = argparse.ArgumentParser(prog="./meltemi bench pods", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--pods", type=int, default=50, help="that are timed one by one")
    parser.add_argument("--at-once", type=int, default=100)
    options = parser.parse_args()
    print("machine: %d cores, Linux %s, %s" % (
        os.cpu_count(), os.uname().release, datetime.date.today().isoformat()))
    meltemi = os.path.join(options.bin, "cli/meltemi")
    with tempfile.TemporaryDirectory(prefix="meltemi-bench-") as folder:
        data, images = os.path.join(folder, "data"), os.path.join(folder, "images")
        here = os.path.dirname(os.path.abspath(__file__))
        subprocess.run([os.path.join(here, "../../../examples/images/build"), images, "busybox"], check=True,
                       env=dict(os.environ, MELTEMI=meltemi), stdout=subprocess.DEVNULL)
        began = time.monotonic()
        subprocess.run([meltemi, "up", "--port=0", "--no-mesh", "--data-dir=" + data], check=True,
                       stdout=subprocess.DEVNULL)
        print("up: s %.1f until the node is Ready" % (time.monotonic() - began))
        try:
            archives = [os.path.join(images, name) for name in os.listdir(images)]
            subprocess.run([meltemi, "images", "load", "--data-dir=" + data] + archives, check=True)
            api = Api(os.path.join(data, "admin.kubeconfig"))
            watch = ReadyWatch(api)
            print_memory("idle", data)
            say("%d pods, one by one" % options.pods)
            one_by_one(api, watch, options.pods)
            with open(glob.glob(data + "/nodes/*/containerd.toml")[0], encoding="utf-8") as f:
                socket = re.search(r'address = "(.*)"', f.read()).group(1)
            floor(socket, options.pods)
            say("%d pods at once" % options.at_once)
            at_once(api, watch, data, options.at_once)
        finally:
            subprocess.run([meltemi, "down", "--purge", "--data-dir=" + data], check=True,
                           stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
