#include "proxy/config/secrets/credentials.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/tls/tls.h"
#include "proxy/config/secrets/files.h"

namespace meltemi::proxy {
namespace {

void SetPeer(const CredentialFiles& files, tls::ClientOptions* options) {
  using Peer = CredentialFiles::Peer;
  if (files.peer == Peer::kServerName) return;
  if (files.peer == Peer::kAnybody) {
    options->peer = tls::PeerCertificate::kNone;
    return;
  }
  options->rules.emplace();
  if (files.peer == Peer::kAny) return;
  options->rules->name_fits = [names = files.names](const tls::SubjectName& name) {
    return std::find(names.begin(), names.end(), name.text) != names.end();
  };
}

}  // namespace

absl::Status Credentials::AddTo(const std::string& host, http::grpc::BidiOptions* options) {
  if (!files_.tls) return absl::OkStatus();
  if (absl::Status status = RefreshContext(); !status.ok()) return status;
  options->tls = context_;
  options->server_name = files_.server_name.empty() ? host : files_.server_name;
  if (files_.token_file.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> token = ReadSmallFile(files_.token_file);
  if (!token.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token can't be read: ", token.status().message()));
  }
  const absl::string_view bare = absl::StripAsciiWhitespace(*token);
  if (bare.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token can't be read: ", files_.token_file, " is empty"));
  }
  for (const char c : bare) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) {
      return absl::FailedPreconditionError(
          absl::StrCat("the token can't be read: ", files_.token_file, " holds no token"));
    }
  }
  options->metadata.emplace_back("authorization", absl::StrCat("Bearer ", bare));
  return absl::OkStatus();
}

absl::Status Credentials::RefreshContext() {
  tls::ClientOptions options;
  options.alpn = {"h2"};
  options.ca_pem = files_.root_pem;
  SetPeer(files_, &options);
  tls::KeyPair identity{files_.certificate_pem, files_.key_pem};
  const struct {
    const std::string& file;
    std::string& text;
    const char* what;
  } reads[] = {{files_.root_file, options.ca_pem, "the root certificates"},
               {files_.certificate_file, identity.certificate_chain_pem, "the certificate"},
               {files_.key_file, identity.private_key_pem, "the private key"}};
  for (const auto& read : reads) {
    if (read.file.empty()) continue;
    absl::StatusOr<std::string> text = ReadSmallFile(read.file);
    if (!text.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(read.what, " can't be read: ", text.status().message()));
    }
    if (text->empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(read.what, " can't be read: ", read.file, " is empty"));
    }
    read.text = *std::move(text);
  }
  std::string all = absl::StrCat(options.ca_pem, "|", identity.certificate_chain_pem, "|",
                                 identity.private_key_pem);
  if (context_ != nullptr && all == known_) return absl::OkStatus();
  if (!identity.certificate_chain_pem.empty()) options.identity = std::move(identity);
  auto context = tls::NewClientContext(options);
  if (!context.ok()) return absl::FailedPreconditionError(context.status().message());
  context_ = *std::move(context);
  known_ = std::move(all);
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
