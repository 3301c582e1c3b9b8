#include "orchestrator/apiserver/chain/chain.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/chain.h"
#include "orchestrator/apiserver/authz/impersonation.h"
#include "orchestrator/apiserver/chain/request_metrics.h"
#include "orchestrator/apiserver/http/in_flight.h"
#include "orchestrator/apiserver/schema/protobuf_body.h"

namespace meltemi::apiserver {
namespace {

// The version of Kubernetes whose API is served.
constexpr char kMajor[] = "1";
constexpr char kMinor[] = "32";
constexpr char kGitVersion[] = "v1.32.0+meltemi";

// Paths that are no resources, as `GET /` lists them.
constexpr const char* kPaths[] = {
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
};

bool Below(absl::string_view path, absl::string_view folder) {
  return absl::StartsWith(path, folder) &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

class Chain final : public Handler {
 public:
  explicit Chain(const ChainParts& parts) : parts_(parts), metrics_(parts.metrics) {}

  Reply Handle(Request& request) override {
    const MonotonicTime began = parts_.clock.Now();
    metrics_.Started(request.info);
    Reply reply = Checked(request);
    const Body* body = std::get_if<Body>(&reply);
    metrics_.Finished(request.info, body == nullptr ? 200 : body->code, parts_.clock.Now() - began);
    return reply;
  }

 private:
  Reply Checked(Request& request) {
    const kube::Result<std::optional<Authenticated>> who = parts_.authenticator.Authenticate(
        {.certificate = request.certificate,
         .bearer_token = BearerToken(request.Header("authorization")),
         .audiences = {}});
    if (!who.ok()) return StatusReply(who.status());
    if (!who->has_value()) return StatusReply(kube::Unauthorized());
    request.user = (*who)->user;
    const InFlightLimiter::Ticket ticket = parts_.limiter.Enter(request);
    if (!ticket.admitted()) return StatusReply(ticket.refusal());
    kube::Result<UserInfo> acting = Impersonate(request, parts_.authorizer);
    if (!acting.ok()) return StatusReply(acting.status());
    request.user = *std::move(acting);
    const Attributes attributes = Attributes::Of(request);
    const Verdict verdict = parts_.authorizer.Authorize(attributes);
    if (verdict.decision != Decision::kAllow) {
      return StatusReply(ForbiddenFor(attributes, verdict.reason));
    }
    if (request.Header("content-type") == kProtobufMediaType) {
      kube::Result<json::Value> decoded = protobuf_bodies_.Decode(request.body);
      if (!decoded.ok()) return StatusReply(decoded.status());
      request.body = json::ToString(*decoded);
      request.headers["content-type"] = "application/json";
    }
    return Route(request);
  }

  Reply Route(Request& request) {
    if (request.info.is_resource) return parts_.resources.Handle(request);
    const std::string& path = request.info.path;
    if (Below(path, "/livez") || Below(path, "/readyz") || Below(path, "/healthz")) {
      return parts_.health.Answer(request, path);
    }
    if (Below(path, "/api") || Below(path, "/apis")) return parts_.discovery.Handle(request);
    if (Below(path, "/openapi")) return parts_.openapi.Handle(request);
    if (path == "/version" || path == "/version/") return JsonReply(200, VersionJson());
    if (path == "/metrics") {
      return Body{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                  .bytes = parts_.metrics.RenderPrometheus()};
    }
    if (path == "/openid/v1/jwks") {
      return Body{.content_type = "application/jwk-set+json", .bytes = parts_.tokens.KeySetJson()};
    }
    if (path == "/.well-known/openid-configuration") {
      return Body{.bytes = parts_.tokens.DiscoveryJson()};
    }
    if (path == "/") return ListPaths();
    kube::Status status =
        kube::GenericStatus(404, "the server could not find the requested resource");
    return StatusReply(status);
  }

  static Reply ListPaths() {
    json::Value paths = json::Value::Array();
    for (const char* path : kPaths) paths.Append(json::Value::String(path));
    json::Value root = json::Value::Object();
    root.Add("paths", std::move(paths));
    return JsonReply(200, root);
  }

  const ChainParts parts_;
  RequestMetrics metrics_;
  ProtobufBodies protobuf_bodies_;
};

}  // namespace

json::Value VersionJson() {
  json::Value version = json::Value::Object();
  const auto add = [&version](const char* key, absl::string_view value) {
    version.Add(key, json::Value::String(std::string(value)));
  };
  add("major", kMajor);
  add("minor", kMinor);
  add("gitVersion", kGitVersion);
  add("gitCommit", "");
  add("gitTreeState", "clean");
  add("buildDate", "1970-01-01T00:00:00Z");
  add("goVersion", "none (C++20)");
  add("compiler", "gcc");
  add("platform", "linux/amd64");
  return version;
}

std::unique_ptr<Handler> NewChain(const ChainParts& parts) {
  return std::make_unique<Chain>(parts);
}

}  // namespace meltemi::apiserver
