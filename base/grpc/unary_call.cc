#include "base/grpc/unary_call.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/grpc/status.h"

namespace meltemi::http::grpc {
namespace {

// Outlives its handle until the end of the turn, so that the callback may drop the handle.
class Call final : public Deferrable, private BidiEvents {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;

  Call(Loop& loop, const net::Address& to, BidiOptions options, Duration deadline,
       absl::string_view request, Done done)
      : done_(std::move(done)),
        deadline_(deadline),
        where_(to.ToString()),
        timer_(loop.NewTimer([this] { OnDeadline(); })) {
    options.metadata.emplace_back("grpc-timeout", FormatTimeout(deadline));
    stream_ = OpenBidiStream(loop, to, options, *this);
    stream_->Send(request);
    stream_->EndSending();
    timer_->Arm(deadline);
  }

  // No callback follows any more.
  void Cancel() {
    ended_ = true;
    stream_.reset();
    timer_->Disarm();
  }

 private:
  void OnMessage(absl::string_view message) override {
    if (response_) return End(absl::InternalError(absl::StrCat(where_, ": two responses")));
    response_ = std::string(message);
  }
  void OnEnded(absl::Status status) override {
    if (!status.ok()) return End(std::move(status));
    if (!response_) return End(absl::InternalError(absl::StrCat(where_, ": no response")));
    End(*std::move(response_));
  }
  void OnDeadline() {
    End(absl::DeadlineExceededError(
        absl::StrCat(where_, ": no answer within ", ToMillis(deadline_), " ms")));
  }
  void End(absl::StatusOr<std::string> result) {
    if (std::exchange(ended_, true)) return;
    stream_.reset();
    timer_->Disarm();
    done_(std::move(result));
  }

  Done done_;
  const Duration deadline_;
  const std::string where_;
  const std::unique_ptr<Timer> timer_;
  std::unique_ptr<BidiStream> stream_;
  std::optional<std::string> response_;
  bool ended_ = false;
};

class Handle final : public UnaryCall {
 public:
  Handle(Loop& loop, std::unique_ptr<Call> call) : loop_(loop), call_(std::move(call)) {}
  ~Handle() override {
    call_->Cancel();
    loop_.DeferDelete(std::move(call_));
  }

 private:
  Loop& loop_;
  std::unique_ptr<Call> call_;
};

}  // namespace

std::unique_ptr<UnaryCall> CallUnary(Loop& loop, const net::Address& to, const BidiOptions& options,
                                     Duration deadline, absl::string_view request,
                                     absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) {
  return std::make_unique<Handle>(
      loop, std::make_unique<Call>(loop, to, options, deadline, request, std::move(done)));
}

}  // namespace meltemi::http::grpc
