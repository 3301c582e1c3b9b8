#include "base/tls/failure_words.h"

#include "absl/strings/str_cat.h"
#include "base/tls/handles.h"

namespace meltemi::tls {
namespace {

absl::string_view OrEmpty(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

std::string TakeErrorsWithCodes(absl::string_view verdict) {
  std::string words;
  while (const auto code = ERR_get_error()) {
    if (words.empty()) words = "TLS_error:";
    absl::StrAppend(&words, "|", static_cast<uint64_t>(code), ":",
                    OrEmpty(ERR_lib_error_string(code)),
                    ":OPENSSL_internal:", OrEmpty(ERR_reason_error_string(code)));
  }
  if (words.empty()) return words;
  if (!verdict.empty()) absl::StrAppend(&words, ":", verdict);
  absl::StrAppend(&words, ":TLS_error_end");
  return words;
}

}  // namespace meltemi::tls
