"""Proxies in front of one upstream, each with one worker on one core."""

import os
import shutil
import signal
import socket
import subprocess
import time

import bootstrap

PROXY_CORE = "0"
LOAD_CORE = "1"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, log):
    for _ in range(600):
        if process.poll() is not None:
            break
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    with open(log, encoding="utf-8", errors="replace") as f:
        raise RuntimeError("nothing listens on port %d:\n%s" % (port, f.read()[-2000:]))


class Program:
    """A process on one core, gone at the end of the `with` block."""

    def __init__(self, name, core, argv, port, folder):
        self.name, self.port, self.log = name, port, os.path.join(folder, name + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["taskset", "-c", core] + argv, stdout=log, stderr=log,
                                            start_new_session=True)
        try:
            wait_for_port(port, self.process, self.log)
        except RuntimeError:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Upstream:
    """nginx for HTTP/1.1, nghttpd for HTTP/2; both answer from memory."""

    def __init__(self, folder):
        self.http1_port, self.http2_port = free_port(), free_port()
        files = os.path.join(folder, "files")
        os.makedirs(files, exist_ok=True)
        with open(os.path.join(files, "small"), "w", encoding="ascii") as f:
            f.write("hello world\n")
        with open(os.path.join(files, "large"), "wb") as f:
            f.write(b"x" * (1 << 20))
        config = os.path.join(folder, "upstream.conf")
        with open(config, "w", encoding="ascii") as f:
            f.write("""daemon off; user root; worker_processes 1; pid %(folder)s/upstream.pid;
error_log stderr crit; worker_rlimit_nofile 65536;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; sendfile on;
  server { listen 127.0.0.1:%(port)d backlog=8192; root %(files)s;
    location = /small { return 200 "hello world\\n"; } } }
""" % {"folder": folder, "port": self.http1_port, "files": files})
        self.programs = []
        try:
            self._start("upstream-http1", ["nginx", "-p", folder, "-c", config], self.http1_port, folder)
            self._start("upstream-http2",
                        ["nghttpd", "--no-tls", "-d", files, "-a", "127.0.0.1", "-n", "1",
                         str(self.http2_port)], self.http2_port, folder)
        except (OSError, RuntimeError):
            self.__exit__()
            raise

    def _start(self, name, argv, port, folder):
        self.programs.append(Program(name, LOAD_CORE, argv, port, folder))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.__exit__()


def _write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def start_meltemi(bin_folder, folder, upstream_port, _downstream_http2, upstream_http2):
    port = free_port()
    config = _write(folder, "meltemi.json",
                    bootstrap.bootstrap(port, free_port(), upstream_port, upstream_http2))
    return Program("meltemi", PROXY_CORE,
                   [os.path.join(bin_folder, "proxy/app/meltemi-proxy"), "run", "-c", config,
                    "--concurrency", "1"], port, folder)


def start_envoy(envoy, folder, upstream_port, _downstream_http2, upstream_http2):
    port = free_port()
    config = _write(folder, "envoy.json",
                    bootstrap.bootstrap(port, free_port(), upstream_port, upstream_http2))
    return Program("envoy", PROXY_CORE,
                   [envoy, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"],
                   port, folder)


def start_nginx(folder, upstream_port, downstream_http2):
    port = free_port()
    config = _write(folder, "nginx.conf", """daemon off; user root; worker_processes 1;
pid %(folder)s/nginx.pid; error_log stderr crit; worker_rlimit_nofile 65536;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p;
  upstream up { server 127.0.0.1:%(upstream)d; keepalive 512; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%(port)d backlog=8192%(http2)s;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_buffering on; proxy_max_temp_file_size 0; } } }
""" % {"folder": folder, "upstream": upstream_port, "port": port,
       "http2": " http2" if downstream_http2 else ""})
    return Program("nginx", PROXY_CORE, ["nginx", "-p", folder, "-c", config], port, folder)


def start_haproxy(folder, upstream_port, downstream_http2, upstream_http2):
    port = free_port()
    config = _write(folder, "haproxy.cfg", """global
  nbthread 1
  maxconn 8000
  log stderr local0 emerg
defaults
  mode http
  timeout connect 10s
  timeout client 3600s
  timeout server 3600s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:%(port)d%(down)s
  default_backend up
backend up
  server one 127.0.0.1:%(upstream)d%(up)s
""" % {"port": port, "upstream": upstream_port, "down": " proto h2" if downstream_http2 else "",
       "up": " proto h2" if upstream_http2 else ""})
    return Program("haproxy", PROXY_CORE, ["haproxy", "-db", "-f", config], port, folder)


def starters(bin_folder, envoy):
    """name -> start(folder, upstream port, downstream is HTTP/2, upstream is HTTP/2); None: can't."""
    result = {
        "meltemi": lambda *a: start_meltemi(bin_folder, *a),
        "nginx": lambda folder, port, down, up: None if up else start_nginx(folder, port, down),
        "haproxy": start_haproxy,
    }
    if envoy:
        result["envoy"] = lambda *a: start_envoy(envoy, *a)
    return {name: start for name, start in result.items()
            if name in ("meltemi", "envoy") or shutil.which(name)}
