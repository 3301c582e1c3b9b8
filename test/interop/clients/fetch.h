// Other people's clients, brought here by fetch.sh.
#pragma once

#include <string>

namespace meltemi::interop {

// The path of what `script` knows by `name`; "" and why it can't be had. A program of ours that
// can't be built fails the test.
std::string Fetch(const std::string& name, std::string* why_not,
                  const std::string& script = "test/interop/clients/fetch.sh");

}  // namespace meltemi::interop
