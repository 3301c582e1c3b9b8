#include "orchestrator/app/certificates.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/tls/certificate.h"
#include "orchestrator/component/files.h"

namespace meltemi::orchestrator {
namespace {

constexpr int64_t kDay = 24 * 3600;
constexpr int64_t kAuthorityDays = 3650;
constexpr int64_t kLeafDays = 365;
constexpr int64_t kRenewBeforeDays = 30;
// Clocks of a cluster's machines differ a little.
constexpr int64_t kSkew = 300;

class Folder {
 public:
  explicit Folder(const CertificateOptions& options) : options_(options) {}

  std::string Path(absl::string_view name) const {
    return absl::StrCat(options_.folder, "/", name);
  }

  // The pair NAME.crt and NAME.key, made by `make` when it is missing or `usable` says no.
  absl::StatusOr<tls::KeyPair> Pair(
      absl::string_view name, const std::function<bool(const tls::CertificateInfo&)>& usable,
      const std::function<absl::StatusOr<tls::KeyPair>()>& make) const {
    const std::string certificate = Path(absl::StrCat(name, ".crt"));
    const std::string key = Path(absl::StrCat(name, ".key"));
    if (std::filesystem::exists(certificate) && std::filesystem::exists(key)) {
      absl::StatusOr<tls::KeyPair> pair = Read(certificate, key);
      if (!pair.ok()) return pair.status();
      const absl::StatusOr<tls::CertificateInfo> info =
          tls::ReadCertificatePem(pair->certificate_chain_pem);
      if (!info.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(certificate, ": ", info.status().message(),
                         "; restore it, or remove it and its key to have new ones made"));
      }
      if (usable(*info)) return pair;
    }
    absl::StatusOr<tls::KeyPair> pair = make();
    if (!pair.ok()) return pair.status();
    // The key first: a certificate without its key would be of no use.
    if (absl::Status status = WriteFileAtomically(key, pair->private_key_pem, 0600); !status.ok()) {
      return status;
    }
    absl::Status status = WriteFileAtomically(certificate, pair->certificate_chain_pem, 0644);
    if (!status.ok()) return status;
    return pair;
  }

  bool Fresh(const tls::CertificateInfo& info) const {
    return info.not_after_s > options_.now_s + kRenewBeforeDays * kDay;
  }

  absl::StatusOr<tls::KeyPair> Client(absl::string_view file, const tls::KeyPair& ca,
                                      absl::string_view common_name,
                                      absl::string_view organization) const {
    return Pair(
        file, [this](const tls::CertificateInfo& info) { return Fresh(info); },
        [&] { return IssueClientCertificate(ca, common_name, organization, options_.now_s); });
  }

 private:
  static absl::StatusOr<tls::KeyPair> Read(const std::string& certificate, const std::string& key) {
    absl::StatusOr<std::string> chain = ReadWholeFile(certificate);
    if (!chain.ok()) return chain.status();
    absl::StatusOr<std::string> private_key = ReadWholeFile(key);
    if (!private_key.ok()) return private_key.status();
    return tls::KeyPair{*std::move(chain), *std::move(private_key)};
  }

  const CertificateOptions& options_;
};

bool HasAll(const std::vector<std::string>& have, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&have](const std::string& name) {
    return std::find(have.begin(), have.end(), name) != have.end();
  });
}

tls::CertificateRequest AuthorityRequest(int64_t now_s) {
  return {.common_name = "kubernetes",
          .is_ca = true,
          .not_before_s = now_s - kSkew,
          .not_after_s = now_s + kAuthorityDays * kDay};
}

tls::CertificateRequest ServingRequest(const CertificateOptions& options) {
  tls::CertificateRequest request{.common_name = "kube-apiserver",
                                  .dns_names = options.dns_names,
                                  .ip_addresses = options.ip_addresses,
                                  .server_auth = true,
                                  .not_before_s = options.now_s - kSkew,
                                  .not_after_s = options.now_s + kLeafDays * kDay};
  for (const char* name : {"localhost", "kubernetes", "kubernetes.default",
                           "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}) {
    request.dns_names.push_back(name);
  }
  request.ip_addresses.push_back("127.0.0.1");
  return request;
}

absl::StatusOr<std::string> ServiceAccountKey(const Folder& folder) {
  const std::string path = folder.Path("sa.key");
  if (std::filesystem::exists(path)) return ReadWholeFile(path);
  absl::StatusOr<std::string> key = tls::NewPrivateKeyPem(tls::KeyKind::kRsa2048);
  if (!key.ok()) return key;
  if (absl::Status status = WriteFileAtomically(path, *key, 0600); !status.ok()) return status;
  return key;
}

}  // namespace

absl::StatusOr<tls::KeyPair> IssueClientCertificate(const tls::KeyPair& ca,
                                                    absl::string_view common_name,
                                                    absl::string_view organization, int64_t now_s) {
  tls::CertificateRequest request{.common_name = std::string(common_name),
                                  .client_auth = true,
                                  .not_before_s = now_s - kSkew,
                                  .not_after_s = now_s + kLeafDays * kDay};
  if (!organization.empty()) request.organizations.emplace_back(organization);
  return tls::NewCertificate(request, ca);
}

absl::StatusOr<ClusterCertificates> EnsureCertificates(const CertificateOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the folder ", options.folder, ": ", error.message()));
  }
  const Folder folder(options);
  ClusterCertificates out;
  const auto take = [](absl::StatusOr<tls::KeyPair> pair, tls::KeyPair* into) {
    if (pair.ok()) *into = *std::move(pair);
    return pair.status();
  };
  absl::Status status =
      take(folder.Pair(
               "ca", [](const tls::CertificateInfo& info) { return info.is_ca; },
               [&] { return tls::NewCertificate(AuthorityRequest(options.now_s), {}); }),
           &out.ca);
  if (!status.ok()) return status;
  const tls::CertificateRequest serving = ServingRequest(options);
  status = take(folder.Pair(
                    "apiserver",
                    [&](const tls::CertificateInfo& info) {
                      return folder.Fresh(info) && HasAll(info.dns_names, serving.dns_names) &&
                             HasAll(info.ip_addresses, serving.ip_addresses);
                    },
                    [&] { return tls::NewCertificate(serving, out.ca); }),
                &out.apiserver);
  if (!status.ok()) return status;
  struct Client {
    const char* file;
    const char* common_name;
    const char* organization;
    tls::KeyPair* into;
  };
  for (const Client& client : {
           Client{"apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters",
                  &out.kubelet_client},
           Client{"admin", "kubernetes-admin", "system:masters", &out.admin},
           Client{"controller-manager", "system:kube-controller-manager", "",
                  &out.controller_manager},
           Client{"scheduler", "system:kube-scheduler", "", &out.scheduler},
       }) {
    status = take(folder.Client(client.file, out.ca, client.common_name, client.organization),
                  client.into);
    if (!status.ok()) return status;
  }
  absl::StatusOr<std::string> key = ServiceAccountKey(folder);
  if (!key.ok()) return key.status();
  out.service_account_key_pem = *std::move(key);
  return out;
}

}  // namespace meltemi::orchestrator
