#include "proxy/config/compile/data_source.h"

#include <cstring>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/base.pb.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;

}  // namespace

absl::StatusOr<std::string> ReadDataSource(const envoy::config::core::v3::DataSource& source,
                                           absl::string_view where) {
  RETURN_IF_ERROR(CheckSupported(source, where, {"filename", "inline_bytes", "inline_string"}));
  if (!source.inline_string().empty()) return source.inline_string();
  if (!source.inline_bytes().empty()) return source.inline_bytes();
  if (source.filename().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": nothing is set"));
  }
  std::ifstream file(source.filename(), std::ios::binary);
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": ", source.filename(), " can't be read: ", std::strerror(errno)));
  }
  std::string bytes(kFileBytesMax + 1, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  if (bytes.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": ", source.filename(), " has more than ", kFileBytesMax, " bytes"));
  }
  return bytes;
}

}  // namespace meltemi::proxy
