#include "cli/fetch.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/http/client/http_call.h"
#include "base/json/parse.h"
#include "base/net/address.h"

namespace meltemi::cli {

absl::StatusOr<std::string> FetchText(absl::string_view address, absl::string_view path) {
  const absl::StatusOr<net::Address> to = net::Address::Parse(address);
  if (!to.ok()) return to.status();
  http::CallRequest request;
  request.path = std::string(path);
  absl::StatusOr<http::CallResponse> response = http::CallAndWait(*to, request);
  if (!response.ok()) {
    return absl::UnavailableError(
        absl::StrCat("nobody answers at ", address, " (", response.status().message(),
                     "): is it running? Name another place with --pilot or --admin IP:PORT"));
  }
  if (response->status != 200) {
    return absl::NotFoundError(absl::StripAsciiWhitespace(response->body));
  }
  return std::move(response->body);
}

absl::StatusOr<json::Value> FetchJson(absl::string_view address, absl::string_view path) {
  const absl::StatusOr<std::string> text = FetchText(address, path);
  if (!text.ok()) return text.status();
  absl::StatusOr<json::Value> value = json::Parse(*text);
  if (!value.ok()) {
    return absl::InternalError(
        absl::StrCat(address, path, " is not JSON: ", value.status().message()));
  }
  return value;
}

std::string QueryEscape(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_') {
      out += c;
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace meltemi::cli
