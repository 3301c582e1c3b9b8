#include "proxy/transport/tls_socket.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/tls/certificate.h"
#include "proxy/config/secrets/secret_store.h"

namespace meltemi::proxy {
namespace {

OwnNames NamesOf(const tls::KeyPair& pair) {
  OwnNames own;
  auto info = tls::ReadCertificatePem(pair.certificate_chain_pem);
  if (!info.ok()) return own;
  own.uri_sans = std::move(info->uris);
  own.dns_sans = std::move(info->dns_names);
  own.subject = std::move(info->subject);
  return own;
}

tls::PeerRules RulesOf(const MaterialConfig& config) {
  tls::PeerRules rules;
  rules.accept_untrusted = config.accept_untrusted;
  rules.allow_expired = config.allow_expired;
  rules.depth_max = config.depth_max;
  rules.certificate_sha256 = config.certificate_sha256;
  rules.key_sha256 = config.key_sha256;
  rules.name_fits = NamesFit(config.names);
  return rules;
}

absl::StatusOr<std::shared_ptr<const tls::Context>> NewServer(const MaterialConfig& config,
                                                              const tls::KeyPair& pair,
                                                              const std::string& roots) {
  tls::ServerOptions options;
  options.identity = pair;
  options.alpn = config.alpn;
  options.peer = config.peer;
  options.client_ca_pem = roots;
  options.parameters = config.parameters;
  options.rules = RulesOf(config);
  options.tickets = config.tickets;
  options.for_proxy = true;
  return tls::NewServerContext(options);
}

absl::StatusOr<std::shared_ptr<const tls::Context>> NewClient(const MaterialConfig& config,
                                                              const tls::KeyPair* pair,
                                                              const std::string& roots) {
  tls::ClientOptions options;
  if (pair != nullptr) options.identity = *pair;
  options.peer = config.peer;
  options.ca_pem = roots;
  options.parameters = config.parameters;
  options.rules = RulesOf(config);
  options.system_roots = config.roots.has_value() && config.roots->system;
  options.sessions_max = config.sessions_max;
  options.for_proxy = true;
  return tls::NewClientContext(options);
}

}  // namespace

// ---- TlsSocket ----------------------------------------------------------------------------------

TlsSocket::TlsSocket(TlsConfig config, std::shared_ptr<const TlsMaterial> material)
    : config_(std::move(config)),
      material_(std::move(material)),
      names_fit_(NamesFit(config_.names)) {}

TlsSocket::Secured TlsSocket::Accept(Loop& loop, std::unique_ptr<net::Connection>& socket,
                                     const net::ConnectionLimits& limits,
                                     bool end_of_stream) const {
  Secured secured;
  secured.state = material_->state();
  if (secured.state == nullptr) return secured;
  secured.connection = tls::NewServerConnection(loop, std::move(socket), limits,
                                                secured.state->context, end_of_stream);
  return secured;
}

TlsSocket::Secured TlsSocket::Connect(Loop& loop, std::unique_ptr<net::Connection>& socket,
                                      const net::ConnectionLimits& limits, TlsChoice choice) const {
  Secured secured;
  secured.state = material_->state();
  if (secured.state == nullptr) return secured;
  tls::ClientChoice client;
  client.server_name =
      choice.server_name.empty() ? config_.server_name : std::move(choice.server_name);
  client.alpn = !choice.alpn.empty()   ? std::move(choice.alpn)
                : config_.alpn.empty() ? std::move(choice.fallback_alpn)
                                       : config_.alpn;
  if (choice.exact_name.empty()) {
    client.name_fits = names_fit_;
    client.name_rule = config_.names_key;
  } else {
    auto names = std::make_shared<std::vector<NameMatcher>>(1);
    names->front().text.text = choice.exact_name;
    client.name_fits = NamesFit(std::move(names));
    client.name_rule = absl::StrCat("exact:", choice.exact_name);
  }
  secured.connection = tls::NewClientConnection(loop, std::move(socket), limits,
                                                secured.state->context, std::move(client));
  return secured;
}

// ---- TlsSockets ---------------------------------------------------------------------------------

struct TlsSockets::Entry {
  MaterialConfig config;
  std::weak_ptr<TlsMaterial> material;
  std::unique_ptr<SecretWatch> certificate_watch, roots_watch;
};

TlsSockets::TlsSockets(SecretStore& secrets) : secrets_(secrets) {}

TlsSockets::~TlsSockets() = default;

absl::StatusOr<std::shared_ptr<const TlsSocket>> TlsSockets::Get(TlsConfig config) {
  Sweep();
  const std::string key = config.material.key;
  const auto known = entries_.find(key);
  if (known != entries_.end()) {
    if (auto material = known->second->material.lock(); material != nullptr) {
      return std::make_shared<const TlsSocket>(std::move(config), std::move(material));
    }
  }
  auto material = std::make_shared<TlsMaterial>();
  auto entry = std::make_unique<Entry>();
  entry->config = config.material;
  entry->material = material;
  if (absl::Status status = Rebuild(*entry); !status.ok()) {
    const bool by_sds =
        (entry->config.certificate && !entry->config.certificate->sds_name.empty()) ||
        (entry->config.roots && !entry->config.roots->sds_name.empty());
    if (!by_sds) return status;
    LOG(kWarn, "tls", status.message());
  }
  const auto watch = [&](SecretKind kind, const std::string& name) {
    return name.empty() ? nullptr : secrets_.Watch(kind, name, [this, key] { OnSecret(key); });
  };
  if (entry->config.certificate.has_value()) {
    entry->certificate_watch = watch(SecretKind::kCertificate, entry->config.certificate->sds_name);
  }
  if (entry->config.roots.has_value()) {
    entry->roots_watch = watch(SecretKind::kRoots, entry->config.roots->sds_name);
  }
  entries_[key] = std::move(entry);
  return std::make_shared<const TlsSocket>(std::move(config), std::move(material));
}

void TlsSockets::OnSecret(const std::string& key) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  const std::shared_ptr<TlsMaterial> material = at->second->material.lock();
  if (material == nullptr) return;
  const bool was_ready = material->state() != nullptr;
  if (absl::Status status = Rebuild(*at->second); !status.ok()) {
    LOG(kWarn, "tls", "a new secret can't be used: ", status.message());
    return;
  }
  if (!was_ready && material->state() != nullptr && on_ready_) on_ready_();
}

absl::Status TlsSockets::Rebuild(Entry& entry) {
  const MaterialConfig& config = entry.config;
  const tls::KeyPair* pair = nullptr;
  if (config.certificate.has_value()) {
    const std::string& name = config.certificate->sds_name;
    pair = name.empty() ? &config.certificate->pair : secrets_.Certificate(name);
    if (pair == nullptr) return absl::OkStatus();  // it will come
  }
  const std::string none;
  const std::string* roots = &none;
  if (config.roots.has_value()) {
    const std::string& name = config.roots->sds_name;
    roots = name.empty() ? &config.roots->pem : secrets_.Roots(name);
    if (roots == nullptr) return absl::OkStatus();
  }
  auto context = config.server ? NewServer(config, *pair, *roots) : NewClient(config, pair, *roots);
  if (!context.ok()) return context.status();
  auto state = std::make_shared<TlsState>();
  state->context = *std::move(context);
  if (pair != nullptr) state->own = NamesOf(*pair);
  if (auto material = entry.material.lock(); material != nullptr) {
    material->Replace(std::move(state));
  }
  return absl::OkStatus();
}

void TlsSockets::Sweep() {
  if (entries_.size() < sweep_at_) return;
  for (auto it = entries_.begin(); it != entries_.end();) {
    it = it->second->material.expired() ? entries_.erase(it) : std::next(it);
  }
  sweep_at_ = std::max<size_t>(64, 2 * entries_.size());
}

}  // namespace meltemi::proxy
