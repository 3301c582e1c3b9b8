#include "pilot/model/ciphers.h"

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

constexpr const char* kSuites[] = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
};

}  // namespace

bool IsCipherSuite(absl::string_view name) {
  if (name.empty() || name == "ALL") return true;
  if (!absl::ascii_isalnum(static_cast<unsigned char>(name[0]))) return true;
  for (const char* known : kSuites) {
    if (name == known) return true;
  }
  return false;
}

}  // namespace meltemi::pilot
