// Everything that the command line says, as one constant record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "proxy/config/bootstrap/bootstrap.h"

namespace meltemi::proxy {

struct Options {
  enum class Command : uint8_t { kRun, kSidecar };
  Command command = Command::kRun;
  bool validate_only = false;  // --mode validate
  std::string config_path;     // kRun: a file, or
  std::string config_yaml;     //       the bootstrap itself
  SidecarOptions sidecar;      // kSidecar

  uint32_t concurrency = 0;             // workers; 0: one for each CPU that this process may use
  std::optional<uint16_t> status_port;  // /healthz/ready; unset: none
  std::optional<uint16_t> stats_port;   // /stats/prometheus
  std::optional<uint16_t> probes_port;  // what the kubelet asks of the application: probes/
  std::string probes;                   // JSON: probes/app_probe.h
  std::string admin_address_path;       // a file that gets the admin's address, once it is bound
  uint32_t connections_max = 0;         // downstream, of the process; 0: no limit
  Duration drain_grace = milliseconds(500);  // still accepting, after readiness said no
  Duration drain_time = seconds(45);         // for what is in flight
  std::string log_level = "info";
  std::string component_log_levels;  // "upstream:debug,xds:trace"
};

// The bootstrap that these options describe; see ParseBootstrap for `notes`.
absl::StatusOr<Bootstrap> BootstrapFor(const Options& options, std::vector<std::string>* notes);

// `args` without the program's name: "run …", "sidecar …", or options alone (as "run"). For --help
// and
// --version `*print` gets what is to be printed. Error: one sentence.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args, std::string* print);

// How many workers: options.concurrency, or the CPUs of the process.
uint32_t WorkerCount(const Options& options);

}  // namespace meltemi::proxy
