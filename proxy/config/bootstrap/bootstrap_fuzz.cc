// Any bytes as a bootstrap: an error or a bootstrap, never a crash.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "proxy/config/bootstrap/bootstrap.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> notes;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  meltemi::proxy::ParseBootstrap(text, "fuzz", &notes).IgnoreError();
  return 0;
}
