// The configuration as it was sent, in the form of Envoy's /config_dump.
#pragma once

#include <string>

#include "base/clock/clock.h"

namespace meltemi::proxy {

class ConfigStore;
class Intake;
class Secrets;
struct Bootstrap;

struct ConfigDumpOptions {
  bool include_eds = false;
  std::string resource;    // only this list: "dynamic_active_clusters", "dynamic_listeners" …
  std::string name_regex;  // only resources whose name matches in part
};

// JSON of envoy.admin.v3.ConfigDump (of the single messages when `resource` is given). Private keys
// are not in it.
std::string ConfigDumpJson(const Bootstrap& bootstrap, WallTime started, const Intake& intake,
                           const ConfigStore& store, const Secrets& secrets,
                           const ConfigDumpOptions& options);

}  // namespace meltemi::proxy
