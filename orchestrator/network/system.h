// The kernel's network as the node's network sets it up, as a seam: programs and settings of the
// machine, or a record of what was asked for (system_fake.h).
//
// Threads: thread-safe; blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace meltemi::network {

class System {
 public:
  virtual ~System() = default;
  // Standard output. Error: the program's words.
  virtual absl::StatusOr<std::string> Run(const std::vector<std::string>& argv,
                                          const std::string& input = "") = 0;
  // "net/ipv4/ip_forward", of this network namespace. Error kNotFound: the kernel does not have it.
  virtual absl::Status SetSysctl(const std::string& name, const std::string& value) = 0;
  // Of the interface that the default route uses; 0: there is none.
  virtual int DefaultMtu() = 0;
};

std::unique_ptr<System> NewSystem();

}  // namespace meltemi::network
