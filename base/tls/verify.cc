#include "base/tls/verify.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/tls/certificate.h"
#include "base/tls/certificate_info.h"

namespace meltemi::tls {
namespace {

// How many names a refusal may list: the peer wrote them.
constexpr size_t kNamesShownMax = 8;

std::string Der(X509* certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  if (length <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return bytes;
}

std::string KeyDer(X509* certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (length <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return bytes;
}

// Whatever is wrong with the time of a certificate is not.
int IgnoreTimes(int good, X509_STORE_CTX* chain) {
  if (good == 1) return 1;
  const int error = X509_STORE_CTX_get_error(chain);
  return error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID ? 1 : 0;
}

bool DigestFits(const PeerRules& rules, X509* leaf) {
  const auto has = [](const std::vector<std::string>& digests, const std::string& digest) {
    return std::find(digests.begin(), digests.end(), digest) != digests.end();
  };
  return (!rules.certificate_sha256.empty() && has(rules.certificate_sha256, Sha256(Der(leaf)))) ||
         (!rules.key_sha256.empty() && has(rules.key_sha256, Sha256(KeyDer(leaf))));
}

struct Names {
  bool fits = false;
  std::vector<std::string> shown;
};

Names CheckNames(X509* leaf, const NameFits& fits) {
  const SubjectNames all = SubjectNamesOf(leaf);
  Names result;
  const auto check = [&](SubjectName::Kind kind, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      result.fits = result.fits || fits({kind, text});
      if (result.shown.size() < kNamesShownMax) result.shown.push_back(text);
    }
  };
  check(SubjectName::Kind::kUri, all.uris);
  check(SubjectName::Kind::kDns, all.dns_names);
  check(SubjectName::Kind::kIp, all.ip_addresses);
  check(SubjectName::Kind::kEmail, all.emails);
  return result;
}

Verdict CheckLeaf(X509* leaf, const PeerRules& rules, const NameFits& name_fits) {
  if (name_fits) {
    const Names names = CheckNames(leaf, name_fits);
    if (!names.fits) {
      return {HandshakeFailure::kName,
              absl::StrCat("verify cert failed: SAN matcher, certificate SANs are [",
                           absl::StrJoin(names.shown, ", "), "]")};
    }
  }
  const bool digests = !rules.certificate_sha256.empty() || !rules.key_sha256.empty();
  if (digests && !DigestFits(rules, leaf)) {
    return {HandshakeFailure::kDigest, "verify cert failed: cert hash and spki"};
  }
  return {};
}

}  // namespace

Verdict VerifyChain(X509_STORE_CTX* chain, const PeerRules& rules, const NameFits& name_fits,
                    bool trusts) {
  Verdict verdict;
  X509* const leaf = X509_STORE_CTX_get0_cert(chain);
  if (leaf == nullptr) {
    verdict = {HandshakeFailure::kUntrusted, "verify cert failed: empty cert chain"};
  }
  if (trusts && leaf != nullptr) {
    if (rules.depth_max.has_value()) X509_STORE_CTX_set_depth(chain, *rules.depth_max);
    if (rules.allow_expired) X509_STORE_CTX_set_verify_cb(chain, IgnoreTimes);
    if (X509_verify_cert(chain) != 1) {
      const int error = X509_STORE_CTX_get_error(chain);
      verdict = {
          HandshakeFailure::kUntrusted,
          absl::StrCat(
              "verify cert failed: X509_verify_cert: certificate verification error at depth ",
              X509_STORE_CTX_get_error_depth(chain), ": ", X509_verify_cert_error_string(error))};
    }
  }
  if (verdict.failure == HandshakeFailure::kNone) {
    X509_STORE_CTX_set_error(chain, X509_V_OK);
    verdict = CheckLeaf(leaf, rules, name_fits);
    if (verdict.failure != HandshakeFailure::kNone) {
      X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
    }
  }
  if (rules.accept_untrusted && leaf != nullptr) {
    // Such a certificate is told of and not believed: Connection::peer_verified.
    X509_STORE_CTX_set_error(chain, X509_V_OK);
  }
  ERR_clear_error();
  return verdict;
}

}  // namespace meltemi::tls
