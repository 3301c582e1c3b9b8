#include "proxy/listener/pending_connection.h"

#include <utility>

namespace meltemi::proxy {

PendingConnection::PendingConnection(ConnectionSet& set, Loop& loop, const Options& options,
                                     std::unique_ptr<net::Connection> connection, Done done)
    : set_(set),
      continue_on_timeout_(options.continue_on_timeout),
      sniffer_(options.http, options.tls),
      connection_(std::move(connection)),
      done_(std::move(done)) {
  connection_->SetHandler(this);
  if (options.timeout > Duration(0)) {
    timer_ = loop.NewTimer([this] { OnTimeout(); });
    timer_->Arm(options.timeout);
  }
}

PendingConnection::~PendingConnection() {
  if (connection_ != nullptr) connection_->SetHandler(nullptr);
}

void PendingConnection::OnRead(Buffer& in, bool end_of_stream) {
  end_of_stream_ |= end_of_stream;
  if (sniffer_.Inspect(in, end_of_stream)) Finish(Outcome::kSniffed);
}

void PendingConnection::OnTimeout() {
  Finish(continue_on_timeout_ ? Outcome::kSniffed : Outcome::kTimedOut);
}

void PendingConnection::OnClosed(net::CloseCause, absl::string_view) { Finish(Outcome::kClosed); }

void PendingConnection::CloseNow() { Finish(Outcome::kClosed); }

void PendingConnection::Finish(Outcome outcome) {
  if (!done_) return;
  Done done = std::exchange(done_, nullptr);
  if (timer_ != nullptr) timer_->Disarm();
  // The connection may stand below us on the stack: only its next owner, or the loop, deletes it.
  if (outcome != Outcome::kClosed) {
    connection_->SetHandler(nullptr);
    done(std::move(connection_), sniffer_.result(), end_of_stream_, outcome);
  } else {
    done(nullptr, sniffer_.result(), end_of_stream_, outcome);
  }
  set_.Remove(*this);
}

}  // namespace meltemi::proxy
