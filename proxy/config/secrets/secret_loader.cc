#include "proxy/config/secrets/secret_loader.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/tls/tls.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/config/secrets/secrets.h"

namespace meltemi::proxy {
namespace {

namespace core_v3 = envoy::config::core::v3;
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;

constexpr absl::string_view kSupported[] = {
    "name",
    "tls_certificate.certificate_chain.inline_string",
    "tls_certificate.certificate_chain.inline_bytes",
    "tls_certificate.certificate_chain.filename",
    "tls_certificate.private_key.inline_string",
    "tls_certificate.private_key.inline_bytes",
    "tls_certificate.private_key.filename",
    "validation_context.trusted_ca.inline_string",
    "validation_context.trusted_ca.inline_bytes",
    "validation_context.trusted_ca.filename",
};

absl::Status Wrong(const std::string& name, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("secret '", name, "': ", what));
}

absl::StatusOr<std::string> Read(const core_v3::DataSource& source, const std::string& name,
                                 absl::string_view field) {
  std::string text;
  switch (source.specifier_case()) {
    case core_v3::DataSource::kInlineString:
      text = source.inline_string();
      break;
    case core_v3::DataSource::kInlineBytes:
      text = source.inline_bytes();
      break;
    case core_v3::DataSource::kFilename: {
      absl::StatusOr<std::string> read = ReadSmallFile(source.filename());
      if (!read.ok()) return Wrong(name, absl::StrCat(field, ": ", read.status().message()));
      text = *std::move(read);
      break;
    }
    default:
      break;
  }
  if (text.empty()) return Wrong(name, absl::StrCat(field, " is empty"));
  return text;
}

void AddFile(const core_v3::DataSource& source, std::set<std::string>* files) {
  if (source.has_filename()) files->insert(source.filename());
}

std::set<std::string> FilesOf(const tls_v3::Secret& secret) {
  std::set<std::string> files;
  AddFile(secret.tls_certificate().certificate_chain(), &files);
  AddFile(secret.tls_certificate().private_key(), &files);
  AddFile(secret.validation_context().trusted_ca(), &files);
  return files;
}

}  // namespace

struct SecretLoader::InFiles {
  tls_v3::Secret secret;
  Version version;
  std::vector<std::unique_ptr<FileWatch>> watches;
};

SecretLoader::SecretLoader(FileWatcher& watcher, Secrets& secrets)
    : watcher_(watcher), secrets_(secrets) {}

SecretLoader::~SecretLoader() = default;

std::set<std::string> SecretLoader::WantedNames() {
  secrets_.ForgetUnwatched();
  std::set<std::string> names = secrets_.SdsNames();
  std::erase_if(in_files_, [&](const auto& entry) {
    return entry.second->version.has_value() && !names.contains(entry.first);
  });
  return names;
}

absl::Status SecretLoader::Set(const tls_v3::Secret& secret, const std::string& version) {
  return Take(secret, version);
}

absl::Status SecretLoader::SetStatic(const tls_v3::Secret& secret) {
  return Take(secret, std::nullopt);
}

absl::Status SecretLoader::Take(const tls_v3::Secret& original, const Version& version) {
  tls_v3::Secret secret = original;
  // The files' own folders are watched in any case.
  if (secret.has_tls_certificate()) secret.mutable_tls_certificate()->clear_watched_directory();
  if (secret.has_validation_context()) {
    secret.mutable_validation_context()->clear_watched_directory();
  }
  const std::string& name = secret.name();
  if (name.empty()) return absl::InvalidArgumentError("a secret has no name");
  absl::Status status = CheckSupported(secret, absl::StrCat("secret '", name, "'"), kSupported);
  if (!status.ok()) return status;
  if (status = Put(secret, version); !status.ok()) return status;
  in_files_.erase(name);
  const std::set<std::string> files = FilesOf(secret);
  if (files.empty()) return absl::OkStatus();
  auto entry = std::make_unique<InFiles>();
  entry->secret = std::move(secret);
  entry->version = version;
  for (const std::string& file : files) {
    entry->watches.push_back(
        watcher_.Watch(file, [this, name = original.name()] { OnFiles(name); }));
  }
  in_files_[original.name()] = std::move(entry);
  return absl::OkStatus();
}

absl::Status SecretLoader::Put(const tls_v3::Secret& secret, const Version& version) {
  const std::string& name = secret.name();
  const bool local = !version.has_value();
  if (secret.has_validation_context()) {
    auto roots = Read(secret.validation_context().trusted_ca(), name, "trusted_ca");
    if (!roots.ok()) return roots.status();
    tls::ClientOptions trial;
    trial.ca_pem = *roots;
    if (auto context = tls::NewClientContext(trial); !context.ok()) {
      return Wrong(name, context.status().message());
    }
    if (local) {
      secrets_.SetLocalRoots(name, *std::move(roots));
    } else if (!secrets_.SetRoots(name, *std::move(roots), *version)) {
      return Wrong(name, "it is this proxy's own: it can't be replaced");
    }
    return absl::OkStatus();
  }
  if (!secret.has_tls_certificate()) return Wrong(name, "it is empty");
  const tls_v3::TlsCertificate& certificate = secret.tls_certificate();
  auto chain = Read(certificate.certificate_chain(), name, "certificate_chain");
  if (!chain.ok()) return chain.status();
  auto key = Read(certificate.private_key(), name, "private_key");
  if (!key.ok()) return key.status();
  tls::KeyPair pair{*std::move(chain), *std::move(key)};
  tls::ServerOptions trial;
  trial.identity = pair;
  if (auto context = tls::NewServerContext(trial); !context.ok()) {
    return Wrong(name, context.status().message());
  }
  if (local) {
    secrets_.SetLocalCertificate(name, std::move(pair));
  } else if (!secrets_.SetCertificate(name, std::move(pair), *version)) {
    return Wrong(name, "it is this proxy's own: it can't be replaced");
  }
  return absl::OkStatus();
}

void SecretLoader::OnFiles(const std::string& name) {
  const auto at = in_files_.find(name);
  if (at == in_files_.end()) return;
  absl::Status status = Put(at->second->secret, at->second->version);
  if (!status.ok()) {
    LOG(kWarn, "secrets", status.message(), "; the last good version stays in use");
  }
}

}  // namespace meltemi::proxy
