#include "orchestrator/kubeproxy/names.h"

#include <openssl/sha.h>

#include <cstdint>

namespace meltemi::kubeproxy {

std::string HashedName(absl::string_view text) {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string name;
  for (int group = 0; group < 2; group++) {  // of 5 bytes, 8 letters
    uint64_t bits = 0;
    for (int i = 0; i < 5; i++) bits = bits << 8 | digest[group * 5 + i];
    for (int i = 7; i >= 0; i--) name += kLetters[bits >> (5 * i) & 31];
  }
  return name;
}

}  // namespace meltemi::kubeproxy
