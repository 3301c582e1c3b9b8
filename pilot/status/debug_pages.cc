#include "pilot/status/debug_pages.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "base/protojson/encode.h"
#include "pilot/status/config_dump.h"

namespace meltemi::pilot {
namespace {

using http::DebugRequest;
using http::DebugResponse;
using http::DebugServer;

DebugResponse Json(std::string body) {
  return DebugResponse{.status = 200, .body = std::move(body), .content_type = "application/json"};
}

DebugResponse Text(int status, std::string body) {
  return DebugResponse{.status = status, .body = std::move(body)};
}

const char* KindWord(ProxyKind kind) {
  switch (kind) {
    case ProxyKind::kSidecar:
      return "sidecar";
    case ProxyKind::kGateway:
      return "router";
    case ProxyKind::kProxyless:
      return "grpc";
  }
  return "";
}

void WriteType(const TypeStatus& status, json::Writer* writer) {
  writer->BeginObject();
  writer->Key("state").String(SyncStateName(status.state));
  writer->Key("version_sent").String(status.version_sent);
  writer->Key("version_acked").String(status.version_acked);
  writer->Key("responses").Uint(status.responses);
  writer->Key("rejections").Uint(status.rejections);
  writer->Key("wildcard").Bool(status.wildcard);
  writer->Key("names").Uint(status.subscribed);
  if (!status.error.empty()) writer->Key("error").String(status.error);
  writer->EndObject();
}

DebugResponse ConfigDump(PushServer* push, const DebugRequest& request) {
  const std::string proxy = request.Param("proxyID").value_or("");
  if (proxy.empty()) {
    return Text(400, "which proxy? /debug/config_dump?proxyID=NAME.NAMESPACE; see /debug/syncz\n");
  }
  ProxyView* view = push->FindView(proxy);
  if (view == nullptr) {
    return Text(404, absl::StrCat("no proxy \"", proxy, "\" is connected; see /debug/syncz\n"));
  }
  std::vector<XdsType> types;
  const std::string wanted = request.Param("type").value_or("");
  for (int i = 0; i < kXdsTypes; ++i) {
    const XdsType type = static_cast<XdsType>(i);
    if (absl::AsciiStrToLower(XdsTypeShortName(type)) == wanted) types.push_back(type);
  }
  if (!wanted.empty() && types.empty()) {
    return Text(400, "type is one of cds, eds, lds, rds, sds\n");
  }
  return Json(ConfigDumpJson(view, types));
}

std::string LevelsText() {
  std::string text;
  for (const auto& [component, level] : log::Levels()) {
    absl::StrAppend(&text, component, ": ", log::LevelWord(level), "\n");
  }
  return text;
}

DebugResponse LogLevel(const DebugRequest& request) {
  const std::optional<std::string> level = request.Param("level");
  if (!level.has_value()) return Text(200, LevelsText());
  if (request.method != "POST" && request.method != "PUT") {
    return Text(405, "POST changes levels: POST /debug/loglevel?component=push&level=debug\n");
  }
  const std::string component = request.Param("component").value_or("*");
  if (!log::SetLevel(component, *level)) {
    return Text(400, absl::StrCat("\"", *level,
                                  "\" is no level: trace, debug, info, warn, error, "
                                  "off\n"));
  }
  return Text(200, LevelsText());
}

}  // namespace

std::string SyncJson(const PushServer& push) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginObject();
  const uint64_t current = push.snapshot() != nullptr ? push.snapshot()->version : 0;
  writer.Key("snapshot_version").Uint(current);
  writer.Key("proxies").BeginArray();
  for (const ClientStatus& client : push.Clients()) {
    writer.BeginObject();
    writer.Key("proxy").String(absl::StrCat(client.node.name, ".", client.node.ns));
    writer.Key("node_id").String(client.node.id);
    writer.Key("kind").String(KindWord(client.node.kind));
    writer.Key("address").String(client.address);
    writer.Key("connected_at_ms").Int(client.connected_at_ms);
    writer.Key("protocol").String(client.delta ? "delta" : "sotw");
    writer.Key("snapshot_version").Uint(client.snapshot_version);
    writer.Key("acked_version").Uint(client.acked_version);
    for (int i = 0; i < kXdsTypes; ++i) {
      writer.Key(absl::AsciiStrToLower(XdsTypeShortName(static_cast<XdsType>(i))));
      WriteType(client.types[static_cast<size_t>(i)], &writer);
    }
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  out += "\n";
  return out;
}

std::string SettledJson(const PushServer& push, uint64_t version) {
  const uint64_t current = push.snapshot() != nullptr ? push.snapshot()->version : 0;
  const uint64_t asked = version == 0 ? current : version;
  std::vector<std::string> waiting, rejected;
  const std::vector<ClientStatus> clients = push.Clients();
  for (const ClientStatus& client : clients) {
    const std::string proxy = absl::StrCat(client.node.name, ".", client.node.ns);
    // What is gone must be acknowledged too, unless newer snapshots keep coming.
    if (client.settled_version < asked && (asked == current || client.acked_version < asked)) {
      waiting.push_back(proxy);
    }
    for (int i = 0; i < kXdsTypes; ++i) {
      const TypeStatus& type = client.types[static_cast<size_t>(i)];
      if (type.state != SyncState::kRejected) continue;
      rejected.push_back(
          absl::StrCat(proxy, ": ", XdsTypeShortName(static_cast<XdsType>(i)), ": ", type.error));
    }
  }
  std::string out;
  json::Writer writer(&out, 1);
  const auto list = [&writer](absl::string_view key, const std::vector<std::string>& texts) {
    writer.Key(key).BeginArray();
    for (const std::string& text : texts) writer.String(text);
    writer.EndArray();
  };
  writer.BeginObject();
  writer.Key("snapshot_version").Uint(current);
  writer.Key("proxies").Uint(clients.size());
  writer.Key("settled").Bool(waiting.empty() && rejected.empty() && asked <= current);
  list("waiting", waiting);
  list("rejected", rejected);
  writer.EndObject();
  out += "\n";
  return out;
}

std::string ProgrammedJson(const ProgramTracker& tracker) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginObject();
  writer.Key("pending").Uint(tracker.pending());
  writer.Key("objects").BeginArray();
  for (const auto& [key, state] : tracker.All()) {
    writer.BeginObject();
    writer.Key("kind").String(KindName(key.kind));
    writer.Key("namespace").String(key.ns);
    writer.Key("name").String(key.name);
    writer.Key("generation").Int(state.generation);
    writer.Key("accepted").Bool(state.accepted);
    writer.Key("programmed").Bool(state.programmed());
    writer.Key("concerned").Uint(state.concerned);
    writer.Key("acknowledged").Uint(state.acknowledged);
    if (!state.reason.empty()) writer.Key("reason").String(state.reason);
    if (!state.message.empty()) writer.Key("message").String(state.message);
    if (!state.first_nack.empty()) writer.Key("first_nack").String(state.first_nack);
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  out += "\n";
  return out;
}

std::string PushHistoryJson(const PushServer& push) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginArray();
  for (const PushRecord& record : push.History()) {
    writer.BeginObject();
    writer.Key("snapshot_version").Uint(record.version);
    writer.Key("at_ms").Int(record.at_ms);
    writer.Key("reason").String(record.reason);
    writer.Key("clients").Uint(record.clients);
    writer.Key("settled").Uint(record.settled);
    writer.Key("translate_ms").Double(record.translate_ms);
    writer.Key("converged_ms").Double(record.converged_ms);
    writer.EndObject();
  }
  writer.EndArray();
  out += "\n";
  return out;
}

std::string ConfigJson(const ConfigSource& source, const Snapshot* snapshot) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginObject();
  writer.Key("objects").BeginArray();
  for (const ObjectPtr& object : source.Objects()) {
    writer.BeginObject();
    writer.Key("kind").String(KindName(object->kind));
    writer.Key("api_version").String(object->api_version);
    writer.Key("namespace").String(object->meta.ns);
    writer.Key("name").String(object->meta.name);
    writer.Key("file").String(object->file);
    writer.Key("line").Int(object->line);
    writer.Key("spec");
    if (object->kind == Kind::kSecret) {
      writer.String("[redacted]");
    } else {
      protojson::WriteJson(*object->spec, {}, &writer);
    }
    writer.EndObject();
  }
  writer.EndArray();
  writer.Key("notes").BeginArray();
  if (snapshot != nullptr) {
    for (const RuleNote& note : snapshot->notes) {
      writer.BeginObject();
      writer.Key("object").String(note.object);
      writer.Key("state").String(note.kind == RuleNote::Kind::kHeldBack ? "HELD BACK"
                                                                        : "SUBSET RETAINED");
      writer.Key("message").String(note.message);
      writer.EndObject();
    }
  }
  writer.EndArray();
  writer.EndObject();
  out += "\n";
  return out;
}

std::string DiagnosticsJson(const ConfigSource& source, const Snapshot* snapshot) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginArray();
  for (const Diagnostic& diagnostic : source.Diagnostics()) {
    writer.BeginObject();
    writer.Key("severity").String(SeverityName(diagnostic.severity));
    writer.Key("code").String(diagnostic.code);
    writer.Key("object").String(diagnostic.object);
    writer.Key("path").String(diagnostic.path);
    writer.Key("file").String(diagnostic.file);
    writer.Key("line").Int(diagnostic.line);
    writer.Key("message").String(diagnostic.message);
    writer.EndObject();
  }
  if (snapshot != nullptr) {
    for (const RuleNote& note : snapshot->notes) {
      writer.BeginObject();
      writer.Key("severity").String("Warning");
      writer.Key("object").String(note.object);
      writer.Key("message").String(note.message);
      writer.EndObject();
    }
  }
  writer.EndArray();
  out += "\n";
  return out;
}

std::string EndpointsJson(const Snapshot& snapshot) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginObject();
  for (const auto& [service, list] : snapshot.endpoints->all()) {
    writer.Key(service).BeginArray();
    for (const Endpoint& endpoint : list->endpoints) {
      writer.BeginObject();
      writer.Key("service_port").Uint(endpoint.service_port);
      writer.Key("address").String(endpoint.address);
      writer.Key("port").Uint(endpoint.port);
      writer.Key("healthy").Bool(endpoint.healthy);
      writer.Key("workload").String(endpoint.workload);
      writer.Key("labels").BeginObject();
      for (const auto& [key, value] : endpoint.labels) writer.Key(key).String(value);
      writer.EndObject();
      writer.EndObject();
    }
    writer.EndArray();
  }
  writer.EndObject();
  out += "\n";
  return out;
}

void RegisterDebugPages(const DebugSources& sources, DebugServer* server) {
  using Methods = DebugServer::Methods;
  PushServer* const push = sources.push;
  const ConfigSource* const source = sources.source;
  const auto snapshot = [push] { return push->snapshot().get(); };
  server->Route("/ready", Methods::kGet, "200 once configuration has been read",
                [snapshot](const DebugRequest&) {
                  return snapshot() != nullptr ? Text(200, "ok\n") : Text(503, "not yet\n");
                });
  server->Route("/metrics", Methods::kGet, "Prometheus",
                [registry = sources.registry](const DebugRequest&) {
                  return DebugResponse{.status = 200,
                                       .body = registry->RenderPrometheus(),
                                       .content_type = "text/plain; version=0.0.4"};
                });
  server->Route("/debug/syncz", Methods::kGet, "proxies, their versions, what they acknowledged",
                [push](const DebugRequest&) { return Json(SyncJson(*push)); });
  server->Route(
      "/debug/settled", Methods::kGet,
      "reads the files now; whether every proxy has acknowledged what lies there, or what "
      "?version=N held",
      [push, refresh = sources.refresh](const DebugRequest& request) {
        uint64_t version = 0;
        const std::string wanted = request.Param("version").value_or("");
        if (!wanted.empty() && !absl::SimpleAtoi(wanted, &version)) {
          return Text(400, "version is a number: see snapshot_version\n");
        }
        if (refresh && version == 0) refresh();
        return Json(SettledJson(*push, version));
      });
  if (sources.programmed != nullptr) {
    server->Route("/debug/programmed", Methods::kGet,
                  "objects: proxies concerned, proxies that have acknowledged them, rejections",
                  [tracker = sources.programmed](const DebugRequest&) {
                    return Json(ProgrammedJson(*tracker));
                  });
  }
  server->Route("/debug/config_dump", Methods::kGet,
                "?proxyID=NAME.NAMESPACE [&type=cds|eds|lds|rds]: what a proxy is configured with",
                [push](const DebugRequest& request) { return ConfigDump(push, request); });
  server->Route("/debug/push_history", Methods::kGet, "the last snapshots and how they travelled",
                [push](const DebugRequest&) { return Json(PushHistoryJson(*push)); });
  server->Route(
      "/debug/configz", Methods::kGet, "objects in force, as read",
      [source, snapshot](const DebugRequest&) { return Json(ConfigJson(*source, snapshot())); });
  server->Route("/debug/diagnostics", Methods::kGet, "what is wrong with the configuration",
                [source, snapshot](const DebugRequest&) {
                  return Json(DiagnosticsJson(*source, snapshot()));
                });
  server->Route("/debug/endpointz", Methods::kGet, "services and their endpoints",
                [snapshot](const DebugRequest&) {
                  return snapshot() != nullptr ? Json(EndpointsJson(*snapshot())) : Json("{}\n");
                });
  server->Route("/debug/mesh", Methods::kGet, "the options in force",
                [json = sources.options_json](const DebugRequest&) { return Json(json); });
  server->Route("/debug/loglevel", Methods::kAny, "GET: levels; POST ?component=C&level=L: set",
                [](const DebugRequest& request) { return LogLevel(request); });
}

}  // namespace meltemi::pilot
