// The page /certs: which certificates are in use, and until when, in the form of
// envoy.admin.v3.Certificates.
#pragma once

#include <string>

#include "base/clock/clock.h"

namespace meltemi::proxy {

class Secrets;

// One element per certificate with its key; the workload's own together with the mesh's roots,
// other roots by themselves.
std::string CertsJson(const Secrets& secrets, WallTime now);

}  // namespace meltemi::proxy
