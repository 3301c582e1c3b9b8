#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/client/client_connection.h"
#include "base/http/header_map.h"
#include "base/net/connection.h"
#include "orchestrator/kubelet/probes/attempts.h"
#include "orchestrator/kubelet/probes/probe_url.h"

namespace meltemi::kubelet {
namespace {

using Kind = ProbeVerdict::Kind;

constexpr size_t kBodyBytesMax = 10 * 1024;
constexpr int kRedirectsMax = 10;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Connecting and exchanging, once more for each redirect.
class HttpAttempt final : public Attempt,
                          private http::StreamReceiver,
                          private http::ClientConnectionEvents {
 public:
  HttpAttempt(AttemptOwner& owner, const HttpProbe& probe, ProbeDone done)
      : Attempt(owner, probe.timeout, std::move(done)), probe_(probe), first_host_(probe.host) {}
  ~HttpAttempt() override { Release(); }

 private:
  const std::string& host() const override { return probe_.host; }
  uint16_t port() const override { return probe_.port; }

  void Connect(const net::Address& to) override {
    to_ = to;
    connected_ = false;
    status_ = 0;
    body_.clear();
    http::ClientConnectionEvents& events = *this;
    std::unique_ptr<net::Connection> connection;
    if (probe_.https) {
      if (owner().context() == nullptr) return Fail("tls: no client context");
      const bool is_name = !net::Address::FromIp(probe_.host, 0).ok();
      connection = tls::NewClientConnection(loop(), to, net::Address(), net::ConnectionLimits(),
                                            owner().context(), is_name ? probe_.host : "");
    } else {
      connection = net::NewClientConnection(loop(), to, net::Address(), net::ConnectionLimits());
    }
    connection_ = std::make_unique<http::ClientConnection>(loop(), std::move(connection),
                                                           http::Protocol::kHttp11, events);
    Send();
  }

  void Send() {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_method("GET");
    headers->set_scheme(probe_.https ? "https" : "http");
    headers->set_authority(probe_.authority.empty() ? HostPort(probe_.host, probe_.port)
                                                    : probe_.authority);
    headers->set_path(probe_.path);
    for (const auto& [name, value] : probe_.headers) {
      headers->Add(absl::AsciiStrToLower(name), value);
    }
    connection_->NewStream(this).SendHeaders(*headers, true);
  }

  void Release() override {
    if (connection_ == nullptr) return;
    connection_->Abandon();
    loop().DeferDelete(std::move(connection_));
  }

  ProbeVerdict TimedOut() override {
    if (status_ != 0)
      return {Kind::kError,
              "context deadline exceeded (Client.Timeout or context "
              "cancellation while reading body)"};
    return {Kind::kFailure,
            absl::StrCat("Get \"", UrlOf(probe_), "\": ",
                         connected_ ? "context deadline exceeded"
                                    : absl::StrCat("dial tcp ", HostPort(probe_.host, probe_.port),
                                                   ": i/o timeout"),
                         " (Client.Timeout exceeded while awaiting headers)")};
  }
  ProbeVerdict NotFound(const std::string& why) override {
    return {Kind::kFailure, absl::StrCat("Get \"", UrlOf(probe_), "\": dial tcp: ", why)};
  }
  void Fail(absl::string_view why) {
    Finish({Kind::kFailure, absl::StrCat("Get \"", UrlOf(probe_), "\": ", why)});
  }

  // --- http::ClientConnectionEvents
  void OnConnected() override { connected_ = true; }
  void OnDisconnected(absl::string_view detail) override { Lost(detail); }

  // --- http::StreamReceiver
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
    status_ = headers->status();
    if (IsRedirect(status_) && headers->Find(http::HeaderId::kLocation) != nullptr &&
        Follow(headers->Get(http::HeaderId::kLocation))) {
      return;
    }
    if (end_stream) Complete();
  }
  void OnData(Buffer& data, bool end_stream) override {
    data.ForEachRun([this](absl::string_view run) {
      const absl::string_view part = run.substr(0, kBodyBytesMax - body_.size());
      body_.append(part.data(), part.size());
    });
    data.Clear();
    if (end_stream || body_.size() >= kBodyBytesMax) Complete();
  }
  void OnTrailers(http::HeaderMapPtr) override { Complete(); }
  void OnReset(http::ResetCause cause, absl::string_view detail) override {
    Lost(detail.empty() ? http::ResetCauseName(cause) : detail);
  }
  void OnWriteBlocked(bool) override {}

  // True: it goes on elsewhere, or is over.
  bool Follow(absl::string_view location) {
    std::optional<HttpProbe> next = Redirected(probe_, location);
    if (!next.has_value()) {
      Fail(absl::StrCat("failed to parse Location header \"", location, "\""));
      return true;
    }
    if (!absl::EqualsIgnoreCase(next->host, first_host_)) return false;
    if (++redirects_ >= kRedirectsMax) {
      probe_ = *std::move(next);
      Fail("stopped after 10 redirects");
      return true;
    }
    Release();
    probe_ = *std::move(next);
    FindAddress();
    return true;
  }

  void Complete() {
    if (status_ >= 200 && status_ < 300) return Finish({Kind::kSuccess, body_, status_});
    if (status_ >= 300 && status_ < 400) {
      return Finish({Kind::kWarning,
                     absl::StrCat("Probe terminated redirects, Response body: ", body_), status_});
    }
    Finish({Kind::kFailure, absl::StrCat("HTTP probe failed with statuscode: ", status_), status_});
  }

  void Lost(absl::string_view detail) {
    if (ended()) return;
    if (status_ != 0) return Finish({Kind::kError, "unexpected EOF", status_});
    if (absl::StrContains(detail, "wrong version number") ||
        absl::StrContains(detail, "http request")) {
      return Fail("http: server gave HTTP response to HTTPS client");
    }
    if (!connected_) {
      const bool of_tls = absl::StrContains(detail, "TLS") || absl::StrContains(detail, "SSL");
      return Fail(of_tls ? absl::StrCat("tls: ", detail) : DialError(to_, detail));
    }
    if (absl::StrContains(detail, "the peer closed the connection") ||
        absl::StrContains(detail, "closed before its response")) {
      return Fail("EOF");
    }
    if (absl::StrContains(detail, "reset by peer")) {
      return Fail(absl::StrCat("read tcp ", to_.ToString(), ": read: connection reset by peer"));
    }
    Fail(absl::StrCat("net/http: HTTP/1.x transport connection broken: malformed HTTP response: ",
                      detail));
  }

  HttpProbe probe_;  // where it is now
  const std::string first_host_;
  net::Address to_;
  std::unique_ptr<http::ClientConnection> connection_;
  bool connected_ = false;
  int redirects_ = 0;
  int status_ = 0;
  std::string body_;
};

}  // namespace

std::unique_ptr<Attempt> NewHttpAttempt(AttemptOwner& owner, const HttpProbe& probe,
                                        ProbeDone done) {
  return std::make_unique<HttpAttempt>(owner, probe, std::move(done));
}

}  // namespace meltemi::kubelet
