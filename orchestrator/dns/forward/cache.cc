#include "orchestrator/dns/forward/cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace meltemi::dns {
namespace {

constexpr size_t kEntryBytes = 400;                 // of an entry beside its message, roughly
constexpr uint16_t kCopiedFlags = 0x8000 | 0x0020;  // a response; authentic data

void Put16(std::string& out, size_t at, uint16_t value) {
  out[at] = static_cast<char>(value >> 8);
  out[at + 1] = static_cast<char>(value);
}

uint32_t Get32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

void Put32(std::string& out, size_t at, uint32_t value) {
  Put16(out, at, static_cast<uint16_t>(value >> 16));
  Put16(out, at + 2, static_cast<uint16_t>(value));
}

// At the end of the message; the count of additional records grows.
void AppendOpt(std::string& out, const Query& query) {
  const size_t at = out.size();
  out.resize(at + kOptBytes, '\0');
  Put16(out, at + 1, kTypeOpt);
  Put16(out, at + 3, kUdpBytesMax);
  if (query.dnssec_ok) out[at + 7] = static_cast<char>(0x80);
  const uint32_t counts = Get32(out, 8) + 1;  // authority above, additional below
  Put32(out, 8, counts);
}

}  // namespace

ForwardKey ForwardKey::Of(const Query& query) {
  return {query.name, query.type, query.klass, query.dnssec_ok,
          (query.flags & kFlagCheckingDisabled) != 0};
}

Duration TimeToLive(const AnswerInfo& info) {
  if ((info.flags & kFlagTruncated) != 0) return Duration::zero();
  if (info.rcode != kNoError && info.rcode != kNxDomain) return Duration::zero();
  if (info.answers > 0 && info.rcode == kNoError) return seconds(info.ttl_min);
  return info.has_soa ? seconds(info.negative_ttl) : Duration::zero();
}

UpstreamAnswerPtr AnswerCache::Find(const ForwardKey& key, MonotonicTime now) {
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  if (found->second->until <= now) {
    Drop(found->second);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->answer;
}

void AnswerCache::Add(const ForwardKey& key, UpstreamAnswerPtr answer) {
  if (const auto old = index_.find(key); old != index_.end()) Drop(old->second);
  const Duration ttl = std::min(TimeToLive(answer->info), ttl_max_);
  const size_t bytes = kEntryBytes + answer->message.size() + key.name.size() * 2 +
                       answer->info.ttl_offsets.size() * 2;
  if (ttl < seconds(1) || bytes > bytes_max_) return;
  while (bytes_ + bytes > bytes_max_) Drop(std::prev(entries_.end()));
  const MonotonicTime until = answer->received_at + ttl;
  entries_.push_front({key, std::move(answer), until, bytes});
  index_[key] = entries_.begin();
  bytes_ += bytes;
}

void AnswerCache::Drop(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  index_.erase(entry->key);
  entries_.erase(entry);
}

std::string AnswerFor(const Query& query, const UpstreamAnswer& answer, MonotonicTime now,
                      size_t bytes_max) {
  const size_t opt_bytes = query.has_edns ? kOptBytes : 0;
  std::string out = answer.message;
  uint16_t flags = static_cast<uint16_t>(
      (answer.info.flags & kCopiedFlags) | kFlagRecursionAvailable | answer.info.rcode |
      (query.flags & (kFlagRecursionDesired | kFlagCheckingDisabled)) | kFlagResponse);
  // The same letters, perhaps in another case: the length is the same.
  std::memcpy(&out[kHeaderBytes], query.question.data(), query.question.size());
  if (out.size() + opt_bytes > bytes_max) {
    flags |= kFlagTruncated;
    out.resize(answer.info.question_end);
    Put32(out, 6, 0);
    Put16(out, 10, 0);
  } else {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - answer.received_at);
    const auto age_s = static_cast<uint32_t>(std::max<int64_t>(0, age.count()));
    for (const uint16_t at : answer.info.ttl_offsets) {
      const uint32_t ttl = Get32(out, at);
      Put32(out, at, ttl > age_s ? ttl - age_s : 0);
    }
  }
  Put16(out, 0, query.id);
  Put16(out, 2, flags);
  if (query.has_edns) AppendOpt(out, query);
  return out;
}

}  // namespace meltemi::dns
