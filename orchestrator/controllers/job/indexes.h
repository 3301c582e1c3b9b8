// Sets of a Job's completion indexes, as its status and its success policy write them: "1,3-5,7".
//
// Threads: plain value types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers::jobs {

constexpr char kIndexAnnotation[] = "batch.kubernetes.io/job-completion-index";

class IndexSet {
 public:
  IndexSet() = default;
  // What can't be read is left out, and so is what is not below `completions`.
  static IndexSet Parse(absl::string_view text, int completions);

  void Add(int index);  // cheap in ascending order
  void AddAll(const IndexSet& other);
  bool Contains(int index) const;
  bool empty() const { return ranges_.empty(); }
  int64_t size() const;
  // How many indexes both have.
  int64_t CommonWith(const IndexSet& other) const;
  // The first `count` indexes below `completions` that are not in the set.
  std::vector<int> FirstMissing(int count, int completions) const;
  // Two neighbours are "4,5", three "4-6".
  std::string ToString() const;

 private:
  struct Range {
    int first, last;
  };
  std::vector<Range> ranges_;  // sorted, with gaps between them
};

// The index that the pod's annotation says; -1: none, or nothing that can be one.
int IndexOf(const kube::core::v1::Pod& pod);
// The annotation's number; 0 when it is missing or no number that it can be.
int FailureCountOf(const kube::core::v1::Pod& pod, const std::string& annotation);

}  // namespace meltemi::controllers::jobs
