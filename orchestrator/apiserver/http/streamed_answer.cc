#include "orchestrator/apiserver/http/streamed_answer.h"

#include <atomic>
#include <string>
#include <utility>

namespace meltemi::apiserver {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
// When every thread of the pool is busy.
constexpr Duration kNoThreadDelay = milliseconds(100);

}  // namespace

// What outlives the answer: the source while it is read, and wakes that come too late.
struct StreamedAnswer::Shared : std::enable_shared_from_this<StreamedAnswer::Shared> {
  Shared(Loop& loop, std::shared_ptr<BodySource> source, StreamedAnswer* answer)
      : loop(loop), source(std::move(source)), answer(answer) {}

  // From any thread. One wake is under way at most.
  void Wake() {
    const std::lock_guard<std::mutex> lock(mutex);
    if (over || wake_posted) return;
    wake_posted = true;
    loop.Post([self = shared_from_this()] {
      {
        const std::lock_guard<std::mutex> posted(self->mutex);
        self->wake_posted = false;
      }
      if (self->answer != nullptr) self->answer->OnWake();
    });
  }
  void Leave() {
    answer = nullptr;
    const std::lock_guard<std::mutex> lock(mutex);
    over = true;
  }

  Loop& loop;
  const std::shared_ptr<BodySource> source;
  StreamedAnswer* answer;  // looked at on the loop
  std::mutex mutex;
  bool wake_posted = false;  // guarded by mutex
  bool over = false;         // guarded by mutex: the loop may be gone
};

StreamedAnswer::StreamedAnswer(LoopContext& context, http::Stream& stream,
                               std::shared_ptr<BodySource> source)
    : context_(context),
      stream_(stream),
      shared_(std::make_shared<Shared>(context.loop, std::move(source), this)),
      translator_(shared_->source->translator()),
      timer_(context.loop.NewTimer([this] { OnTimer(); })) {}

StreamedAnswer::~StreamedAnswer() { shared_->Leave(); }

void StreamedAnswer::Start() {
  shared_->source->SetWake([weak = std::weak_ptr<Shared>(shared_)] {
    if (const std::shared_ptr<Shared> shared = weak.lock()) shared->Wake();
  });
  ReadOn();
}

void StreamedAnswer::ReadOn() {
  if (over_ || reading_ || blocked_) return;
  reading_ = true;
  waiting_ = false;
  woken_ = false;
  timer_->Disarm();
  const bool taken = context_.shared.pool->Run([shared = shared_] {
    std::string piece;
    const BodySource::Next next = shared->source->Read(kPieceBytes, piece);
    shared->loop.Post([shared, next, piece = std::move(piece)]() mutable {
      if (shared->answer != nullptr) shared->answer->OnPiece(next, std::move(piece));
    });
  });
  if (taken) return;
  reading_ = false;
  waiting_ = true;
  timer_->Arm(kNoThreadDelay);
}

void StreamedAnswer::OnPiece(BodySource::Next next, std::string piece) {
  reading_ = false;
  if (over_) return;
  Buffer data(piece);
  Send(data, next == BodySource::Next::kEnd);
  switch (next) {
    case BodySource::Next::kMore:
      return ReadOn();
    case BodySource::Next::kLater:
      waiting_ = true;
      if (woken_) return ReadOn();
      return timer_->Arm(shared_->source->retry_after());
    case BodySource::Next::kEnd:
      return;
    case BodySource::Next::kBroken:
      return BreakOff();
  }
}

void StreamedAnswer::Send(Buffer& data, bool end) {
  if (translator_ == nullptr) {
    over_ = end;
    if (end || !data.empty()) stream_.SendData(data, end);
    return;
  }
  Translator::Out out;
  translator_->FromPeer(data, end, out);
  SendOut(out);
}

void StreamedAnswer::OnClientData(Buffer& data, bool end_stream) {
  if (translator_ == nullptr || over_) return data.Clear();
  Translator::Out out;
  translator_->FromClient(data, end_stream, out);
  SendOut(out);
}

void StreamedAnswer::SendOut(Translator::Out& out) {
  over_ = out.end_client;
  if (over_ || !out.to_client.empty()) stream_.SendData(out.to_client, over_);
  // The client closes the connection now, and is not waited for much longer.
  if (over_) timer_->Arm(context_.shared.options.half_closed_tunnel_max);
}

void StreamedAnswer::OnTimer() {
  if (!over_) return OnWake();
  stream_.Reset(http::ResetCause::kLocal);
}

void StreamedAnswer::OnWake() {
  woken_ = true;
  if (waiting_) ReadOn();
}

void StreamedAnswer::OnClientBlocked(bool blocked) {
  blocked_ = blocked;
  if (over_) return;
  // Who does not listen is not heard either: some of what it says is answered.
  if (translator_ != nullptr) stream_.PauseReading(blocked);
  if (blocked || reading_) return;
  // While it waits for its source it goes on waiting.
  if (!waiting_ || woken_) ReadOn();
}

void StreamedAnswer::BreakOff() {
  if (over_) return;
  over_ = true;
  timer_->Disarm();
  stream_.Reset(http::ResetCause::kLocal);
}

}  // namespace meltemi::apiserver
