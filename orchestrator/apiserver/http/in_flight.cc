#include "orchestrator/apiserver/http/in_flight.h"

#include "absl/strings/match.h"

namespace meltemi::apiserver {
namespace {

// kubelets, the scheduler, controllers: what calls itself system:… but is neither nobody nor a
// workload outside of kube-system.
bool IsComponent(const UserInfo& user) {
  if (!absl::StartsWith(user.name, "system:") || user.name == "system:anonymous") return false;
  return !absl::StartsWith(user.name, "system:serviceaccount:") ||
         absl::StartsWith(user.name, "system:serviceaccount:kube-system:");
}

}  // namespace

bool IsLongRunning(const RequestInfo& info) {
  if (!info.is_resource) return false;
  if (info.verb == "watch" || info.verb == "proxy") return true;
  for (const absl::string_view subresource : {"attach", "exec", "proxy", "log", "portforward"}) {
    if (info.subresource == subresource) return true;
  }
  return false;
}

InFlightLimiter::Ticket InFlightLimiter::Enter(const Request& request) {
  if (IsLongRunning(request.info) || request.user.IsSuperuser()) return Ticket(true, nullptr);
  const std::string& verb = request.info.verb;
  const bool reads = verb == "get" || verb == "list" || verb == "head" || verb == "options";
  std::atomic<size_t>& counter = reads ? reads_ : writes_;
  size_t max = reads ? reads_max_ : writes_max_;
  if (IsComponent(request.user)) max += max / 4;
  if (counter.fetch_add(1, std::memory_order_relaxed) >= max) {
    counter.fetch_sub(1, std::memory_order_relaxed);
    return Ticket(false, nullptr);
  }
  return Ticket(true, &counter);
}

kube::Status InFlightLimiter::Ticket::refusal() const {
  return kube::TooManyRequests("Too many requests, please try again later.", 1);
}

}  // namespace meltemi::apiserver
