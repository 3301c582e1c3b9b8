#include "proxy/upstream/attempt/mirror_set.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/route/rewrite.h"

namespace meltemi::proxy {
namespace {

// A host that is slower than this gets no more of the body.
constexpr size_t kUnsentBytesMax = 1024 * 1024;

}  // namespace

// Owned by the set. `handle_`: the stream's side, null once it has let go.
class MirrorCopy final : public Deferrable, public AttemptEvents {
 public:
  class Handle final : public Mirror {
   public:
    explicit Handle(MirrorCopy& copy) : copy_(&copy) {}
    ~Handle() override {
      if (copy_ != nullptr) copy_->OnHandleGone();
    }
    void SendData(const Buffer& data, bool end_stream) override {
      if (copy_ != nullptr) copy_->SendData(data, end_stream);
    }
    void SendTrailers(const http::HeaderMap& trailers) override {
      if (copy_ != nullptr) copy_->SendTrailers(trailers);
    }
    void Forget() { copy_ = nullptr; }

   private:
    MirrorCopy* copy_;
  };

  MirrorCopy(MirrorSet& set, const MirrorOptions& options)
      : set_(set), headers_(options.headers->Clone()), complete_(options.end_stream) {
    if (options.append_shadow) headers_->set_authority(ShadowAuthority(headers_->authority()));
    timer_ = set.loop_.NewTimer([this] {
      if (attempt_ != nullptr) attempt_->Cancel(StreamError::kRequestTimeout);
      End();
    });
    if (options.timeout > Duration(0)) timer_->Arm(options.timeout);
  }
  ~MirrorCopy() override {
    if (handle_ != nullptr) handle_->Forget();
  }

  std::unique_ptr<Mirror> Begin(WorkerCluster& cluster, const MirrorOptions& options) {
    AttemptOptions attempt;
    attempt.headers = headers_.get();
    attempt.end_stream = options.end_stream;
    attempt.alpn = options.alpn;
    attempt.balance = options.balance;
    attempt.balance.tried = {};
    attempt_ = cluster.Start(attempt, *this);
    auto handle = std::make_unique<Handle>(*this);
    handle_ = handle.get();
    return handle;
  }

  // AttemptEvents: nothing of the answer is kept.
  void OnAttemptInformational(http::HeaderMapPtr) override {}
  void OnAttemptHeaders(http::HeaderMapPtr, bool end_stream) override { OnAnswer(end_stream); }
  void OnAttemptData(Buffer& data, bool end_stream) override {
    data.Clear();
    OnAnswer(end_stream);
  }
  void OnAttemptTrailers(http::HeaderMapPtr) override { OnAnswer(true); }
  void OnAttemptFailed(StreamError, absl::string_view) override { End(); }
  void OnAttemptWriteBlocked(bool blocked) override { blocked_ = blocked; }

 private:
  void SendData(const Buffer& data, bool end_stream) {
    if (ended_ || complete_) return;
    unsent_bytes_ = blocked_ ? unsent_bytes_ + data.size() : 0;
    if (unsent_bytes_ > kUnsentBytesMax) {
      set_.dropped_.Inc();
      return BreakOff();
    }
    Buffer copy;
    copy.CopyFrom(data);
    complete_ = end_stream;
    attempt_->SendData(copy, end_stream);
  }
  void SendTrailers(const http::HeaderMap& trailers) {
    if (ended_ || complete_) return;
    complete_ = true;
    attempt_->SendTrailers(trailers);
  }
  void OnHandleGone() {
    handle_ = nullptr;
    if (!complete_) BreakOff();
  }
  void OnAnswer(bool end_stream) {
    if (end_stream) End();
  }
  void BreakOff() {
    if (ended_) return;
    attempt_->Cancel(StreamError::kDownstreamReset);
    End();
  }
  void End() {
    if (ended_) return;
    ended_ = true;
    if (handle_ != nullptr) std::exchange(handle_, nullptr)->Forget();
    if (attempt_ != nullptr) set_.loop_.DeferDelete(std::move(attempt_));
    set_.Remove(*this);
  }

  friend class MirrorSet;
  MirrorSet& set_;
  const http::HeaderMapPtr headers_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<Attempt> attempt_;
  Handle* handle_ = nullptr;
  bool complete_;
  bool blocked_ = false;
  bool ended_ = false;
  size_t unsent_bytes_ = 0;
  size_t index_ = 0;
};

MirrorSet::MirrorSet(Loop& loop, metrics::Shard& shard)
    : loop_(loop),
      started_(shard.root().GetCounter("meltemi_mirrors_total")),
      dropped_(shard.root().GetCounter("meltemi_mirrors_dropped_total")) {}
MirrorSet::~MirrorSet() = default;

std::unique_ptr<Mirror> MirrorSet::Start(WorkerCluster& cluster, const MirrorOptions& options) {
  if (copies_.size() >= kCopiesMax) {
    dropped_.Inc();
    return nullptr;
  }
  started_.Inc();
  copies_.push_back(std::make_unique<MirrorCopy>(*this, options));
  MirrorCopy& copy = *copies_.back();
  copy.index_ = copies_.size() - 1;
  return copy.Begin(cluster, options);
}

void MirrorSet::Remove(MirrorCopy& copy) {
  const size_t index = copy.index_;
  std::unique_ptr<MirrorCopy> ended = std::move(copies_[index]);
  if (index + 1 != copies_.size()) {
    copies_[index] = std::move(copies_.back());
    copies_[index]->index_ = index;
  }
  copies_.pop_back();
  loop_.DeferDelete(std::move(ended));
}

}  // namespace meltemi::proxy
