#include "orchestrator/dns/forward/upstreams.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"

namespace meltemi::dns {
namespace {

constexpr uint16_t kDnsPort = 53;
constexpr size_t kUpstreamsMax = 15;
// After so many failures in a row it is asked last, for a while that doubles.
constexpr int kFailuresMax = 2;
constexpr Duration kDownMin = seconds(2), kDownMax = seconds(30);

}  // namespace

std::vector<net::Address> ParseResolvConf(absl::string_view text) {
  std::vector<net::Address> out;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() < 2 || words[0] != "nameserver" || out.size() >= kUpstreamsMax) continue;
    const absl::StatusOr<net::Address> address = net::Address::FromIp(words[1], kDnsPort);
    if (address.ok()) out.push_back(*address);
  }
  return out;
}

void Upstreams::Set(const std::vector<net::Address>& addresses) {
  std::vector<Upstream> next;
  for (const net::Address& address : addresses) {
    const Upstream* known = Find(address);
    next.push_back(known == nullptr ? Upstream{address} : *known);
  }
  upstreams_ = std::move(next);
}

std::vector<net::Address> Upstreams::Order(MonotonicTime now) const {
  std::vector<net::Address> up, down;
  for (const Upstream& upstream : upstreams_) {
    if (upstream.loops) continue;
    (upstream.down_until > now ? down : up).push_back(upstream.address);
  }
  up.insert(up.end(), down.begin(), down.end());
  return up;
}

void Upstreams::Failed(const net::Address& address, MonotonicTime now) {
  Upstream* upstream = Find(address);
  if (upstream == nullptr || ++upstream->failures < kFailuresMax) return;
  const int doublings = std::min(upstream->failures - kFailuresMax, 4);
  upstream->down_until = now + std::min(kDownMin * (1 << doublings), kDownMax);
}

void Upstreams::Succeeded(const net::Address& address) {
  if (Upstream* upstream = Find(address); upstream != nullptr) {
    upstream->failures = 0;
    upstream->down_until = {};
  }
}

void Upstreams::Loops(const net::Address& address) {
  if (Upstream* upstream = Find(address); upstream != nullptr) upstream->loops = true;
}

void Upstreams::SetPlain(const net::Address& address) {
  if (Upstream* upstream = Find(address); upstream != nullptr) upstream->plain = true;
}

bool Upstreams::plain(const net::Address& address) const {
  for (const Upstream& upstream : upstreams_) {
    if (upstream.address == address) return upstream.plain;
  }
  return false;
}

const std::vector<net::Address> Upstreams::addresses() const {
  std::vector<net::Address> out;
  for (const Upstream& upstream : upstreams_) out.push_back(upstream.address);
  return out;
}

Upstreams::Upstream* Upstreams::Find(const net::Address& address) {
  for (Upstream& upstream : upstreams_) {
    if (upstream.address == address) return &upstream;
  }
  return nullptr;
}

}  // namespace meltemi::dns
