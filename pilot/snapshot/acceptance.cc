#include "pilot/snapshot/acceptance.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "networking/v1/destination_rule.pb.h"

namespace meltemi::pilot {
namespace {

std::string NamespaceOf(const ServiceTable& services, const std::string& host,
                        const std::string& client_ns) {
  const ServicePtr service = services.Find(host, client_ns);
  return service ? service->meta.ns : client_ns;
}

const networking::Subset* FindSubset(const DestinationRule& rule, const std::string& name) {
  for (const auto& subset : rule.spec->subsets()) {
    if (subset.name() == name) return &subset;
  }
  return nullptr;
}

}  // namespace

std::string RuleAcceptance::MissingFor(const VirtualService& rule, const ServiceTable& services,
                                       const RuleTable& written) const {
  for (const DestinationRef& destination : rule.destinations) {
    if (!services.Knows(destination.host)) {
      return absl::StrCat("service ", destination.host);
    }
    const ServicePtr service = services.Find(destination.host, rule.meta.ns);
    if (destination.port != 0 && service != nullptr &&
        service->FindPort(destination.port) == nullptr) {
      return absl::StrCat("port ", destination.port, " of ", destination.host);
    }
    if (destination.subset.empty()) continue;
    const DestinationRulePtr found = written.FindRule(
        destination.host, rule.meta.ns, NamespaceOf(services, destination.host, rule.meta.ns),
        root_namespace_, {});
    if (found != nullptr && found->HasSubset(destination.subset)) continue;
    // A retained subset serves a new version too.
    if (last_definition_.contains({destination.host, destination.subset})) continue;
    return absl::StrCat("subset ", destination.subset, " of ", destination.host);
  }
  return "";
}

RuleAcceptance::Result RuleAcceptance::Apply(const ObjectSet& objects,
                                             const ServiceTable& services) {
  Result result;
  result.destination_rules = objects.destination_rules;
  const RuleTable written({}, objects.destination_rules, {}, {});

  std::map<std::string, VirtualServicePtr> in_force;
  for (const VirtualServicePtr& rule : objects.virtual_services) {
    const std::string id = rule->meta.Id();
    const auto before = in_force_.find(id);
    const VirtualServicePtr previous = before == in_force_.end() ? nullptr : before->second;
    const std::string missing =
        rule == previous ? std::string() : MissingFor(*rule, services, written);
    if (missing.empty()) {
      in_force.emplace(id, rule);
      result.virtual_services.push_back(rule);
      continue;
    }
    result.notes.push_back(
        RuleNote{RuleNote::Kind::kHeldBack, id,
                 absl::StrCat("held back: ", missing, " does not exist; ",
                              previous ? "the version before it stays in force"
                                       : "its hosts are routed as if it were not there",
                              " until that is applied")});
    if (previous == nullptr) continue;
    in_force.emplace(id, previous);
    result.virtual_services.push_back(previous);
  }
  in_force_ = std::move(in_force);
  Retain(services, written, &result);
  return result;
}

void RuleAcceptance::Retain(const ServiceTable& services, const RuleTable& written,
                            Result* result) {
  std::map<SubsetKey, DestinationRulePtr> definitions;
  for (const auto& [id, rule] : in_force_) {
    for (const DestinationRef& destination : rule->destinations) {
      if (destination.subset.empty()) continue;
      const SubsetKey key{destination.host, destination.subset};
      if (definitions.contains(key)) continue;
      const DestinationRulePtr found =
          written.FindRule(key.first, rule->meta.ns,
                           NamespaceOf(services, key.first, rule->meta.ns), root_namespace_, {});
      if (found != nullptr && found->HasSubset(key.second)) {
        definitions.emplace(key, found);
        continue;
      }
      const auto last = last_definition_.find(key);
      if (last == last_definition_.end()) continue;
      definitions.emplace(key, last->second);
      RetainSubset(key, *rule, result);
    }
  }
  last_definition_ = std::move(definitions);
}

void RuleAcceptance::RetainSubset(const SubsetKey& key, const VirtualService& user,
                                  Result* result) {
  const DestinationRulePtr origin = last_definition_.at(key);
  const networking::Subset* subset = FindSubset(*origin, key.second);
  if (subset == nullptr) return;
  // Goes into the rule of that name as it is written now, or stands alone where that is gone.
  auto same_place = std::find_if(
      result->destination_rules.begin(), result->destination_rules.end(), [&](const auto& rule) {
        return rule->host == origin->host && rule->meta.ns == origin->meta.ns;
      });
  auto extended = std::make_shared<DestinationRule>(
      same_place == result->destination_rules.end() ? *origin : **same_place);
  auto spec = std::make_shared<networking::DestinationRule>();
  if (same_place == result->destination_rules.end()) {
    spec->set_host(origin->spec->host());
  } else {
    *spec = *extended->spec;
  }
  *spec->add_subsets() = *subset;
  extended->spec = std::move(spec);
  result->notes.push_back(
      RuleNote{RuleNote::Kind::kSubsetRetained, origin->meta.Id(),
               absl::StrCat("subset ", key.second, " of ", key.first, " is gone from the rule but ",
                            user.meta.Id(), " still routes to it: kept until that changes")});
  if (same_place == result->destination_rules.end()) {
    result->destination_rules.push_back(std::move(extended));
  } else {
    *same_place = std::move(extended);
  }
}

}  // namespace meltemi::pilot
