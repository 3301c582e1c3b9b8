#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes/xxhash.h"
#include "proxy/upstream/balance/hash_key.h"
#include "proxy/upstream/balance/hash_table.h"
#include "proxy/upstream/cluster/host_set.h"

namespace meltemi::proxy {
namespace {

// Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4, with
// weights: a host of less weight sits out some rounds.
class Maglev final : public HashTable {
 public:
  Maglev(const HostList& list, const ClusterConfig& config) {
    if (list.hosts.empty()) return;
    hosts_.reserve(list.hosts.size());
    std::vector<Builder> builders = MakeBuilders(list, config);
    places_.assign(config.maglev_table_size, kEmpty);
    Fill(builders);
  }

  const Host* Pick(uint64_t hash, uint32_t attempt) const override {
    if (places_.empty()) return nullptr;
    if (attempt > 0) hash ^= ~uint64_t{0} - attempt + 1;
    return hosts_[places_[hash % places_.size()]];
  }

  size_t size() const override { return places_.size(); }

 private:
  static constexpr uint32_t kEmpty = UINT32_MAX;

  struct Builder {
    uint64_t offset, skip, next = 0;
    double weight;
    double target = 0;
    std::string key;
    const Host* host;
  };

  std::vector<Builder> MakeBuilders(const HostList& list, const ClusterConfig& config) {
    std::vector<Builder> builders;
    const uint64_t size = config.maglev_table_size;
    for (const WeightedHost& entry : list.hosts) {
      std::string key = HashKey(*entry.host, config);
      const uint64_t offset = XxHash64(key) % size;
      const uint64_t skip = XxHash64(key, 1) % (size - 1) + 1;
      builders.push_back({offset, skip, 0, static_cast<double>(entry.weight), 0, std::move(key),
                          entry.host.get()});
    }
    std::sort(builders.begin(), builders.end(),
              [](const Builder& a, const Builder& b) { return a.key < b.key; });
    for (const Builder& builder : builders) hosts_.push_back(builder.host);
    return builders;
  }

  void Fill(std::vector<Builder>& builders) {
    double weight_max = 0;
    for (const Builder& builder : builders) weight_max = std::max(weight_max, builder.weight);
    uint64_t filled = 0;
    for (uint64_t round = 1; filled < places_.size(); ++round) {
      for (uint32_t i = 0; i < builders.size() && filled < places_.size(); ++i) {
        Builder& builder = builders[i];
        if (static_cast<double>(round) * builder.weight < builder.target) continue;
        builder.target += weight_max;
        uint64_t place;
        do {
          place = (builder.offset + builder.skip * builder.next++) % places_.size();
        } while (places_[place] != kEmpty);
        places_[place] = i;
        ++filled;
      }
    }
  }

  std::vector<const Host*> hosts_;
  std::vector<uint32_t> places_;
};

}  // namespace

std::unique_ptr<const HashTable> NewMaglev(const HostList& list, const ClusterConfig& config) {
  return std::make_unique<Maglev>(list, config);
}

}  // namespace meltemi::proxy
