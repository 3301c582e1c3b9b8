#include "base/net/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/net/listener.h"
#include "gtest/gtest.h"

namespace meltemi::net {
namespace {

// Takes everything that arrives and notes what happened.
struct Peer final : ConnectionHandler {
  void OnConnected() override { connected = true; }
  void OnRead(Buffer& in, bool end_of_stream) override {
    ++reads;
    if (take) received.MoveFrom(in);
    eof = end_of_stream;
  }
  void OnWriteBlocked(bool now) override { blocked.push_back(now); }
  void OnDrained() override { ++drained; }
  void OnClosed(CloseCause why, absl::string_view text) override {
    closed = true;
    cause = why;
    detail = std::string(text);
  }

  Buffer received;
  bool take = true, connected = false, eof = false, closed = false;
  int reads = 0, drained = 0;
  std::vector<bool> blocked;
  CloseCause cause{};
  std::string detail;
};

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() : loop_(NewEventLoop(clock_)) {
    listener_ =
        std::move(*Listen(*loop_, Address::Loopback4(0), {}, [this](int fd, const Address& from) {
          server_ = NewServerConnection(*loop_, fd, from, limits_);
          server_->SetHandler(&at_server_);
        }));
    client_ = NewClientConnection(*loop_, listener_->address(), Address(), limits_);
    client_->SetHandler(&at_client_);
  }

  // Turns the loop until `done`; the bound only keeps a broken test from hanging.
  template <typename F>
  void Until(F done) {
    for (int turn = 0; turn < 20000 && !done(); ++turn) loop_->RunOnce(milliseconds(50));
    ASSERT_TRUE(done());
  }
  void Connect() {
    Until([this] { return at_client_.connected && server_ != nullptr; });
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  ConnectionLimits limits_{.read_buffer_bytes_max = 64 * 1024,
                           .write_buffer_bytes_high = 128 * 1024};
  Peer at_client_, at_server_;
  std::unique_ptr<Connection> server_, client_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(ConnectionTest, CarriesBytesBothWays) {
  Connect();
  EXPECT_EQ(client_->remote_address(), listener_->address());
  EXPECT_EQ(server_->remote_address(), client_->local_address());
  client_->output().Append("ping");
  client_->FlushSoon();
  Until([this] { return at_server_.received == "ping"; });
  server_->output().Append("pong");
  server_->FlushSoon();
  Until([this] { return at_client_.received == "pong"; });
  EXPECT_EQ(at_client_.drained, 1);
  EXPECT_EQ(client_->bytes_written(), 4u);
  EXPECT_EQ(client_->bytes_read(), 4u);
}

TEST_F(ConnectionTest, WhatIsWrittenBeforeConnectingIsSentAfterwards) {
  client_->output().Append("early");
  client_->FlushSoon();
  Until([this] { return at_server_.received == "early"; });
}

TEST_F(ConnectionTest, RefusedConnectsTellWhy) {
  const Address nobody = [this] {
    auto doomed = std::move(
        *Listen(*loop_, Address::Loopback4(0), {}, [](int fd, const Address&) { close(fd); }));
    return doomed->address();
  }();
  Peer handler;
  auto connection = NewClientConnection(*loop_, nobody, Address(), limits_);
  connection->SetHandler(&handler);
  Until([&] { return handler.closed; });
  EXPECT_EQ(handler.cause, CloseCause::kConnectFailed);
  EXPECT_EQ(handler.detail, "Connection refused");
}

TEST_F(ConnectionTest, ImmediateFailureIsToldFromTheLoop) {
  Peer handler;
  auto connection =
      NewClientConnection(*loop_, *Address::Parse("unix:/nowhere/at/all"), Address(), limits_);
  connection->SetHandler(&handler);
  EXPECT_FALSE(handler.closed);
  Until([&] { return handler.closed; });
  EXPECT_EQ(handler.cause, CloseCause::kConnectFailed);
}

TEST_F(ConnectionTest, AHalfClosedPeerStillHears) {
  Connect();
  client_->output().Append("request");
  client_->CloseWrite();
  Until([this] { return at_server_.eof; });
  EXPECT_TRUE(at_server_.received == "request");
  EXPECT_FALSE(at_server_.closed);
  server_->output().Append("answer");
  server_->CloseWrite();
  Until([this] { return at_client_.closed && at_server_.closed; });
  EXPECT_TRUE(at_client_.received == "answer");
  EXPECT_EQ(at_client_.cause, CloseCause::kRemoteClosed);
}

TEST_F(ConnectionTest, CloseFlushesEverythingFirst) {
  Connect();
  const std::string big(5 << 20, 'b');
  server_->output().Append(big);
  server_->Close(seconds(30));
  Until([&] { return at_client_.received.size() == big.size() && at_client_.eof; });
  client_->Close(seconds(1));
  Until([this] { return at_server_.closed; });
  EXPECT_EQ(at_server_.cause, CloseCause::kLocalClosed);
}

TEST_F(ConnectionTest, CloseIsNoResetForAPeerThatIsStillSending) {
  Connect();
  client_->output().Append(std::string(1 << 20, 'u'));
  client_->FlushSoon();
  Until([this] { return at_server_.reads > 0; });
  server_->output().Append("go away");
  server_->Close(seconds(30));
  Until([this] { return at_client_.eof; });
  EXPECT_TRUE(at_client_.received == "go away");
  EXPECT_FALSE(at_client_.closed);
}

TEST_F(ConnectionTest, AbortIsAResetForThePeer) {
  Connect();
  server_->Abort();
  Until([this] { return at_client_.closed; });
  EXPECT_EQ(at_client_.cause, CloseCause::kRemoteReset);
  EXPECT_FALSE(at_server_.closed);
}

TEST_F(ConnectionTest, APausedReaderHoldsTheWriterBackAndGetsAllLater) {
  Connect();
  server_->PauseReading(true);
  const std::string big(20 << 20, 'p');
  client_->output().Append(big);
  client_->FlushSoon();
  Until([this] { return at_client_.blocked == std::vector<bool>{true}; });
  for (int i = 0; i < 50; ++i) loop_->RunOnce(milliseconds(1));
  EXPECT_EQ(at_server_.reads, 0);
  EXPECT_TRUE(server_->input().empty());
  server_->PauseReading(false);
  Until([&] { return at_server_.received.size() == big.size(); });
  EXPECT_EQ(at_client_.blocked, (std::vector<bool>{true, false}));
}

TEST_F(ConnectionTest, UntakenBytesStopAtTheLimit) {
  Connect();
  at_server_.take = false;
  client_->output().Append(std::string(1 << 20, 'l'));
  client_->FlushSoon();
  Until([this] { return server_->input().size() >= limits_.read_buffer_bytes_max; });
  for (int i = 0; i < 50; ++i) loop_->RunOnce(milliseconds(1));
  EXPECT_LT(server_->input().size(), limits_.read_buffer_bytes_max + Buffer::kBlockBytes);
  at_server_.take = true;
  server_->PauseReading(true);
  server_->PauseReading(false);
  Until([this] { return at_server_.received.size() == 1u << 20; });
}

TEST_F(ConnectionTest, AResetIsNoticedWhilePaused) {
  Connect();
  server_->PauseReading(true);
  client_->Abort();
  Until([this] { return at_server_.closed; });
  EXPECT_EQ(at_server_.cause, CloseCause::kRemoteReset);
}

TEST_F(ConnectionTest, AnAnswerBeforeTheResetIsStillRead) {
  Connect();
  server_->output().Append("HTTP/1.1 413");
  server_->FlushSoon();
  loop_->RunOnce(milliseconds(10));
  server_->Abort();
  client_->output().Append(std::string(1 << 20, 'x'));
  client_->FlushSoon();
  Until([this] { return at_client_.closed; });
  EXPECT_TRUE(at_client_.received == "HTTP/1.1 413");
}

TEST(Listen, SaysWhoseFaultItIs) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  auto first = std::move(
      *Listen(*loop, Address::Loopback4(0), {}, [](int fd, const Address&) { close(fd); }));
  const auto second =
      Listen(*loop, first->address(), {}, [](int fd, const Address&) { close(fd); });
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(second.status().message().find(first->address().ToString()), absl::string_view::npos);
}

}  // namespace
}  // namespace meltemi::net
