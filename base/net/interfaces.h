// The machine's network interfaces.
//
// Threads: functions without state.
#pragma once

#include <string>

namespace meltemi::net {

// The first IPv4 address of the interfaces that is neither loopback nor link-local; else such an
// IPv6 address; "" when there is none.
std::string FirstGlobalIp();

}  // namespace meltemi::net
