// The CNI plugin without its process: what a runtime has said in, what it is told out.
//
// Threads: functions without state. Source: the CNI specification 0.3.1 to 1.0.0.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/intercept/intercept.h"

namespace meltemi::proxy {

struct CniRequest {
  std::string command;  // CNI_COMMAND: ADD, DEL, CHECK, VERSION
  std::string container_id, netns, interface_name;
  std::string config;  // standard input
};

struct CniAnswer {
  int exit_code = 0;
  std::string out;  // standard output: a result, or an error in CNI's form
};

// Runs `command` within the network namespace at `netns`; what it prints.
using InterceptIn =
    std::function<absl::StatusOr<std::string>(const std::string& netns, const InterceptCommand&)>;

CniAnswer RunCni(const CniRequest& request, const InterceptIn& intercept);

}  // namespace meltemi::proxy
