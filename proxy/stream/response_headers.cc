#include "proxy/stream/response_headers.h"

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {

using http::HeaderId;
using http::HeaderMap;

absl::string_view DateText::At(WallTime now) {
  const int64_t second = std::chrono::duration_cast<seconds>(now.time_since_epoch()).count();
  if (second != second_) {
    second_ = second;
    const std::time_t t = static_cast<std::time_t>(second);
    std::tm parts{};
    gmtime_r(&t, &parts);
    // RFC 9110 5.6.7. The program never leaves the "C" locale.
    length_ = std::strftime(text_, sizeof(text_), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return {text_, length_};
}

void FinishResponse(const HttpConfig& config, const HeaderMap* request, absl::string_view date,
                    HeaderMap& response) {
  switch (config.server_header) {
    case ServerHeader::kOverwrite:
      if (response.Has(HeaderId::kServer)) {
        response.Set(HeaderId::kServer, config.server_name);
        break;
      }
      [[fallthrough]];
    case ServerHeader::kAppendIfAbsent:
      if (!response.Has(HeaderId::kServer)) {
        response.AddView(HeaderId::kServer, "server", config.server_name);
      }
      break;
    case ServerHeader::kPassThrough:
      break;
  }
  if (!response.Has(HeaderId::kDate)) response.Add(HeaderId::kDate, date);
  if (!config.via.empty()) {
    const absl::string_view before = response.Get(HeaderId::kVia);
    const std::string via = before.empty() ? config.via : absl::StrCat(before, ", ", config.via);
    response.Set(HeaderId::kVia, via);
  }
  if (config.always_set_request_id_in_response && request != nullptr &&
      request->Has(HeaderId::kXRequestId) && !response.Has(HeaderId::kXRequestId)) {
    response.Add(HeaderId::kXRequestId, request->Get(HeaderId::kXRequestId));
  }
}

}  // namespace meltemi::proxy
