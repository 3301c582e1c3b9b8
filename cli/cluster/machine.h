// Whether this machine can have nodes, and what of it they use.
//
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace meltemi::cli {

// Error: what is missing and what to do: root, programs (with the Debian packages that have them),
// another Kubernetes' kubelet that runs here. `own_runtime`: containerd is not given.
absl::Status CheckMachine(bool own_runtime);

// Whether this process may protect others from running out of memory (CAP_SYS_RESOURCE): inside of
// some sandboxes root may not.
bool MayLowerOomScore();

// Error: who listens there is told by `ss`. Loopback and all addresses.
absl::Status CheckPortFree(uint16_t port, const std::string& part, const std::string& remedy);

// The address of the interface that the default route uses; else the first global one; "": none.
std::string MachineIp();
// In lower case, as nodes are called.
std::string MachineName();

// The file whose name servers pods can reach: not a stub that listens on the machine's loopback,
// where there is a better one. `loopback_works`: nodes share the machine's network.
std::string ResolvConf(bool loopback_works);
// Of the text of a resolv.conf: all of its name servers are on loopback.
bool OnlyLoopbackServers(const std::string& text);

// "overlayfs", or "native" where the file system of this folder can't be a layer.
std::string SnapshotterFor(const std::string& folder);

}  // namespace meltemi::cli
