#include "orchestrator/controllers/runtime/doubt.h"

#include <set>

#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {

using kube::core::v1::Pod;

kube::Outcome SettleDoubt(kube::Client& client, Expectations& expectations,
                          const kube::NamespacedName& key, const google::protobuf::Message& owner,
                          const kube::LabelSelector& selector,
                          const std::vector<kube::MessagePtr>& cached) {
  if (!expectations.InDoubt(key)) return kube::Done{};
  kube::ListOptions options;
  options.ns = key.ns;
  options.label_selector = selector.ToString();
  const kube::Result<std::vector<Pod>> listed = kube::List<Pod>(client, options);
  if (!listed.ok()) return listed.status();
  std::set<std::string> uids;
  for (const Pod& pod : *listed) {
    if (!IsControlledBy(pod, owner)) continue;
    uids.insert(pod.metadata().uid());
    expectations.ExpectRevision(key, pod.metadata().resource_version());
  }
  for (const kube::MessagePtr& object : cached) {
    if (uids.count(kube::MetaOf(*object).uid()) == 0 && Matches(selector, *object)) {
      expectations.ExpectGone(key, *object);
    }
  }
  expectations.Settled(key);
  return kube::Done{};
}

}  // namespace meltemi::controllers
