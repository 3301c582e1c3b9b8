#include "orchestrator/apiserver/admission/webhook/target.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

const std::vector<Value>& Items(const Value& object, absl::string_view member) {
  static const std::vector<Value>* const nothing = new std::vector<Value>;
  const Value* list = object.Find(member);
  return list == nullptr ? *nothing : list->items();
}

// "https://host[:port]/path".
absl::Status FromUrl(const Hook& hook, WebhookTarget* target) {
  target->url = hook.url;
  absl::string_view rest = hook.url;
  if (!absl::ConsumePrefix(&rest, "https://") || rest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("Unparsable URL: ", hook.url));
  }
  const size_t slash = rest.find('/');
  absl::string_view authority = rest.substr(0, slash);
  HttpsRequest& request = target->request;
  request.authority = std::string(authority);
  request.path = slash == absl::string_view::npos ? "/" : std::string(rest.substr(slash));
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  if (colon != absl::string_view::npos && (bracket == absl::string_view::npos || colon > bracket)) {
    uint32_t port = 0;
    if (!absl::SimpleAtoi(authority.substr(colon + 1), &port) || port == 0 || port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("Unparsable URL: ", hook.url));
    }
    request.port = static_cast<uint16_t>(port);
    authority = authority.substr(0, colon);
  }
  absl::ConsumePrefix(&authority, "[");
  absl::ConsumeSuffix(&authority, "]");
  request.host = std::string(authority);
  request.server_name = request.host;
  return absl::OkStatus();
}

void AddAddress(absl::string_view ip, int64_t port, std::vector<net::Address>* out) {
  const absl::StatusOr<net::Address> address =
      net::Address::FromIp(ip, static_cast<uint16_t>(port));
  if (address.ok()) out->push_back(*address);
}

// The port of a list of named ports; 0 when there is none of that name.
int64_t PortOf(const Value& holder, absl::string_view port_name) {
  const std::vector<Value>& ports = Items(holder, "ports");
  for (const Value& port : ports) {
    if (port.FindString("name") == port_name || ports.size() == 1) {
      return kube::IntAt(port, "port", 0);
    }
  }
  return 0;
}

// False: the service has no Endpoints object.
bool FromEndpoints(const Hook& hook, absl::string_view port_name, WatchCache& cache,
                   std::vector<net::Address>* out) {
  const kube::Result<ObjectPtr> found =
      cache.Get({"", "endpoints"}, hook.service_ns, hook.service_name, false);
  if (!found.ok() || *found == nullptr) return false;
  const Value endpoints = (*found)->Tree();
  for (const Value& subset : Items(endpoints, "subsets")) {
    const int64_t port = PortOf(subset, port_name);
    if (port == 0) continue;
    for (const Value& address : Items(subset, "addresses")) {
      AddAddress(address.FindString("ip"), port, out);
    }
  }
  return true;
}

// False: the service has no slice.
bool FromSlices(const Hook& hook, absl::string_view port_name, WatchCache& cache,
                std::vector<net::Address>* out) {
  ListQuery query;
  query.ns = hook.service_ns;
  query.any_version = true;
  absl::StatusOr<kube::LabelSelector> selector =
      kube::LabelSelector::Parse(absl::StrCat("kubernetes.io/service-name=", hook.service_name));
  if (!selector.ok()) return false;
  query.labels = *std::move(selector);
  const kube::Result<ListResult> slices = cache.List({"discovery.k8s.io", "endpointslices"}, query);
  if (!slices.ok() || slices->objects.empty()) return false;
  for (const ObjectPtr& object : slices->objects) {
    const Value slice = object->Tree();
    const int64_t port = PortOf(slice, port_name);
    if (port == 0) continue;
    for (const Value& endpoint : Items(slice, "endpoints")) {
      if (!kube::BoolAt(endpoint, "conditions.ready", true)) continue;
      for (const Value& address : Items(endpoint, "addresses")) {
        AddAddress(address.text(), port, out);
      }
    }
  }
  return true;
}

absl::Status FromService(const Hook& hook, WatchCache& cache, Random& random,
                         WebhookTarget* target) {
  HttpsRequest& request = target->request;
  request.server_name = absl::StrCat(hook.service_name, ".", hook.service_ns, ".svc");
  request.authority = absl::StrCat(request.server_name, ":", hook.service_port);
  request.path = absl::StartsWith(hook.service_path, "/") ? hook.service_path
                                                          : absl::StrCat("/", hook.service_path);
  target->url = absl::StrCat("https://", request.authority, request.path);
  const kube::Result<ObjectPtr> found =
      cache.Get({"", "services"}, hook.service_ns, hook.service_name, false);
  if (!found.ok()) return absl::UnavailableError(found.status().message);
  if (*found == nullptr) {
    return absl::NotFoundError(absl::StrCat("service \"", hook.service_name, "\" not found"));
  }
  const Value service = (*found)->Tree();
  std::string port_name;
  bool has_port = false;
  const Value* spec = service.Find("spec");
  if (spec == nullptr) spec = &service;
  for (const Value& port : Items(*spec, "ports")) {
    if (kube::IntAt(port, "port", 0) != hook.service_port) continue;
    port_name = std::string(port.FindString("name"));
    has_port = true;
  }
  if (!has_port) {
    return absl::NotFoundError(absl::StrCat("no service port ", hook.service_port,
                                            " found for service \"", hook.service_name, "\""));
  }
  bool known = FromEndpoints(hook, port_name, cache, &request.addresses);
  if (request.addresses.empty()) {
    known |= FromSlices(hook, port_name, cache, &request.addresses);
  }
  if (request.addresses.empty() && !known) {
    AddAddress(spec->FindString("clusterIP"), hook.service_port, &request.addresses);
  }
  if (request.addresses.empty()) {
    return absl::UnavailableError(
        absl::StrCat("no endpoints available for service \"", hook.service_name, "\""));
  }
  for (size_t i = request.addresses.size(); i > 1; --i) {
    std::swap(request.addresses[i - 1], request.addresses[random.Below(i)]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FindTarget(const Hook& hook, WatchCache& cache, Random& random,
                        WebhookTarget* target) {
  target->request.ca_pem = hook.ca_pem;
  if (!hook.service_name.empty()) return FromService(hook, cache, random, target);
  if (hook.url.empty()) {
    return absl::InvalidArgumentError("webhook configuration must have either service or URL");
  }
  return FromUrl(hook, target);
}

}  // namespace meltemi::apiserver
