// The path is the input's first line, the document the rest.
#include <cstdint>

#include "base/json/parse.h"
#include "kube/jsonpath/jsonpath.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const auto path = kube::JsonPath::Compile(text.substr(0, line));
  if (!path.ok() || line == absl::string_view::npos) return 0;
  json::ParseLimits limits;
  limits.size_bytes_max = 4096;
  const auto document = json::Parse(text.substr(line + 1), limits);
  if (document.ok()) path->Find(*document);
  return 0;
}
