#include "base/tls/handles.h"

#include <openssl/pem.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::tls {
namespace {

// Called for encrypted keys: there is nobody to ask.
int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

std::string TakeErrors() {
  std::string words;
  while (const auto code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    absl::string_view text = reason == nullptr ? "unknown error" : reason;
    if (absl::StrContains(words, text)) continue;
    absl::StrAppend(&words, words.empty() ? "" : ", ", text);
  }
  return words;
}

X509Ptr CertificateOfPem(absl::string_view pem) {
  return X509Ptr(PEM_read_bio_X509(BioOf(pem).get(), nullptr, NoPassphrase, nullptr));
}

KeyPtr PrivateKeyOfPem(absl::string_view pem) {
  return KeyPtr(PEM_read_bio_PrivateKey(BioOf(pem).get(), nullptr, NoPassphrase, nullptr));
}

}  // namespace meltemi::tls
