#include "proxy/intercept/cni/plugin.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"

namespace meltemi::proxy {
namespace {

using json::Value;

constexpr char kNewestVersion[] = "1.0.0";
constexpr const char* kVersions[] = {"0.3.0", "0.3.1", "0.4.0", kNewestVersion};
constexpr char kAnnotations[] = "io.kubernetes.cri.pod-annotations";

// CNI's error codes; from 100 on they are a plugin's own.
enum Code {
  kIncompatibleVersion = 1,
  kInvalidEnvironment = 4,
  kDecodeFailure = 6,
  kInvalidConfig = 7,
  kRedirectFailed = 100,
  kNotRedirected = 101,
};

CniAnswer Error(absl::string_view version, Code code, absl::string_view message,
                absl::string_view details = "") {
  Value error = Value::Object();
  error.Set("cniVersion", Value::String(std::string(version)));
  error.Set("code", Value::Int(code));
  error.Set("msg", Value::String(absl::StrCat("meltemi-cni: ", message)));
  if (!details.empty()) error.Set("details", Value::String(std::string(details)));
  return {1, json::ToString(error) + "\n"};
}

CniAnswer Versions() {
  Value answer = Value::Object();
  answer.Set("cniVersion", Value::String(kNewestVersion));
  Value& list = answer.Set("supportedVersions", Value::Array());
  for (const char* version : kVersions) list.Append(Value::String(version));
  return {0, json::ToString(answer) + "\n"};
}

bool IsSupported(absl::string_view version) {
  for (const char* known : kVersions) {
    if (version == known) return true;
  }
  return false;
}

// What a pod says about its redirection; nothing when it shall have none. Error: a list is none.
absl::StatusOr<std::optional<InterceptOptions>> Wanted(const Value& annotations) {
  if (annotations.Find("sidecar.istio.io/status") == nullptr ||
      annotations.FindString("sidecar.istio.io/interceptionMode") != "REDIRECT") {
    return std::optional<InterceptOptions>();
  }
  InterceptOptions options;
  const std::pair<const char*, std::string*> lists[] = {
      {"traffic.sidecar.istio.io/includeInboundPorts", &options.include_inbound_ports},
      {"traffic.sidecar.istio.io/excludeInboundPorts", &options.exclude_inbound_ports},
      {"traffic.sidecar.istio.io/includeOutboundIPRanges", &options.include_outbound_ips},
      {"traffic.sidecar.istio.io/excludeOutboundIPRanges", &options.exclude_outbound_ips},
      {"traffic.sidecar.istio.io/includeOutboundPorts", &options.include_outbound_ports},
      {"traffic.sidecar.istio.io/excludeOutboundPorts", &options.exclude_outbound_ports},
      {"traffic.sidecar.istio.io/kubevirtInterfaces", &options.kube_virt_interfaces},
      {"istio.io/reroute-virtual-interfaces", &options.kube_virt_interfaces},
      {"traffic.sidecar.istio.io/excludeInterfaces", &options.exclude_interfaces},
      {"proxy.meltemi.dev/uid", &options.proxy_uids},
      {"proxy.meltemi.dev/gid", &options.proxy_gids}};
  for (const auto& [name, out] : lists) {
    const Value* const value = annotations.Find(name);
    if (value != nullptr && value->is_string()) *out = value->text();
  }
  if (absl::Status status = CheckInterceptOptions(options); !status.ok()) return status;
  return std::optional<InterceptOptions>(std::move(options));
}

// The result of those before us, in the words of the version that was asked for.
CniAnswer Unchanged(absl::string_view version, const Value* previous) {
  Value result = *previous;
  result.Set("cniVersion", Value::String(std::string(version)));
  return {0, json::ToString(result) + "\n"};
}

CniAnswer Check(absl::string_view version, const CniRequest& request,
                const InterceptIn& intercept) {
  InterceptCommand command;
  command.verb = InterceptCommand::Verb::kPrint;
  const absl::StatusOr<std::string> rules = intercept(request.netns, command);
  if (!rules.ok()) return Error(version, kRedirectFailed, rules.status().message());
  if (absl::StrContains(*rules, "ISTIO_OUTPUT")) return {0, ""};
  return Error(version, kNotRedirected, "the pod's traffic is not redirected to its sidecar");
}

CniAnswer AddOrCheck(absl::string_view version, const CniRequest& request, const Value& config,
                     const InterceptIn& intercept) {
  const Value* const previous = config.Find("prevResult");
  if (previous == nullptr || !previous->is_object()) {
    return Error(version, kInvalidConfig,
                 "there is no prevResult: it must stand behind the plugin that makes the network");
  }
  const Value* const runtime = config.Find("runtimeConfig");
  const Value* const annotations = runtime == nullptr ? nullptr : runtime->Find(kAnnotations);
  if (annotations == nullptr) {
    // Going on would leave pods in the mesh without their sidecar noticing.
    return Error(version, kInvalidConfig, "the container runtime hands over no pod annotations",
                 absl::StrCat("the plugin's entry needs \"capabilities\": {\"", kAnnotations,
                              "\": true}, and the runtime must know it (containerd 1.6 does)"));
  }
  absl::StatusOr<std::optional<InterceptOptions>> wanted = Wanted(*annotations);
  if (!wanted.ok()) return Error(version, kInvalidConfig, wanted.status().message());
  const bool add = request.command == "ADD";
  if (!wanted->has_value()) return add ? Unchanged(version, previous) : CniAnswer();
  if (request.netns.empty()) return Error(version, kInvalidEnvironment, "CNI_NETNS is missing");
  if (!add) return Check(version, request, intercept);
  InterceptCommand command;
  command.verb = InterceptCommand::Verb::kApply;
  command.options = **std::move(wanted);
  const absl::StatusOr<std::string> done = intercept(request.netns, command);
  if (!done.ok()) {
    return Error(version, kRedirectFailed, "the pod's traffic cannot be redirected to its sidecar",
                 done.status().message());
  }
  return Unchanged(version, previous);
}

}  // namespace

CniAnswer RunCni(const CniRequest& request, const InterceptIn& intercept) {
  if (request.command == "VERSION") return Versions();
  const bool known =
      request.command == "ADD" || request.command == "DEL" || request.command == "CHECK";
  if (!known) {
    return Error(
        kNewestVersion, kInvalidEnvironment,
        absl::StrCat("CNI_COMMAND is \"", request.command, "\", not ADD, DEL, CHECK or VERSION"));
  }
  const json::ParseLimits limits = {
      .size_bytes_max = 8 * 1024 * 1024, .depth_max = 50, .values_max = 100'000};
  const absl::StatusOr<Value> config = json::Parse(request.config, limits);
  if (!config.ok()) {
    return Error(kNewestVersion, kDecodeFailure, "the configuration is no JSON",
                 config.status().message());
  }
  const std::string version(config->FindString("cniVersion"));
  if (!IsSupported(version)) {
    return Error(
        kNewestVersion, kIncompatibleVersion,
        absl::StrCat("cniVersion \"", version, "\" is none of 0.3.0, 0.3.1, 0.4.0, 1.0.0"));
  }
  if (request.container_id.empty()) {
    return Error(version, kInvalidEnvironment, "CNI_CONTAINERID is missing");
  }
  // The rules go with their namespace.
  if (request.command == "DEL") return {};
  return AddOrCheck(version, request, *config, intercept);
}

}  // namespace meltemi::proxy
