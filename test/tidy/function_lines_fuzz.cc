#include <stddef.h>
#include <stdint.h>

#include "absl/strings/string_view.h"
#include "test/tidy/function_lines.h"

// Any text at all: every function that is found lies inside it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  int lines = 1;
  for (char c : text) lines += c == '\n';
  for (const meltemi::tidy::FunctionSpan& span : meltemi::tidy::FindFunctions(text)) {
    if (span.first_line < 1 || span.lines < 1 || span.first_line + span.lines - 1 > lines) {
      __builtin_trap();
    }
  }
  return 0;
}
