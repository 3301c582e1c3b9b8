// meltemi-pilot's command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

struct Options {
  std::vector<std::string> config_paths;
  std::string default_namespace = "default";
  std::string xds_address = "0.0.0.0:15010";
  std::string http_address = "0.0.0.0:15014";  // metrics and debug
  std::string log_level = "info";
  uint32_t debounce_quiet_ms = 10;
  uint32_t debounce_max_ms = 100;
  MeshSettings mesh;
  std::string help;  // to be printed, when it was asked for
  bool version = false;
};

// `args` without the program's name. Invalid argument with what is wrong and what is expected.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args);
// The options as JSON, for /debug/mesh.
std::string OptionsJson(const Options& options);

}  // namespace meltemi::pilot
