// Whatever the API server's place is taken by: an answer or an error, never a crash.
#include <cstddef>
#include <cstdint>

#include "pilot/validate/admission/admission.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)meltemi::pilot::AnswerValidation(bytes, {});
  return 0;
}
