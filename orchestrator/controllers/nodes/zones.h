// How fast nodes get NoExecute taints: zone by zone, slower where many nodes of a zone are down at
// once, and not at all while no node of the cluster is ready (then it is rather this side that is
// cut off).
//
//   kInitial -> kNormal <-> kPartial <-> kFull       all zones kFull: an outage
//
// Threads: not thread-safe. Source: the rules of Kubernetes' node lifecycle controller.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/core/v1/node.pb.h"

namespace meltemi::controllers {

// Region and zone of a node, as one word; empty when it tells neither.
std::string ZoneOf(const kube::core::v1::Node& node);

class Zones {
 public:
  enum class State : uint8_t { kInitial, kNormal, kPartial, kFull };
  struct Options {
    double rate = 0.1, secondary_rate = 0.01;  // nodes per second
    int large_size = 50;
    double unhealthy_threshold = 0.55;
  };
  struct Count {
    int ready = 0, not_ready = 0;
  };
  enum class Turn : uint8_t { kNone, kOutageBegins, kOutageEnds };

  explicit Zones(const Options& options) : options_(options) {}

  // How many nodes of each zone are ready now.
  Turn Update(const std::map<std::string, Count>& counts, MonotonicTime now);
  // Nobody gets taints, and those that are there are taken away.
  bool outage() const { return outage_; }
  State state(const std::string& zone) const;

  // The node waits for its zone's turn; once.
  void Wait(const std::string& zone, const std::string& node);
  // It waits no longer, wherever it was.
  void Drop(const std::string& node);
  struct Next {
    std::string node;               // empty: nobody's turn
    std::optional<Duration> after;  // until then; nothing: until something changes
  };
  // The node whose turn it is now: it does not wait any longer.
  Next Take(const std::string& zone, MonotonicTime now);
  std::vector<std::string> ZonesThatWait() const;

 private:
  struct Zone {
    State state = State::kInitial;
    double rate = 0, tokens = 1;
    MonotonicTime filled;
    std::deque<std::string> waiting;
  };

  State StateOf(const Count& count) const;
  double RateOf(State state, int size) const;
  Zone& At(const std::string& zone);
  static void Fill(Zone& zone, MonotonicTime now);

  const Options options_;
  std::map<std::string, Zone> zones_;
  std::map<std::string, std::string> zone_of_waiting_;  // by node
  bool outage_ = false;
};

}  // namespace meltemi::controllers
