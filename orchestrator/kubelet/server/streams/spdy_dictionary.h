// The dictionary that SPDY/3's header blocks are packed with.
//
// Threads: functions without state. Source: the SPDY/3 draft, section 2.6.10.1.
#pragma once

#include <string>

namespace meltemi::kubelet {

std::string SpdyDictionary();

}  // namespace meltemi::kubelet
