// Files of others are read for what they need: nothing in them may harm the reader.
#include <cstddef>
#include <cstdint>

#include "cli/images/elf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)meltemi::cli::ReadElfNeeds(bytes);
  return 0;
}
