#include "pilot/app/options.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/json/write.h"
#include "base/log/log.h"

namespace meltemi::pilot {
namespace {

// One "--name VALUE" option: the setter returns what was expected, or nothing.
struct Flag {
  const char* name;
  const char* value;  // what the value is, for the help; empty: the flag takes none
  const char* help;
  std::function<std::string(const std::string& value, Options* options)> set;
};

auto Text(std::string Options::*field) {
  return [field](const std::string& value, Options* options) {
    options->*field = value;
    return std::string();
  };
}

auto MeshText(std::string MeshSettings::*field) {
  return [field](const std::string& value, Options* options) {
    options->mesh.*field = value;
    return std::string();
  };
}

std::string ParseMillis(const std::string& value, uint32_t* out) {
  return absl::SimpleAtoi(value, out) ? "" : "a whole number of milliseconds";
}

auto Millis(uint32_t Options::*field) {
  return [field](const std::string& value, Options* options) {
    return ParseMillis(value, &(options->*field));
  };
}

auto MeshMillis(uint32_t MeshSettings::*field) {
  return [field](const std::string& value, Options* options) {
    return ParseMillis(value, &(options->mesh.*field));
  };
}

std::string SetEncoding(const std::string& value, Options* options) {
  options->mesh.access_log_json = value == "JSON" || value == "json";
  return options->mesh.access_log_json || value == "TEXT" || value == "text" ? "" : "TEXT or JSON";
}

std::string SetPolicy(const std::string& value, Options* options) {
  const bool any = value == "ALLOW_ANY";
  options->mesh.outbound_policy = any ? OutboundPolicy::kAllowAny : OutboundPolicy::kRegistryOnly;
  return any || value == "REGISTRY_ONLY" ? "" : "ALLOW_ANY or REGISTRY_ONLY";
}

std::string SetBalancer(const std::string& value, Options* options) {
  options->mesh.default_balancer = value == "ROUND_ROBIN" ? SimpleBalancer::kRoundRobin
                                   : value == "RANDOM"    ? SimpleBalancer::kRandom
                                                          : SimpleBalancer::kLeastRequest;
  return value == "ROUND_ROBIN" || value == "RANDOM" || value == "LEAST_REQUEST"
             ? ""
             : "LEAST_REQUEST, ROUND_ROBIN or RANDOM";
}

std::string SetLogLevel(const std::string& value, Options* options) {
  log::Level ignored;
  options->log_level = value;
  return log::ParseLevel(value, &ignored) ? "" : "trace, debug, info, warn, error or off";
}

std::vector<Flag> Flags() {
  return {
      {"config", "PATH", "file or folder of manifests, watched; may be repeated",
       [](const std::string& value, Options* options) {
         options->config_paths.push_back(value);
         return std::string();
       }},
      {"namespace", "NAME", "of objects that name none (default: default)",
       Text(&Options::default_namespace)},
      {"xds-address", "IP:PORT", "where proxies connect (default: 0.0.0.0:15010)",
       Text(&Options::xds_address)},
      {"http-address", "IP:PORT", "metrics and debug pages (default: 0.0.0.0:15014)",
       Text(&Options::http_address)},
      {"domain", "NAME", "of the cluster (default: cluster.local)",
       MeshText(&MeshSettings::domain)},
      {"root-namespace", "NAME", "its rules hold for all (default: istio-system)",
       MeshText(&MeshSettings::root_namespace)},
      {"outbound-policy", "POLICY",
       "ALLOW_ANY (default) or REGISTRY_ONLY: for hosts that nothing declares", SetPolicy},
      {"default-load-balancer", "NAME",
       "LEAST_REQUEST (default), ROUND_ROBIN or RANDOM: where no rule says", SetBalancer},
      {"connect-timeout-ms", "N", "to upstream hosts (default: 10000)",
       MeshMillis(&MeshSettings::connect_timeout_ms)},
      {"protocol-detection-timeout-ms", "N",
       "how long a proxy waits for a client's first bytes where no protocol is declared\n"
       "(default: 0, for ever)",
       MeshMillis(&MeshSettings::protocol_detection_timeout_ms)},
      {"access-log-file", "PATH", "of all proxies, such as /dev/stdout (default: none)",
       MeshText(&MeshSettings::access_log_path)},
      {"access-log-format", "FORMAT", "Envoy's notation (default: Envoy's default)",
       MeshText(&MeshSettings::access_log_format)},
      {"access-log-encoding", "NAME", "TEXT (default) or JSON", SetEncoding},
      {"debounce-quiet-ms", "N", "a pause so long ends a burst of changes (default: 10)",
       Millis(&Options::debounce_quiet_ms)},
      {"debounce-max-ms", "N", "no change of a burst waits longer (default: 100)",
       Millis(&Options::debounce_max_ms)},
      {"log-level", "LEVEL", "trace, debug, info (default), warn, error, off", SetLogLevel},
      {"help", "", "this text",
       [](const std::string&, Options* options) {
         options->help = true;
         return std::string();
       }},
      {"version", "", "prints the version",
       [](const std::string&, Options* options) {
         options->version = true;
         return std::string();
       }},
  };
}

const Flag* FindFlag(const std::vector<Flag>& flags, absl::string_view name) {
  for (const Flag& flag : flags) {
    if (name == flag.name) return &flag;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args) {
  const std::vector<Flag> flags = Flags();
  Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!absl::StartsWith(args[i], "--")) {
      options.config_paths.push_back(args[i]);
      continue;
    }
    const size_t equals = args[i].find('=');
    const std::string name =
        equals == std::string::npos ? args[i].substr(2) : args[i].substr(2, equals - 2);
    const Flag* flag = FindFlag(flags, name);
    if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown option --", name, "; see meltemi-pilot --help"));
    }
    std::string value;
    if (equals != std::string::npos) {
      value = args[i].substr(equals + 1);
    } else if (*flag->value != '\0') {
      if (i + 1 == args.size()) {
        return absl::InvalidArgumentError(absl::StrCat("--", name, " wants ", flag->value));
      }
      value = args[++i];
    }
    const std::string expected = flag->set(value, &options);
    if (!expected.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, ": \"", value, "\" is not ", expected));
    }
  }
  if (options.config_paths.empty() && !options.help && !options.version) {
    return absl::InvalidArgumentError(
        "no configuration: give a file or folder of manifests with --config PATH");
  }
  return options;
}

std::string OptionsHelp() {
  std::string text =
      "meltemi-pilot: the control plane. Reads manifests, sends configuration to proxies.\n\n"
      "  meltemi-pilot --config PATH [OPTION…]\n\n";
  for (const Flag& flag : Flags()) {
    std::string left = absl::StrCat("  --", flag.name, *flag.value != '\0' ? " " : "", flag.value);
    if (left.size() < 40) left.resize(40, ' ');
    std::string help = flag.help;
    for (size_t at = help.find('\n'); at != std::string::npos; at = help.find('\n', at + 41)) {
      help.insert(at + 1, std::string(41, ' '));
    }
    absl::StrAppend(&text, left, " ", help, "\n");
  }
  return text;
}

std::string OptionsJson(const Options& options) {
  std::string out;
  json::Writer writer(&out, 2);
  const auto text = [&writer](absl::string_view key, const std::string& value) {
    writer.Key(key).String(value);
  };
  writer.BeginObject();
  writer.Key("config_paths").BeginArray();
  for (const std::string& path : options.config_paths) writer.String(path);
  writer.EndArray();
  text("default_namespace", options.default_namespace);
  text("xds_address", options.xds_address);
  text("http_address", options.http_address);
  text("domain", options.mesh.domain);
  text("root_namespace", options.mesh.root_namespace);
  text("outbound_policy",
       options.mesh.outbound_policy == OutboundPolicy::kAllowAny ? "ALLOW_ANY" : "REGISTRY_ONLY");
  writer.Key("connect_timeout_ms").Uint(options.mesh.connect_timeout_ms);
  writer.Key("protocol_detection_timeout_ms").Uint(options.mesh.protocol_detection_timeout_ms);
  text("access_log_file", options.mesh.access_log_path);
  writer.Key("debounce_quiet_ms").Uint(options.debounce_quiet_ms);
  writer.Key("debounce_max_ms").Uint(options.debounce_max_ms);
  writer.EndObject();
  out += "\n";
  return out;
}

}  // namespace meltemi::pilot
