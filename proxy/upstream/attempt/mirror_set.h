// The copies of requests that are under way on one worker.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "proxy/upstream/attempt/mirror.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class MirrorCopy;

// Loop-owned. Owns the copies, which outlive the streams that asked for them.
class MirrorSet {
 public:
  MirrorSet(Loop& loop, metrics::Shard& shard);
  ~MirrorSet();

  // nullptr when too many are under way.
  std::unique_ptr<Mirror> Start(WorkerCluster& cluster, const MirrorOptions& options);
  size_t size() const { return copies_.size(); }

 private:
  friend class MirrorCopy;
  // From the loop: the copy has ended.
  void Remove(MirrorCopy& copy);

  static constexpr size_t kCopiesMax = 1024;
  Loop& loop_;
  metrics::Counter& started_;
  metrics::Counter& dropped_;
  std::vector<std::unique_ptr<MirrorCopy>> copies_;
};

}  // namespace meltemi::proxy
