#include "proxy/app/admin/stat_names.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace meltemi::proxy {
namespace {

// Families whose instances are told apart by a label. Istio's tags lack the "envoy_" in front.
struct Family {
  absl::string_view prefix, label, dotted;
};
constexpr Family kFamilies[] = {
    {"envoy_cluster_", "envoy_cluster_name", "cluster."},
    {"envoy_http_", "envoy_http_conn_manager_prefix", "http."},
    {"envoy_listener_", "envoy_listener_address", "listener."},
    {"envoy_tcp_", "envoy_tcp_prefix", "tcp."},
};

// Groups within a family.
constexpr std::pair<absl::string_view, absl::string_view> kGroups[] = {
    {"circuit_breakers_default_", "circuit_breakers.default."},
    {"outlier_detection_", "outlier_detection."},
    {"ssl_", "ssl."},
};

// Without labels; the longest prefix first.
constexpr std::pair<absl::string_view, absl::string_view> kPlain[] = {
    {"envoy_cluster_manager_cds_", "cluster_manager.cds."},
    {"envoy_cluster_manager_eds_", "cluster_manager.eds."},
    {"envoy_cluster_manager_", "cluster_manager."},
    {"envoy_listener_manager_lds_", "listener_manager.lds."},
    {"envoy_listener_manager_rds_", "listener_manager.rds."},
    {"envoy_listener_manager_", "listener_manager."},
    {"envoy_control_plane_", "control_plane."},
    {"envoy_server_", "server."},
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// `text`: what is between the braces. Values are escaped as in Prometheus' format.
Labels ParseLabels(absl::string_view text) {
  Labels labels;
  while (!text.empty()) {
    const size_t equals = text.find("=\"");
    if (equals == absl::string_view::npos) break;
    std::string name(text.substr(0, equals));
    text.remove_prefix(equals + 2);
    std::string value;
    while (!text.empty() && text[0] != '"') {
      if (text[0] == '\\' && text.size() > 1) text.remove_prefix(1);
      value += text[0];
      text.remove_prefix(1);
    }
    labels.emplace_back(std::move(name), std::move(value));
    absl::ConsumePrefix(&text, "\"");
    absl::ConsumePrefix(&text, ",");
  }
  return labels;
}

// "" when it is not there. "envoy_x" and "x" are the same.
std::string Take(Labels* labels, absl::string_view name) {
  for (auto it = labels->begin(); it != labels->end(); ++it) {
    if (it->first != name && it->first != absl::StripPrefix(name, "envoy_")) continue;
    std::string value = std::move(it->second);
    labels->erase(it);
    return value;
  }
  return "";
}

}  // namespace

std::string EnvoyStatLine(absl::string_view line) {
  const size_t brace = line.find('{');
  const size_t close = line.rfind("}: ");
  if (brace == absl::string_view::npos || close == absl::string_view::npos || close < brace) {
    for (const auto& [prefix, dotted] : kPlain) {
      absl::string_view rest = line;
      if (absl::ConsumePrefix(&rest, prefix)) return absl::StrCat(dotted, rest);
    }
    return std::string(line);
  }
  absl::string_view name = line.substr(0, brace);
  for (const Family& family : kFamilies) {
    if (!absl::StartsWith(name, family.prefix)) continue;
    Labels labels = ParseLabels(line.substr(brace + 1, close - brace - 1));
    const std::string instance = Take(&labels, family.label);
    if (instance.empty()) return std::string(line);
    name.remove_prefix(family.prefix.size());
    // Envoy takes status codes out of the name and makes them labels: put them back.
    std::string stat(name);
    for (const auto& [prefix, dotted] : kGroups) {
      if (!absl::ConsumePrefix(&name, prefix)) continue;
      stat = absl::StrCat(dotted, name);
      break;
    }
    if (std::string klass = Take(&labels, "envoy_response_code_class"); !klass.empty()) {
      stat = absl::StrReplaceAll(stat, {{"_xx", absl::StrCat("_", klass, "xx")}});
    }
    if (std::string code = Take(&labels, "envoy_response_code"); !code.empty()) {
      absl::StrAppend(&stat, "_", code);
    }
    if (std::string cipher = Take(&labels, "envoy_ssl_cipher"); !cipher.empty()) {
      absl::StrAppend(&stat, ".", cipher);
    }
    if (!labels.empty()) return std::string(line);
    return absl::StrCat(family.dotted, instance, ".", stat, line.substr(close + 1));
  }
  return std::string(line);
}

}  // namespace meltemi::proxy
