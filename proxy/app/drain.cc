#include "proxy/app/drain.h"

#include "base/log/log.h"

namespace meltemi::proxy {
namespace {

constexpr Duration kCountInterval = milliseconds(20);

}  // namespace

Drain::Drain(Loop& loop, Drainable& what, const DrainTimes& times)
    : loop_(loop), what_(what), times_(times), timer_(loop.NewTimer([this] { OnTimer(); })) {}

Drain::~Drain() = default;

void Drain::Begin() {
  if (begun_) return;
  begun_ = true;
  what_.AnnounceEnd();
  timer_->Arm(times_.grace);
}

void Drain::OnTimer() {
  if (accepting_) {
    accepting_ = false;
    deadline_ = loop_.Now() + times_.time_max;
    what_.StopAccepting();
  }
  what_.CountConnections([this](size_t connections) { OnCount(connections); });
}

void Drain::OnCount(size_t connections) {
  if (finished_) return;
  if (connections == 0) {
    LOG(kInfo, "main", "drained: no connection is open");
    return Finish();
  }
  if (loop_.Now() >= deadline_) {
    LOG(kWarn, "main", connections, " connections are still open after ", ToMillis(times_.time_max),
        " ms; closing them");
    return Finish();
  }
  timer_->Arm(kCountInterval);
}

void Drain::Finish() {
  finished_ = true;
  what_.Drained();
}

}  // namespace meltemi::proxy
