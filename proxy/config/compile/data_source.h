// Bytes that stand in the configuration, or in a file that it names. Main loop.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace envoy::config::core::v3 {
class DataSource;
}

namespace meltemi::proxy {

// Error: nothing is set, the file can't be read, or a kind of source that is not supported.
absl::StatusOr<std::string> ReadDataSource(const envoy::config::core::v3::DataSource& source,
                                           absl::string_view where);

}  // namespace meltemi::proxy
