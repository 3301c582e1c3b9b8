#include "proxy/config/secrets/pem.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----";
constexpr char kEnd[] = "-----END CERTIFICATE-----";

}  // namespace

std::vector<std::string> CertificatesOfPem(absl::string_view pem) {
  std::vector<std::string> blocks;
  while (true) {
    const size_t begin = pem.find(kBegin);
    if (begin == absl::string_view::npos) return blocks;
    pem.remove_prefix(begin);
    const size_t end = pem.find(kEnd);
    if (end == absl::string_view::npos) return blocks;
    const size_t size = end + sizeof(kEnd) - 1;
    blocks.push_back(absl::StrCat(pem.substr(0, size), "\n"));
    pem.remove_prefix(size);
  }
}

std::string JoinCertificates(const std::vector<absl::string_view>& texts) {
  std::string joined;
  std::set<std::string> known;
  for (absl::string_view text : texts) {
    for (std::string& block : CertificatesOfPem(text)) {
      const auto [at, is_new] = known.insert(std::move(block));
      if (is_new) joined += *at;
    }
  }
  return joined;
}

}  // namespace meltemi::proxy
