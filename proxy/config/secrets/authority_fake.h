// An authority for tests: a root, certificates for servers, and what a workload asks for.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "base/tls/tls.h"

namespace meltemi::proxy {

class FakeAuthority {
 public:
  // `now_s`: Unix time; the root is valid from an hour before for ten years.
  explicit FakeAuthority(int64_t now_s, const std::string& name = "root") : now_s_(now_s) {
    root_ = *tls::NewCertificate({.common_name = name,
                                  .is_ca = true,
                                  .not_before_s = now_s - 3600,
                                  .not_after_s = now_s + int64_t{10} * 365 * 86400},
                                 {});
  }

  const std::string& root_pem() const { return root_.certificate_chain_pem; }
  const tls::KeyPair& root() const { return root_; }
  tls::KeyPair ServerCertificate(const std::string& dns_name) const {
    return *tls::NewCertificate({.dns_names = {dns_name},
                                 .server_auth = true,
                                 .not_before_s = now_s_ - 60,
                                 .not_after_s = now_s_ + 86400},
                                root_);
  }
  // For a workload whose key was made here.
  tls::KeyPair WorkloadCertificate(const std::string& uri, int64_t not_after_s) const {
    return *tls::NewCertificate({.uris = {uri},
                                 .server_auth = true,
                                 .client_auth = true,
                                 .not_before_s = now_s_ - 60,
                                 .not_after_s = not_after_s},
                                root_);
  }
  // The answer to a request: leaf and root.
  std::vector<std::string> Sign(const std::string& csr_pem, int64_t not_before_s,
                                int64_t not_after_s) const {
    return {*tls::SignRequest(csr_pem, root_,
                              {.usages = {"digital signature", "client auth", "server auth"},
                               .not_before_s = not_before_s,
                               .not_after_s = not_after_s}),
            root_.certificate_chain_pem};
  }

 private:
  const int64_t now_s_;
  tls::KeyPair root_;
};

}  // namespace meltemi::proxy
