#include "test/interop/authorization/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::authorization {
namespace {

constexpr time_t kTimeoutSeconds = 10;

sockaddr_in At(const std::string& ip, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
  return address;
}

// -1: nobody listens.
int Connect(const std::string& source_ip, int port, int* client_port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout{kTimeoutSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  sockaddr_in from = At(source_ip, 0);
  const sockaddr_in to = At("127.0.0.1", port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0 ||
      connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    close(fd);
    return -1;
  }
  socklen_t length = sizeof(from);
  getsockname(fd, reinterpret_cast<sockaddr*>(&from), &length);
  *client_port = ntohs(from.sin_port);
  return fd;
}

std::string Wire(const Request& request, const std::string& id) {
  if (request.kind == Kind::kTcp) {
    return "GET / HTTP/1.1\r\nhost: plain\r\nconnection: close\r\n\r\n";
  }
  std::string text =
      absl::StrCat(request.method, " ", request.path, " HTTP/1.1\r\nhost: ", request.host,
                   "\r\nconnection: close\r\nx-case: ", id, "\r\n");
  for (const auto& [name, value] : request.headers) {
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  return text + "content-length: 0\r\n\r\n";
}

Answer Read(const std::string& text) {
  Answer answer;
  if (!absl::StartsWith(text, "HTTP/1.1 ")) {
    answer.status = "no answer";
    return answer;
  }
  answer.status = text.substr(9, 3);
  const size_t end = text.find("\r\n\r\n");
  for (const absl::string_view line : absl::StrSplit(text.substr(0, end), "\r\n")) {
    if (absl::StartsWithIgnoreCase(line, "grpc-")) absl::StrAppend(&answer.rest, line, " ");
  }
  if (end != std::string::npos) answer.rest += text.substr(end + 4);
  return answer;
}

SSL_CTX* NewContext(const tls::KeyPair& pair) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (pair.certificate_chain_pem.empty()) return context;
  BIO* certificate = BIO_new_mem_buf(pair.certificate_chain_pem.data(), -1);
  BIO* key = BIO_new_mem_buf(pair.private_key_pem.data(), -1);
  X509* x509 = PEM_read_bio_X509(certificate, nullptr, nullptr, nullptr);
  EVP_PKEY* private_key = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, x509);
  SSL_CTX_use_PrivateKey(context, private_key);
  X509_free(x509);
  EVP_PKEY_free(private_key);
  BIO_free(certificate);
  BIO_free(key);
  return context;
}

std::string ExchangePlain(int fd, const std::string& request) {
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string text;
  char chunk[4096];
  for (ssize_t count; (count = recv(fd, chunk, sizeof(chunk), 0)) > 0;) {
    text.append(chunk, static_cast<size_t>(count));
  }
  return text;
}

std::string ExchangeTls(int fd, SSL_CTX* context, const Request& request, const std::string& wire) {
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (!request.server_name.empty()) {
    SSL_set_tlsext_host_name(ssl, request.server_name.c_str());
  }
  std::string text;
  if (SSL_connect(ssl) == 1 && SSL_write(ssl, wire.data(), static_cast<int>(wire.size())) > 0) {
    char chunk[4096];
    for (int count; (count = SSL_read(ssl, chunk, sizeof(chunk))) > 0;) {
      text.append(chunk, static_cast<size_t>(count));
    }
  }
  SSL_free(ssl);
  return text;
}

}  // namespace

struct Client::Contexts {
  ~Contexts() {
    for (SSL_CTX* context : by_identity) SSL_CTX_free(context);
  }
  std::array<SSL_CTX*, 4> by_identity;
};

Client::Client(const Identities& identities) : contexts_(std::make_unique<Contexts>()) {
  contexts_->by_identity = {NewContext({}), NewContext(identities.a), NewContext(identities.b),
                            NewContext(identities.dns_name)};
}

Client::~Client() = default;

Answer Client::Send(const Request& request, int port, const std::string& id) {
  int client_port = 0;
  const int fd = Connect(request.source_ip, port, &client_port);
  if (fd < 0) return {.status = "nobody listens", .rest = ""};
  const std::string wire = Wire(request, id);
  SSL_CTX* context = contexts_->by_identity[static_cast<size_t>(request.identity)];
  Answer answer = Read(request.kind == Kind::kTls ? ExchangeTls(fd, context, request, wire)
                                                  : ExchangePlain(fd, wire));
  answer.client_port = client_port;
  close(fd);
  return answer;
}

}  // namespace meltemi::authorization
