#include "pilot/status/program_tracker.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "networking/v1/workload_entry.pb.h"
#include "pilot/model/names.h"
#include "pilot/translate/scope_class.h"
#include "security/v1/authorization_policy.pb.h"
#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

template <typename Map>
Labels LabelsOf(const Map& from) {
  return {from.begin(), from.end()};
}

bool Is(const ObjectMeta& meta, const ObjectMeta& other) {
  return meta.name == other.name && meta.ns == other.ns;
}

std::string IdOf(const ObjectKey& key) {
  return absl::StrCat(KindName(key.kind), "/", key.ns, "/", key.name);
}

// True for kinds about which proxies of one class may differ.
bool AsksEachProxy(Kind kind) {
  return kind == Kind::kGateway || kind == Kind::kPeerAuthentication ||
         kind == Kind::kAuthorizationPolicy || kind == Kind::kVirtualService;
}

}  // namespace

ProgramTracker::ProgramTracker(Loop* loop, PushServer* push, Options options)
    : push_(push), options_(options), timer_(loop->NewTimer([this] { Tell(); })) {
  push_->SetOnProgress([this] { OnProgress(); });
}

ProgramTracker::~ProgramTracker() { push_->SetOnProgress(nullptr); }

// ---- Objects

ProgramTracker::Tracked ProgramTracker::NewTracked(const ObjectPtr& object) const {
  Tracked tracked;
  tracked.object = object;
  tracked.since = push_->snapshot()->version;
  const std::string& domain = push_->snapshot()->mesh->domain;
  const auto add_host = [&](const std::string& host) {
    tracked.hosts.push_back(ResolveHost(host, object->meta.ns, domain));
  };
  switch (object->kind) {
    case Kind::kVirtualService: {
      const auto& spec = object->Spec<networking::VirtualService>();
      for (const std::string& host : spec.hosts()) add_host(host);
      tracked.gateways.assign(spec.gateways().begin(), spec.gateways().end());
      break;
    }
    case Kind::kDestinationRule:
      add_host(object->Spec<networking::DestinationRule>().host());
      break;
    case Kind::kServiceEntry: {
      const auto& hosts = object->Spec<networking::ServiceEntry>().hosts();
      tracked.hosts.assign(hosts.begin(), hosts.end());
      break;
    }
    case Kind::kWorkloadEntry:
      tracked.hosts = {object->Spec<networking::WorkloadEntry>().address()};
      break;
    case Kind::kGateway:
      tracked.selector = LabelsOf(object->Spec<networking::Gateway>().selector());
      break;
    case Kind::kPeerAuthentication:
      tracked.selector = LabelsOf(
          object->Spec<istio::security::v1beta1::PeerAuthentication>().selector().match_labels());
      break;
    case Kind::kAuthorizationPolicy:
      tracked.selector = LabelsOf(
          object->Spec<istio::security::v1beta1::AuthorizationPolicy>().selector().match_labels());
      break;
    default:
      break;
  }
  return tracked;
}

void ProgramTracker::OnPublished(const std::vector<ObjectPtr>& updated,
                                 const std::vector<ObjectKey>& deleted) {
  groups_current_ = false;
  for (const ObjectPtr& object : updated) {
    if (!GetsConditions(object->kind)) continue;
    tracked_.insert_or_assign(object->Key(), NewTracked(object));
    pending_.insert(object->Key());
  }
  for (const ObjectKey& key : deleted) {
    if (tracked_.erase(key) > 0) pending_.insert(key);
  }
  TakeNotes();
  TellSoon();
}

// What was held back and is in force now has come with this snapshot.
void ProgramTracker::TakeNotes() {
  std::map<std::string, RuleNote> notes;
  for (const RuleNote& note : push_->snapshot()->notes) notes.emplace(note.object, note);
  if (notes == notes_) return;
  for (auto& [key, tracked] : tracked_) {
    const std::string id = IdOf(key);
    const auto before = notes_.find(id);
    const auto now = notes.find(id);
    const bool noted = now != notes.end();
    if ((before != notes_.end()) == noted && (!noted || before->second == now->second)) continue;
    if (!noted) tracked.since = push_->snapshot()->version;
    pending_.insert(key);
  }
  notes_ = std::move(notes);
}

// ---- Whom an object concerns

bool ProgramTracker::VirtualServiceConcerns(const Tracked& tracked, const Scope& scope,
                                            const ProxyNode& node) const {
  for (const std::string& host : tracked.hosts) {
    const auto rules = scope.virtual_by_host.find(host);
    if (rules == scope.virtual_by_host.end()) continue;
    for (const VirtualServicePtr& rule : rules->second) {
      if (!Is(rule->meta, tracked.object->meta)) continue;
      if (node.kind != ProxyKind::kGateway) return rule->AppliesTo("mesh");
      for (const GatewayPtr& gateway : scope.snapshot->rules->gateways()) {
        if (rule->AppliesTo(absl::StrCat(gateway->meta.ns, "/", gateway->meta.name)) &&
            LabelsMatch(gateway->selector, node.labels)) {
          return true;
        }
      }
      return false;
    }
  }
  return false;
}

bool ProgramTracker::RuleConcerns(const Tracked& tracked, const Scope& scope) const {
  const std::string& host = tracked.hosts[0];
  const std::string& ns = tracked.object->meta.ns;
  if (!IsWildcard(host)) {
    // Rules of one namespace for one host are merged.
    const DestinationRulePtr rule = scope.FindRule(host);
    return rule != nullptr && rule->meta.ns == ns;
  }
  return std::any_of(scope.rule_by_host.begin(), scope.rule_by_host.end(), [&](const auto& entry) {
    return entry.second->host == host && entry.second->meta.ns == ns;
  });
}

bool ProgramTracker::ConcernsClass(const Tracked& tracked, const Scope& scope) const {
  const ObjectMeta& meta = tracked.object->meta;
  switch (tracked.object->kind) {
    case Kind::kDestinationRule:
      return RuleConcerns(tracked, scope);
    case Kind::kServiceEntry:
      return std::any_of(tracked.hosts.begin(), tracked.hosts.end(), [&](const std::string& host) {
        const ServicePtr service = scope.FindService(host);
        return service != nullptr && service->meta.kind == "ServiceEntry" &&
               Is(service->meta, meta);
      });
    case Kind::kWorkloadEntry: {
      const auto& instances = scope.snapshot->endpoints->At(tracked.hosts[0]);
      return std::any_of(instances.begin(), instances.end(), [&](const auto& instance) {
        return scope.by_host.contains(instance.host);
      });
    }
    case Kind::kSidecar:
      return scope.sidecar != nullptr && Is(scope.sidecar->meta, meta);
    default:
      return false;
  }
}

bool ProgramTracker::ConcernsProxy(const Tracked& tracked, const Scope& scope,
                                   const ProxyNode& node) const {
  const ObjectMeta& meta = tracked.object->meta;
  switch (tracked.object->kind) {
    case Kind::kVirtualService:
      return VirtualServiceConcerns(tracked, scope, node);
    case Kind::kGateway:
      return node.kind == ProxyKind::kGateway && LabelsMatch(tracked.selector, node.labels);
    default:
      return (meta.ns == node.ns || meta.ns == scope.snapshot->mesh->root_namespace) &&
             LabelsMatch(tracked.selector, node.labels);
  }
}

// ---- Counting

const std::vector<ProgramTracker::Group>& ProgramTracker::Groups() const {
  if (groups_current_) return groups_;
  groups_current_ = true;
  groups_.clear();
  absl::flat_hash_map<const ScopeClass*, size_t> places;
  push_->ForEachClient([&](const ClientProgress& client) {
    const ScopeClass* scope_class = client.view->scope_class().get();
    // Who has not been served once does not serve anybody either.
    if (scope_class == nullptr || !client.served) return;
    const auto [place, is_new] = places.emplace(scope_class, groups_.size());
    if (is_new) groups_.push_back({scope_class->scope(), {}, {}});
    groups_[place->second].proxies.push_back({client.acked_version, client.view,
                                              std::string(client.rejection),
                                              client.rejected_version});
  });
  for (Group& group : groups_) {
    std::stable_sort(
        group.proxies.begin(), group.proxies.end(),
        [](const Proxy& a, const Proxy& b) { return a.acked_version < b.acked_version; });
    for (size_t i = 0; i < group.proxies.size(); ++i) {
      if (!group.proxies[i].rejection.empty()) group.rejecting.push_back(i);
    }
  }
  return groups_;
}

void ProgramTracker::Count(const Tracked& tracked, const Group& group, ProgramState* state) const {
  const auto lacks = [&](const Proxy& proxy) { return proxy.acked_version < tracked.since; };
  const auto say = [&](const Proxy& proxy) {
    if (proxy.rejection.empty() || !lacks(proxy) || proxy.rejected_version < tracked.since) return;
    if (!state->first_nack.empty()) return;
    const ProxyNode& node = proxy.view->node();
    state->first_nack = absl::StrCat(node.name, ".", node.ns, ": ", proxy.rejection);
  };
  const Kind kind = tracked.object->kind;
  // Of a class of sidecars a VirtualService concerns all or none.
  const ProxyNode& any = group.proxies[0].view->node();
  const bool each =
      AsksEachProxy(kind) && (kind != Kind::kVirtualService || any.kind == ProxyKind::kGateway);
  if (each) {
    for (const Proxy& proxy : group.proxies) {
      if (!ConcernsProxy(tracked, *group.scope, proxy.view->node())) continue;
      ++state->concerned;
      if (!lacks(proxy)) ++state->acknowledged;
      say(proxy);
    }
    return;
  }
  const bool concerned = kind == Kind::kVirtualService
                             ? VirtualServiceConcerns(tracked, *group.scope, any)
                             : ConcernsClass(tracked, *group.scope);
  if (!concerned) return;
  const auto first = std::partition_point(group.proxies.begin(), group.proxies.end(), lacks);
  state->concerned += group.proxies.size();
  state->acknowledged += static_cast<size_t>(group.proxies.end() - first);
  for (const size_t i : group.rejecting) say(group.proxies[i]);
}

ProgramState ProgramTracker::StateOf(const Tracked& tracked) const {
  ProgramState state;
  state.generation = tracked.object->meta.generation;
  if (const auto note = notes_.find(IdOf(tracked.object->Key())); note != notes_.end()) {
    state.accepted = false;
    state.reason = note->second.kind == RuleNote::Kind::kHeldBack ? "HeldBack" : "SubsetRetained";
    state.message = note->second.message;
  }
  for (const Group& group : Groups()) Count(tracked, group, &state);
  return state;
}

std::optional<ProgramState> ProgramTracker::State(const ObjectKey& key) const {
  const auto it = tracked_.find(key);
  if (it == tracked_.end()) return std::nullopt;
  ProgramState state = StateOf(it->second);
  // A proxy that asks for more falls back behind what it had. Whoever hears of that hears when it
  // is over, too.
  if (!state.programmed() && state.accepted) {
    it->second.told = state;
    pending_.insert(key);
  }
  return state;
}

std::vector<std::pair<ObjectKey, ProgramState>> ProgramTracker::All() const {
  std::vector<std::pair<ObjectKey, ProgramState>> all;
  all.reserve(tracked_.size());
  for (const auto& [key, tracked] : tracked_) all.emplace_back(key, StateOf(tracked));
  return all;
}

// ---- Telling

void ProgramTracker::OnProgress() {
  groups_current_ = false;
  TellSoon();
}

// Counting thousands of proxies over and over must not keep them from being served.
void ProgramTracker::TellSoon() {
  constexpr int kShare = 20;
  if (pending_.empty() || timer_->armed()) return;
  timer_->Arm(std::max(options_.gather, kShare * tell_cost_));
}

void ProgramTracker::Tell() {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<ObjectKey> changed;
  for (auto it = pending_.begin(); it != pending_.end();) {
    const auto known = tracked_.find(*it);
    if (known == tracked_.end()) {
      changed.push_back(*it);
      it = pending_.erase(it);
      continue;
    }
    ProgramState state = StateOf(known->second);
    const bool done = state.programmed() || !state.accepted;
    if (known->second.told != state) {
      changed.push_back(*it);
      known->second.told = std::move(state);
    }
    it = done ? pending_.erase(it) : std::next(it);
  }
  if (!changed.empty() && on_change_) on_change_(changed);
  tell_cost_ = std::chrono::steady_clock::now() - begin;
}

}  // namespace meltemi::pilot
