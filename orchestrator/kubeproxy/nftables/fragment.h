// The part of our table that one service makes: elements of maps and sets, and chains of its own
// where it has session affinity, source ranges, or very many endpoints.
//
// A service without these has no chain: it is an element of `services` that leads to a chain shared
// by all services with as many endpoints, which picks one by number out of `endpoints`. So the cost
// of a service and of an endpoint is one element of a hash table.
//
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy::nftables {

// More endpoints than that, and the service has chains of its own. The shared chains that pick are
// all made with the table: nft 1.0.6 can't add rules that look into maps with numbers as keys
// later.
constexpr size_t kSharedMax = 128;

constexpr char kTable[] = "ip meltemi-proxy";
constexpr char kMarkChain[] = "mark-masquerade";
constexpr char kRefuseChain[] = "refuse";

// The maps and sets of the table. A key is an address, a protocol and a port, or without the
// address for ports of the node; where endpoints are picked, a number follows.
enum class Container : uint8_t {
  kClusterIps,          // addresses of which unknown ports are refused
  kServices,            // -> the chain of the service
  kEndpoints,           // -> address and port of the endpoint, for policy Cluster
  kLocalServices,       // -> the chain that picks among endpoints of the node
  kLocalEndpoints,      // -> address and port, for policy Local
  kNodePorts,           // the same four for ports of the node
  kPortEndpoints,       //
  kLocalNodePorts,      //
  kLocalPortEndpoints,  //
  kNoEndpoints,         // -> refuse or drop
  kNoPortEndpoints,     // -> refuse or drop
  kGuarded,             // -> the chain that lets source ranges in
};
constexpr int kContainers = 12;
struct ContainerShape {
  const char* kind;  // "map" or "set"
  const char* name;
  const char* type;  // "type …"
};
const ContainerShape& ShapeOf(Container container);

struct Element {
  Container container = Container::kServices;
  std::string key, value;  // value: "" in sets

  auto Tie() const { return std::tie(container, key, value); }
  bool operator<(const Element& o) const { return Tie() < o.Tie(); }
  bool operator==(const Element& o) const { return Tie() == o.Tie(); }
};

struct Chain {
  std::string name;
  std::vector<std::string> rules;
};

// Remembers which clients an endpoint has.
struct AffinitySet {
  std::string name;  // another one for another time-out: that of a set cannot be changed
  int timeout_s = 0;
};

// A chain for all services of `endpoints` endpoints. In the order in which they are made: those
// that are jumped to first.
struct SharedChain {
  enum class Kind : uint8_t {
    kPick,
    kPickLocal,
    kPortPick,
    kPortPickLocal,
    kInternal,
    kInternalLocal,
    kExternal,
    kExternalLocal,
    kPortExternal,
    kPortExternalLocal,
  };
  Kind kind = Kind::kPick;
  size_t endpoints = 0;

  std::string Name() const;
  std::vector<std::string> Rules() const;
  // What its rules go to, beside chains that are always there.
  std::vector<SharedChain> Needs() const;
  bool operator<(const SharedChain& o) const {
    return std::tie(kind, endpoints) < std::tie(o.kind, o.endpoints);
  }
};

struct Fragment {
  std::vector<Element> elements;  // sorted
  std::vector<Chain> chains;
  std::vector<AffinitySet> sets;
  std::set<SharedChain> shared;
  std::vector<Ipv4> own;  // endpoints that may call themselves through the service; sorted
};

// `service` may be null: nothing. `node_ip`: 0 when it is not known.
Fragment FragmentOf(const ServiceRules* service, Ipv4 node_ip);

}  // namespace meltemi::kubeproxy::nftables
