// After a write whose answer was lost: makes a controller wait until its informer shows at least
// what the API server has by now, so that the write is not done a second time.
//
// Threads: a function without state; it blocks.
#pragma once

#include <string>
#include <vector>

#include "kube/client/client.h"
#include "kube/informer/informer.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers {

// Does nothing unless the owner is in doubt. Lists the pods that `selector` matches and expects of
// those that `owner` controls what the list shows; `cached` are those that the informer shows. Call
// it before Met. A failure is to be returned by the reconcile: the doubt remains.
kube::Outcome SettleDoubt(kube::Client& client, Expectations& expectations,
                          const kube::NamespacedName& key, const google::protobuf::Message& owner,
                          const kube::LabelSelector& selector,
                          const std::vector<kube::MessagePtr>& cached);

}  // namespace meltemi::controllers
