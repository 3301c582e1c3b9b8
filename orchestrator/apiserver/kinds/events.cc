// The group "events.k8s.io".
#include "orchestrator/apiserver/kinds/event.h"
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddEvents(KindTable& table) {
  // One set of objects under two groups; kept as the core group shows them.
  table.SetStorage("events.k8s.io", "v1", "events",
                   {.storage = {"", "events"},
                    .version = "v1",
                    .kind = "Event",
                    .to_storage = EventToCore,
                    .from_storage = EventFromCore});
  table.Add("events.k8s.io", "events", EventStrategy(), EventColumns());
}

}  // namespace meltemi::apiserver
