#include "orchestrator/kubelet/bootstrap/files.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "orchestrator/component/files.h"

namespace meltemi::kubelet {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kPrivate = 0600;

absl::Status Failed(const std::string& path, const std::error_code& error) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", error.message()));
}

}  // namespace

std::string CurrentPath(const std::string& cert_dir) {
  return cert_dir + "/kubelet-client-current.pem";
}

absl::StatusOr<tls::KeyPair> ReadCurrent(const std::string& cert_dir) {
  const std::string path = CurrentPath(cert_dir);
  if (!fs::exists(path)) return absl::NotFoundError(absl::StrCat(path, ": there is none"));
  const absl::StatusOr<std::string> text = orchestrator::ReadWholeFile(path);
  if (!text.ok()) return text.status();
  if (!tls::IsCertificateOf(*text, *text)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no certificate with its key; remove it to have a new one made"));
  }
  return tls::KeyPair{*text, *text};
}

absl::Status WriteCurrent(const std::string& cert_dir, const tls::KeyPair& pair, int64_t now_s) {
  std::error_code error;
  fs::create_directories(cert_dir, error);
  if (error) return Failed(cert_dir, error);
  const std::string name = absl::StrCat(
      "kubelet-client-",
      absl::FormatTime("%Y-%m-%d-%H-%M-%S", absl::FromUnixSeconds(now_s), absl::UTCTimeZone()),
      ".pem");
  absl::Status status = orchestrator::WriteFileAtomically(
      absl::StrCat(cert_dir, "/", name),
      absl::StrCat(pair.certificate_chain_pem, pair.private_key_pem), kPrivate);
  if (!status.ok()) return status;
  const std::string link = CurrentPath(cert_dir), next = link + ".new";
  const fs::path before = fs::read_symlink(link, error);
  fs::remove(next, error);
  fs::create_symlink(name, next, error);
  if (!error) fs::rename(next, link, error);
  if (error) return Failed(link, error);
  if (!before.empty() && before != name) fs::remove(cert_dir / before, error);
  return absl::OkStatus();
}

std::string KubeconfigText(absl::string_view server, absl::string_view ca_pem,
                           const std::string& pair_path) {
  return absl::StrCat(
      "apiVersion: v1\nkind: Config\nclusters:\n- name: default-cluster\n  cluster:\n",
      "    server: ", server, "\n    certificate-authority-data: ", absl::Base64Escape(ca_pem),
      "\nusers:\n- name: default-auth\n  user:\n    client-certificate: ", pair_path,
      "\n    client-key: ", pair_path,
      "\ncontexts:\n- name: default-context\n  context:\n    cluster: default-cluster\n",
      "    namespace: default\n    user: default-auth\ncurrent-context: default-context\n");
}

}  // namespace meltemi::kubelet
