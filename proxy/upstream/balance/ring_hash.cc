#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "proxy/upstream/balance/hash_key.h"
#include "proxy/upstream/balance/hash_table.h"
#include "proxy/upstream/cluster/host_set.h"

namespace meltemi::proxy {
namespace {

class Ring final : public HashTable {
 public:
  Ring(const HostList& list, const ClusterConfig& config) {
    if (list.hosts.empty()) return;
    double weight_sum = 0, weight_min = list.hosts.front().weight;
    for (const WeightedHost& entry : list.hosts) {
      weight_sum += entry.weight;
      weight_min = std::min<double>(weight_min, entry.weight);
    }
    // The host with the least weight gets a whole number of places, and all together at least the
    // configured minimum, unless that passes the maximum.
    const double least = weight_min / weight_sum;
    const double scale =
        std::min(std::ceil(least * static_cast<double>(config.ring_size_min)) / least,
                 static_cast<double>(config.ring_size_max));
    places_.reserve(static_cast<size_t>(std::ceil(scale)));
    double target = 0;
    for (const WeightedHost& entry : list.hosts) {
      target += scale * (entry.weight / weight_sum);
      const std::string key = absl::StrCat(HashKey(*entry.host, config), "_");
      for (uint64_t i = 0; static_cast<double>(places_.size()) < target; ++i) {
        places_.push_back({XxHash64(absl::StrCat(key, i)), entry.host.get()});
      }
    }
    std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return a.hash < b.hash || (a.hash == b.hash && HashKeyLess(*a.host, *b.host));
    });
  }

  const Host* Pick(uint64_t hash, uint32_t attempt) const override {
    if (places_.empty()) return nullptr;
    const auto at = std::lower_bound(places_.begin(), places_.end(), hash,
                                     [](const Place& place, uint64_t h) { return place.hash < h; });
    const size_t index = static_cast<size_t>(at - places_.begin());
    return places_[(index + attempt) % places_.size()].host;
  }

  size_t size() const override { return places_.size(); }

 private:
  struct Place {
    uint64_t hash;
    const Host* host;
  };
  std::vector<Place> places_;
};

}  // namespace

std::unique_ptr<const HashTable> NewRing(const HostList& list, const ClusterConfig& config) {
  return std::make_unique<Ring>(list, config);
}

}  // namespace meltemi::proxy
