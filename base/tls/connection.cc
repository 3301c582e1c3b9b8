#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/tls/certificate_info.h"
#include "base/tls/context.h"
#include "base/tls/failure_words.h"
#include "base/tls/handles.h"
#include "base/tls/tls.h"
#include "base/tls/verify.h"

namespace meltemi::tls {
namespace {

// Records that wait in the socket's output; what is above stays plaintext until these have gone.
constexpr size_t kCipherBytesMax = 64 * 1024;
// What the library may answer by itself (alerts, key updates) on top of that before it is told to
// wait: a peer that asks and never reads.
constexpr size_t kCipherBytesHardMax = 512 * 1024;
// Records that are read and not decrypted yet.
constexpr size_t kCipherReadBytesMax = 128 * 1024;
constexpr size_t kRecordBytesMax = 16 * 1024;
// Runs shorter than this are put together into one record.
constexpr size_t kRunBytesMin = 4096;
// How long the peer gets to read the alert that tells it why.
constexpr Duration kAlertFlushTimeout = seconds(1);

bool IsIpAddress(const std::string& name) {
  in6_addr address;
  return inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

// States:   kHandshaking --> kOpen --> kClosing --> kClosed
//                 \______________________^
// kHandshaking begins before the socket is connected. kClosing: Close() was called, or TLS failed;
// what is left is sent, nothing is read any more. Whatever the socket tells of leads to kClosed.
class TlsConnection final : public Connection,
                            private net::ConnectionHandler,
                            private ConnectionSide {
 public:
  enum class State : uint8_t { kHandshaking, kOpen, kClosing, kClosed };

  TlsConnection(Loop& loop, std::unique_ptr<net::Connection> socket,
                const net::ConnectionLimits& limits, std::shared_ptr<const Context> context,
                ClientChoice choice);
  // Over a socket that is connected already: the handshake begins at the end of the turn.
  void BeginSoon(bool end_of_stream);
  ~TlsConnection() override {
    // The library's own end must not tell anybody.
    SSL_set_app_data(ssl_.get(), nullptr);
    socket_->SetHandler(nullptr);
  }

  const SessionInfo& session() const override { return session_; }
  HandshakeFailure handshake_failure() const override { return handshake_failure_; }
  absl::StatusOr<CertificateInfo> ReadPeer() const override;
  std::string PeerPem(bool chain) const override;

  void SetHandler(net::ConnectionHandler* handler) override { handler_ = handler; }
  Buffer& input() override { return input_; }
  Buffer& output() override { return output_; }
  void FlushSoon() override { loop_.AtTurnEnd(&turn_end_); }
  void PauseReading(bool paused) override;
  bool reading_paused() const override { return paused_; }
  void CloseWrite() override;
  void Close(Duration flush_timeout) override;
  void Abort() override;

  const net::Address& local_address() const override { return socket_->local_address(); }
  const net::Address& remote_address() const override { return socket_->remote_address(); }
  int fd() const override { return socket_->fd(); }
  bool connected() const override { return state_ == State::kOpen; }
  uint64_t bytes_read() const override { return socket_->bytes_read(); }
  uint64_t bytes_written() const override { return socket_->bytes_written(); }
  void SetKeepalive(const net::TcpKeepalive& keepalive) override {
    socket_->SetKeepalive(keepalive);
  }

 private:
  // Encrypts what was appended, before the socket's own task writes it.
  struct TurnEnd final : TurnEndTask {
    explicit TurnEnd(TlsConnection& owner) : owner(owner) {}
    void RunAtTurnEnd() override { owner.OnTurnEnd(); }
    TlsConnection& owner;
  };
  // Runs after the socket's task: looks at what it could write.
  struct AfterWrite final : TurnEndTask {
    explicit AfterWrite(TlsConnection& owner) : owner(owner) {}
    void RunAtTurnEnd() override { owner.OnAfterWrite(); }
    TlsConnection& owner;
  };

  // --- net::ConnectionHandler: the socket
  void OnConnected() override { Handshake(); }
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override {
    if (!blocked) OnDrained();
  }
  void OnDrained() override;
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;

  // --- ConnectionSide
  void Keep(SessionPtr session) override {
    context_->KeepSession(session_key_, std::move(session));
  }
  bool VerifyPeer(X509_STORE_CTX* chain) override;

  // --- The library's side of the socket
  static BIO_METHOD* BioMethod();
  static int BioRead(BIO* bio, char* to, int length);
  static int BioWrite(BIO* bio, const char* from, int length);
  static long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH; }

  void SetUpClient();
  void OnTurnEnd();
  void OnAfterWrite();
  void Handshake();
  void FailHandshake(int result);
  void Established();
  void NotePeerChain();
  bool ResumedPeerHasExpired() const;
  void Receive();
  void Decrypt();
  void Deliver();
  void Encrypt();
  void FinishClose();
  void FlushSocket() {
    if (!socket_->output().empty()) socket_->FlushSoon();
  }
  bool MoreToDecrypt() const {
    return !eof_ && (!socket_->input().empty() || SSL_pending(ssl_.get()) > 0);
  }
  std::string LibraryError(int result) const;
  void Fail(net::CloseCause cause, std::string detail);
  void Finish(net::CloseCause cause, absl::string_view detail);

  Loop& loop_;
  const std::shared_ptr<const Context> context_;
  const net::ConnectionLimits limits_;
  const std::unique_ptr<net::Connection> socket_;
  const ClientChoice choice_;
  const std::string session_key_;
  SslPtr ssl_;
  net::ConnectionHandler* handler_ = nullptr;
  TurnEnd turn_end_{*this};
  AfterWrite after_write_{*this};
  Buffer input_, output_;  // plaintext
  SessionInfo session_;
  std::string error_;          // why reading or the handshake failed
  std::string verdict_words_;  // why the peer's certificate was refused
  Duration flush_timeout_{};
  net::CloseCause failure_ = net::CloseCause::kLocalClosed;

  HandshakeFailure handshake_failure_ = HandshakeFailure::kNone;
  State state_ = State::kHandshaking;
  bool verifies_ = false;    // the peer's certificate means something
  bool begin_soon_ = false;  // the socket has told of its connection already
  bool paused_ = false;
  bool read_again_ = false;  // OnRead is due although the socket has nothing new
  bool read_failed_ = false;
  bool socket_eof_ = false;
  bool eof_ = false;  // close_notify has been read
  bool eof_delivered_ = false;
  bool had_output_ = false;
  bool write_blocked_ = false;  // the handler was told
  bool write_shut_wanted_ = false;
  bool write_shut_ = false;  // close_notify has been written
};

// ---- The library's side of the socket -----------------------------------------------------------

BIO_METHOD* TlsConnection::BioMethod() {
  // A table of functions, for all connections.
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    CHECK(made != nullptr);
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

int TlsConnection::BioRead(BIO* bio, char* to, int length) {
  auto* const self = static_cast<TlsConnection*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  Buffer& in = self->socket_->input();
  if (in.empty() || length <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t count = std::min(in.size(), static_cast<size_t>(length));
  in.CopyOut(0, count, to);
  in.Drain(count);
  return static_cast<int>(count);
}

int TlsConnection::BioWrite(BIO* bio, const char* from, int length) {
  auto* const self = static_cast<TlsConnection*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  Buffer& out = self->socket_->output();
  if (out.size() > kCipherBytesHardMax && self->state_ != State::kClosing) {
    BIO_set_retry_write(bio);
    return -1;
  }
  out.Append(absl::string_view(from, static_cast<size_t>(std::max(length, 0))));
  return length;
}

// ---- Setting up ---------------------------------------------------------------------------------

net::ConnectionLimits SocketLimits() {
  return {.read_buffer_bytes_max = kCipherReadBytesMax, .write_buffer_bytes_high = kCipherBytesMax};
}

// The context's where the choice says nothing.
ClientChoice WithDefaults(const Context& context, ClientChoice choice) {
  if (choice.server_name.empty()) choice.server_name = context.server_name();
  if (!choice.name_fits && context.rules() != nullptr) {
    choice.name_fits = context.rules()->name_fits;
  }
  return choice;
}

TlsConnection::TlsConnection(Loop& loop, std::unique_ptr<net::Connection> socket,
                             const net::ConnectionLimits& limits,
                             std::shared_ptr<const Context> context, ClientChoice choice)
    : loop_(loop),
      context_(std::move(context)),
      limits_(limits),
      socket_(std::move(socket)),
      choice_(WithDefaults(*context_, std::move(choice))),
      session_key_(context_->server() ? ""
                                      : absl::StrCat(socket_->remote_address().ToString(), " ",
                                                     choice_.server_name, " ", choice_.name_rule)),
      ssl_(SSL_new(context_->ssl_context())) {
  CHECK(ssl_ != nullptr);
  BIO* const bio = BIO_new(BioMethod());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes it over
  SSL_set_app_data(ssl_.get(), static_cast<ConnectionSide*>(this));
  verifies_ = SSL_get_verify_mode(ssl_.get()) != SSL_VERIFY_NONE;
#ifdef OPENSSL_IS_BORINGSSL
  // What only handshakes need is given back after this one.
  SSL_set_shed_handshake_config(ssl_.get(), 1);
#endif
  socket_->SetHandler(this);
  if (context_->server()) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SetUpClient();
  }
}

void TlsConnection::SetUpClient() {
  SSL_set_connect_state(ssl_.get());
  const std::string& name = choice_.server_name;
  const bool is_address = IsIpAddress(name);
  if (!name.empty() && !is_address) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  if (!name.empty() && verifies_ && context_->rules() == nullptr) {
    X509_VERIFY_PARAM* const verify = SSL_get0_param(ssl_.get());
    const int set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str())
                               : X509_VERIFY_PARAM_set1_host(verify, name.data(), name.size());
    if (set != 1) error_ = "a server name that no certificate can have";
  }
  if (!choice_.alpn.empty()) {
    const auto wire = AlpnWire(choice_.alpn);
    if (!wire.ok() ||
        SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(wire->data()),
                            static_cast<unsigned>(wire->size())) != 0) {
      error_ = "the ALPN protocols can't be used";
    }
  }
  if (SessionPtr session = context_->TakeSession(session_key_); session != nullptr) {
    SSL_set_session(ssl_.get(), session.get());
  }
}

void TlsConnection::BeginSoon(bool end_of_stream) {
  socket_eof_ = end_of_stream;
  begin_soon_ = true;
  FlushSoon();
}

// ---- The handshake ------------------------------------------------------------------------------

bool TlsConnection::VerifyPeer(X509_STORE_CTX* chain) {
  const PeerRules& rules = *context_->rules();
  Verdict verdict = VerifyChain(chain, rules, choice_.name_fits, context_->verifies_chain());
  verifies_ = verdict.failure == HandshakeFailure::kNone && context_->verifies_chain();
  if (verdict.failure == HandshakeFailure::kNone || rules.accept_untrusted) return true;
  handshake_failure_ = verdict.failure;
  verdict_words_ = std::move(verdict.words);
  return false;
}

absl::StatusOr<CertificateInfo> TlsConnection::ReadPeer() const {
  const X509Ptr leaf(SSL_get_peer_certificate(ssl_.get()));
  if (leaf == nullptr) return absl::NotFoundError("the peer sent no certificate");
  return CertificateInfoOf(leaf.get());
}

std::string TlsConnection::PeerPem(bool chain) const {
  const X509Ptr leaf(SSL_get_peer_certificate(ssl_.get()));
  if (leaf == nullptr) return "";
  std::string pem = PemOf(leaf.get());
  if (!chain) return pem;
  STACK_OF(X509)* const all = SSL_get_peer_cert_chain(ssl_.get());
  for (size_t i = 0; all != nullptr && i < static_cast<size_t>(sk_X509_num(all)); ++i) {
    X509* const certificate = sk_X509_value(all, static_cast<int>(i));
    if (i == 0 && X509_cmp(certificate, leaf.get()) == 0) continue;
    pem += PemOf(certificate);
  }
  return pem;
}

std::string TlsConnection::LibraryError(int result) const {
  if (context_->for_proxy()) return TakeErrorsWithCodes(verdict_words_);
  const int kind = SSL_get_error(ssl_.get(), result);
  std::string words = TakeErrors();
  if (words.empty()) words = absl::StrCat("TLS error ", kind);
  const long verified = SSL_get_verify_result(ssl_.get());
  if (!verdict_words_.empty()) {
    absl::StrAppend(&words, ": ", verdict_words_);
  } else if (verified != X509_V_OK && verifies_) {
    absl::StrAppend(&words, ": ", X509_verify_cert_error_string(verified));
  }
  return words;
}

void TlsConnection::Handshake() {
  if (!error_.empty()) return Fail(net::CloseCause::kConnectFailed, error_);
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  FlushSocket();
  if (result == 1) return Established();
  const int kind = SSL_get_error(ssl_.get(), result);
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
    if (socket_eof_) Fail(net::CloseCause::kRemoteReset, "closed during the TLS handshake");
    return;
  }
  FailHandshake(result);
}

void TlsConnection::FailHandshake(int result) {
  if (handshake_failure_ == HandshakeFailure::kNone) {
    const auto first = ERR_peek_error();
    if (first != 0) {
      const bool none = ERR_GET_LIB(first) == ERR_LIB_SSL &&
                        ERR_GET_REASON(first) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
      const bool refused = ERR_GET_LIB(first) == ERR_LIB_SSL &&
                           ERR_GET_REASON(first) == SSL_R_CERTIFICATE_VERIFY_FAILED;
      handshake_failure_ = none      ? HandshakeFailure::kNoCertificate
                           : refused ? HandshakeFailure::kUntrusted
                                     : HandshakeFailure::kProtocol;
      if (none) verdict_words_ = "peer did not provide required client certificate";
    }
  }
  const absl::string_view prefix = context_->for_proxy() ? "" : "TLS handshake: ";
  Fail(net::CloseCause::kConnectFailed, absl::StrCat(prefix, LibraryError(result)));
}

void TlsConnection::NotePeerChain() {
  if (context_->for_proxy()) {
    // Nobody looks at a resumed session's certificate again, so nobody knows what was accepted
    // then.
    const bool in_doubt =
        session_.resumed && context_->rules() != nullptr && context_->rules()->accept_untrusted;
    session_.peer_verified = verifies_ && context_->verifies_chain() && !in_doubt;
    return;
  }
  if (!verifies_) return;
  const X509Ptr leaf(SSL_get_peer_certificate(ssl_.get()));
  if (leaf == nullptr) return;
  const auto add = [this](X509* certificate) {
    unsigned char* der = nullptr;
    const int length = i2d_X509(certificate, &der);
    if (length <= 0) return;
    session_.peer_chain_der.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(length));
    OPENSSL_free(der);
  };
  add(leaf.get());
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl_.get());
  for (size_t i = 0; chain != nullptr && i < static_cast<size_t>(sk_X509_num(chain)); ++i) {
    X509* const certificate = sk_X509_value(chain, static_cast<int>(i));
    // A client's list begins with the leaf, a server's does not.
    if (i == 0 && X509_cmp(certificate, leaf.get()) == 0) continue;
    add(certificate);
  }
}

// A resumed session carries the certificate of the first handshake, which is not looked at again.
bool TlsConnection::ResumedPeerHasExpired() const {
  if (!session_.resumed || !verifies_) return false;
  if (context_->rules() != nullptr && context_->rules()->allow_expired) return false;
  const X509Ptr leaf(SSL_get_peer_certificate(ssl_.get()));
  return leaf != nullptr && X509_cmp_current_time(X509_get0_notAfter(leaf.get())) < 0;
}

void TlsConnection::Established() {
  const unsigned char* alpn = nullptr;
  unsigned alpn_length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &alpn_length);
  if (alpn_length > 0) session_.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_length);
  const char* const name = context_->server()
                               ? SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)
                               : choice_.server_name.c_str();
  if (name != nullptr) session_.server_name = name;
  session_.version = SSL_get_version(ssl_.get());
  session_.cipher = SSL_get_cipher_name(ssl_.get());
  session_.resumed = SSL_session_reused(ssl_.get()) == 1;
  if (ResumedPeerHasExpired()) {
    handshake_failure_ = HandshakeFailure::kUntrusted;
    return Fail(net::CloseCause::kConnectFailed, "TLS handshake: certificate has expired");
  }
  NotePeerChain();
  state_ = State::kOpen;
  if (handler_ != nullptr) handler_->OnConnected();
  if (state_ != State::kOpen) return;
  if (!output_.empty() || write_shut_wanted_) FlushSoon();
  if (paused_) socket_->PauseReading(true);
}

// ---- Reading ------------------------------------------------------------------------------------

void TlsConnection::OnRead(Buffer& in, bool end_of_stream) {
  if (state_ == State::kClosing || state_ == State::kClosed || eof_) in.Clear();
  socket_eof_ |= end_of_stream;
  if (state_ == State::kHandshaking) Handshake();
  if (state_ == State::kOpen && !paused_) Receive();
}

void TlsConnection::Receive() {
  read_again_ = false;
  const size_t before = input_.size();
  Decrypt();
  FlushSocket();
  if (input_.size() != before || before != 0 || (eof_ && !eof_delivered_)) Deliver();
  if (state_ != State::kOpen) return;
  if (read_failed_) return Fail(net::CloseCause::kRemoteReset, error_);
  if (paused_ || eof_) return;
  if (MoreToDecrypt()) {
    // The limit held decrypting back, and the handler has made room.
    if (input_.size() < limits_.read_buffer_bytes_max &&
        socket_->output().size() <= kCipherBytesHardMax) {
      read_again_ = true;
      FlushSoon();
    }
    return;
  }
  if (socket_eof_ && context_->for_proxy()) {
    // Many servers out there end like this. Who needs to know whether that was all has lengths.
    eof_ = true;
    return Deliver();
  }
  if (socket_eof_) {
    // Whoever is in the way could have cut the stream here: only close_notify is an orderly end.
    Fail(net::CloseCause::kRemoteReset, "the peer closed without close_notify");
  }
}

void TlsConnection::Decrypt() {
  while (MoreToDecrypt() && !read_failed_ && input_.size() < limits_.read_buffer_bytes_max) {
    size_t room = 0;
    char* const to = input_.Reserve(kRunBytesMin, &room);
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), to, static_cast<int>(room));
    input_.Commit(got > 0 ? static_cast<size_t>(got) : 0);
    if (got > 0) continue;
    switch (SSL_get_error(ssl_.get(), got)) {
      case SSL_ERROR_WANT_READ:
        // A part of a record lies within the library now.
        if (!socket_->input().empty()) continue;
        return;
      case SSL_ERROR_WANT_WRITE:
        return;
      case SSL_ERROR_ZERO_RETURN:
        eof_ = true;
        socket_->input().Clear();
        return;
      default:
        read_failed_ = true;
        error_ = LibraryError(got);
        return;
    }
  }
}

void TlsConnection::Deliver() {
  if (eof_) eof_delivered_ = true;
  if (handler_ != nullptr) handler_->OnRead(input_, eof_);
  if (state_ == State::kOpen && eof_ && write_shut_) loop_.AtTurnEnd(&after_write_);
}

void TlsConnection::PauseReading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (state_ != State::kOpen) return;
  socket_->PauseReading(paused);
  // Events come from the loop, so what waits here is delivered in a later phase.
  if (!paused && (!input_.empty() || MoreToDecrypt() || (eof_ && !eof_delivered_) ||
                  (socket_eof_ && !eof_) || read_failed_)) {
    read_again_ = true;
    FlushSoon();
  }
}

// ---- Writing ------------------------------------------------------------------------------------

void TlsConnection::OnTurnEnd() {
  if (state_ == State::kClosing) return FinishClose();
  if (std::exchange(begin_soon_, false) && state_ == State::kHandshaking) {
    Handshake();
    // What came with the last of the handshake's messages.
    if (state_ == State::kOpen && !paused_) Receive();
  }
  if (state_ != State::kOpen) return;
  Encrypt();
  if (!read_again_ || paused_ || state_ != State::kOpen) return;
  const size_t before = socket_->input().size();
  Receive();
  // The socket may have stopped at its limit. It looks again when it is resumed.
  if (state_ == State::kOpen && !paused_ && socket_->input().size() < before) {
    socket_->PauseReading(true);
    socket_->PauseReading(false);
  }
}

void TlsConnection::Encrypt() {
  if (write_shut_) output_.Clear();  // after the end there is nothing
  char joined[kRecordBytesMax];
  while (!output_.empty() &&
         (state_ == State::kClosing || socket_->output().size() < kCipherBytesMax)) {
    had_output_ = true;
    absl::string_view bytes = output_.Front();
    if (bytes.size() < kRunBytesMin && bytes.size() < output_.size()) {
      const size_t count = std::min(output_.size(), sizeof(joined));
      output_.CopyOut(0, count, joined);
      bytes = absl::string_view(joined, count);
    }
    ERR_clear_error();
    const int sent = SSL_write(ssl_.get(), bytes.data(),
                               static_cast<int>(std::min(bytes.size(), kRecordBytesMax)));
    if (sent > 0) {
      output_.Drain(static_cast<size_t>(sent));
      continue;
    }
    const int kind = SSL_get_error(ssl_.get(), sent);
    if (kind == SSL_ERROR_WANT_WRITE || kind == SSL_ERROR_WANT_READ) break;
    std::string words = LibraryError(sent);
    output_.Clear();
    if (state_ == State::kOpen) Fail(net::CloseCause::kRemoteReset, std::move(words));
    return;
  }
  if (output_.empty() && write_shut_wanted_ && !write_shut_) {
    write_shut_ = true;
    (void)SSL_shutdown(ssl_.get());
    if (state_ == State::kOpen) socket_->CloseWrite();
  }
  FlushSocket();
  loop_.AtTurnEnd(&after_write_);
}

void TlsConnection::OnAfterWrite() {
  if (state_ != State::kOpen) return;
  const size_t waiting = socket_->output().size();
  if (!output_.empty() && waiting < kCipherBytesMax / 2) return FlushSoon();
  const size_t unsent = output_.size() + waiting;
  if (!write_blocked_ && unsent > limits_.write_buffer_bytes_high) {
    write_blocked_ = true;
    if (handler_ != nullptr) handler_->OnWriteBlocked(true);
  } else if (write_blocked_ && unsent <= limits_.write_buffer_bytes_high / 2) {
    write_blocked_ = false;
    if (handler_ != nullptr) handler_->OnWriteBlocked(false);
  }
  if (state_ == State::kOpen && unsent == 0 && std::exchange(had_output_, false) &&
      handler_ != nullptr) {
    handler_->OnDrained();
  }
  if (state_ == State::kOpen && unsent == 0 && output_.empty() && write_shut_ && eof_delivered_) {
    Finish(net::CloseCause::kRemoteClosed, "");
  }
}

void TlsConnection::OnDrained() {
  if (state_ != State::kOpen) return;
  loop_.AtTurnEnd(output_.empty() ? static_cast<TurnEndTask*>(&after_write_) : &turn_end_);
  // Reading waits for room when the library could not write its own records.
  if (!paused_ && MoreToDecrypt()) {
    read_again_ = true;
    FlushSoon();
  }
}

// ---- The end ------------------------------------------------------------------------------------

void TlsConnection::CloseWrite() {
  if (write_shut_wanted_ || state_ == State::kClosing || state_ == State::kClosed) return;
  write_shut_wanted_ = true;
  FlushSoon();
}

void TlsConnection::Close(Duration flush_timeout) {
  if (state_ == State::kClosing || state_ == State::kClosed) return;
  input_.Clear();
  flush_timeout_ = flush_timeout;
  if (state_ == State::kHandshaking) output_.Clear();  // there are no keys to send it with
  write_shut_wanted_ = write_shut_wanted_ || state_ == State::kOpen;
  state_ = State::kClosing;
  FlushSoon();
}

void TlsConnection::FinishClose() {
  if (!output_.empty() || write_shut_wanted_) Encrypt();
  socket_->Close(flush_timeout_);
}

void TlsConnection::Abort() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  socket_->Abort();
}

void TlsConnection::Fail(net::CloseCause cause, std::string detail) {
  if (state_ == State::kClosing || state_ == State::kClosed) return;
  state_ = State::kClosing;
  failure_ = cause;
  error_ = std::move(detail);
  input_.Clear();
  output_.Clear();
  write_shut_wanted_ = false;
  flush_timeout_ = kAlertFlushTimeout;
  FlushSoon();
}

void TlsConnection::OnClosed(net::CloseCause cause, absl::string_view detail) {
  if (failure_ != net::CloseCause::kLocalClosed) return Finish(failure_, error_);
  if (state_ == State::kHandshaking && cause == net::CloseCause::kRemoteReset) {
    return Finish(cause, absl::StrCat("reset during the TLS handshake: ", detail));
  }
  Finish(cause, detail);
}

void TlsConnection::Finish(net::CloseCause cause, absl::string_view detail) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  socket_->SetHandler(nullptr);
  if (handler_ != nullptr) handler_->OnClosed(cause, detail);
}

}  // namespace

std::unique_ptr<Connection> NewServerConnection(Loop& loop, int fd, const net::Address& remote,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context) {
  return std::make_unique<TlsConnection>(loop,
                                         net::NewServerConnection(loop, fd, remote, SocketLimits()),
                                         limits, std::move(context), ClientChoice());
}

std::unique_ptr<Connection> NewServerConnection(Loop& loop, std::unique_ptr<net::Connection> socket,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                bool end_of_stream) {
  auto connection = std::make_unique<TlsConnection>(loop, std::move(socket), limits,
                                                    std::move(context), ClientChoice());
  connection->BeginSoon(end_of_stream);
  return connection;
}

std::unique_ptr<Connection> NewClientConnection(Loop& loop, const net::Address& to,
                                                const net::Address& source,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                absl::string_view server_name) {
  ClientChoice choice;
  choice.server_name = std::string(server_name);
  return std::make_unique<TlsConnection>(loop,
                                         net::NewClientConnection(loop, to, source, SocketLimits()),
                                         limits, std::move(context), std::move(choice));
}

std::unique_ptr<Connection> NewClientConnection(Loop& loop, std::unique_ptr<net::Connection> socket,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                ClientChoice choice) {
  const bool connected = socket->connected();
  auto connection = std::make_unique<TlsConnection>(loop, std::move(socket), limits,
                                                    std::move(context), std::move(choice));
  if (connected) connection->BeginSoon(false);
  return connection;
}

}  // namespace meltemi::tls
