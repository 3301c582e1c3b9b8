"""meltemi-orchestrator's scheduler: pods per second from creation to binding, and what a control plane costs."""

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time

CONTAINER = {"name": "c", "image": "registry.example/web:1.2.3",
             "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def pod(labels=None, cpu=None, **spec):
    container = CONTAINER if cpu is None else dict(CONTAINER, resources={"requests": {"cpu": cpu}})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "@NAME@", "labels": labels or {}},
            "spec": dict({"containers": [container], "terminationGracePeriodSeconds": 0,
                          "automountServiceAccountToken": False}, **spec)}


def selects(labels, **more):
    return [dict({"labelSelector": {"matchLabels": labels}}, **more)]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
# name -> (nodes, pods beforehand or None, pods measured); pods as (how many, pod)
SCENARIOS = {
    "basic": (5000, None, (10000, pod())),
    "node affinity": (5000, None, (10000, pod(affinity={"nodeAffinity": {REQUIRED: {
        "nodeSelectorTerms": [{"matchExpressions": [
            {"key": ZONE, "operator": "In", "values": ["zone-0", "zone-1"]}]}]}}}))),
    "required anti-affinity": (
        5000, (1000, pod({"color": "green"}, affinity={"podAntiAffinity": {
            REQUIRED: selects({"color": "green"}, topologyKey=HOST)}})),
        (2000, pod({"color": "green"}, affinity={"podAntiAffinity": {
            REQUIRED: selects({"color": "green"}, topologyKey=HOST)}}))),
    "topology spread": (
        5000, (1000, pod()),
        (5000, pod({"color": "blue"}, topologySpreadConstraints=selects(
            {"color": "blue"}, maxSkew=5, topologyKey=ZONE, whenUnsatisfiable="DoNotSchedule")))),
    # Each node is full; each new pod needs the room of one old one.
    "preemption": (500, (2000, pod(cpu="8")), (500, pod(cpu="7", priorityClassName="high"))),
}


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def resident_mb(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def cpu_s(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    """An API server and what else is asked for, in a folder of its own."""

    def __init__(self, options, folder):
        self.options, self.folder, self.parts = options, folder, {}
        self.data = os.path.join(folder, "data")
        self.start("apiserver", "--data-dir", self.data, "--bind-address", "127.0.0.1",
                   "--disable-admission-plugins", "ServiceAccount")

    def start(self, part, *args, kubeconfig=None):
        url = os.path.join(self.folder, part + ".url")
        argv = self.options.wrap.get(part, []) + [
            os.path.join(self.options.bin, "orchestrator/app/meltemi-orchestrator"), part,
            "--address-file", url, "--log-level", "warn", *args]
        if part != "kubelet":
            argv += ["--secure-port", "0"]
        if kubeconfig:
            argv += ["--kubeconfig", os.path.join(self.data, kubeconfig + ".kubeconfig")]
        self.parts[part] = process = subprocess.Popen(argv)
        while not os.path.exists(url):
            if process.poll() is not None:
                sys.exit("%s has ended: %d" % (part, process.returncode))
            time.sleep(0.01)

    def start_scheduler(self):
        self.start("scheduler", kubeconfig="scheduler")

    def start_all(self, nodes):
        self.start_scheduler()
        self.start("controller-manager", kubeconfig="controller-manager")
        self.start("kubelet", "--hollow", str(nodes), "--port", "0", kubeconfig="admin")

    def load(self, *args):
        argv = [os.path.join(self.options.bin, "test/perf/scheduler/load"), "--kubeconfig",
                os.path.join(self.data, "admin.kubeconfig")]
        done = subprocess.run(argv + [str(a) for a in args], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(content, f)
        return path

    def make(self, count, content, prefix):
        return self.load("--pods", count, "--prefix", prefix, "--pod", self.file("pod.json", content))

    def kubectl_create(self, content):
        subprocess.run(["kubectl", "--kubeconfig", os.path.join(self.data, "admin.kubeconfig"), "create",
                        "-f", self.file("object.json", content)], check=True, stdout=subprocess.DEVNULL)

    def figures(self, function):
        return {part: function(process.pid) for part, process in self.parts.items()}

    def stop(self):
        for process in reversed(list(self.parts.values())):
            process.terminate()
        for process in self.parts.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def a_cluster(options):
    with tempfile.TemporaryDirectory(prefix="meltemi-bench-") as folder:
        cluster = Cluster(options, folder)
        try:
            yield cluster
        finally:
            cluster.stop()


def scenario(options, name):
    nodes, before, (count, measured) = SCENARIOS[name]
    nodes, count = int(nodes * options.scale), int(count * options.scale)
    with a_cluster(options) as cluster:
        cluster.load("--nodes", nodes)
        cluster.kubectl_create({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                                "metadata": {"name": "high"}, "value": 1000})
        cluster.start_scheduler()
        if before:
            cluster.make(int(before[0] * options.scale), before[1], "before")
        cpu = cluster.figures(cpu_s)
        row = cluster.make(count, measured, "pod")
        for part, used in cluster.figures(cpu_s).items():
            row["%s cpu ms/pod" % part] = 1000 * (used - cpu[part]) / count
        for part, mb in cluster.figures(resident_mb).items():
            row[part + " MB"] = mb
        return row


def ready(options):
    with a_cluster(options) as cluster:
        cluster.start_all(10)
        template = pod({"app": "@NAME@"})
        del template["apiVersion"], template["kind"], template["metadata"]["name"]
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "@NAME@"},
                      "spec": {"replicas": 10, "selector": {"matchLabels": {"app": "@NAME@"}},
                               "template": template}}
        return cluster.load("--deployment", cluster.file("deployment.json", deployment))


def memory(options):
    with a_cluster(options) as cluster:
        cluster.start_all(int(5000 * options.scale))
        row = cluster.make(int(150000 * options.scale), pod({"app": "web"}), "pod")
        mb = cluster.figures(resident_mb)
        row.update({part + " MB": figure for part, figure in mb.items()})
        row["control plane MB"] = sum(mb[p] for p in ("apiserver", "scheduler", "controller-manager"))
        return row


def main():
    names = list(SCENARIOS) + ["ready", "memory"]
    parser = argparse.ArgumentParser(prog="./meltemi bench scheduler", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", help="some of: " + ", ".join(names))
    parser.add_argument("--scale", type=float, default=1, help="times the nodes and pods of each scenario")
    parser.add_argument("--memory", action="store_true", help="also 150,000 pods on 5,000 nodes (takes minutes)")
    parser.add_argument("--wrap", action="append", default=[], metavar="PART=COMMAND",
                        help="run a part under a command: scheduler='perf record -g'")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    options.wrap = {w.split("=", 1)[0]: w.split("=", 1)[1].split() for w in options.wrap}
    wanted = options.only.split(",") if options.only else [n for n in names if n != "memory"]
    if options.memory and "memory" not in wanted:
        wanted.append("memory")
    report = {"machine": "%d cores, Linux %s, %s" % (os.cpu_count(), os.uname().release,
                                                     datetime.date.today().isoformat())}
    print("machine: " + report["machine"])
    for name in wanted:
        say(name)
        row = {"ready": ready, "memory": memory}.get(name, lambda o, n=name: scenario(o, n))(options)
        report[name] = row
        print("%s: %s" % (name, ", ".join("%s %.1f" % (k.replace("_", " "), v) for k, v in row.items())),
              flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()
