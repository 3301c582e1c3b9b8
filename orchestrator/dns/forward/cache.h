// Answers of upstream servers, kept for as long as they count.
//
// Not thread-safe: of one loop. Source: RFC 2308 (nothing is an answer, too), RFC 1035 7.4.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "orchestrator/dns/wire/message.h"

namespace meltemi::dns {

// What an answer is found by.
struct ForwardKey {
  Name name;
  uint16_t type = 0, klass = 0;
  bool dnssec_ok = false, checking_disabled = false;

  bool operator==(const ForwardKey& o) const {
    return name == o.name && type == o.type && klass == o.klass && dnssec_ok == o.dnssec_ok &&
           checking_disabled == o.checking_disabled;
  }
  template <typename H>
  friend H AbslHashValue(H h, const ForwardKey& k) {
    return H::combine(std::move(h), k.name, k.type, k.klass, k.dnssec_ok, k.checking_disabled);
  }
  static ForwardKey Of(const Query& query);
};

// An answer without its OPT record.
struct UpstreamAnswer {
  std::string message;
  AnswerInfo info;
  MonotonicTime received_at;
  bool denial() const { return info.rcode == kNxDomain || info.answers == 0; }
};
using UpstreamAnswerPtr = std::shared_ptr<const UpstreamAnswer>;

class AnswerCache {
 public:
  AnswerCache(size_t bytes_max, Duration ttl_max) : bytes_max_(bytes_max), ttl_max_(ttl_max) {}

  // Null: none, or it no longer counts.
  UpstreamAnswerPtr Find(const ForwardKey& key, MonotonicTime now);
  // Kept if it counts for a second at least; what was used longest ago makes room.
  void Add(const ForwardKey& key, UpstreamAnswerPtr answer);
  size_t size() const { return index_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    ForwardKey key;
    UpstreamAnswerPtr answer;
    MonotonicTime until;
    size_t bytes;
  };
  void Drop(std::list<Entry>::iterator entry);

  const size_t bytes_max_;
  const Duration ttl_max_;
  std::list<Entry> entries_;  // the last used one first
  absl::flat_hash_map<ForwardKey, std::list<Entry>::iterator> index_;
  size_t bytes_ = 0;
};

// How long it counts: the least TTL of its records, or what RFC 2308 says of nothing. Zero: not at
// all.
Duration TimeToLive(const AnswerInfo& info);

// The answer as it is given to this asker: its id, the case of its question, TTLs that have run
// since, EDNS if it speaks it; cut to the question alone where it does not fit.
std::string AnswerFor(const Query& query, const UpstreamAnswer& answer, MonotonicTime now,
                      size_t bytes_max);

}  // namespace meltemi::dns
