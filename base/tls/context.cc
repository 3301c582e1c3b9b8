#include "base/tls/context.h"

#include <openssl/pem.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/tls/certificate.h"

namespace meltemi::tls {
namespace {

constexpr long kSessionSeconds = 3600;
constexpr char kSystemCaFile[] = "/etc/ssl/certs/ca-certificates.crt";
// TLS 1.2's suites: forward secrecy and authenticated encryption alone (RFC 9113 9.2.2 forbids the
// others for HTTP/2). TLS 1.3 has no others.
constexpr char kCipherList[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

absl::Status ErrorOf(absl::string_view what) {
  const std::string words = TakeErrors();
  return absl::InvalidArgumentError(absl::StrCat(what, words.empty() ? "" : ": ", words));
}

absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(absl::string_view pem,
                                                      absl::string_view what) {
  std::vector<X509Ptr> certificates;
  const BioPtr bio = BioOf(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  // The end of the text is an error to the library; anything else is one to us too.
  const auto error = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (certificates.empty() || (error != 0 && !at_end)) {
    return ErrorOf(absl::StrCat(what, ": no certificate can be read"));
  }
  ERR_clear_error();
  return certificates;
}

absl::Status UseIdentity(SSL_CTX* context, const KeyPair& identity) {
  auto chain = ReadCertificates(identity.certificate_chain_pem, "certificate chain");
  if (!chain.ok()) return chain.status();
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1) {
    return ErrorOf("the certificate can't be used");
  }
  for (size_t i = 1; i < chain->size(); ++i) {
    // The context takes it over on success.
    if (SSL_CTX_add_extra_chain_cert(context, (*chain)[i].get()) != 1) {
      return ErrorOf("the certificate chain can't be used");
    }
    (void)(*chain)[i].release();
  }
  const KeyPtr key = PrivateKeyOfPem(identity.private_key_pem);
  if (key == nullptr) return ErrorOf("the private key can't be read");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return ErrorOf("the private key is not that of the certificate");
  }
  return absl::OkStatus();
}

// `announce`: servers tell clients the names of the CAs.
absl::Status Trust(SSL_CTX* context, absl::string_view ca_pem, bool announce) {
  auto certificates = ReadCertificates(ca_pem, "CA certificates");
  if (!certificates.ok()) return certificates.status();
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  // What is listed is trusted as it is, whether or not it signed itself.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const X509Ptr& certificate : *certificates) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1) {
      return ErrorOf("a CA certificate can't be used");
    }
    if (announce && SSL_CTX_add_client_CA(context, certificate.get()) != 1) {
      return ErrorOf("a CA certificate can't be announced");
    }
  }
  return absl::OkStatus();
}

// Chooses by our order. A client with none of ours goes on without ALPN, as with other servers.
int SelectAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
               const unsigned char* offered, unsigned int offered_length, void* context) {
  const std::string& ours = static_cast<const Context*>(context)->alpn_wire();
  unsigned char* selected = nullptr;
  const int result = SSL_select_next_proto(
      &selected, out_length, reinterpret_cast<const unsigned char*>(ours.data()),
      static_cast<unsigned>(ours.size()), offered, offered_length);
  *out = selected;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// 1: the session has been taken over.
int OnNewSession(SSL* ssl, SSL_SESSION* session) {
  auto* const side = static_cast<ConnectionSide*>(SSL_get_app_data(ssl));
  if (side == nullptr) return 0;
  side->Keep(SessionPtr(session));
  return 1;
}

// Instead of the library's own verification.
int OnVerify(X509_STORE_CTX* chain, void*) {
  SSL* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const side = ssl == nullptr ? nullptr : static_cast<ConnectionSide*>(SSL_get_app_data(ssl));
  return side != nullptr && side->VerifyPeer(chain) ? 1 : 0;
}

absl::Status SetCiphers(SSL_CTX* context, const std::vector<std::string>& ciphers) {
  const std::string list = ciphers.empty() ? kCipherList : absl::StrJoin(ciphers, ":");
#ifdef OPENSSL_IS_BORINGSSL
  // An unknown name is an error, and not left out.
  const bool set = SSL_CTX_set_strict_cipher_list(context, list.c_str()) == 1;
#else
  const bool set = SSL_CTX_set_cipher_list(context, list.c_str()) == 1;
#endif
  return set ? absl::OkStatus() : ErrorOf(absl::StrCat("the ciphers '", list, "' can't be used"));
}

absl::Status SetParameters(SSL_CTX* context, const Parameters& parameters) {
  const auto number = [](Version version) {
    return static_cast<uint16_t>(version == Version::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  };
  if (parameters.version_min > parameters.version_max) {
    return absl::InvalidArgumentError("the lowest version is above the highest");
  }
  if (SSL_CTX_set_min_proto_version(context, number(parameters.version_min)) != 1 ||
      SSL_CTX_set_max_proto_version(context, number(parameters.version_max)) != 1) {
    return ErrorOf("the protocol versions can't be used");
  }
  const std::string curves = absl::StrJoin(parameters.curves, ":");
  if (!curves.empty() && SSL_CTX_set1_curves_list(context, curves.c_str()) != 1) {
    return ErrorOf(absl::StrCat("the curves '", curves, "' can't be used"));
  }
  const std::string algorithms = absl::StrJoin(parameters.signature_algorithms, ":");
  if (!algorithms.empty() && SSL_CTX_set1_sigalgs_list(context, algorithms.c_str()) != 1) {
    return ErrorOf(absl::StrCat("the signature algorithms '", algorithms, "' can't be used"));
  }
  return SetCiphers(context, parameters.ciphers);
}

absl::StatusOr<SslContextPtr> NewSslContext(const Parameters& parameters) {
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  if (context == nullptr) return ErrorOf("no TLS context");
  if (absl::Status status = SetParameters(context.get(), parameters); !status.ok()) return status;
  // The chain is sent as it was given, not as it could be built from what is trusted.
  SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS |
                                      SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_timeout(context.get(), kSessionSeconds);
  return context;
}

// What a ticket must have been made under to be taken: one that was made where other clients are
// trusted is no good. (Tickets of another context can't be read anyway; this is the second lock.)
std::string SessionScope(const ServerOptions& options) {
  return Sha256(absl::StrCat(static_cast<int>(options.peer), options.rules.has_value() ? "r" : "",
                             options.identity.certificate_chain_pem, "\n", options.client_ca_pem));
}

}  // namespace

absl::StatusOr<std::string> AlpnWire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return absl::InvalidArgumentError("an ALPN protocol has 1 to 255 bytes");
    }
    wire.push_back(static_cast<char>(protocol.size()));
    wire += protocol;
  }
  return wire;
}

Context::Context(SslContextPtr ssl_context, ContextTraits traits)
    : ssl_context_(std::move(ssl_context)), traits_(std::move(traits)) {
  if (traits_.server && !traits_.alpn_wire.empty()) {
    SSL_CTX_set_alpn_select_cb(ssl_context_.get(), SelectAlpn, this);
  }
  if (traits_.rules.has_value()) {
    SSL_CTX_set_cert_verify_callback(ssl_context_.get(), OnVerify, nullptr);
  }
}

void Context::KeepSession(const std::string& peer, SessionPtr session) const {
  std::lock_guard<std::mutex> lock(mutex_);
  sessions_.emplace_front(peer, std::move(session));
  if (sessions_.size() > traits_.sessions_max) sessions_.pop_back();
}

SessionPtr Context::TakeSession(const std::string& peer) const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto at = sessions_.begin(); at != sessions_.end(); ++at) {
    if (at->first != peer) continue;
    SessionPtr session = std::move(at->second);
    sessions_.erase(at);
    return session;
  }
  return nullptr;
}

absl::StatusOr<std::shared_ptr<const Context>> NewServerContext(const ServerOptions& options) {
  auto ssl_context = NewSslContext(options.parameters);
  if (!ssl_context.ok()) return ssl_context.status();
  SSL_CTX* const raw = ssl_context->get();
  if (absl::Status status = UseIdentity(raw, options.identity); !status.ok()) return status;
  auto alpn = AlpnWire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE);
  int verify = SSL_VERIFY_NONE;
  const bool trusts = !options.rules.has_value() || !options.client_ca_pem.empty();
  if (options.peer != PeerCertificate::kNone) {
    if (trusts) {
      absl::Status status = Trust(raw, options.client_ca_pem, true);
      if (!status.ok()) return status;
    }
    verify = SSL_VERIFY_PEER;
    if (options.peer == PeerCertificate::kRequired) verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  SSL_CTX_set_verify(raw, verify, nullptr);
  // Sessions live in tickets alone.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  if (!options.tickets) SSL_CTX_set_options(raw, SSL_OP_NO_TICKET);
  const std::string scope = SessionScope(options);
  SSL_CTX_set_session_id_context(raw, reinterpret_cast<const unsigned char*>(scope.data()),
                                 static_cast<unsigned>(scope.size()));
  ContextTraits traits;
  traits.server = true;
  traits.for_proxy = options.for_proxy;
  traits.alpn_wire = *std::move(alpn);
  traits.rules = options.rules;
  traits.verifies_chain = trusts;
  return std::make_shared<const Context>(*std::move(ssl_context), std::move(traits));
}

absl::StatusOr<std::shared_ptr<const Context>> NewClientContext(const ClientOptions& options) {
  auto ssl_context = NewSslContext(options.parameters);
  if (!ssl_context.ok()) return ssl_context.status();
  SSL_CTX* const raw = ssl_context->get();
  if (options.identity.has_value()) {
    if (absl::Status status = UseIdentity(raw, *options.identity); !status.ok()) return status;
  }
  auto alpn = AlpnWire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  if (!alpn->empty() &&
      SSL_CTX_set_alpn_protos(raw, reinterpret_cast<const unsigned char*>(alpn->data()),
                              static_cast<unsigned>(alpn->size())) != 0) {
    return ErrorOf("the ALPN protocols can't be used");
  }
  const bool verifies = options.peer != PeerCertificate::kNone;
  const bool trusts =
      verifies && (!options.rules.has_value() || !options.ca_pem.empty() || options.system_roots);
  if (trusts && !options.ca_pem.empty()) {
    if (absl::Status status = Trust(raw, options.ca_pem, false); !status.ok()) return status;
  } else if (trusts && SSL_CTX_load_verify_locations(raw, kSystemCaFile, nullptr) != 1) {
    return ErrorOf(absl::StrCat("the system's CA certificates can't be read from ", kSystemCaFile));
  }
  SSL_CTX_set_verify(raw, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options.sessions_max > 0) {
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(raw, OnNewSession);
  }
  ContextTraits traits;
  traits.for_proxy = options.for_proxy;
  traits.alpn_wire = *std::move(alpn);
  traits.server_name = options.server_name;
  traits.rules = options.rules;
  traits.verifies_chain = trusts;
  traits.sessions_max = options.sessions_max;
  return std::make_shared<const Context>(*std::move(ssl_context), std::move(traits));
}

}  // namespace meltemi::tls
