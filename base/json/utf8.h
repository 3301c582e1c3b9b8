// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace meltemi::json {

// The length of the sequence at the start of `text`, which is not empty; 0 when it is malformed.
size_t Utf8SequenceLength(absl::string_view text);

bool IsUtf8(absl::string_view text);

}  // namespace meltemi::json
