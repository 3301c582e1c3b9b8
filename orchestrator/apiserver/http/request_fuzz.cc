// Paths, queries and durations of strangers: nothing crashes, and what was read holds together.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/log/log.h"
#include "orchestrator/apiserver/http/go_duration.h"
#include "orchestrator/apiserver/http/in_flight.h"
#include "orchestrator/apiserver/http/query.h"
#include "orchestrator/apiserver/http/request.h"

namespace {

using namespace meltemi::apiserver;  // NOLINT: one program

void CheckInfo(const RequestInfo& info) {
  if (!info.is_resource) {
    CHECK(info.resource.empty() && info.name.empty() && info.parts.empty());
    return;
  }
  if (!info.parts.empty()) CHECK(info.resource == info.parts[0]);
  if (info.parts.size() > 1) CHECK(info.name == info.parts[1]);
  if (info.verb == "deletecollection") CHECK(info.name.empty());
  (void)IsLongRunning(info);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t space = std::min(text.find(' '), text.size());
  const absl::string_view method = text.substr(0, space);
  const absl::string_view target = text.substr(std::min(space + 1, text.size()));
  const size_t question = std::min(target.find('?'), target.size());
  const absl::string_view path = target.substr(0, question);
  const absl::string_view query_text = target.substr(std::min(question + 1, target.size()));
  CheckInfo(ParseRequestInfo(method, path, query_text));
  const Query query = Query::Parse(query_text);
  for (const char* name : {"limit", "watch", "timeout", "timeoutSeconds", ""}) {
    const auto first = query.Get(name);
    const auto all = query.All(name);
    CHECK(first.has_value() == !all.empty());
    CHECK(query.Bool(name).ok());
    (void)query.Int(name).ok();
    if (first.has_value()) (void)ParseGoDuration(*first).ok();
  }
  if (const auto decoded = DecodePath(path); decoded.has_value()) {
    CHECK(decoded->size() <= path.size());
  }
  return 0;
}
