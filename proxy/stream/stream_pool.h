// A worker's streams that are not in use, and the few things that all its streams share.
//
// Loop-owned; outlives all streams. A released stream is recycled at the end of the turn, so that
// whoever still stands on the stack in it may return.
#pragma once

#include <memory>
#include <vector>

#include "base/loop/loop.h"
#include "proxy/connection/worker_context.h"
#include "proxy/stream/response_headers.h"

namespace meltemi::proxy {

class Stream;

class StreamPool final : private TurnEndTask {
 public:
  explicit StreamPool(WorkerContext& worker);
  ~StreamPool() override;

  Stream* Acquire();
  // After Stream::End.
  void Release(Stream* stream);
  DateText& date() { return date_; }
  WorkerContext& worker() { return worker_; }

 private:
  // More free streams than this are given back to the allocator.
  static constexpr size_t kFreeMax = 1024;
  void RunAtTurnEnd() override;

  WorkerContext& worker_;
  DateText date_;
  std::vector<std::unique_ptr<Stream>> free_;
  std::vector<std::unique_ptr<Stream>> released_;
};

}  // namespace meltemi::proxy
