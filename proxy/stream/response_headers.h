// What the proxy adds to and takes from a response's headers before they go downstream.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "proxy/listener/listener_config.h"

namespace meltemi::proxy {

// The text of the Date header, formatted once a second. Loop-owned.
class DateText {
 public:
  // Valid until the next call.
  absl::string_view At(WallTime now);

 private:
  int64_t second_ = -1;
  char text_[32];
  size_t length_ = 0;
};

// server, date, via, x-request-id; hop-by-hop leftovers. `config` must outlive the headers.
// `request` may be null.
void FinishResponse(const HttpConfig& config, const http::HeaderMap* request,
                    absl::string_view date, http::HeaderMap& response);

}  // namespace meltemi::proxy
