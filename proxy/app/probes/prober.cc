#include "proxy/app/probes/prober.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/framing.h"
#include "base/http/client/client_connection.h"
#include "base/net/connection.h"
#include "base/tls/tls.h"

namespace meltemi::proxy {
namespace {

using http::HeaderMap;
using http::HeaderMapPtr;

constexpr int kRedirectsMax = 10;
constexpr size_t kAnswerBytesMax = 64 * 1024;  // of a gRPC answer; HTTP bodies are thrown away

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Whether a HealthCheckResponse says SERVING: field 1, varint 1. Everything else is not that.
bool IsServing(absl::string_view message) { return message == absl::string_view("\x08\x01", 2); }

std::string HealthCheckRequest(const std::string& service) {
  if (service.empty()) return "";
  std::string out = "\x0a";  // field 1, a text
  size_t length = service.size();
  for (; length >= 0x80; length >>= 7) out.push_back(static_cast<char>(0x80 | (length & 0x7f)));
  out.push_back(static_cast<char>(length));
  return out + service;
}

class Call final : public Deferrable,
                   private http::StreamReceiver,
                   private http::ClientConnectionEvents {
 public:
  Call(Loop& loop, const ProbeTarget& target, const AppProbe& probe, const HeaderMap* request,
       absl::AnyInvocable<void(ProbeResult)> done)
      : loop_(loop),
        target_(target),
        probe_(probe),
        done_(std::move(done)),
        timer_(loop.NewTimer([this] {
          End({500, absl::StrCat("no answer within ", ToMillis(probe_.timeout), " ms")});
        })),
        reader_(kAnswerBytesMax) {
    target_.address.set_port(probe.port);
    authority_ = target_.address.ToString();
    if (request != nullptr) {
      user_agent_ = std::string(request->Get("user-agent"));
      accept_ = std::string(request->Get("accept"));
    }
    timer_->Arm(probe_.timeout);
    Start(probe_.path);
  }

  // No callback follows any more.
  void Cancel() {
    done_ = nullptr;
    Drop();
  }

 private:
  void Start(const std::string& path) {
    std::unique_ptr<net::Connection> socket;
    if (probe_.tls) {
      // The name that the application's certificate may be for, and that it may choose by.
      std::string name = authority_.substr(0, authority_.rfind(':'));
      socket = tls::NewClientConnection(loop_, target_.address, target_.source, {}, target_.tls,
                                        HasHostHeader() ? name : "");
    } else {
      socket = net::NewClientConnection(loop_, target_.address, target_.source, {});
    }
    if (probe_.kind == AppProbe::Kind::kTcp) {
      socket_ = std::move(socket);
      socket_->SetHandler(&socket_events_);
      return;
    }
    const bool grpc = probe_.kind == AppProbe::Kind::kGrpc;
    http::ClientConnectionEvents& events = *this;
    connection_ = std::make_unique<http::ClientConnection>(
        loop_, std::move(socket), grpc ? http::Protocol::kHttp2 : http::Protocol::kHttp11, events);
    http::Stream& stream = connection_->NewStream(this);
    if (grpc) {
      SendGrpc(stream);
    } else {
      SendHttp(stream, path);
    }
  }

  bool HasHostHeader() {
    for (const auto& [name, value] : probe_.headers) {
      if (name != "host") continue;
      authority_ = value;
      return true;
    }
    return false;
  }

  void SendHttp(http::Stream& stream, const std::string& path) {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method("GET");
    headers->set_scheme(probe_.tls ? "https" : "http");
    HasHostHeader();
    headers->set_authority(authority_);
    headers->set_path(path);
    headers->Add("user-agent", user_agent_.empty() ? "kube-probe/meltemi" : user_agent_);
    headers->Add("accept", accept_.empty() ? "*/*" : accept_);
    headers->Add("connection", "close");
    // An empty value takes the field away: Kubernetes' rule for Accept and User-Agent.
    for (const auto& [name, value] : probe_.headers) {
      if (name == "host") continue;
      if (name == "user-agent" || name == "accept") headers->Remove(name);
      if (!value.empty()) headers->Add(name, value);
    }
    stream.SendHeaders(*headers, true);
  }

  void SendGrpc(http::Stream& stream) {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method("POST");
    headers->set_scheme("http");
    headers->set_authority(authority_);
    headers->set_path("/grpc.health.v1.Health/Check");
    headers->Add("content-type", "application/grpc");
    headers->Add("te", "trailers");
    headers->Add("user-agent", user_agent_.empty() ? "kube-probe/meltemi" : user_agent_);
    stream.SendHeaders(*headers, false);
    Buffer body;
    http::grpc::AppendMessage(HealthCheckRequest(probe_.service), &body);
    stream.SendData(body, true);
  }

  // --- http::StreamReceiver
  void OnHeaders(HeaderMapPtr headers, bool end_stream) override {
    status_ = headers->status();
    if (probe_.kind == AppProbe::Kind::kGrpc) {
      if (end_stream) EndGrpc(*headers);
      return;
    }
    if (!IsRedirect(status_)) return End({status_, ""});
    const std::string location(headers->Get("location"));
    Redirected(location);
  }
  void OnData(Buffer& data, bool end_stream) override {
    if (probe_.kind != AppProbe::Kind::kGrpc) return;
    reader_.Append(data);
    Buffer message;
    const absl::StatusOr<bool> next = reader_.Next(&message);
    if (!next.ok()) return End({500, std::string(next.status().message())});
    if (*next) serving_ = IsServing(message.ToString());
    if (end_stream) End({500, "the answer has no gRPC status"});
  }
  void OnTrailers(HeaderMapPtr trailers) override {
    if (probe_.kind == AppProbe::Kind::kGrpc) EndGrpc(*trailers);
  }
  void OnReset(http::ResetCause cause, absl::string_view detail) override {
    End({500, std::string(detail.empty() ? http::ResetCauseName(cause) : detail)});
  }
  void OnWriteBlocked(bool) override {}

  void EndGrpc(const HeaderMap& trailers) {
    const absl::string_view code = trailers.Get("grpc-status");
    if (code != "0") {
      return End({500, absl::StrCat("gRPC status ", code, " ", trailers.Get("grpc-message"))});
    }
    End(serving_ ? ProbeResult{200, ""} : ProbeResult{500, "it does not say SERVING"});
  }

  void Redirected(const std::string& location) {
    std::string path = location;
    const std::string own = absl::StrCat(probe_.tls ? "https://" : "http://", authority_);
    if (absl::StartsWith(location, own)) path = location.substr(own.size());
    if (path.empty() && !location.empty()) path = "/";
    if (!absl::StartsWith(path, "/") || absl::StartsWith(path, "//")) return End({200, ""});
    if (++redirects_ > kRedirectsMax) return End({500, "stopped after 10 redirects"});
    Drop(/*keep_timer=*/true);
    Start(path);
  }

  // A connection is all that TCP asks for.
  struct Socket final : public net::ConnectionHandler {
    explicit Socket(Call& owner) : owner(owner) {}
    void OnConnected() override { owner.End({200, ""}); }
    void OnRead(Buffer&, bool) override {}
    void OnClosed(net::CloseCause, absl::string_view detail) override {
      owner.End({500, std::string(detail)});
    }
    Call& owner;
  };

  void End(ProbeResult result) {
    absl::AnyInvocable<void(ProbeResult)> done = std::exchange(done_, nullptr);
    Drop();
    if (done) done(std::move(result));
  }

  void Drop(bool keep_timer = false) {
    if (!keep_timer) timer_->Disarm();
    if (connection_ != nullptr) {
      connection_->Abandon();
      loop_.DeferDelete(std::move(connection_));
    }
    if (socket_ != nullptr) {
      socket_->SetHandler(nullptr);
      loop_.DeferDelete(std::move(socket_));
    }
  }

  Loop& loop_;
  ProbeTarget target_;
  const AppProbe probe_;
  absl::AnyInvocable<void(ProbeResult)> done_;
  std::unique_ptr<Timer> timer_;
  std::string authority_, user_agent_, accept_;
  std::unique_ptr<http::ClientConnection> connection_;
  std::unique_ptr<net::Connection> socket_;
  Socket socket_events_{*this};
  http::grpc::MessageReader reader_;
  int status_ = 0;
  int redirects_ = 0;
  bool serving_ = false;
};

class CallHandle final : public ProbeCall {
 public:
  CallHandle(Loop& loop, std::unique_ptr<Call> call) : loop_(loop), call_(std::move(call)) {}
  ~CallHandle() override {
    call_->Cancel();
    loop_.DeferDelete(std::move(call_));
  }

 private:
  Loop& loop_;
  std::unique_ptr<Call> call_;
};

}  // namespace

std::unique_ptr<ProbeCall> StartProbe(Loop& loop, const ProbeTarget& target, const AppProbe& probe,
                                      const http::HeaderMap* request,
                                      absl::AnyInvocable<void(ProbeResult)> done) {
  return std::make_unique<CallHandle>(
      loop, std::make_unique<Call>(loop, target, probe, request, std::move(done)));
}

}  // namespace meltemi::proxy
