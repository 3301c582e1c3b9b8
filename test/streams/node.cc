#include "test/streams/node.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <future>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/tls/certificate.h"
#include "gtest/gtest.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "kube/codec/codec.h"
#include "orchestrator/kubelet/cri/grpc_runtime.h"

namespace meltemi::streams {
namespace {

using machine::Eventually;

constexpr std::chrono::seconds kWaitMax(60);
// Of the API server: a loopback one may not be in Endpoints.
constexpr char kAddress[] = "10.251.76.1";

// stdin, a terminal; "" for those that are not there.
struct ContainerToMake {
  const char* name;
  const char* command;
  bool has_stdin, tty;
};
constexpr ContainerToMake kContainers[] = {
    {"main", "httpd -p 8080 -h /www; i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.2; done",
     false, false},
    {"input", "while read line; do echo you said $line; done", true, false},
    {"terminal", "while true; do sh; done", true, true},
    {"done", "echo first; echo second; echo third >&2", false, false},
    {"ending-0", "echo it begins; sleep 1000", false, false},
    {"ending-1", "echo it begins; sleep 1000", false, false},
};

constexpr char kContainerd[] = R"(version = 2
root = "FOLDER/containerd/root"
state = "FOLDER/containerd/state"
[grpc]
  address = "FOLDER/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "FOLDER/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/streams:1"
  disable_cgroup = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "FOLDER/cni"
)";

constexpr char kCni[] = R"({"cniVersion":"0.4.0","name":"streams","plugins":[{"type":"ptp",
"ipam":{"type":"host-local","subnet":"10.251.77.0/24","dataDir":"FOLDER/ipam"}}]})";

std::string Real(const char* path) {
  char* const real = realpath(path, nullptr);
  const std::string out = real == nullptr ? path : real;
  std::free(real);
  return out;
}

bool Has(const std::string& program) {
  return machine::RunToEnd({.argv = {"bash", "-c", "command -v " + program}}, kWaitMax)
             .exit_status == 0;
}

}  // namespace

// Not in the folder of the test, whose path is too long for sockets.
Node::Node() : folder_("/tmp/streams-XXXXXX") {
  if (geteuid() != 0) {
    why_not_ = "needs root";
    return;
  }
  for (const char* const program :
       {"containerd", "runc", "ctr", "kubectl", "busybox", "script", "curl", "/usr/lib/cni/ptp"}) {
    if (!Has(program)) {
      why_not_ = absl::StrCat("needs ", program);
      return;
    }
  }
  EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  if (!EnterNamespace()) return;
  (void)(StartApiServer() && StartContainerd() && StartPod() && StartKubelet() && TellApiServer());
}

Node::~Node() {
  server_.reset();
  runtime_.reset();
  containerd_.Kill();
  api_server_.Kill();
  if (!testing::Test::HasFailure()) {
    machine::RunToEnd({.argv = {"rm", "-rf", "--one-file-system", folder_}}, kWaitMax);
  }
}

bool Node::Fail(const std::string& why) {
  ADD_FAILURE() << why << " (see " << folder_ << ")";
  return false;
}

// Before there are threads: those that are started later stay in it too.
bool Node::EnterNamespace() {
  if (unshare(CLONE_NEWNET) != 0) {
    why_not_ = "cannot make a network namespace";
    return false;
  }
  const std::string up = absl::StrCat("ip link set lo up && ip addr add ", kAddress, "/32 dev lo");
  return machine::RunToEnd({.argv = {"bash", "-c", up}}, kWaitMax).exit_status == 0 ||
         Fail("the loopback interface");
}

bool Node::StartApiServer() {
  const std::string file = folder_ + "/url";
  auto process = machine::Process::Start(
      {.argv = {Real("orchestrator/app/meltemi-orchestrator"), "apiserver", "--data-dir",
                folder_ + "/data", "--bind-address", "127.0.0.1", "--advertise-address", kAddress,
                "--secure-port", "0", "--address-file", file, "--log-level", "warn"},
       .output_path = folder_ + "/apiserver.log"});
  if (!process.ok()) return Fail(process.status().ToString());
  api_server_ = *std::move(process);
  Eventually([&] { return !machine::ReadFile(file).empty() || !api_server_.running(); }, kWaitMax);
  if (machine::ReadFile(file).empty()) return Fail("the API server is not ready");
  const auto access = kube::ReadKubeconfig(folder_ + "/data/admin.kubeconfig");
  if (!access.ok()) return Fail(access.status().ToString());
  auto client = kube::NewHttpClient(*access, clock_, {.user_agent = "streams-test"});
  if (!client.ok()) return Fail(client.status().ToString());
  client_ = *std::move(client);
  return true;
}

bool Node::StartContainerd() {
  const auto write = [&](const std::string& name, absl::string_view text) {
    machine::WriteFile(folder_ + name, absl::StrReplaceAll(text, {{"FOLDER", folder_}}));
  };
  machine::RunToEnd({.argv = {"mkdir", "-p", folder_ + "/cni", folder_ + "/pods"}}, kWaitMax);
  write("/containerd.toml", kContainerd);
  write("/cni/10-streams.conflist", kCni);
  auto process = machine::Process::Start(
      {.argv = {"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                "containerd", "--config", folder_ + "/containerd.toml"},
       .output_path = folder_ + "/containerd.log"});
  if (!process.ok()) return Fail(process.status().ToString());
  containerd_ = *std::move(process);
  const std::string image = folder_ + "/image.tar";
  const auto built = machine::RunToEnd({.argv = {Real("test/streams/image.sh"), image}}, kWaitMax);
  if (built.exit_status != 0) return Fail(built.output);
  const auto import = [&] {
    return machine::RunToEnd(
               {.argv = {"ctr", "--address", folder_ + "/containerd.sock", "--namespace", "k8s.io",
                         "images", "import", "--snapshotter", "native", image}},
               kWaitMax)
               .exit_status == 0;
  };
  if (!Eventually(import, kWaitMax)) return Fail("containerd takes no image");
  auto runtime = kubelet::NewGrpcRuntime("unix://" + folder_ + "/containerd.sock");
  if (!runtime.ok()) return Fail(runtime.status().ToString());
  runtime_ = *std::move(runtime);
  return true;
}

bool Node::StartPod() {
  kubelet::cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name("web");
  config.mutable_metadata()->set_uid("u1");
  config.mutable_metadata()->set_namespace_("default");
  config.set_hostname("web");
  config.set_log_directory(folder_ + "/pods");
  config.mutable_linux();
  absl::StatusOr<std::string> sandbox = absl::UnavailableError("not tried");
  Eventually(
      [&] {
        sandbox = runtime_->RunPodSandbox(config, "");
        return sandbox.ok();
      },
      std::chrono::seconds(20));
  if (!sandbox.ok()) return Fail(sandbox.status().ToString());
  sandbox_ = *sandbox;
  pod_ = std::make_shared<kubelet::PodOnNode>();
  pod_->state.uid = "u1";
  pod_->state.ns = "default";
  pod_->state.name = "web";
  kubelet::SandboxState state;
  state.id = sandbox_;
  state.ready = true;
  pod_->state.sandboxes.push_back(state);
  for (const ContainerToMake& one : kContainers) {
    if (!StartContainer(one.name, one.command, one.has_stdin, one.tty)) return false;
  }
  return true;
}

bool Node::StartContainer(const std::string& name, const std::string& command, bool has_stdin,
                          bool tty) {
  kubelet::cri::PodSandboxConfig pod;
  pod.mutable_metadata()->set_name("web");
  pod.mutable_metadata()->set_uid("u1");
  pod.mutable_metadata()->set_namespace_("default");
  pod.set_log_directory(folder_ + "/pods");
  pod.mutable_linux();
  kubelet::cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image("localhost/streams:1");
  for (const std::string& word : {std::string("sh"), std::string("-c"), command}) {
    config.add_command(word);
  }
  config.set_log_path(name + ".log");
  config.set_stdin(has_stdin);
  config.set_tty(tty);
  config.mutable_linux();
  absl::StatusOr<std::string> id = runtime_->CreateContainer(sandbox_, config, pod);
  if (!id.ok()) return Fail(id.status().ToString());
  if (absl::Status started = runtime_->StartContainer(*id); !started.ok()) {
    return Fail(started.ToString());
  }
  kubelet::ContainerState state;
  state.id = *id;
  state.name = name;
  state.sandbox = sandbox_;
  state.log_path = absl::StrCat(folder_, "/pods/", name, ".log");
  pod_->state.containers.push_back(state);
  return true;
}

// What a kubelet would find out by itself.
void Node::RefreshPod() {
  auto pod = std::make_shared<kube::core::v1::Pod>();
  pod->mutable_metadata()->set_name("web");
  pod->mutable_metadata()->set_namespace_("default");
  pod->mutable_metadata()->set_uid("u1");
  auto next = std::make_shared<kubelet::PodOnNode>(*pod_);
  for (kubelet::ContainerState& state : next->state.containers) {
    const auto found = runtime_->ContainerStatus(state.id);
    const bool runs = found.ok() && found->state() == kubelet::cri::CONTAINER_RUNNING;
    state.phase =
        runs ? kubelet::ContainerState::Phase::kRunning : kubelet::ContainerState::Phase::kExited;
    auto* const spec = pod->mutable_spec()->add_containers();
    spec->set_name(state.name);
    spec->set_image("localhost/streams:1");
    for (const ContainerToMake& one : kContainers) {
      if (state.name != one.name) continue;
      spec->set_stdin(one.has_stdin);
      spec->set_tty(one.tty);
    }
    auto* const status = pod->mutable_status()->add_container_statuses();
    status->set_name(state.name);
    status->set_image("localhost/streams:1");
    status->set_image_id("");
    status->set_ready(runs);
    status->set_restart_count(0);
    status->set_container_id("containerd://" + state.id);
    if (runs) {
      status->mutable_state()->mutable_running();
    } else {
      status->mutable_state()->mutable_terminated()->set_exit_code(0);
      status->mutable_state()->mutable_terminated()->set_container_id(status->container_id());
    }
  }
  pod->mutable_status()->set_phase("Running");
  next->pod = pod;
  pod_ = next;
  pods_.Set(next);
}

bool Node::StartKubelet() {
  RefreshPod();
  tls::CertificateRequest request;
  request.common_name = "system:node:node-a";
  request.server_auth = true;
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  const auto identity = tls::NewCertificate(request, tls::KeyPair());
  if (!identity.ok()) return Fail(identity.status().ToString());
  kubelet::KubeletServerOptions options;
  options.address = net::Address::Loopback4(0);
  options.identity = *identity;
  options.client_ca_pem = machine::ReadFile(folder_ + "/data/pki/ca.crt");
  options.node_name = "node-a";
  auto server = StartKubeletServer(options, clock_, pods_, *runtime_, stats_, metrics_);
  if (!server.ok()) return Fail(server.status().ToString());
  server_ = *std::move(server);
  return true;
}

bool Node::Call(const std::string& method, const std::string& path, const std::string& body) {
  kube::ApiCall call;
  call.method = method;
  call.path = path;
  call.body = body;
  if (method == "PATCH") call.content_type = "application/merge-patch+json";
  const kube::Result<kube::ApiAnswer> answer = client_->Call(call);
  return answer.ok() || Fail(absl::StrCat(method, " ", path, ": ", answer.status().message));
}

bool Node::TellApiServer() {
  kube::core::v1::Pod wanted = *pod_->pod;
  wanted.clear_status();
  wanted.mutable_metadata()->clear_uid();
  wanted.mutable_spec()->set_node_name("node-a");
  wanted.mutable_spec()->set_automount_service_account_token(false);
  const std::string kAccounts = "/api/v1/namespaces/default/serviceaccounts";
  const std::string kPods = "/api/v1/namespaces/default/pods";
  return Call("POST", "/api/v1/nodes",
              R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"node-a"}})") &&
         Call("PATCH", "/api/v1/nodes/node-a/status",
              absl::StrCat(
                  R"({"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],)",
                  R"("daemonEndpoints":{"kubeletEndpoint":{"Port":)", server_->port(), "}}}}")) &&
         Call("POST", kAccounts,
              R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})") &&
         Call("POST", kPods, kube::ToJson(wanted)) &&
         Call("PATCH", kPods + "/web/status", R"({"status":{"phase":"Running"}})");
}

Answer Node::Shell(const std::string& kubectl, const std::string& line) const {
  machine::ProcessOptions options;
  // As a program, not as a function: `timeout` and `script` start it too.
  const std::string program = kubectl.substr(kubectl.rfind(' ') + 1);
  options.argv = {
      "bash", "-c",
      absl::StrCat("set -o pipefail; cd ", folder_, "; mkdir -p bin; ln -sf \"$(command -v ",
                   program, ")\" bin/kubectl; PATH=$PWD/bin:$PATH; ", line)};
  options.env = {absl::StrCat("KUBECONFIG=", folder_, "/data/admin.kubeconfig"),
                 absl::StrCat("HOME=", folder_)};
  machine::Finished done = machine::RunToEnd(options, kWaitMax);
  return {done.exit_status, std::move(done.output)};
}

std::string Node::tool(const std::string& name) const {
  return Real(("test/streams/" + name).c_str());
}

void Node::Kill(const std::string& container) {
  const kubelet::ContainerState* const state = pod_->state.Newest(container);
  ASSERT_NE(state, nullptr);
  std::promise<void> stopped;
  runtime_->StopContainer(state->id, Duration(0), [&](absl::Status) { stopped.set_value(); });
  stopped.get_future().wait();
  RefreshPod();
}

}  // namespace meltemi::streams
