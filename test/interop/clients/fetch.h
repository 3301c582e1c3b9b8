// Other people's clients, brought here by fetch.sh.
#pragma once

#include <string>

namespace meltemi::interop {

// The path of what fetch.sh knows by `name`; "" and why it can't be had. A program of ours that
// can't be built fails the test.
std::string Fetch(const std::string& name, std::string* why_not);

}  // namespace meltemi::interop
