// One page of a debug or admin server, parsed.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::cli {

// `address`: "IP:PORT". Errors say who did not answer and what to try, or what the server said.
absl::StatusOr<std::string> FetchText(absl::string_view address, absl::string_view path);
absl::StatusOr<json::Value> FetchJson(absl::string_view address, absl::string_view path);

// "%"-encodes what may not stand in a query.
std::string QueryEscape(absl::string_view text);

}  // namespace meltemi::cli
