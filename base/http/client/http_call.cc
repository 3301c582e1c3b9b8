#include "base/http/client/http_call.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/http/client/client_connection.h"

namespace meltemi::http {
namespace {

// Outlives its handle until the end of the turn, so that callbacks may drop the handle.
class Call final : public Deferrable, private StreamReceiver, private ClientConnectionEvents {
 public:
  Call(Loop& loop, const net::Address& to, const CallRequest& request, CallDone on_done)
      : loop_(loop),
        to_(to.ToString()),
        response_bytes_max_(request.response_bytes_max),
        timeout_(request.timeout),
        on_done_(std::move(on_done)),
        timer_(loop.NewTimer([this] {
          Fail(absl::DeadlineExceededError(
              absl::StrCat("no answer from ", to_, " within ", ToMillis(timeout_), " ms")));
        })) {
    timer_->Arm(timeout_);
    ClientConnectionEvents& events = *this;
    connection_ = std::make_unique<ClientConnection>(loop, to, request.protocol, events);
    stream_ = &connection_->NewStream(this);
    Send(request);
  }

  // No callback follows any more.
  void Cancel() {
    on_done_ = nullptr;
    End();
  }

 private:
  void Send(const CallRequest& request) {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method(request.method);
    headers->set_scheme("http");
    headers->set_authority(request.authority.empty() ? to_ : request.authority);
    headers->set_path(request.path);
    for (const auto& [name, value] : request.fields) headers->Add(name, value);
    if (!request.body.empty()) {
      headers->Set(HeaderId::kContentLength, absl::StrCat(request.body.size()));
    }
    stream_->SendHeaders(*headers, request.body.empty());
    if (request.body.empty()) return;
    Buffer body(request.body);
    stream_->SendData(body, true);
  }

  void OnHeaders(HeaderMapPtr headers, bool end_stream) override {
    response_.status = headers->status();
    response_.headers = std::move(headers);
    if (end_stream) Succeed();
  }
  void OnData(Buffer& data, bool end_stream) override {
    if (response_.body.size() + data.size() > response_bytes_max_) {
      return Fail(absl::ResourceExhaustedError(
          absl::StrCat("the answer of ", to_, " is larger than ", response_bytes_max_, " bytes")));
    }
    data.ForEachRun(
        [this](absl::string_view run) { response_.body.append(run.data(), run.size()); });
    if (end_stream) Succeed();
  }
  void OnTrailers(HeaderMapPtr) override { Succeed(); }
  void OnReset(ResetCause cause, absl::string_view detail) override {
    stream_ = nullptr;
    Fail(absl::UnavailableError(
        absl::StrCat(to_, ": ", detail.empty() ? ResetCauseName(cause) : detail)));
  }
  void OnWriteBlocked(bool) override {}

  void Succeed() {
    stream_ = nullptr;
    Complete(std::move(response_));
  }
  void Fail(absl::Status status) { Complete(std::move(status)); }

  void Complete(absl::StatusOr<CallResponse> result) {
    CallDone done = std::exchange(on_done_, nullptr);
    End();
    if (done) done(std::move(result));
  }

  void End() {
    timer_->Disarm();
    if (connection_ == nullptr) return;
    connection_->Abandon();
    loop_.DeferDelete(std::move(connection_));
  }

  Loop& loop_;
  const std::string to_;
  const size_t response_bytes_max_;
  const Duration timeout_;
  CallDone on_done_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<ClientConnection> connection_;
  Stream* stream_ = nullptr;
  CallResponse response_;
};

class CallHandle final : public HttpCall {
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

std::unique_ptr<HttpCall> StartCall(Loop& loop, const net::Address& to, const CallRequest& request,
                                    CallDone on_done) {
  return std::make_unique<CallHandle>(
      loop, std::make_unique<Call>(loop, to, request, std::move(on_done)));
}

absl::StatusOr<CallResponse> CallAndWait(const net::Address& to, const CallRequest& request) {
  SystemClock clock;
  std::unique_ptr<Loop> loop = NewEventLoop(clock);
  std::optional<absl::StatusOr<CallResponse>> result;
  std::unique_ptr<HttpCall> call =
      StartCall(*loop, to, request, [&](absl::StatusOr<CallResponse> r) { result = std::move(r); });
  while (!result.has_value()) loop->RunOnce(seconds(1));
  call.reset();
  loop->RunOnce(Duration::zero());
  return *std::move(result);
}

}  // namespace meltemi::http
