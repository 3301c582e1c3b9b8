#include "pilot/inject/settings.h"

#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/protojson/duration.h"
#include "base/yaml/parse.h"
#include "kube/quantity/quantity.h"

namespace meltemi::pilot {
namespace {

absl::Status Wrong(const json::Member& member, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", member.line, ": ", member.key, " ", what));
}

absl::Status TakeText(const json::Member& member, std::string* out) {
  if (member.value.is_null()) return absl::OkStatus();
  if (!member.value.is_string() && !member.value.is_number()) {
    return Wrong(member, "must be a text");
  }
  *out = member.value.text();
  return absl::OkStatus();
}

absl::Status TakeSwitch(const json::Member& member, bool* out) {
  if (!member.value.is_bool()) return Wrong(member, "must be true or false");
  *out = member.value.bool_value();
  return absl::OkStatus();
}

absl::Status TakeTexts(const json::Member& member, std::vector<std::string>* out) {
  if (!member.value.is_array()) return Wrong(member, "must be a list of texts");
  out->clear();
  for (const json::Value& item : member.value.items()) {
    if (!item.is_string()) return Wrong(member, "must be a list of texts");
    out->push_back(item.text());
  }
  return absl::OkStatus();
}

absl::Status TakeMap(const json::Member& member, std::map<std::string, std::string>* out) {
  if (!member.value.is_object()) return Wrong(member, "must be a mapping of texts");
  for (const json::Member& item : member.value.members()) {
    if (!item.value.is_string() && !item.value.is_number() && !item.value.is_bool()) {
      return Wrong(item, "must be a text");
    }
    (*out)[item.key] =
        item.value.is_bool() ? (item.value.bool_value() ? "true" : "false") : item.value.text();
  }
  return absl::OkStatus();
}

absl::Status TakeNumber(const json::Member& member, int64_t least, int64_t most, uint32_t* out) {
  const std::optional<int64_t> number = member.value.AsInt64();
  if (!member.value.is_number() || !number || *number < least || *number > most) {
    return Wrong(member, absl::StrCat("must be a number from ", least, " to ", most));
  }
  *out = static_cast<uint32_t>(*number);
  return absl::OkStatus();
}

absl::Status TakeDuration(const json::Member& member, std::string* out) {
  const std::optional<protojson::DurationParts> parts =
      member.value.is_string() ? protojson::ParseDuration(member.value.text()) : std::nullopt;
  if (!parts || parts->seconds < 0 || parts->nanos < 0) {
    return Wrong(member, "must be a duration such as 5s or 1m30s");
  }
  // As the proxy's command line has it: one number, one unit.
  const int64_t ms = parts->seconds * 1000 + parts->nanos / 1'000'000;
  *out = ms % 1000 == 0 ? absl::StrCat(ms / 1000, "s") : absl::StrCat(ms, "ms");
  return absl::OkStatus();
}

absl::Status TakeSelectors(const json::Member& member, std::vector<kube::LabelSelector>* out) {
  if (!member.value.is_array()) return Wrong(member, "must be a list of label selectors");
  out->clear();
  for (const json::Value& item : member.value.items()) {
    absl::StatusOr<kube::LabelSelector> selector = kube::LabelSelector::FromJson(&item);
    if (!selector.ok()) return Wrong(member, selector.status().message());
    out->push_back(*std::move(selector));
  }
  return absl::OkStatus();
}

// requests/limits: {cpu, memory}
absl::Status TakeQuantities(const json::Member& member, std::string* cpu, std::string* memory) {
  if (!member.value.is_object()) return Wrong(member, "must be a mapping of cpu and memory");
  for (const json::Member& item : member.value.members()) {
    std::string* const out = item.key == "cpu" ? cpu : item.key == "memory" ? memory : nullptr;
    if (out == nullptr) return Wrong(item, "is neither cpu nor memory");
    if (absl::Status status = TakeText(item, out); !status.ok()) return status;
    if (!out->empty() && !kube::Quantity::Parse(*out)) {
      return Wrong(item, absl::StrCat("\"", *out, "\" is no quantity such as 100m or 64Mi"));
    }
  }
  return absl::OkStatus();
}

absl::Status TakeResources(const json::Member& member, ProxyResources* out) {
  if (!member.value.is_object()) return Wrong(member, "must be a mapping of requests and limits");
  for (const json::Member& item : member.value.members()) {
    absl::Status status;
    if (item.key == "requests") {
      status = TakeQuantities(item, &out->cpu_request, &out->memory_request);
    } else if (item.key == "limits") {
      status = TakeQuantities(item, &out->cpu_limit, &out->memory_limit);
    } else {
      status = Wrong(item, "is neither requests nor limits");
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TakeProxyConfigMember(const json::Member& member, ProxyConfig* config,
                                   std::vector<std::string>* warnings) {
  const std::string& key = member.key;
  if (key == "concurrency") return TakeNumber(member, 0, 512, &config->concurrency);
  if (key == "drainDuration") return TakeDuration(member, &config->drain_duration);
  if (key == "terminationDrainDuration") {
    config->termination_drain_duration.emplace();
    return TakeDuration(member, &*config->termination_drain_duration);
  }
  if (key == "holdApplicationUntilProxyStarts") {
    return TakeSwitch(member, &config->hold_application);
  }
  if (key == "discoveryAddress") return TakeText(member, &config->discovery_address);
  if (key == "proxyMetadata") {
    for (const json::Member& item : member.value.members()) {
      if (item.key != "SECRET_TTL") continue;
      if (absl::Status status = TakeDuration(item, &config->secret_ttl); !status.ok()) {
        return status;
      }
    }
    return TakeMap(member, &config->metadata);
  }
  if (key == "image") {
    const json::Value* type = member.value.Find("imageType");
    if (!member.value.is_object() || (type != nullptr && !type->is_string())) {
      return Wrong(member, "must be a mapping with imageType");
    }
    if (type != nullptr) config->image_type = type->text();
    return absl::OkStatus();
  }
  if (warnings != nullptr) {
    warnings->push_back(absl::StrCat("proxy.istio.io/config: ", key,
                                     " means nothing to this proxy and is not used"));
  }
  return absl::OkStatus();
}

absl::Status TakeNative(const json::Member& member, NativeSidecars* out) {
  if (member.value.is_bool()) {
    *out = member.value.bool_value() ? NativeSidecars::kAlways : NativeSidecars::kNever;
    return absl::OkStatus();
  }
  if (member.value.text() != "auto") return Wrong(member, "must be true, false or auto");
  *out = NativeSidecars::kByVersion;
  return absl::OkStatus();
}

using Take = std::function<absl::Status(const json::Member&)>;

std::map<std::string, Take> TextKeys(InjectSettings* s) {
  std::map<std::string, Take> keys;
  const auto text = [&keys](const char* key, std::string* out) {
    keys[key] = [out](const json::Member& member) { return TakeText(member, out); };
  };
  text("image", &s->image);
  text("imagePullPolicy", &s->image_pull_policy);
  text("xdsAddress", &s->xds_address);
  text("trustDomain", &s->trust_domain);
  text("domain", &s->domain);
  text("clusterID", &s->cluster_id);
  text("meshID", &s->mesh_id);
  text("network", &s->network);
  text("revision", &s->revision);
  text("logLevel", &s->log_level);
  text("includeIPRanges", &s->include_ip_ranges);
  text("excludeIPRanges", &s->exclude_ip_ranges);
  text("includeInboundPorts", &s->include_inbound_ports);
  text("excludeInboundPorts", &s->exclude_inbound_ports);
  text("includeOutboundPorts", &s->include_outbound_ports);
  text("excludeOutboundPorts", &s->exclude_outbound_ports);
  return keys;
}

std::map<std::string, Take> Keys(InjectSettings* s) {
  std::map<std::string, Take> keys = TextKeys(s);
  const auto flag = [&keys](const char* key, bool* out) {
    keys[key] = [out](const json::Member& member) { return TakeSwitch(member, out); };
  };
  flag("cni", &s->cni);
  flag("legacyFSGroup", &s->legacy_fs_group);
  flag("rewriteAppHTTPProbe", &s->rewrite_probes);
  flag("prometheusAnnotations", &s->prometheus_annotations);
  keys["imagePullSecrets"] = [s](const json::Member& m) {
    return TakeTexts(m, &s->image_pull_secrets);
  };
  keys["nativeSidecars"] = [s](const json::Member& m) {
    return TakeNative(m, &s->native_sidecars);
  };
  keys["statusPort"] = [s](const json::Member& m) {
    return TakeNumber(m, 1, 65535, &s->probes_port);
  };
  keys["resources"] = [s](const json::Member& m) { return TakeResources(m, &s->resources); };
  keys["neverInjectSelector"] = [s](const json::Member& m) {
    return TakeSelectors(m, &s->never_inject);
  };
  keys["alwaysInjectSelector"] = [s](const json::Member& m) {
    return TakeSelectors(m, &s->always_inject);
  };
  keys["injectedAnnotations"] = [s](const json::Member& m) {
    return TakeMap(m, &s->injected_annotations);
  };
  keys["policy"] = [s](const json::Member& m) {
    if (m.value.text() != "enabled" && m.value.text() != "disabled") {
      return Wrong(m, "must be enabled or disabled");
    }
    s->policy_enabled = m.value.text() == "enabled";
    return absl::OkStatus();
  };
  keys["defaultConfig"] = [s](const json::Member& m) {
    if (!m.value.is_object()) return Wrong(m, "must be a mapping");
    for (const json::Member& item : m.value.members()) {
      absl::Status status = TakeProxyConfigMember(item, &s->proxy_config, nullptr);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  };
  return keys;
}

}  // namespace

absl::StatusOr<InjectSettings> ParseInjectSettings(absl::string_view yaml) {
  InjectSettings settings;
  const absl::StatusOr<std::vector<json::Value>> documents = yaml::ParseAll(yaml);
  if (!documents.ok()) return documents.status();
  if (documents->empty()) return settings;
  if (documents->size() > 1 || !documents->front().is_object()) {
    return absl::InvalidArgumentError("the injection settings must be one mapping");
  }
  const std::map<std::string, Take> keys = Keys(&settings);
  for (const json::Member& member : documents->front().members()) {
    const auto take = keys.find(member.key);
    if (take == keys.end()) return Wrong(member, "is no injection setting");
    if (absl::Status status = take->second(member); !status.ok()) return status;
  }
  return settings;
}

absl::Status ApplyProxyConfig(absl::string_view text, ProxyConfig* config,
                              std::vector<std::string>* warnings) {
  const yaml::ParseLimits limits = {
      .size_bytes_max = 256 * 1024, .depth_max = 20, .values_max = 10'000};
  const absl::StatusOr<std::vector<json::Value>> documents = yaml::ParseAll(text, limits);
  if (!documents.ok()) return documents.status();
  if (documents->empty()) return absl::OkStatus();
  if (documents->size() > 1 || !documents->front().is_object()) {
    return absl::InvalidArgumentError("must be one mapping");
  }
  for (const json::Member& member : documents->front().members()) {
    if (absl::Status status = TakeProxyConfigMember(member, config, warnings); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace meltemi::pilot
