#include "orchestrator/kubelet/cri/containerd_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/process/run_process.h"

namespace meltemi::kubelet {
namespace {

constexpr Duration kStartMax = seconds(30);

constexpr char kConfig[] = R"(version = 2
root = "@/root"
state = "@/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "@/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "@/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/test:1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "@/cni"
)";

constexpr char kNetwork[] = R"({"cniVersion":"0.4.0","name":"test","plugins":[
  {"type":"bridge","bridge":"test0","isGateway":true,"ipam":{"type":"host-local",
    "dataDir":"@/ipam","ranges":[[{"subnet":"10.99.0.0/24"}]]}}]})";

// The image's layer is busybox alone; as a sandbox it waits for ever.
constexpr char kImageScript[] = R"(set -e
cd "$1"
mkdir -p image/rootfs/bin image/rootfs/tmp
cp "$2" image/rootfs/bin/busybox
for name in sh sleep cat echo true false id env touch ls kill yes head; do
  ln -sf busybox image/rootfs/bin/$name
done
tar -C image/rootfs -cf image/layer.tar .
sum=$(sha256sum image/layer.tar | cut -d' ' -f1)
cat > image/config.json <<END
{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sleep","1000000"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$sum"]}}
END
echo '[{"Config":"config.json","RepoTags":["localhost/test:1"],"Layers":["layer.tar"]}]' \
  > image/manifest.json
tar -C image -cf image.tar manifest.json config.json layer.tar
)";

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string In(const char* text, const std::string& folder) {
  return absl::StrReplaceAll(text, {{"@", folder}});
}

pid_t Spawn(const std::vector<std::string>& argv, const std::string& log) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, 1);
  dup2(fd, 2);
  std::vector<char*> args;
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  execvp(args[0], args.data());
  _exit(127);
}

bool Answers(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const bool ok = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return ok;
}

bool IsThere(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

template <typename Condition>
bool WaitFor(pid_t pid, Condition condition) {
  const auto until = std::chrono::steady_clock::now() + kStartMax;
  while (!condition()) {
    if (waitpid(pid, nullptr, WNOHANG) == pid) return false;
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

void End(pid_t* pid) {
  if (*pid <= 0) return;
  kill(*pid, SIGKILL);
  waitpid(*pid, nullptr, 0);
  *pid = -1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContainerdProcess>> ContainerdProcess::Start() {
  if (geteuid() != 0) return absl::FailedPreconditionError("needs root, to run containers");
  for (const char* program : {"containerd", "ctr", "runc", "busybox", "unshare", "nsenter"}) {
    if (FindProgram(program).empty()) {
      return absl::FailedPreconditionError(absl::StrCat("there is no ", program, " here"));
    }
  }
  if (!IsThere("/usr/lib/cni/bridge")) {
    return absl::FailedPreconditionError("there are no CNI plugins in /usr/lib/cni");
  }
  char folder[] = "/tmp/cri-test-XXXXXX";
  if (mkdtemp(folder) == nullptr) return absl::InternalError("no folder below /tmp");
  auto out = std::unique_ptr<ContainerdProcess>(new ContainerdProcess(folder));
  absl::Status status = out->Prepare();
  if (status.ok()) status = out->Hold();
  if (status.ok()) status = out->Run();
  if (status.ok()) status = out->MakeImage();
  if (!status.ok()) return status;
  return out;
}

absl::Status ContainerdProcess::Prepare() {
  absl::Status status = RunToSuccess({"mkdir", "-p", folder_ + "/cni"});
  Write(folder_ + "/config.toml", In(kConfig, folder_));
  Write(folder_ + "/cni/10-test.conflist", In(kNetwork, folder_));
  return status;
}

// Whoever kills PID 1 of the namespaces kills all that is in them.
absl::Status ContainerdProcess::Hold() {
  const std::string script = absl::StrCat(
      "mount -t tmpfs none /run && ip link set lo up && echo > ", folder_, "/held; exec sleep inf");
  holder_ = Spawn({"unshare", "--net", "--mount", "--pid", "--mount-proc", "--kill-child", "--",
                   "sh", "-c", script},
                  folder_ + "/holder.log");
  if (!WaitFor(holder_, [this] { return IsThere(folder_ + "/held"); })) {
    return absl::FailedPreconditionError("namespaces are not allowed here");
  }
  return absl::OkStatus();
}

absl::Status ContainerdProcess::Run() {
  const std::vector<std::string> inside = Inside();
  std::vector<std::string> argv = inside;
  // Its PID inside is what it can be killed by: this process is only nsenter.
  argv.insert(argv.end(), {"sh", "-c",
                           absl::StrCat("echo $$ > ", folder_, "/pid; exec containerd ",
                                        "--config ", folder_, "/config.toml")});
  containerd_ = Spawn(argv, folder_ + "/containerd.log");
  if (!WaitFor(containerd_, [this] { return Answers(folder_ + "/containerd.sock"); })) {
    return absl::InternalError(absl::StrCat("containerd does not start: see ", folder_));
  }
  return absl::OkStatus();
}

std::vector<std::string> ContainerdProcess::Inside() const {
  // The holder is unshare; its child is PID 1 inside.
  std::string child;
  std::ifstream(absl::StrCat("/proc/", holder_, "/task/", holder_, "/children")) >> child;
  return {"nsenter", "--net", "--mount", "--pid", "--target", child, "--"};
}

absl::Status ContainerdProcess::MakeImage() {
  absl::Status status =
      RunToSuccess({"sh", "-c", kImageScript, "sh", folder_, FindProgram("busybox")});
  if (!status.ok()) return status;
  return RunToSuccess({"ctr", "-a", folder_ + "/containerd.sock", "-n", "k8s.io", "images",
                       "import", folder_ + "/image.tar"});
}

void ContainerdProcess::Kill() {
  std::string pid;
  std::ifstream(folder_ + "/pid") >> pid;
  std::vector<std::string> argv = Inside();
  argv.insert(argv.end(), {"kill", "-9", pid});
  (void)RunToSuccess(argv);
  waitpid(containerd_, nullptr, 0);
  containerd_ = -1;
}

absl::Status ContainerdProcess::StartAgain() { return Run(); }

ContainerdProcess::~ContainerdProcess() {
  End(&holder_);
  End(&containerd_);
  (void)RunToSuccess({"rm", "-rf", "--one-file-system", folder_});
}

}  // namespace meltemi::kubelet
