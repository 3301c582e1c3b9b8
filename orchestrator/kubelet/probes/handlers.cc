#include "orchestrator/kubelet/probes/handlers.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/kubelet/containers/expansion.h"
#include "orchestrator/kubelet/probes/probe_url.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using Kind = ProbeVerdict::Kind;

constexpr size_t kOutputBytesMax = 10 * 1024;

// The plain value of the container's own variable; the last one of a name counts.
std::optional<std::string> ValueOf(const Container& container, const std::string& name) {
  std::optional<std::string> out;
  for (const auto& variable : container.env()) {
    if (variable.name() == name && !variable.has_value_from()) out = variable.value();
  }
  return out;
}

std::string Output(const ExecResult& result) {
  return absl::StrCat(result.out, result.err).substr(0, kOutputBytesMax);
}

std::string TimedOut(const std::vector<std::string>& command, Duration timeout) {
  return absl::StrCat("command timed out: \"", absl::StrJoin(command, " "), "\" timed out after ",
                      SecondsInGo(timeout));
}

std::string LogicalError(const absl::Status& status) {
  return absl::StrCat("rpc error: code = ", absl::StatusCodeToString(status.code()),
                      " desc = ", status.message());
}

}  // namespace

absl::StatusOr<uint16_t> ResolvePort(const kube::intstr::IntOrString& port,
                                     const Container& container) {
  int64_t number = port.int_val();
  if (port.type() != 0) {
    number = -1;
    for (const auto& candidate : container.ports()) {
      if (candidate.name() == port.str_val()) number = candidate.container_port();
    }
    if (number < 0 && !absl::SimpleAtoi(port.str_val(), &number)) {
      return absl::InvalidArgumentError(
          absl::StrCat("strconv.Atoi: parsing \"", port.str_val(), "\": invalid syntax"));
    }
  }
  if (number < 1 || number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("invalid port number: ", number));
  }
  return static_cast<uint16_t>(number);
}

absl::StatusOr<HttpProbe> MakeHttpProbe(const kube::core::v1::HTTPGetAction& action,
                                        const Container& container, const std::string& pod_ip,
                                        const std::string& agent, Duration timeout) {
  const absl::StatusOr<uint16_t> port = ResolvePort(action.port(), container);
  if (!port.ok()) return port.status();
  HttpProbe out;
  out.https = absl::AsciiStrToLower(action.scheme()) == "https";
  out.host = action.host().empty() ? pod_ip : action.host();
  out.port = *port;
  out.path = EncodePath(action.path());
  out.timeout = timeout;
  bool has_agent = false, has_accept = false;
  for (const auto& header : action.http_headers()) {
    const std::string name = absl::AsciiStrToLower(header.name());
    if (header.value().find_first_of("\r\n\0", 0, 3) != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("net/http: invalid header field value for \"", header.name(), "\""));
    }
    if (name == "host") {
      if (out.authority.empty()) out.authority = header.value();
      continue;
    }
    has_agent |= name == "user-agent";
    has_accept |= name == "accept";
    // An empty one means: none.
    if (name == "accept" && header.value().empty()) continue;
    out.headers.emplace_back(header.name(), header.value());
  }
  if (!has_agent) out.headers.emplace_back("User-Agent", agent);
  if (!has_accept) out.headers.emplace_back("Accept", "*/*");
  return out;
}

absl::StatusOr<TcpProbe> MakeTcpProbe(const kube::core::v1::TCPSocketAction& action,
                                      const Container& container, const std::string& pod_ip,
                                      Duration timeout) {
  const absl::StatusOr<uint16_t> port = ResolvePort(action.port(), container);
  if (!port.ok()) return port.status();
  return TcpProbe{action.host().empty() ? pod_ip : action.host(), *port, timeout};
}

GrpcProbe MakeGrpcProbe(const kube::core::v1::GRPCAction& action, const std::string& pod_ip,
                        Duration timeout) {
  return {pod_ip, static_cast<uint16_t>(action.port()), action.service(), timeout};
}

std::vector<std::string> ExpandCommand(const Container& container,
                                       const kube::core::v1::ExecAction& action) {
  std::vector<std::string> out;
  for (const std::string& word : action.command()) {
    out.push_back(Expand(word, [&](const std::string& name) { return ValueOf(container, name); }));
  }
  return out;
}

ProbeVerdict ExecVerdict(const std::vector<std::string>& command, Duration timeout,
                         const absl::StatusOr<ExecResult>& result) {
  if (result.ok()) {
    return {result->exit_code == 0 ? Kind::kSuccess : Kind::kFailure, Output(*result)};
  }
  if (result.status().code() == absl::StatusCode::kDeadlineExceeded) {
    return {Kind::kFailure, TimedOut(command, timeout)};
  }
  return {Kind::kError, LogicalError(result.status())};
}

absl::Status ExecStatus(const std::vector<std::string>& command, Duration timeout,
                        const absl::StatusOr<ExecResult>& result) {
  if (result.ok() && result->exit_code == 0) return absl::OkStatus();
  std::string why;
  if (result.ok()) {
    why = absl::StrCat("command '", absl::StrJoin(command, " "), "' exited with ",
                       result->exit_code, ": ", result->err.substr(0, kOutputBytesMax));
  } else if (result.status().code() == absl::StatusCode::kDeadlineExceeded) {
    why = TimedOut(command, timeout);
  } else {
    why = LogicalError(result.status());
  }
  const std::string output = result.ok() ? Output(*result) : "";
  return absl::UnknownError(absl::StrCat(why, ", message: \"", output, "\""));
}

bool RunsAsSidecar(const Container& init_container) {
  return init_container.restart_policy() == "Always";
}

const Container* ContainerNamed(const Pod& pod, absl::string_view name, std::string* field_path) {
  for (const Container& container : pod.spec().containers()) {
    if (container.name() != name) continue;
    if (field_path != nullptr) *field_path = absl::StrCat("spec.containers{", name, "}");
    return &container;
  }
  for (const Container& container : pod.spec().init_containers()) {
    if (container.name() != name) continue;
    if (field_path != nullptr) *field_path = absl::StrCat("spec.initContainers{", name, "}");
    return &container;
  }
  return nullptr;
}

std::string PodForLog(const Pod& pod) {
  return absl::StrCat(pod.metadata().name(), "_", pod.metadata().namespace_(), "(",
                      pod.metadata().uid(), ")");
}

}  // namespace meltemi::kubelet
