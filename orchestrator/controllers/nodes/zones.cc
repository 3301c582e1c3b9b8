#include "orchestrator/controllers/nodes/zones.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::controllers {
namespace {

// Fewer nodes than these that are down in a zone say nothing about the zone.
constexpr int kFewDown = 2;

std::string LabelOf(const kube::core::v1::Node& node, const char* name, const char* older) {
  const auto& labels = node.metadata().labels();
  for (const char* key : {name, older}) {
    const auto found = labels.find(key);
    if (found != labels.end()) return found->second;
  }
  return "";
}

}  // namespace

std::string ZoneOf(const kube::core::v1::Node& node) {
  const std::string region =
      LabelOf(node, "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
  const std::string zone =
      LabelOf(node, "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
  // No label holds a colon.
  return region.empty() && zone.empty() ? "" : absl::StrCat(region, ":", zone);
}

Zones::State Zones::StateOf(const Count& count) const {
  const int all = count.ready + count.not_ready;
  if (count.ready == 0 && count.not_ready > 0) return State::kFull;
  if (count.not_ready > kFewDown &&
      static_cast<double>(count.not_ready) / all >= options_.unhealthy_threshold) {
    return State::kPartial;
  }
  return State::kNormal;
}

double Zones::RateOf(State state, int size) const {
  if (state != State::kPartial) return options_.rate;
  return size > options_.large_size ? options_.secondary_rate : 0;
}

Zones::Zone& Zones::At(const std::string& name) {
  const auto [at, is_new] = zones_.try_emplace(name);
  if (is_new) at->second.rate = options_.rate;
  return at->second;
}

void Zones::Fill(Zone& zone, MonotonicTime now) {
  const double passed = std::chrono::duration<double>(now - zone.filled).count();
  zone.tokens = std::min(1.0, zone.tokens + passed * zone.rate);
  zone.filled = now;
}

Zones::Turn Zones::Update(const std::map<std::string, Count>& counts, MonotonicTime now) {
  for (auto at = zones_.begin(); at != zones_.end();) {
    const bool gone = counts.count(at->first) == 0 && at->second.waiting.empty();
    at = gone ? zones_.erase(at) : std::next(at);
  }
  bool all_full = !counts.empty();
  for (const auto& [name, count] : counts) {
    Zone& zone = At(name);
    Fill(zone, now);
    zone.state = StateOf(count);
    zone.rate = RateOf(zone.state, count.ready + count.not_ready);
    all_full = all_full && zone.state == State::kFull;
  }
  const bool was_outage = std::exchange(outage_, all_full);
  if (outage_ == was_outage) return Turn::kNone;
  return outage_ ? Turn::kOutageBegins : Turn::kOutageEnds;
}

Zones::State Zones::state(const std::string& zone) const {
  const auto found = zones_.find(zone);
  return found == zones_.end() ? State::kInitial : found->second.state;
}

void Zones::Wait(const std::string& zone, const std::string& node) {
  const auto [at, is_new] = zone_of_waiting_.emplace(node, zone);
  if (!is_new && at->second == zone) return;
  if (!is_new) {
    Drop(node);
    zone_of_waiting_[node] = zone;
  }
  At(zone).waiting.push_back(node);
}

void Zones::Drop(const std::string& node) {
  const auto found = zone_of_waiting_.find(node);
  if (found == zone_of_waiting_.end()) return;
  std::deque<std::string>& waiting = zones_[found->second].waiting;
  waiting.erase(std::remove(waiting.begin(), waiting.end(), node), waiting.end());
  zone_of_waiting_.erase(found);
}

Zones::Next Zones::Take(const std::string& name, MonotonicTime now) {
  const auto found = zones_.find(name);
  if (found == zones_.end() || found->second.waiting.empty() || outage_) return {};
  Zone& zone = found->second;
  Fill(zone, now);
  if (zone.rate <= 0) return {};
  if (zone.tokens < 1 - 1e-9) {
    const double wait_s = (1 - zone.tokens) / zone.rate;
    return {"", std::max<Duration>(milliseconds(1), Duration(static_cast<int64_t>(wait_s * 1e9)))};
  }
  zone.tokens -= 1;
  Next next{zone.waiting.front(), std::nullopt};
  zone.waiting.pop_front();
  zone_of_waiting_.erase(next.node);
  return next;
}

std::vector<std::string> Zones::ZonesThatWait() const {
  std::vector<std::string> out;
  for (const auto& [name, zone] : zones_) {
    if (!zone.waiting.empty()) out.push_back(name);
  }
  return out;
}

}  // namespace meltemi::controllers
