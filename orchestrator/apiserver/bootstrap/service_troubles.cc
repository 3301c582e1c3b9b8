#include "orchestrator/apiserver/bootstrap/service_troubles.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/value.h"
#include "base/log/log.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr size_t kToldMax = 100;

// The same trouble has the same name: it is told once.
std::string EventName(const ServiceAllocation::Trouble& trouble) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : trouble.message) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return absl::StrFormat("%s.%016x", trouble.service.name, hash);
}

Value EventOf(const ServiceAllocation::Trouble& trouble, const Clock& clock) {
  const std::string now = kube::FormatTime(
      std::chrono::duration_cast<seconds>(clock.WallNow().time_since_epoch()).count());
  const char* const component =
      trouble.of_port ? "portallocator-repair-controller" : "ipallocator-repair-controller";
  Value event = Value::Object();
  event.Add("apiVersion", Value::String("v1"));
  event.Add("kind", Value::String("Event"));
  Value& meta = event.Add("metadata", Value::Object());
  meta.Add("name", Value::String(EventName(trouble)));
  meta.Add("namespace", Value::String(trouble.service.ns));
  Value& about = event.Add("involvedObject", Value::Object());
  about.Add("apiVersion", Value::String("v1"));
  about.Add("kind", Value::String("Service"));
  about.Add("namespace", Value::String(trouble.service.ns));
  about.Add("name", Value::String(trouble.service.name));
  event.Add("reason", Value::String(trouble.reason));
  event.Add("message", Value::String(trouble.message));
  event.Add("type", Value::String("Warning"));
  event.Add("source", Value::Object()).Add("component", Value::String(component));
  event.Add("firstTimestamp", Value::String(now));
  event.Add("lastTimestamp", Value::String(now));
  event.Add("count", Value::Int(1));
  return event;
}

}  // namespace

absl::Status TellServiceTroubles(ServiceAllocation& allocation, const CatalogSource& catalogs,
                                 Objects& objects, const Clock& clock) {
  std::vector<ServiceAllocation::Trouble> troubles = allocation.Troubles();
  if (troubles.empty()) return absl::OkStatus();
  const std::shared_ptr<const Catalog> catalog = catalogs.current();
  const Resource* const events = catalog->Find("", "v1", "events");
  if (events == nullptr) return absl::InternalError("there is no resource 'events'");
  if (troubles.size() > kToldMax) troubles.resize(kToldMax);
  for (const ServiceAllocation::Trouble& trouble : troubles) {
    WriteContext context;
    context.user.name = "system:apiserver";
    context.user.groups = {"system:masters"};
    context.field_manager = "kube-apiserver";
    context.deadline = clock.Now() + seconds(10);
    const kube::Result<Written> told =
        objects.Create(*events, trouble.service.ns, EventOf(trouble, clock), context);
    if (told.ok()) {
      LOG(kWarn, "services", trouble.service.ToString(), ": ", trouble.message);
    } else if (told.status().code != 409) {
      return absl::UnavailableError(told.status().message);
    }
  }
  return absl::OkStatus();
}

}  // namespace meltemi::apiserver
