#include "test/nodes/cluster.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/machine/process.h"

namespace meltemi::nodes {
namespace {

constexpr std::chrono::seconds kShellMax(180);

std::string Real(const char* path) {
  char* const real = realpath(path, nullptr);
  const std::string out = real == nullptr ? path : real;
  std::free(real);
  return out;
}

// "" or what is missing.
std::string Missing() {
  if (geteuid() != 0) return "nodes take root";
  for (const char* program : {"containerd", "runc", "kubectl", "nft", "ip"}) {
    machine::ProcessOptions find;
    find.argv = {"sh", "-c", absl::StrCat("PATH=$PATH:/usr/sbin:/sbin command -v ", program)};
    if (machine::RunToEnd(find, std::chrono::seconds(10)).exit_status != 0) {
      return absl::StrCat(program, " is not installed");
    }
  }
  return access("/usr/lib/cni/bridge", X_OK) == 0 ? "" : "the CNI plugins are not installed";
}

}  // namespace

std::unique_ptr<Cluster> Cluster::Up(const ClusterOptions& options, std::string* why_not) {
  *why_not = Missing();
  if (!why_not->empty()) return nullptr;
  std::string folder = absl::StrCat(testing::TempDir(), "/nodes-XXXXXX");
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  std::vector<std::string> words = {"up", "--port=0"};
  if (options.nodes > 0) words.push_back(absl::StrCat("--nodes=", options.nodes));
  if (!options.mesh) words.push_back("--no-mesh");
  if (options.node_disk_mb > 0) words.push_back("--node-name=small");
  words.insert(words.end(), options.up_args.begin(), options.up_args.end());
  std::unique_ptr<Cluster> cluster(new Cluster(folder, words));
  if (options.node_disk_mb > 0) {
    const Answer disk = cluster->Shell(absl::StrCat(
        "PATH=$PATH:/usr/sbin:/sbin; d=", cluster->NodeDisk(), "; mkdir -p $d && truncate -s ",
        options.node_disk_mb, "M disk && mke2fs -q -t ext4 -m 0 disk && mount -o loop disk $d"));
    if (disk.exit_status != 0) {
      *why_not = "a disk of its own cannot be mounted: " + disk.output;
      return nullptr;
    }
  }
  const auto began = std::chrono::steady_clock::now();
  const Answer up = cluster->UpAgain();
  cluster->up_took_ = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  EXPECT_EQ(up.exit_status, 0) << up.output;
  const std::string images = absl::StrCat(folder, "/images");
  machine::ProcessOptions build;
  build.argv = {Real("examples/images/build"), images};
  build.argv.insert(build.argv.end(), options.images.begin(), options.images.end());
  build.env = {absl::StrCat("MELTEMI=", Real("cli/meltemi"))};
  const machine::Finished built = machine::RunToEnd(build, kShellMax);
  EXPECT_EQ(built.exit_status, 0) << built.output;
  const Answer load = cluster->Shell(
      absl::StrCat(Real("cli/meltemi"), " images load ", images, "/*.tar --data-dir=", folder));
  EXPECT_EQ(load.exit_status, 0) << load.output;
  return cluster;
}

Cluster::~Cluster() {
  if (testing::Test::HasFailure()) {
    const Answer logs = Shell("tail -n 40 run/*.log");
    std::printf("%s\n", logs.output.c_str());
  }
  const Answer down = Meltemi({"down", "--purge"});
  EXPECT_EQ(down.exit_status, 0) << down.output;
}

Answer Cluster::UpAgain() const { return Meltemi(up_); }

Answer Cluster::Meltemi(std::vector<std::string> words, std::chrono::seconds timeout) const {
  machine::ProcessOptions options;
  options.argv = {Real("cli/meltemi")};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.argv.push_back(absl::StrCat("--data-dir=", folder_));
  machine::Finished done = machine::RunToEnd(options, timeout);
  return {done.exit_status, std::move(done.output)};
}

Answer Cluster::Shell(const std::string& line, absl::string_view input) const {
  machine::ProcessOptions options;
  const std::string stdin_file = absl::StrCat(folder_, "/stdin");
  machine::WriteFile(stdin_file, input);
  options.argv = {
      "bash", "-c",
      absl::StrCat("set -o pipefail; cd ", folder_, "; { ", line, "; } < ", stdin_file)};
  options.env = Environment();
  machine::Finished done = machine::RunToEnd(options, kShellMax);
  return {done.exit_status, std::move(done.output)};
}

std::vector<std::string> Cluster::Environment() const {
  return {absl::StrCat("KUBECONFIG=", folder_, "/admin.kubeconfig"), absl::StrCat("HOME=", folder_),
          absl::StrCat("KUBECACHEDIR=", folder_, "/cache")};
}

Answer Cluster::Run(const std::vector<std::string>& argv, std::chrono::seconds timeout) const {
  machine::Finished done = machine::RunToEnd({.argv = argv, .env = Environment()}, timeout);
  return {done.exit_status, std::move(done.output)};
}

absl::StatusOr<machine::Process> Cluster::Start(const std::vector<std::string>& argv,
                                                const std::string& output_path) const {
  machine::WriteFile(output_path, "");
  return machine::Process::Start({.argv = argv, .env = Environment(), .output_path = output_path});
}

std::string Cluster::Pilot(const std::string& path) const {
  return Run({"curl", "-s", "-m", "10", "http://127.0.0.1:15014" + path}, std::chrono::seconds(20))
      .output;
}

std::string Cluster::Out(const std::string& line, absl::string_view input) const {
  return std::string(absl::StripAsciiWhitespace(Shell(line, input).output));
}

std::string Cluster::Does(const std::string& line, absl::string_view input) const {
  const Answer answer = Shell(line, input);
  EXPECT_EQ(answer.exit_status, 0) << line << "\n" << answer.output;
  return std::string(absl::StripAsciiWhitespace(answer.output));
}

bool Cluster::Prints(const std::string& line, const std::string& expected,
                     std::chrono::seconds timeout, std::string* last) const {
  std::string text;
  const bool same = machine::Eventually(
      [&] {
        text = Out(line);
        return text == expected;
      },
      timeout);
  if (last != nullptr) *last = text;
  return same;
}

std::vector<std::string> Cluster::NodeNames() const {
  return absl::StrSplit(Out("kubectl get nodes -o jsonpath='{.items[*].metadata.name}'"), ' ');
}

std::string Cluster::NodeIp(const std::string& node) const {
  return Out(absl::StrCat("kubectl get node ", node,
                          " -o jsonpath='{.status.addresses[?(@.type==\"InternalIP\")].address}'"));
}

}  // namespace meltemi::nodes
