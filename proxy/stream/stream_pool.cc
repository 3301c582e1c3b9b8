#include "proxy/stream/stream_pool.h"

#include <utility>

#include "proxy/stream/stream.h"

namespace meltemi::proxy {

StreamPool::StreamPool(WorkerContext& worker) : worker_(worker) {}

StreamPool::~StreamPool() = default;

Stream* StreamPool::Acquire() {
  if (free_.empty()) return new Stream(worker_, *this);
  Stream* stream = free_.back().release();
  free_.pop_back();
  return stream;
}

void StreamPool::Release(Stream* stream) {
  released_.emplace_back(stream);
  worker_.loop.AtTurnEnd(this);
}

void StreamPool::RunAtTurnEnd() {
  for (std::unique_ptr<Stream>& stream : released_) {
    stream->Recycle();
    if (free_.size() < kFreeMax) free_.push_back(std::move(stream));
  }
  released_.clear();
}

}  // namespace meltemi::proxy
