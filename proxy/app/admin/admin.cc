#include "proxy/app/admin/admin.h"

#include <malloc.h>

#include <chrono>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "base/protojson/encode.h"
#include "envoy/admin/v3/server_info.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "proxy/app/admin/certs.h"
#include "proxy/app/admin/config_dump.h"
#include "proxy/app/admin/stat_names.h"
#include "proxy/app/options.h"
#include "proxy/config/bootstrap/bootstrap.h"
#include "proxy/config/bootstrap/user_agent.h"
#include "proxy/config/store/config_store.h"
#include "proxy/upstream/upstream.h"
#include "re2/re2.h"

namespace meltemi::proxy {
namespace {

constexpr absl::string_view kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

AdminResponse Text(int status, std::string body) {
  return {.status = status, .body = std::move(body)};
}

AdminResponse Json(std::string body) {
  return {.status = 200, .content_type = "application/json", .body = std::move(body)};
}

std::string Query(const AdminRequest& request, const std::string& name) {
  auto it = request.query.find(name);
  return it == request.query.end() ? "" : it->second;
}

std::string JsonText(absl::string_view text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      absl::StrAppend(&out, "\\u00", absl::Hex(c, absl::kZeroPad2));
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t byte = 0;
    if (text[i] == '%' && i + 2 < text.size() + 0 &&
        absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte)) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

absl::string_view ServerStateName(ServerState state) {
  switch (state) {
    case ServerState::kLive:
      return "LIVE";
    case ServerState::kDraining:
      return "DRAINING";
    case ServerState::kPreInitializing:
      return "PRE_INITIALIZING";
    case ServerState::kInitializing:
      return "INITIALIZING";
  }
  return "";
}

AdminRequest ParseAdminTarget(absl::string_view method, absl::string_view target) {
  AdminRequest request;
  request.method = std::string(method);
  const size_t question = target.find('?');
  request.path = std::string(target.substr(0, question));
  if (question == absl::string_view::npos) return request;
  for (absl::string_view pair :
       absl::StrSplit(target.substr(question + 1), '&', absl::SkipEmpty())) {
    const size_t equals = pair.find('=');
    request.query[Unescape(pair.substr(0, equals))] =
        equals == absl::string_view::npos ? "" : Unescape(pair.substr(equals + 1));
  }
  return request;
}

Admin::Admin(const Sources& sources)
    : sources_(sources),
      pages_{
          {"/certs", {&Admin::Certs, false, "certificates on the machine"}},
          {"/clusters", {&Admin::Clusters, false, "clusters and hosts (format=json)"}},
          {"/config_dump",
           {&Admin::ConfigDump, false, "configuration (include_eds, resource=, name_regex=)"}},
          {"/drain_listeners", {&Admin::DrainListeners, true, "drain all listeners"}},
          {"/healthcheck/fail",
           {&Admin::HealthcheckFail, true, "make the server fail health checks"}},
          {"/healthcheck/ok", {&Admin::HealthcheckOk, true, "make the server pass health checks"}},
          {"/help", {&Admin::Help, false, "this list"}},
          {"/listeners", {&Admin::Listeners, false, "listeners and addresses (format=json)"}},
          {"/logging", {&Admin::Logging, true, "levels (level=LEVEL, paths=C:LEVEL, C=LEVEL)"}},
          {"/memory", {&Admin::Memory, false, "what the allocator holds"}},
          {"/quitquitquit", {&Admin::Quit, true, "end the server, draining it first"}},
          {"/ready", {&Admin::Ready, false, "200 when LIVE"}},
          {"/server_info", {&Admin::ServerInfo, false, "version, state, options, node"}},
          {"/stats",
           {&Admin::Stats, false, "statistics (filter=REGEX, usedonly, format=prometheus|json)"}},
          {"/stats/prometheus", {&Admin::StatsPrometheus, false, "in Prometheus' format"}},
      } {}

std::vector<Admin::PathHelp> Admin::paths() const {
  std::vector<PathHelp> paths;
  for (const auto& [path, page] : pages_) paths.push_back({path, page.help, page.post});
  return paths;
}

AdminResponse Admin::Handle(const AdminRequest& request) {
  const absl::string_view path = request.path == "/" ? "/help" : absl::string_view(request.path);
  auto page = pages_.find(path);
  if (page == pages_.end()) {
    AdminResponse help = Help(request);
    return Text(404, absl::StrCat("invalid path ", request.path, ". ", help.body));
  }
  if (page->second.post && request.method != "POST") {
    return Text(405, absl::StrCat("Method Not Allowed: ", path, " needs POST\n"));
  }
  if (!page->second.post && request.method != "GET" && request.method != "HEAD") {
    return Text(405, absl::StrCat("Method Not Allowed: ", path, " needs GET\n"));
  }
  return (this->*page->second.handler)(request);
}

AdminResponse Admin::HandleStatus(const AdminRequest& request) {
  if (request.path != "/healthz/ready" && request.path != "/ready") return Text(404, "not found\n");
  const ServerState state = sources_.actions.state();
  if (state == ServerState::kLive && sources_.actions.ready()) return Text(200, "");
  std::string body = absl::StrCat("not ready: ", ServerStateName(state), "\n");
  for (const auto& [what, why] : sources_.store.waiting()) {
    absl::StrAppend(&body, what, ": ", why, "\n");
  }
  return Text(503, std::move(body));
}

AdminResponse Admin::HandleStats(const AdminRequest& request) {
  if (request.path != "/stats/prometheus") return Text(404, "not found\n");
  return StatsPrometheus(request);
}

AdminResponse Admin::Help(const AdminRequest&) {
  std::string text = "admin commands are:\n";
  for (const auto& [path, page] : pages_) {
    absl::StrAppend(&text, "  ", path, page.post ? " (POST)" : "", ": ", page.help, "\n");
  }
  return Text(200, std::move(text));
}

AdminResponse Admin::Certs(const AdminRequest&) {
  return Json(CertsJson(sources_.secrets, sources_.clock.WallNow()));
}

AdminResponse Admin::Clusters(const AdminRequest& request) {
  if (Query(request, "format") == "json") return Json(sources_.clusters.DebugJson());
  return Text(200, sources_.clusters.DebugText());
}

AdminResponse Admin::ConfigDump(const AdminRequest& request) {
  ConfigDumpOptions options;
  options.include_eds = request.query.contains("include_eds");
  options.resource = Query(request, "resource");
  options.name_regex = Query(request, "name_regex");
  if (!options.name_regex.empty() && !RE2(options.name_regex, RE2::Quiet).ok()) {
    return Text(400, "name_regex is no regular expression\n");
  }
  return Json(ConfigDumpJson(sources_.bootstrap, sources_.started, sources_.intake, sources_.store,
                             sources_.secrets, options));
}

AdminResponse Admin::DrainListeners(const AdminRequest&) {
  sources_.actions.DrainListeners();
  return Text(200, "OK\n");
}

AdminResponse Admin::HealthcheckFail(const AdminRequest&) {
  sources_.actions.FailHealthcheck(true);
  return Text(200, "OK\n");
}

AdminResponse Admin::HealthcheckOk(const AdminRequest&) {
  sources_.actions.FailHealthcheck(false);
  return Text(200, "OK\n");
}

AdminResponse Admin::Listeners(const AdminRequest& request) {
  const auto& bound = sources_.actions.bound_listeners();
  if (Query(request, "format") != "json") {
    std::string text;
    for (const auto& [name, address] : bound) {
      if (address.set()) absl::StrAppend(&text, name, "::", address.ToString(), "\n");
    }
    return Text(200, std::move(text));
  }
  std::string json = "{\n \"listener_statuses\": [";
  bool first = true;
  for (const auto& [name, address] : bound) {
    if (!address.set()) continue;
    absl::StrAppend(&json, first ? "" : ",", "\n  {\"name\": ", JsonText(name),
                    ", \"local_address\": ");
    first = false;
    if (address.is_ip()) {
      absl::StrAppend(&json, "{\"socket_address\": {\"address\": ", JsonText(address.ip()),
                      ", \"port_value\": ", address.port(), "}}}");
    } else {
      absl::StrAppend(&json, "{\"pipe\": {\"path\": ", JsonText(address.path()), "}}}");
    }
  }
  return Json(absl::StrCat(json, "\n ]\n}\n"));
}

AdminResponse Admin::Logging(const AdminRequest& request) {
  // Everything is looked at before anything is changed.
  std::vector<std::pair<std::string, std::string>> changes;
  for (const auto& [key, value] : request.query) {
    if (key == "level") {
      changes.insert(changes.begin(), {"*", value});
    } else if (key == "paths") {
      for (absl::string_view item : absl::StrSplit(value, ',', absl::SkipEmpty())) {
        const std::pair<std::string, std::string> pair = absl::StrSplit(item, ':');
        changes.push_back(pair);
      }
    } else {
      changes.emplace_back(key, value);
    }
  }
  for (const auto& [component, word] : changes) {
    log::Level level;
    if (!log::ParseLevel(word, &level)) {
      return Text(400, absl::StrCat("error: unknown logger level '", word, "'\n"));
    }
    if (component != "*" && !log::Levels().contains(component)) {
      return Text(400, absl::StrCat("error: unknown logger name '", component, "'\n"));
    }
  }
  for (const auto& [component, word] : changes) log::SetLevel(component, word);
  std::string text = "active loggers:\n";
  for (const auto& [component, level] : log::Levels()) {
    absl::StrAppend(&text, "  ", component, ": ", log::LevelWord(level), "\n");
  }
  return Text(200, std::move(text));
}

AdminResponse Admin::Memory(const AdminRequest&) {
  const struct mallinfo2 info = mallinfo2();
  return Json(absl::StrCat("{\n \"allocated\": \"", info.uordblks + info.hblkhd,
                           "\",\n \"heap_size\": \"", info.arena + info.hblkhd,
                           "\",\n \"pageheap_unmapped\": \"0\",\n \"pageheap_free\": \"",
                           info.fordblks, "\",\n \"total_thread_cache\": \"0\"\n}\n"));
}

AdminResponse Admin::Quit(const AdminRequest&) {
  sources_.actions.Quit();
  return Text(200, "OK\n");
}

AdminResponse Admin::Ready(const AdminRequest&) {
  const ServerState state = sources_.actions.state();
  return Text(state == ServerState::kLive ? 200 : 503, absl::StrCat(ServerStateName(state), "\n"));
}

AdminResponse Admin::ServerInfo(const AdminRequest&) {
  envoy::admin::v3::ServerInfo info;
  info.set_version(absl::StrCat(kUserAgent, "/", kVersion));
  info.set_state(static_cast<envoy::admin::v3::ServerInfo::State>(sources_.actions.state()));
  const int64_t uptime_s = std::chrono::duration_cast<seconds>(sources_.actions.uptime()).count();
  info.mutable_uptime_current_epoch()->set_seconds(uptime_s);
  info.mutable_uptime_all_epochs()->set_seconds(uptime_s);
  info.set_hot_restart_version("disabled");
  auto* options = info.mutable_command_line_options();
  options->set_concurrency(sources_.actions.workers());
  options->set_config_path(sources_.options.config_path);
  options->set_config_yaml(sources_.options.config_yaml);
  options->set_admin_address_path(sources_.options.admin_address_path);
  options->set_log_level(sources_.options.log_level);
  options->set_component_log_level(sources_.options.component_log_levels);
  options->set_disable_hot_restart(true);
  options->mutable_drain_time()->set_seconds(
      std::chrono::duration_cast<seconds>(sources_.options.drain_time).count());
  *info.mutable_node() = sources_.bootstrap.node();
  return Json(protojson::ToJson(info, {.proto_names = true, .indent = 1}) + "\n");
}

AdminResponse Admin::Stats(const AdminRequest& request) {
  const std::string format = Query(request, "format");
  if (format == "prometheus") return StatsPrometheus(request);
  const std::string filter = Query(request, "filter");
  const RE2 regex(filter, RE2::Quiet);
  if (!regex.ok()) return Text(400, absl::StrCat("filter: ", regex.error(), "\n"));
  const bool used_only = request.query.contains("usedonly");
  sources_.actions.UpdateServerStats();
  std::string text;
  std::string json = "{\"stats\": [";
  const std::string rendered = sources_.registry.RenderText();
  for (absl::string_view line : absl::StrSplit(rendered, '\n', absl::SkipEmpty())) {
    if (used_only && absl::EndsWith(line, ": 0")) continue;
    const std::string shown = EnvoyStatLine(line);
    const size_t colon = shown.rfind(": ");
    if (colon == std::string::npos) continue;
    const std::string name = shown.substr(0, colon);
    if (!filter.empty() && !RE2::PartialMatch(name, regex)) continue;
    if (format == "json") {
      absl::StrAppend(&json, json.back() == '[' ? "\n" : ",\n", " {\"name\": ", JsonText(name),
                      ", \"value\": ", JsonText(shown.substr(colon + 2)), "}");
    } else {
      absl::StrAppend(&text, shown, "\n");
    }
  }
  if (format == "json") return Json(absl::StrCat(json, "\n]}\n"));
  if (!format.empty() && format != "text") {
    return Text(400, absl::StrCat("format '", format, "' is none of text, json, prometheus\n"));
  }
  return Text(200, std::move(text));
}

AdminResponse Admin::StatsPrometheus(const AdminRequest& request) {
  const std::string filter = Query(request, "filter");
  const RE2 regex(filter, RE2::Quiet);
  if (!regex.ok()) return Text(400, absl::StrCat("filter: ", regex.error(), "\n"));
  sources_.actions.UpdateServerStats();
  AdminResponse response;
  response.content_type = std::string(kPrometheusType);
  if (filter.empty()) {
    response.body = sources_.registry.RenderPrometheus();
  } else {
    response.body = sources_.registry.RenderPrometheus([&](absl::string_view name) {
      return RE2::PartialMatch(re2::StringPiece(name.data(), name.size()), regex);
    });
  }
  return response;
}

}  // namespace meltemi::proxy
