// A queue of bytes kept in a chain of blocks: append at the back, drain at the front, move between
// queues without copying.
//
// Not thread-safe; blocks come from a free list of the thread and may be given back on another one.
// An empty buffer owns no block, so idle connections cost nothing.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace meltemi {

class Buffer {
 public:
  // Bytes of payload that a fresh block takes (a block with its header is 16 KiB).
  static constexpr size_t kBlockBytes = 16 * 1024 - 32;

  Buffer() = default;
  explicit Buffer(absl::string_view bytes) { Append(bytes); }
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Copies `bytes` to the back.
  void Append(absl::string_view bytes);
  // Moves the first `count` bytes (all when larger) of `from` to the back of this. Whole blocks
  // change hands; small pieces (under 4 KiB that fit) are copied to keep the chain short.
  void MoveFrom(Buffer& from, size_t count = SIZE_MAX);
  // Copies all of `from` to the back (mirrors, replays); `from` is unchanged.
  void CopyFrom(const Buffer& from);
  // Forgets the first `count` bytes; count <= size().
  void Drain(size_t count);
  void Clear();

  // The first contiguous run of bytes: empty only when the buffer is. Valid until the next change.
  absl::string_view Front() const;
  // Makes the first `count` bytes contiguous (copies only when they are not) and returns them.
  // count <= size().
  absl::string_view Linearize(size_t count);
  // Copies bytes [offset, offset + count) to `to`; the range must lie within the buffer.
  void CopyOut(size_t offset, size_t count, char* to) const;
  std::string ToString() const;
  bool operator==(absl::string_view other) const;

  // Room at the back: at least `bytes_min` (<= kBlockBytes) contiguous bytes; `room` tells how
  // many. Commit(n) makes the first n of them part of the queue. Nothing else may happen in
  // between.
  char* Reserve(size_t bytes_min, size_t* room);
  void Commit(size_t count);

  // Fills `out` with the first runs of bytes for a gathered write; returns how many were filled.
  size_t Gather(absl::Span<iovec> out) const;

  // Calls f(string_view) for each contiguous run in order.
  template <typename F>
  void ForEachRun(F&& f) const {
    for (const Block* b = head_; b != nullptr; b = b->next) f(b->bytes());
  }

 private:
  struct Block {
    Block* next;
    uint32_t begin;     // first byte in use
    uint32_t end;       // one past the last byte in use
    uint32_t capacity;  // bytes of `data`
    char* data() { return reinterpret_cast<char*>(this + 1); }
    const char* data() const { return reinterpret_cast<const char*>(this + 1); }
    absl::string_view bytes() const { return {data() + begin, static_cast<size_t>(end - begin)}; }
  };

  static Block* NewBlock(size_t capacity_min);
  static void FreeBlock(Block* block);
  void PushBlock(Block* block);
  Block* PopBlock();

  Block* head_ = nullptr;
  Block* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace meltemi
