// An API server of the test's own, and kubectl talking to it.
//
// One thread.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "test/machine/process.h"

namespace meltemi::kubectl {

struct Answer {
  int exit_status = -1;
  std::string output;  // stdout and stderr
};

class Cluster {
 public:
  // Starts `meltemi up --control-plane-only` in a folder of its own; fails the test if it can't.
  Cluster();
  ~Cluster();  // meltemi down
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // The tool of ours: Meltemi({"down"}) …; --data-dir is added.
  Answer Meltemi(std::vector<std::string> words) const;
  // `line` as a shell would run it, with KUBECONFIG and `kubectl` set; `input` on standard input.
  Answer Shell(const std::string& kubectl, const std::string& line,
               absl::string_view input = "") const;

  const std::string& folder() const { return folder_; }
  // A file in the folder; its path.
  std::string Write(const std::string& name, absl::string_view text) const;

 private:
  std::string folder_;
};

// kubectl as it is installed here, and Debian's own version where that is another: name and path.
struct Program {
  std::string name, path;
  std::string why_not;  // it can't be had
};
std::vector<Program> Programs();

}  // namespace meltemi::kubectl
