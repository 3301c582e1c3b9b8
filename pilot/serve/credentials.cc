#include "pilot/serve/credentials.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/tls/tls.h"

namespace meltemi::pilot {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kRefreshSeconds = 2;

// Both parts change in one step, because they are one folder's.
class FileCredentials final : public ServingCredentials {
 public:
  explicit FileCredentials(std::string folder) : folder_(std::move(folder)) {}
  ~FileCredentials() override {
    credentials_ = nullptr;
    provider_ = nullptr;
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  absl::Status Replace(const tls::KeyPair& identity) override {
    if (absl::Status status = Write("key.pem", identity.private_key_pem); !status.ok()) {
      return status;
    }
    return Write("chain.pem", identity.certificate_chain_pem);
  }

  void Begin() {
    provider_ = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
        folder_ + "/key.pem", folder_ + "/chain.pem", kRefreshSeconds);
    grpc::experimental::TlsServerCredentialsOptions options(provider_);
    options.watch_identity_key_cert_pairs();
    options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    credentials_ = grpc::experimental::TlsServerCredentials(options);
  }

  std::shared_ptr<grpc::ServerCredentials> grpc_credentials() const override {
    return credentials_;
  }

 private:
  // gRPC reads a pair only when it fits: between the two writes it keeps the old one.
  absl::Status Write(const char* name, const std::string& text) {
    const std::string path = absl::StrCat(folder_, "/", name);
    const std::string draft = path + ".new";
    const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    const bool written =
        fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error = errno;
    if (fd >= 0) close(fd);
    if (!written || rename(draft.c_str(), path.c_str()) != 0) {
      return absl::UnavailableError(
          absl::StrCat(path, ": cannot be written: ", std::strerror(written ? errno : error)));
    }
    return absl::OkStatus();
  }

  const std::string folder_;
  std::shared_ptr<grpc::experimental::FileWatcherCertificateProvider> provider_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ServingCredentials>> ServingCredentials::New(
    const tls::KeyPair& identity) {
  std::error_code ignored;
  std::string pattern = (fs::temp_directory_path(ignored) / "meltemi-pilot-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("a folder for pilot's certificate cannot be made as ", pattern, ": ",
                     std::strerror(errno)));
  }
  auto credentials = std::make_unique<FileCredentials>(pattern);
  if (absl::Status status = credentials->Replace(identity); !status.ok()) return status;
  credentials->Begin();
  return credentials;
}

}  // namespace meltemi::pilot
