#include "orchestrator/kubelet/server/runtime_streams.h"

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/status/field_error.h"
#include "orchestrator/kubelet/server/find.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/port_forward.h"
#include "orchestrator/kubelet/server/streams/remote_command.h"
#include "orchestrator/kubelet/server/text_reply.h"

namespace meltemi::kubelet {
namespace {

using apiserver::Reply;
using apiserver::Request;
using apiserver::Translator;
using kube::GoQuote;

// Below the time that the server gives a request.
constexpr Duration kRunTimeout = seconds(50);
constexpr size_t kPortsMax = 1000;

bool IsOne(const Request& request, absl::string_view name) {
  return request.query.Get(name).value_or("") == "1";
}

kube::Result<Runtime::StreamOptions> ReadStreams(const Request& request) {
  Runtime::StreamOptions options;
  options.in = IsOne(request, "input");
  options.out = IsOne(request, "output");
  options.tty = IsOne(request, "tty");
  // A terminal has one output.
  options.err = IsOne(request, "error") && !options.tty;
  if (options.in || options.out || options.err) return options;
  return kube::BadRequest("you must specify at least 1 of stdin, stdout, stderr");
}

Reply RuntimeError(const absl::Status& status) {
  const int code = status.code() == absl::StatusCode::kNotFound            ? 404
                   : status.code() == absl::StatusCode::kResourceExhausted ? 429
                                                                           : 500;
  Reply reply = TextReply(code, RuntimeErrorText(status));
  if (code == 429) std::get<apiserver::Body>(reply).fields.emplace_back("Retry-After", "60");
  return reply;
}

// To the runtime's streaming server.
Reply Connect(const absl::StatusOr<std::string>& url, std::shared_ptr<Translator> translator) {
  if (!url.ok()) return RuntimeError(url.status());
  const size_t host = url->find("://");
  const size_t path = host == std::string::npos ? host : url->find('/', host + 3);
  if (path == std::string::npos) {
    return TextReply(500, absl::StrCat("the runtime's URL can't be read: ", *url));
  }
  return apiserver::ProxyAnswer{.scheme = url->substr(0, host),
                                .host = url->substr(host + 3, path - host - 3),
                                .target = url->substr(path),
                                .server_name = "",
                                .translator = std::move(translator)};
}

bool Offers(const Request& request, absl::string_view protocol) {
  const std::vector<std::string> offered = OfferedProtocols(request);
  return std::find(offered.begin(), offered.end(), protocol) != offered.end();
}

struct Found {
  std::shared_ptr<const PodOnNode> pod;
  const ContainerState* container = nullptr;  // null: none of this name runs
};

Found Find(const Pods& pods, const StreamTarget& target) {
  Found out;
  out.pod = pods.Find(target.ns, target.pod);
  if (out.pod == nullptr) return out;
  if (!target.uid.empty() && out.pod->pod->metadata().uid() != target.uid) return out;
  out.container = FindRunning(out.pod->state, target.container);
  return out;
}

Reply NoUpgrade() { return TextReply(400, "Upgrade request required"); }

// The ports of clients that speak the old WebSocket protocols.
kube::Result<std::vector<int32_t>> ReadPorts(const Request& request) {
  std::vector<int32_t> out;
  for (const std::string& list : request.query.All("port")) {
    for (const absl::string_view text : absl::StrSplit(list, ',')) {
      uint32_t port = 0;
      if (!absl::SimpleAtoi(text, &port) || port > 65535 || out.size() == kPortsMax) {
        return kube::BadRequest(absl::StrCat("unable to parse ", GoQuote(text), " as a port"));
      }
      if (port < 1) return kube::BadRequest(absl::StrCat("port ", GoQuote(text), " must be > 0"));
      out.push_back(static_cast<int32_t>(port));
    }
  }
  if (out.empty()) return kube::BadRequest("query parameter \"port\" is required");
  return out;
}

// Null where bytes may pass as they are.
kube::Result<std::shared_ptr<Translator>> RemoteCommandFor(const Request& request,
                                                           const Runtime::StreamOptions& options) {
  if (!IsWebSocket(request) || !Offers(request, kRemoteCommandV5)) {
    return std::shared_ptr<Translator>();
  }
  if (const kube::Outcome fine = CheckWebSocket(request); !fine.ok()) return fine.status();
  return NewRemoteCommandTranslator(std::string(request.Header("sec-websocket-key")),
                                    kRemoteCommandV5, options);
}

}  // namespace

Reply Exec(const Pods& pods, Runtime& runtime, const Request& request, const StreamTarget& target) {
  const kube::Result<Runtime::StreamOptions> options = ReadStreams(request);
  if (!options.ok()) return TextReply(400, options.status().message);
  const Found found = Find(pods, target);
  if (found.pod == nullptr) return TextReply(404, "pod does not exist");
  if (found.container == nullptr) {
    return TextReply(500, absl::StrCat("container not found (", GoQuote(target.container), ")"));
  }
  if (request.Header("upgrade").empty()) return NoUpgrade();
  kube::Result<std::shared_ptr<Translator>> translator = RemoteCommandFor(request, *options);
  if (!translator.ok()) return TextReply(400, translator.status().message);
  return Connect(runtime.Exec(found.container->id, request.query.All("command"), *options),
                 *std::move(translator));
}

Reply Attach(const Pods& pods, Runtime& runtime, const Request& request,
             const StreamTarget& target) {
  kube::Result<Runtime::StreamOptions> options = ReadStreams(request);
  if (!options.ok()) return TextReply(400, options.status().message);
  const Found found = Find(pods, target);
  if (found.pod == nullptr) return TextReply(404, "pod does not exist");
  if (found.container == nullptr) {
    return TextReply(500, absl::StrCat("container ", target.container, " not found in pod ",
                                       target.pod, "_", target.ns));
  }
  if (request.Header("upgrade").empty()) return NoUpgrade();
  kube::Result<std::shared_ptr<Translator>> translator = RemoteCommandFor(request, *options);
  if (!translator.ok()) return TextReply(400, translator.status().message);
  // Whether it has a terminal was decided when it was started.
  Runtime::StreamOptions asked = *options;
  asked.tty = FindSpec(*found.pod->pod, target.container).tty;
  asked.err = asked.err && !asked.tty;
  return Connect(runtime.Attach(found.container->id, asked), *std::move(translator));
}

Reply PortForward(const Pods& pods, Runtime& runtime, const Request& request,
                  const StreamTarget& target) {
  const bool tunnel =
      IsWebSocket(request) && Offers(request, absl::StrCat(kTunnelPrefix, kPortForward));
  std::vector<int32_t> ports;
  if (IsWebSocket(request) && !tunnel) {
    kube::Result<std::vector<int32_t>> asked = ReadPorts(request);
    if (!asked.ok()) return TextReply(400, asked.status().message);
    ports = *std::move(asked);
  }
  const std::shared_ptr<const PodOnNode> pod = pods.Find(target.ns, target.pod);
  if (pod == nullptr) return TextReply(404, "pod does not exist");
  if (!target.uid.empty() && pod->pod->metadata().uid() != target.uid) {
    return TextReply(404, "pod not found");
  }
  const std::vector<SandboxState>& sandboxes = pod->state.sandboxes;
  if (sandboxes.empty() || !sandboxes[0].ready) {
    return TextReply(500, absl::StrCat("pod not found (",
                                       GoQuote(absl::StrCat(target.pod, "_", target.ns)), ")"));
  }
  if (request.Header("upgrade").empty()) return NoUpgrade();
  std::shared_ptr<Translator> translator;
  if (tunnel) {
    if (const kube::Outcome fine = CheckWebSocket(request); !fine.ok()) {
      return TextReply(400, fine.status().message);
    }
    translator = NewPortForwardTranslator(std::string(request.Header("sec-websocket-key")));
  }
  return Connect(runtime.PortForward(sandboxes[0].id, ports), std::move(translator));
}

Reply Run(const Pods& pods, Runtime& runtime, const Request& request, const StreamTarget& target) {
  const Found found = Find(pods, target);
  if (found.pod == nullptr) return TextReply(404, "pod does not exist");
  if (found.container == nullptr) {
    return TextReply(500, absl::StrCat("container not found (", GoQuote(target.container), ")"));
  }
  const std::vector<std::string> command =
      absl::StrSplit(request.query.Get("cmd").value_or(""), ' ');
  // The runtime tells the end in any case, if only of itself.
  auto ended = std::make_shared<std::promise<absl::StatusOr<ExecResult>>>();
  std::future<absl::StatusOr<ExecResult>> result = ended->get_future();
  runtime.ExecSync(found.container->id, command, kRunTimeout,
                   [ended](absl::StatusOr<ExecResult> told) { ended->set_value(std::move(told)); });
  const absl::StatusOr<ExecResult> told = result.get();
  if (!told.ok()) return RuntimeError(told.status());
  if (told->exit_code != 0) {
    return TextReply(500, absl::StrCat("command '", absl::StrJoin(command, " "), "' exited with ",
                                       told->exit_code, ": ", told->err));
  }
  return apiserver::Body{.content_type = "application/json",
                         .bytes = absl::StrCat(told->out, told->err)};
}

}  // namespace meltemi::kubelet
