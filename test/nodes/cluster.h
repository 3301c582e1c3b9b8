// A whole cluster of real nodes on this machine, as `meltemi up` makes it, with the tutorial's
// images loaded, and kubectl talking to it.
//
// One thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "test/machine/process.h"

namespace meltemi::nodes {

struct Answer {
  int exit_status = -1;
  std::string output;  // stdout and stderr
};

struct ClusterOptions {
  int nodes = 0;                     // 0: this machine is the node; else network namespaces
  std::vector<std::string> up_args;  // more of them
  bool mesh = false;
  // The one node has a disk of its own for all that it keeps, of so many megabytes; 0: it has none.
  int node_disk_mb = 0;
  std::vector<std::string> images = {"nginx-1.10", "busybox"};  // of examples/images
};

class Cluster {
 public:
  // Null and why in `why_not`: what it takes is not on this machine, and the test is skipped. What
  // should work and does not fails the test.
  static std::unique_ptr<Cluster> Up(const ClusterOptions& options, std::string* why_not);
  ~Cluster();  // meltemi down --purge
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // `up` once more, as at the beginning: what has died starts again.
  Answer UpAgain() const;
  // The tool of ours: Meltemi({"status"}) …; --data-dir is added.
  Answer Meltemi(std::vector<std::string> words,
                 std::chrono::seconds timeout = std::chrono::seconds(120)) const;
  // `line` as a shell would run it, with KUBECONFIG and `kubectl` set; `input` on standard input.
  Answer Shell(const std::string& line, absl::string_view input = "") const;
  // A command without a shell.
  Answer Run(const std::vector<std::string>& argv, std::chrono::seconds timeout) const;
  // One that goes on; its output goes into a file.
  absl::StatusOr<machine::Process> Start(const std::vector<std::string>& argv,
                                         const std::string& output_path) const;
  // A debug page of pilot.
  std::string Pilot(const std::string& path) const;
  // What it prints, without the space around it.
  std::string Out(const std::string& line, absl::string_view input = "") const;
  // The same, and the test fails if it does not succeed.
  std::string Does(const std::string& line, absl::string_view input = "") const;
  // Runs the line until it prints `expected`; false when it still prints something else after
  // `timeout`, which is in `last`.
  bool Prints(const std::string& line, const std::string& expected, std::chrono::seconds timeout,
              std::string* last = nullptr) const;

  // The folder of the node's own disk.
  std::string NodeDisk() const { return folder_ + "/nodes/small"; }
  std::vector<std::string> NodeNames() const;
  std::string NodeIp(const std::string& node) const;
  const std::string& folder() const { return folder_; }
  std::chrono::milliseconds up_took() const { return up_took_; }

 private:
  Cluster(std::string folder, std::vector<std::string> up)
      : folder_(std::move(folder)), up_(std::move(up)) {}
  std::vector<std::string> Environment() const;

  const std::string folder_;
  const std::vector<std::string> up_;  // the words it was begun with
  std::chrono::milliseconds up_took_{};
};

}  // namespace meltemi::nodes
