#include "base/bytes/buffer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "base/log/log.h"

namespace meltemi {
namespace {

// Pieces below this size are copied behind the tail's bytes where they fit, instead of linking a
// nearly empty block: what a queue holds then takes at most about four times its size in memory.
constexpr size_t kCopyInsteadOfLinkBytes = 4096;
// Full-size blocks that a thread keeps for reuse: 64 × 16 KiB = 1 MiB at most.
constexpr size_t kFreeBlocksMax = 64;

struct FreeList {
  void* head = nullptr;
  size_t count = 0;
  ~FreeList() {
    while (head != nullptr) {
      void* next = *static_cast<void**>(head);
      std::free(head);
      head = next;
    }
  }
};

FreeList& ThreadFreeList() {
  static thread_local FreeList list;
  return list;
}

}  // namespace

Buffer::Block* Buffer::NewBlock(size_t capacity_min) {
  const size_t capacity = std::max(capacity_min, kBlockBytes);
  void* memory = nullptr;
  if (capacity == kBlockBytes) {
    FreeList& list = ThreadFreeList();
    if (list.head != nullptr) {
      memory = list.head;
      list.head = *static_cast<void**>(memory);
      --list.count;
    }
  }
  if (memory == nullptr) memory = std::malloc(sizeof(Block) + capacity);
  CHECK(memory != nullptr);
  return new (memory) Block{nullptr, 0, 0, static_cast<uint32_t>(capacity)};
}

void Buffer::FreeBlock(Block* block) {
  FreeList& list = ThreadFreeList();
  if (block->capacity == kBlockBytes && list.count < kFreeBlocksMax) {
    *reinterpret_cast<void**>(block) = list.head;
    list.head = block;
    ++list.count;
    return;
  }
  std::free(block);
}

Buffer::Buffer(Buffer&& other) noexcept
    : head_(std::exchange(other.head_, nullptr)),
      tail_(std::exchange(other.tail_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  head_ = std::exchange(other.head_, nullptr);
  tail_ = std::exchange(other.tail_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void Buffer::PushBlock(Block* block) {
  block->next = nullptr;
  if (tail_ == nullptr) {
    head_ = block;
  } else {
    tail_->next = block;
  }
  tail_ = block;
}

Buffer::Block* Buffer::PopBlock() {
  Block* block = head_;
  head_ = block->next;
  if (head_ == nullptr) tail_ = nullptr;
  return block;
}

char* Buffer::Reserve(size_t bytes_min, size_t* room) {
  DCHECK(bytes_min <= kBlockBytes);
  if (tail_ == nullptr || tail_->capacity - tail_->end < bytes_min)
    PushBlock(NewBlock(kBlockBytes));
  *room = tail_->capacity - tail_->end;
  return tail_->data() + tail_->end;
}

void Buffer::Commit(size_t count) {
  DCHECK(tail_ != nullptr && tail_->capacity - tail_->end >= count);
  tail_->end += static_cast<uint32_t>(count);
  size_ += count;
  if (size_ == 0) Clear();
}

void Buffer::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    size_t room = 0;
    char* to = Reserve(1, &room);
    const size_t count = std::min(room, bytes.size());
    std::memcpy(to, bytes.data(), count);
    Commit(count);
    bytes.remove_prefix(count);
  }
}

void Buffer::MoveFrom(Buffer& from, size_t count) {
  DCHECK(&from != this);
  count = std::min(count, from.size_);
  while (count > 0) {
    Block* block = from.head_;
    const size_t used = block->end - block->begin;
    const bool whole = used <= count;
    const size_t moved = whole ? used : count;
    const bool fits = tail_ != nullptr && tail_->capacity - tail_->end >= moved;
    if (!whole || (moved < kCopyInsteadOfLinkBytes && fits)) {
      Append({block->data() + block->begin, moved});
      from.Drain(moved);
    } else {
      from.PopBlock();
      from.size_ -= moved;
      PushBlock(block);
      size_ += moved;
    }
    count -= moved;
  }
}

void Buffer::CopyFrom(const Buffer& from) {
  from.ForEachRun([this](absl::string_view run) { Append(run); });
}

void Buffer::Drain(size_t count) {
  DCHECK(count <= size_);
  size_ -= count;
  while (count > 0) {
    const size_t used = head_->end - head_->begin;
    if (count < used) {
      head_->begin += static_cast<uint32_t>(count);
      return;
    }
    count -= used;
    FreeBlock(PopBlock());
  }
  // Blocks that were reserved and never committed.
  if (size_ == 0) Clear();
}

void Buffer::Clear() {
  while (head_ != nullptr) FreeBlock(PopBlock());
  size_ = 0;
}

absl::string_view Buffer::Front() const {
  const Block* block = head_;
  while (block != nullptr && block->begin == block->end) block = block->next;
  return block == nullptr ? absl::string_view() : block->bytes();
}

absl::string_view Buffer::Linearize(size_t count) {
  DCHECK(count <= size_);
  if (count == 0) return {};
  while (head_->begin == head_->end) FreeBlock(PopBlock());
  if (head_->end - head_->begin >= count) return {head_->data() + head_->begin, count};
  Block* joined = NewBlock(count);
  while (joined->end < count) {
    const size_t used = head_->end - head_->begin;
    const size_t taken = std::min(used, count - joined->end);
    std::memcpy(joined->data() + joined->end, head_->data() + head_->begin, taken);
    joined->end += static_cast<uint32_t>(taken);
    if (taken == used) {
      FreeBlock(PopBlock());
    } else {
      head_->begin += static_cast<uint32_t>(taken);
    }
  }
  joined->next = head_;
  head_ = joined;
  if (tail_ == nullptr) tail_ = joined;
  return {joined->data(), count};
}

void Buffer::CopyOut(size_t offset, size_t count, char* to) const {
  DCHECK(offset + count <= size_);
  for (const Block* block = head_; count > 0; block = block->next) {
    const absl::string_view run = block->bytes();
    if (offset >= run.size()) {
      offset -= run.size();
      continue;
    }
    const size_t taken = std::min(run.size() - offset, count);
    std::memcpy(to, run.data() + offset, taken);
    to += taken;
    count -= taken;
    offset = 0;
  }
}

std::string Buffer::ToString() const {
  std::string text(size_, '\0');
  CopyOut(0, size_, text.data());
  return text;
}

bool Buffer::operator==(absl::string_view other) const {
  if (size_ != other.size()) return false;
  for (const Block* block = head_; block != nullptr; block = block->next) {
    const absl::string_view run = block->bytes();
    if (other.substr(0, run.size()) != run) return false;
    other.remove_prefix(run.size());
  }
  return true;
}

size_t Buffer::Gather(absl::Span<iovec> out) const {
  size_t filled = 0;
  for (const Block* block = head_; block != nullptr && filled < out.size(); block = block->next) {
    if (block->begin == block->end) continue;
    out[filled].iov_base = const_cast<char*>(block->data()) + block->begin;
    out[filled].iov_len = block->end - block->begin;
    ++filled;
  }
  return filled;
}

}  // namespace meltemi
