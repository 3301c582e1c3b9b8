// Answers that are made while they are sent, over real connections.

#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "orchestrator/apiserver/http/body_source.h"
#include "orchestrator/apiserver/http/server_fixture.h"

namespace meltemi::apiserver {
namespace {

// Says what the test has put in, piece by piece.
class FakeSource final : public BodySource {
 public:
  Next Read(size_t bytes_max, std::string& out) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++reads_;
    if (endless_) {
      bytes_ += bytes_max;
      out.append(bytes_max, 'x');
      return Next::kMore;
    }
    if (pieces_.empty()) return Next::kLater;
    auto [next, text] = std::move(pieces_.front());
    pieces_.pop_front();
    out += text;
    return next;
  }
  void SetWake(std::function<void()> wake) override { wake_ = std::move(wake); }
  Duration retry_after() const override { return retry_after_; }

  void Put(Next next, const std::string& text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pieces_.emplace_back(next, text);
  }
  int reads() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return reads_;
  }
  size_t bytes() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
  }

  Duration retry_after_ = minutes(5);
  bool endless_ = false;
  std::function<void()> wake_;

 private:
  std::mutex mutex_;
  std::deque<std::pair<Next, std::string>> pieces_;
  int reads_ = 0;
  size_t bytes_ = 0;
};

class StreamTest : public ServerTest {
 protected:
  void StartWithSource() {
    source_ = std::make_shared<FakeSource>();
    handler_.on_request = [this](Request&) {
      return StreamAnswer{.content_type = "text/plain", .source = source_};
    };
    Start();
  }
  bool Until(const std::function<bool()>& condition) { return client_->Until(condition); }

  std::shared_ptr<FakeSource> source_;
};

INSTANTIATE_TEST_SUITE_P(Protocols, StreamTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Http2" : "Http1";
                         });

TEST_P(StreamTest, PiecesAreSentAsTheyCome) {
  StartWithSource();
  source_->Put(BodySource::Next::kMore, "one ");
  source_->Put(BodySource::Next::kMore, "two ");
  auto call = client_->Start("GET", "/log?follow=true");
  ASSERT_TRUE(Until([&] { return call->body == "one two "; }));
  EXPECT_EQ(call->status, 200);
  EXPECT_EQ(call->Field("content-type"), "text/plain");
  EXPECT_FALSE(call->over());
  ASSERT_TRUE(Until([&] { return source_->reads() == 3; }));
  source_->Put(BodySource::Next::kEnd, "three");
  source_->wake_();
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_TRUE(call->ended);
  EXPECT_EQ(call->body, "one two three");
  // Nobody waits for it any more.
  client_.reset();
  source_->wake_();
}

TEST_P(StreamTest, WithoutAWakeItIsReadAgainAfterAWhile) {
  StartWithSource();
  source_->retry_after_ = milliseconds(5);
  auto call = client_->Start("GET", "/log");
  ASSERT_TRUE(Until([&] { return source_->reads() > 3; }));
  source_->Put(BodySource::Next::kEnd, "end");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->body, "end");
}

TEST_P(StreamTest, ABrokenSourceIsNotTakenForItsEnd) {
  StartWithSource();
  source_->Put(BodySource::Next::kMore, "half");
  source_->Put(BodySource::Next::kBroken, "");
  auto call = client_->Start("GET", "/log");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_FALSE(call->ended);
  EXPECT_EQ(call->body, "half");
}

TEST_P(StreamTest, ASlowClientHoldsTheSourceBack) {
  StartWithSource();
  source_->endless_ = true;
  auto call = client_->Start("GET", "/log");
  call->keep_body = false;
  call->stream->PauseReading(true);
  size_t before = 1;
  ASSERT_TRUE(Until([&] {
    client_->loop().RunOnce(milliseconds(50));
    return source_->bytes() > 0 && std::exchange(before, source_->bytes()) == source_->bytes();
  }));
  // What sockets hold, and no more.
  EXPECT_LT(source_->bytes(), 32u * 1024 * 1024);
  call->stream->PauseReading(false);
  ASSERT_TRUE(Until([&] { return source_->bytes() > 2 * before + 1024 * 1024; }));
}

TEST_P(StreamTest, AClientThatLeavesEndsIt) {
  StartWithSource();
  auto call = client_->Start("GET", "/log");
  ASSERT_TRUE(Until([&] { return call->status == 200 && source_->reads() > 0; }));
  client_->Abort();
  handler_.on_request = nullptr;
  std::weak_ptr<FakeSource> gone = source_;
  source_.reset();
  EXPECT_TRUE(Until([&] { return gone.expired(); }));
}

TEST_P(StreamTest, AServerThatStopsBreaksItOff) {
  StartWithSource();
  auto call = client_->Start("GET", "/log");
  ASSERT_TRUE(Until([&] { return call->status == 200 && source_->reads() > 0; }));
  // The client is this thread's, and closes nothing meanwhile.
  server_->Stop(milliseconds(20));
  ASSERT_TRUE(Until([&] { return call->over() || client_->closed; }));
  EXPECT_FALSE(call->ended);
}

TEST_P(StreamTest, HeadHasNoBody) {
  StartWithSource();
  auto call = client_->Do("HEAD", "/log");
  EXPECT_EQ(call->status, 200);
  EXPECT_EQ(source_->reads(), 0);
}

}  // namespace
}  // namespace meltemi::apiserver
