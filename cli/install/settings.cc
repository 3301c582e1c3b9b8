#include "cli/install/settings.h"

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/quantity/quantity.h"

namespace meltemi::cli {
namespace {

using Take = std::function<absl::Status(const std::string&)>;

struct Setting {
  std::string help;
  Take take;
};
using Settings = std::map<std::string, Setting>;

// What may stand in a manifest without being taken for something else.
bool IsWord(absl::string_view text, absl::string_view more) {
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && more.find(c) == absl::string_view::npos) return false;
  }
  return !text.empty();
}

Take Word(std::string* out, absl::string_view more) {
  return [out, more](const std::string& value) {
    if (!IsWord(value, more)) {
      return absl::InvalidArgumentError(
          absl::StrCat("must consist of letters, digits and \"", more, "\""));
    }
    *out = value;
    return absl::OkStatus();
  };
}

Take Switch(bool* out) {
  return [out](const std::string& value) {
    if (value != "true" && value != "false") {
      return absl::InvalidArgumentError("must be true or false");
    }
    *out = value == "true";
    return absl::OkStatus();
  };
}

Take OneOf(std::string* out, std::vector<std::string> choices) {
  return [out, choices = std::move(choices)](const std::string& value) {
    for (const std::string& choice : choices) {
      if (value != choice) continue;
      *out = value;
      return absl::OkStatus();
    }
    std::string known;
    for (const std::string& choice : choices) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", choice);
    }
    return absl::InvalidArgumentError(absl::StrCat("must be one of ", known));
  };
}

Take Quantity(std::string* out) {
  return [out](const std::string& value) {
    std::string why;
    if (!kube::Quantity::Parse(value, &why)) return absl::InvalidArgumentError(why);
    *out = value;
    return absl::OkStatus();
  };
}

void AddResources(const std::string& prefix, const std::string& of, ContainerResources* out,
                  Settings* all) {
  (*all)[prefix + "resources.requests.cpu"] = {of + ": CPU it asks for",
                                               Quantity(&out->cpu_request)};
  (*all)[prefix + "resources.requests.memory"] = {of + ": memory it asks for",
                                                  Quantity(&out->memory_request)};
  (*all)[prefix + "resources.limits.cpu"] = {of + ": CPU it may use", Quantity(&out->cpu_limit)};
  (*all)[prefix + "resources.limits.memory"] = {of + ": memory it may use",
                                                Quantity(&out->memory_limit)};
}

Settings AllSettings(InstallSettings* s) {
  Settings all;
  all["hub"] = {"where the images are: HUB/pilot, HUB/proxy (meltemi)", Word(&s->hub, "._-/:")};
  all["tag"] = {"of the images (0.1.0)", Word(&s->tag, "._-")};
  all["imagePullPolicy"] = {"Always, IfNotPresent or Never",
                            OneOf(&s->image_pull_policy, {"Always", "IfNotPresent", "Never"})};
  all["replicas"] = {
      "of the control plane (1)", [s](const std::string& value) {
        if (!absl::SimpleAtoi(value, &s->replicas) || s->replicas == 0 || s->replicas > 100) {
          return absl::InvalidArgumentError("must be a number from 1 to 100");
        }
        return absl::OkStatus();
      }};
  all["cni"] = {"the nodes have the CNI plugin meltemi-cni (false)", Switch(&s->cni)};
  all["gateways.ingress"] = {"with the ingress gateway istio-ingressgateway (false)",
                             Switch(&s->ingress_gateway)};
  all["trustDomain"] = {"of workloads' identities (cluster.local)", Word(&s->trust_domain, ".-")};
  all["clusterDomain"] = {"of the cluster's services (cluster.local)", Word(&s->domain, ".-")};
  all["meshConfig.accessLogFile"] = {"of all proxies, such as /dev/stdout (none)",
                                     Word(&s->access_log_file, "._-/")};
  all["meshConfig.outboundTrafficPolicy.mode"] = {
      "ALLOW_ANY or REGISTRY_ONLY (ALLOW_ANY)",
      OneOf(&s->outbound_policy, {"ALLOW_ANY", "REGISTRY_ONLY"})};
  AddResources("", "the control plane", &s->pilot, &all);
  AddResources("proxy.", "each sidecar", &s->proxy, &all);
  return all;
}

}  // namespace

absl::StatusOr<InstallSettings> ParseInstallSettings(const std::vector<std::string>& sets) {
  InstallSettings settings;
  const Settings all = AllSettings(&settings);
  for (const std::string& text : sets) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(text, absl::MaxSplits('=', 1));
    if (text.find('=') == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--set ", text, ": must be KEY=VALUE"));
    }
    const auto setting = all.find(pair.first);
    if (setting == all.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--set ", pair.first, ": no such setting; `meltemi help install` lists them"));
    }
    const absl::Status status = setting->second.take(pair.second);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", pair.first, ": \"", pair.second, "\": ", status.message()));
    }
  }
  return settings;
}

std::string InstallSettingsHelp() {
  InstallSettings ignored;
  std::string help;
  for (const auto& [key, setting] : AllSettings(&ignored)) {
    absl::StrAppend(&help, "  ", key, std::string(key.size() < 40 ? 41 - key.size() : 1, ' '),
                    setting.help, "\n");
  }
  return help;
}

}  // namespace meltemi::cli
