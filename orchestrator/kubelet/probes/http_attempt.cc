#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/net/connection.h"
#include "orchestrator/kubelet/probes/attempts.h"
#include "orchestrator/kubelet/probes/probe_url.h"
#include "orchestrator/kubelet/probes/response_reader.h"

namespace meltemi::kubelet {
namespace {

using Kind = ProbeVerdict::Kind;

constexpr int kRedirectsMax = 10;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Connecting and exchanging, once more for each redirect.
class HttpAttempt final : public Attempt, private net::ConnectionHandler {
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
    reader_ = ResponseReader();
    if (probe_.https) {
      if (owner().context() == nullptr) return Fail("tls: no client context");
      const bool is_name = !net::Address::FromIp(probe_.host, 0).ok();
      connection_ = tls::NewClientConnection(loop(), to, net::Address(), net::ConnectionLimits(),
                                             owner().context(), is_name ? probe_.host : "");
    } else {
      connection_ = net::NewClientConnection(loop(), to, net::Address(), net::ConnectionLimits());
    }
    connection_->SetHandler(this);
  }
  void Release() override {
    if (connection_ == nullptr) return;
    connection_->SetHandler(nullptr);
    loop().DeferDelete(std::move(connection_));
  }

  ProbeVerdict TimedOut() override {
    if (reader_.status() != 0) {
      return {Kind::kError,
              "context deadline exceeded (Client.Timeout or context cancellation "
              "while reading body)"};
    }
    const std::string why =
        connected_ ? "context deadline exceeded"
                   : absl::StrCat("dial tcp ", HostPort(probe_.host, probe_.port), ": i/o timeout");
    return {Kind::kFailure, absl::StrCat("Get \"", UrlOf(probe_), "\": ", why,
                                         " (Client.Timeout exceeded while awaiting headers)")};
  }
  ProbeVerdict NotFound(const std::string& why) override {
    return {Kind::kFailure, absl::StrCat("Get \"", UrlOf(probe_), "\": dial tcp: ", why)};
  }
  void Fail(absl::string_view why) {
    Finish({Kind::kFailure, absl::StrCat("Get \"", UrlOf(probe_), "\": ", why)});
  }

  // --- net::ConnectionHandler
  void OnConnected() override {
    connected_ = true;
    connection_->output().Append(RequestText());
    connection_->FlushSoon();
  }
  void OnRead(Buffer& in, bool end_of_stream) override {
    std::string piece;
    in.ForEachRun([&piece](absl::string_view run) { piece.append(run.data(), run.size()); });
    in.Clear();
    reader_.Feed(piece, end_of_stream);
    Look();
  }
  void OnClosed(net::CloseCause, absl::string_view detail) override {
    if (absl::StrContains(detail, "wrong version number") ||
        absl::StrContains(detail, "http request")) {
      return Fail("http: server gave HTTP response to HTTPS client");
    }
    const bool of_tls = absl::StrContains(detail, "TLS") || absl::StrContains(detail, "SSL");
    if (of_tls) return Fail(absl::StrCat("tls: ", detail));
    if (!connected_) return Fail(DialError(to_, detail));
    if (absl::StrContains(detail, "reset by peer") && reader_.status() == 0) {
      return Fail(absl::StrCat("read tcp ", to_.ToString(), ": read: connection reset by peer"));
    }
    reader_.Feed("", true);
    Look();
  }

  std::string RequestText() const {
    const std::string& authority = probe_.authority;
    std::string out =
        absl::StrCat("GET ", probe_.path, " HTTP/1.1\r\nHost: ",
                     authority.empty() ? HostPort(probe_.host, probe_.port) : authority, "\r\n");
    for (const auto& [name, value] : probe_.headers) {
      absl::StrAppend(&out, name, ": ", value, "\r\n");
    }
    return out + "Connection: close\r\n\r\n";
  }

  void Look() {
    const ResponseReader::State state = reader_.state();
    if (state == ResponseReader::State::kFailed) return Broken();
    if (state == ResponseReader::State::kHead) return;
    if (IsRedirect(reader_.status()) && !reader_.location().empty() && Follow()) return;
    if (state == ResponseReader::State::kDone) Complete();
  }

  // True: it goes on elsewhere, or is over.
  bool Follow() {
    std::optional<HttpProbe> next = Redirected(probe_, reader_.location());
    if (!next.has_value()) {
      Fail(absl::StrCat("failed to parse Location header \"", reader_.location(), "\""));
      return true;
    }
    if (!absl::EqualsIgnoreCase(next->host, first_host_)) return false;
    probe_ = *std::move(next);
    if (++redirects_ >= kRedirectsMax) {
      Fail("stopped after 10 redirects");
      return true;
    }
    Release();
    FindAddress();
    return true;
  }

  void Complete() {
    const int status = reader_.status();
    if (status >= 200 && status < 300) return Finish({Kind::kSuccess, reader_.body(), status});
    if (status >= 300 && status < 400) {
      return Finish({Kind::kWarning,
                     absl::StrCat("Probe terminated redirects, Response body: ", reader_.body()),
                     status});
    }
    Finish({Kind::kFailure, absl::StrCat("HTTP probe failed with statuscode: ", status), status});
  }

  void Broken() {
    // After the head it says nothing about the container.
    if (reader_.status() != 0) return Finish({Kind::kError, reader_.error(), reader_.status()});
    if (reader_.error() == "EOF") return Fail("EOF");
    Fail(absl::StrCat("net/http: HTTP/1.x transport connection broken: ", reader_.error()));
  }

  HttpProbe probe_;  // where it is now
  const std::string first_host_;
  net::Address to_;
  std::unique_ptr<net::Connection> connection_;
  bool connected_ = false;
  int redirects_ = 0;
  ResponseReader reader_;
};

}  // namespace

std::unique_ptr<Attempt> NewHttpAttempt(AttemptOwner& owner, const HttpProbe& probe,
                                        ProbeDone done) {
  return std::make_unique<HttpAttempt>(owner, probe, std::move(done));
}

}  // namespace meltemi::kubelet
