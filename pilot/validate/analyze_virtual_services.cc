#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/validate/analysis.h"
#include "pilot/validate/report.h"

namespace meltemi::pilot {
namespace {

namespace networking = ::istio::networking::v1alpha3;
using networking::Destination;
using networking::VirtualService;

constexpr size_t kOthersNamedMax = 5;

// Looks after one VirtualService.
class Analysis {
 public:
  Analysis(const Registry& registry, const Object& object, std::vector<Diagnostic>* out)
      : registry_(registry),
        object_(object),
        spec_(object.Spec<VirtualService>()),
        report_(object, out) {}

  void Run() {
    CheckHosts();
    for (int i = 0; i < spec_.gateways_size(); ++i) CheckGateway(i);
    for (int i = 0; i < spec_.http_size(); ++i) {
      CheckHttpRoute(spec_.http(i), Path("spec.http")[static_cast<size_t>(i)]);
    }
    for (int i = 0; i < spec_.tls_size(); ++i) {
      CheckDestinations(spec_.tls(i).route(), Path("spec.tls")[static_cast<size_t>(i)] / "route");
    }
    for (int i = 0; i < spec_.tcp_size(); ++i) {
      CheckDestinations(spec_.tcp(i).route(), Path("spec.tcp")[static_cast<size_t>(i)] / "route");
    }
  }

 private:
  void CheckHosts();
  void CheckGateway(int index);
  void CheckHttpRoute(const networking::HTTPRoute& route, const Path& path);
  void CheckDestination(const Destination& destination, const Path& path);
  void CheckPort(const Destination& destination, const KnownService& service, const Path& path);
  template <typename Destinations>
  void CheckDestinations(const Destinations& destinations, const Path& path) {
    for (int i = 0; i < destinations.size(); ++i) {
      CheckDestination(destinations[i].destination(), path[static_cast<size_t>(i)] / "destination");
    }
  }

  const Registry& registry_;
  const Object& object_;
  const VirtualService& spec_;
  Report report_;
};

// In the mesh, a rule takes effect for hosts that are services.
void Analysis::CheckHosts() {
  for (const std::string& gateway : GatewaysOf(spec_)) {
    if (gateway != "mesh") return;
  }
  for (int i = 0; i < spec_.hosts_size(); ++i) {
    const std::string host = registry_.Resolve(spec_.hosts(i), object_.meta.ns);
    if (IsIpAddress(host) || registry_.FindsAny("*", host, object_.meta.ns)) continue;
    report_.Warning(
        Path("spec.hosts")[static_cast<size_t>(i)],
        absl::StrCat("no service has the host \"", host, "\": the rules have no effect"),
        kNotFound);
  }
}

void Analysis::CheckGateway(int index) {
  const std::string& text = spec_.gateways(index);
  if (text == "mesh") return;
  const Path path = Path("spec.gateways")[static_cast<size_t>(index)];
  const auto [ns, name] = GatewayName(text, object_.meta.ns);
  const Object* gateway = registry_.FindGateway(ns, name);
  if (gateway == nullptr) {
    return report_.Error(path, absl::StrCat("Referenced gateway not found: \"", text, "\""),
                         kNotFound);
  }
  for (int i = 0; i < spec_.hosts_size(); ++i) {
    const std::string host = registry_.Resolve(spec_.hosts(i), object_.meta.ns);
    bool found = false;
    for (const auto& server : gateway->Spec<networking::Gateway>().servers()) {
      for (const std::string& scoped : server.hosts()) {
        const size_t slash = scoped.find('/');
        const std::string scope = slash == std::string::npos ? "*" : scoped.substr(0, slash);
        const std::string known = slash == std::string::npos ? scoped : scoped.substr(slash + 1);
        const bool ns_fits = scope == "*" || scope == object_.meta.ns ||
                             (scope == "." && gateway->meta.ns == object_.meta.ns);
        found = found || (ns_fits && HostsOverlap(known, host));
      }
    }
    if (!found) {
      report_.Warning(Path("spec.hosts")[static_cast<size_t>(i)],
                      absl::StrCat("the gateway \"", text, "\" does not take in the host \"",
                                   spec_.hosts(i), "\""),
                      "IST0132");
    }
  }
}

void Analysis::CheckHttpRoute(const networking::HTTPRoute& route, const Path& path) {
  CheckDestinations(route.route(), path / "route");
  if (route.has_mirror()) CheckDestination(route.mirror(), path / "mirror");
  CheckDestinations(route.mirrors(), path / "mirrors");
  if (!route.has_delegate()) return;
  const std::string ns =
      route.delegate().namespace_().empty() ? object_.meta.ns : route.delegate().namespace_();
  if (registry_.FindVirtualService(ns, route.delegate().name()) == nullptr) {
    report_.Error(
        path / "delegate",
        absl::StrCat("Referenced delegate not found: \"", ns, "/", route.delegate().name(), "\""),
        kNotFound);
  }
}

void Analysis::CheckDestination(const Destination& destination, const Path& path) {
  const std::string host = registry_.Resolve(destination.host(), object_.meta.ns);
  const KnownService* service = registry_.FindService(host, object_.meta.ns);
  if (service == nullptr) {
    return report_.Error(path / "host",
                         absl::StrCat("Referenced host not found: \"", destination.host(), "\""),
                         kNotFound);
  }
  if (!destination.subset().empty() &&
      !registry_.HasSubset(host, destination.subset(), object_.meta.ns)) {
    report_.Error(path / "subset",
                  absl::StrCat("Referenced host+subset in destinationrule not found: \"",
                               destination.host(), "+", destination.subset(), "\""),
                  kNotFound);
  }
  CheckPort(destination, *service, path);
}

void Analysis::CheckPort(const Destination& destination, const KnownService& service,
                         const Path& path) {
  if (destination.has_port()) {
    for (const uint32_t port : service.ports) {
      if (port == destination.port().number()) return;
    }
    return report_.Error(path / "port" / "number",
                         absl::StrCat("Referenced port not found: the service \"", service.host,
                                      "\" has ", absl::StrJoin(service.ports, ", ")),
                         kNotFound);
  }
  if (service.ports.size() > 1) {
    report_.Error(path,
                  absl::StrCat("the service \"", service.host, "\" has several ports (",
                               absl::StrJoin(service.ports, ", "), "): name one"),
                  "IST0112");
  }
}

struct Bound {
  const Object* object;
  int index;  // of the host
  ExportTo export_to;

  std::string Name() const { return absl::StrCat(object->meta.ns, "/", object->meta.name); }
  // Whether some namespace sees both.
  bool Meets(const Bound& other) const {
    return export_to.everywhere() || other.export_to.everywhere() ||
           export_to.VisibleIn(other.object->meta.ns) || other.export_to.VisibleIn(object->meta.ns);
  }
};

std::map<std::string, std::vector<Bound>> BoundByHost(const Registry& registry) {
  std::map<std::string, std::vector<Bound>> by_host;
  for (const Object* object : registry.OfKind(Kind::kVirtualService)) {
    const auto& spec = object->Spec<VirtualService>();
    bool in_mesh = false;
    for (const std::string& gateway : GatewaysOf(spec)) in_mesh = in_mesh || gateway == "mesh";
    if (!in_mesh) continue;
    const ExportTo export_to =
        ExportTo::Parse({spec.export_to().begin(), spec.export_to().end()}, object->meta.ns);
    for (int i = 0; i < spec.hosts_size(); ++i) {
      by_host[registry.Resolve(spec.hosts(i), object->meta.ns)].push_back({object, i, export_to});
    }
  }
  return by_host;
}

// "a/b, c/d and 998 more"; empty: nobody.
std::string OthersThatMeet(const Bound& one, const std::vector<Bound>& bound) {
  std::vector<std::string> named;
  size_t others = 0;
  for (const Bound& other : bound) {
    if (other.object == one.object || !one.Meets(other)) continue;
    if (++others <= kOthersNamedMax) named.push_back(other.Name());
  }
  std::string text = absl::StrJoin(named, ", ");
  if (others > named.size()) absl::StrAppend(&text, " and ", others - named.size(), " more");
  return text;
}

// Rules for one host in the mesh are merged, oldest first: what the order decides should be known.
void AnalyzeConflicts(const Registry& registry, std::vector<Diagnostic>* out) {
  for (const auto& [host, bound] : BoundByHost(registry)) {
    for (const Bound& one : bound) {
      const std::string others = OthersThatMeet(one, bound);
      if (others.empty()) continue;
      Report(*one.object, out)
          .Warning(Path("spec.hosts")[static_cast<size_t>(one.index)],
                   absl::StrCat("the host \"", host, "\" has rules in ", others,
                                " too: they are tried in order of age, then of name"),
                   "IST0109");
    }
  }
}

}  // namespace

std::pair<std::string, std::string> GatewayName(absl::string_view text, absl::string_view ns) {
  const size_t slash = text.find('/');
  if (slash != absl::string_view::npos) {
    return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
  }
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  if (parts.size() > 1) return {parts[1], parts[0]};
  return {std::string(ns), std::string(text)};
}

void AnalyzeVirtualServices(const Registry& registry, std::vector<Diagnostic>* out) {
  for (const Object* object : registry.OfKind(Kind::kVirtualService)) {
    Analysis(registry, *object, out).Run();
  }
  AnalyzeConflicts(registry, out);
}

}  // namespace meltemi::pilot
