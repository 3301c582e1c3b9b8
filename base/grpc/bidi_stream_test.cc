// The bidirectional stream over real sockets, against a server that plays gRPC by hand.

#include "base/grpc/bidi_stream.h"

#include <optional>
#include <string>
#include <vector>

#include "base/grpc/framing.h"
#include "base/http/codec_fake.h"
#include "base/http/server/test_server.h"
#include "gtest/gtest.h"

namespace meltemi::http::grpc {
namespace {

class Recorder final : public BidiEvents {
 public:
  void OnConnected() override { connected = true; }
  void OnMessage(absl::string_view message) override {
    messages.emplace_back(message);
    if (on_message) on_message();
  }
  void OnEnded(absl::Status status) override { ended = std::move(status); }

  bool connected = false;
  std::vector<std::string> messages;
  std::optional<absl::Status> ended;
  std::function<void()> on_message;
};

class BidiStreamTest : public testing::Test {
 protected:
  BidiStreamTest()
      : loop_(NewEventLoop(clock_)),
        server_(std::make_unique<TestServer>(*loop_, net::Address::Loopback4(0), Protocol::kHttp2,
                                             events_)) {
    options_.path = "/test.Service/Stream";
    options_.authority = "pilot";
    options_.metadata = {{"x-node", "n1"}};
  }
  ~BidiStreamTest() override {
    stream_.reset();
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }

  void Open() { stream_ = OpenBidiStream(*loop_, server_->address(), options_, recorder_); }
  template <typename Condition>
  void Until(Condition&& condition) {
    for (int i = 0; i < 10000 && !condition(); ++i) loop_->RunOnce(milliseconds(10));
    ASSERT_TRUE(condition());
  }
  void UntilRequest() {
    Until([this] {
      return !events_.exchanges.empty() && events_.last().receiver.headers != nullptr;
    });
  }
  RecordingServerEvents::Exchange& call() { return events_.last(); }
  void AnswerHeaders(int status = 200, const std::string& type = "application/grpc") {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_status(status);
    headers->Add(HeaderId::kContentType, type);
    call().stream->SendHeaders(*headers, false);
  }
  void AnswerMessage(const std::string& message) {
    Buffer bytes;
    AppendMessage(message, &bytes);
    call().stream->SendData(bytes, false);
  }
  void AnswerStatus(const std::string& code, const std::string& message) {
    HeaderMapPtr trailers = HeaderMap::New();
    trailers->Add(HeaderId::kGrpcStatus, code);
    trailers->Add(HeaderId::kGrpcMessage, message);
    call().stream->SendTrailers(*trailers);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  RecordingServerEvents events_;
  std::unique_ptr<TestServer> server_;
  BidiOptions options_;
  Recorder recorder_;
  std::unique_ptr<BidiStream> stream_;
};

TEST_F(BidiStreamTest, MessagesBothWaysThenAStatus) {
  Open();
  stream_->Send("first");
  UntilRequest();
  EXPECT_TRUE(recorder_.connected);
  const HeaderMap& headers = *call().receiver.headers;
  EXPECT_EQ(headers.path(), "/test.Service/Stream");
  EXPECT_EQ(headers.authority(), "pilot");
  EXPECT_EQ(headers.Get("content-type"), "application/grpc");
  EXPECT_EQ(headers.Get("te"), "trailers");
  EXPECT_EQ(headers.Get("x-node"), "n1");
  Until([this] { return call().receiver.body.size() == 10; });
  EXPECT_EQ(call().receiver.body.substr(5), "first");
  AnswerHeaders();
  AnswerMessage("answer");
  AnswerMessage(std::string(10 * 1000 * 1000, 'l'));
  Until([this] { return recorder_.messages.size() == 2; });
  EXPECT_EQ(recorder_.messages[0], "answer");
  EXPECT_EQ(recorder_.messages[1].size(), 10u * 1000 * 1000);
  stream_->Send("second");
  Until([this] { return call().receiver.body.size() == 21; });
  AnswerStatus("8", "too%20much");
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(*recorder_.ended, absl::ResourceExhaustedError("too much"));
}

TEST_F(BidiStreamTest, EndsInOrderWithOk) {
  Open();
  stream_->EndSending();
  UntilRequest();
  Until([this] { return call().receiver.ended; });
  AnswerHeaders();
  AnswerStatus("0", "");
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_TRUE(recorder_.ended->ok()) << *recorder_.ended;
}

TEST_F(BidiStreamTest, ARefusedConnectionSaysSo) {
  const net::Address address = server_->address();
  server_.reset();
  loop_->RunOnce(Duration::zero());
  stream_ = OpenBidiStream(*loop_, address, options_, recorder_);
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(recorder_.ended->code(), absl::StatusCode::kUnavailable);
}

TEST_F(BidiStreamTest, ALostConnectionSaysSo) {
  Open();
  UntilRequest();
  server_.reset();
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(recorder_.ended->code(), absl::StatusCode::kUnavailable) << *recorder_.ended;
}

TEST_F(BidiStreamTest, HttpErrorsAreMapped) {
  Open();
  UntilRequest();
  AnswerHeaders(404, "text/plain");
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(recorder_.ended->code(), absl::StatusCode::kUnimplemented);
}

TEST_F(BidiStreamTest, AnAnswerThatIsNotGrpcIsAnError) {
  Open();
  UntilRequest();
  AnswerHeaders(200, "text/html");
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(recorder_.ended->code(), absl::StatusCode::kUnknown);
}

TEST_F(BidiStreamTest, DroppingItWithinACallbackIsFine) {
  Open();
  recorder_.on_message = [this] { stream_.reset(); };
  UntilRequest();
  AnswerHeaders();
  AnswerMessage("a");
  AnswerMessage("b");
  Until([this] { return stream_ == nullptr; });
  Until([this] { return call().finished; });
  EXPECT_EQ(recorder_.messages.size(), 1u);
  EXPECT_FALSE(recorder_.ended.has_value());
}

TEST_F(BidiStreamTest, PingsKeepItAlive) {
  options_.keepalive_interval = milliseconds(5);
  options_.keepalive_timeout = seconds(5);
  Open();
  UntilRequest();
  const MonotonicTime begin = clock_.Now();
  Until([&] { return clock_.Now() - begin > milliseconds(60); });
  EXPECT_FALSE(recorder_.ended.has_value());
}

TEST_F(BidiStreamTest, AServerThatAnswersNoPingIsGivenUp) {
  options_.keepalive_interval = milliseconds(5);
  options_.keepalive_timeout = milliseconds(20);
  // It accepts, and then nobody reads.
  auto listener = net::Listen(*loop_, net::Address::Loopback4(0), net::ListenOptions(),
                              [](int, const net::Address&) {});
  ASSERT_TRUE(listener.ok());
  stream_ = OpenBidiStream(*loop_, (*listener)->address(), options_, recorder_);
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(recorder_.ended->code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(recorder_.ended->message().find("PING"), absl::string_view::npos) << *recorder_.ended;
}

TEST_F(BidiStreamTest, MessagesAreBounded) {
  options_.message_bytes_max = 1000;
  Open();
  UntilRequest();
  AnswerHeaders();
  AnswerMessage(std::string(1001, 'x'));
  Until([this] { return recorder_.ended.has_value(); });
  EXPECT_EQ(recorder_.ended->code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace meltemi::http::grpc
