// A call with one answer over real sockets and TLS, against a server that plays gRPC by hand.

#include "base/grpc/unary_call.h"

#include <ctime>
#include <functional>
#include <optional>
#include <string>

#include "base/grpc/framing.h"
#include "base/http/codec_fake.h"
#include "base/http/server/test_server.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"
#include "gtest/gtest.h"

namespace meltemi::http::grpc {
namespace {

tls::KeyPair Signed(const tls::KeyPair& issuer, const std::string& name) {
  const int64_t now_s = std::time(nullptr);
  return *tls::NewCertificate({.common_name = name,
                               .dns_names = {name},
                               .is_ca = issuer.private_key_pem.empty(),
                               .server_auth = true,
                               .not_before_s = now_s - 60,
                               .not_after_s = now_s + 3600},
                              issuer);
}

class UnaryCallTest : public testing::Test {
 protected:
  UnaryCallTest() : loop_(NewEventLoop(clock_)) {
    options_.path = "/test.Service/Once";
    options_.metadata = {{"authorization", "Bearer t"}};
    options_.server_name = "ca.test";
    server_context_ =
        *tls::NewServerContext({.identity = Signed(root_, "ca.test"), .alpn = {"h2"}});
    options_.tls = *tls::NewClientContext({.alpn = {"h2"}, .ca_pem = root_.certificate_chain_pem});
    Serve();
  }
  ~UnaryCallTest() override {
    call_.reset();
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }

  void Serve() {
    server_ = std::make_unique<TestServer>(
        *loop_, net::Address::Loopback4(0), Protocol::kHttp2, events_, Http1Limits(), Http2Limits(),
        [this](int fd, const net::Address& remote) {
          return tls::NewServerConnection(*loop_, fd, remote, net::ConnectionLimits(),
                                          server_context_);
        });
  }
  void Call(Duration deadline = seconds(20)) {
    call_ = CallUnary(*loop_, server_->address(), options_, deadline, "question",
                      [this](absl::StatusOr<std::string> result) {
                        result_ = std::move(result);
                        call_.reset();
                      });
  }
  template <typename Condition>
  void Until(Condition&& condition) {
    for (int i = 0; i < 10000 && !condition(); ++i) loop_->RunOnce(milliseconds(10));
    ASSERT_TRUE(condition());
  }
  void UntilRequest() {
    ++requests_;
    Until(
        [this] { return events_.exchanges.size() == requests_ && events_.last().receiver.ended; });
  }
  void Answer(const std::vector<std::string>& messages, const std::string& code) {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_status(200);
    headers->Add(HeaderId::kContentType, "application/grpc");
    events_.last().stream->SendHeaders(*headers, false);
    Buffer bytes;
    for (const std::string& message : messages) AppendMessage(message, &bytes);
    events_.last().stream->SendData(bytes, false);
    HeaderMapPtr trailers = HeaderMap::New();
    trailers->Add(HeaderId::kGrpcStatus, code);
    trailers->Add(HeaderId::kGrpcMessage, "why");
    events_.last().stream->SendTrailers(*trailers);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  const tls::KeyPair root_ = Signed({}, "root");
  std::shared_ptr<const tls::Context> server_context_;
  RecordingServerEvents events_;
  size_t requests_ = 0;
  std::unique_ptr<TestServer> server_;
  BidiOptions options_;
  std::unique_ptr<UnaryCall> call_;
  std::optional<absl::StatusOr<std::string>> result_;
};

TEST_F(UnaryCallTest, AQuestionAndItsAnswerOverTls) {
  Call();
  UntilRequest();
  const HeaderMap& headers = *events_.last().receiver.headers;
  EXPECT_EQ(headers.scheme(), "https");
  EXPECT_EQ(headers.path(), "/test.Service/Once");
  EXPECT_EQ(headers.Get("authorization"), "Bearer t");
  EXPECT_NE(headers.Get("grpc-timeout"), "");
  EXPECT_EQ(events_.last().receiver.body.substr(5), "question");
  Answer({"answer"}, "0");
  Until([this] { return result_.has_value(); });
  ASSERT_TRUE(result_->ok()) << result_->status();
  EXPECT_EQ(**result_, "answer");
}

TEST_F(UnaryCallTest, TheServersStatusIsTold) {
  Call();
  UntilRequest();
  Answer({}, "16");
  Until([this] { return result_.has_value(); });
  EXPECT_EQ(result_->status(), absl::UnauthenticatedError("why"));
}

TEST_F(UnaryCallTest, NoAnswerAndTwoAnswersAreErrors) {
  Call();
  UntilRequest();
  Answer({}, "0");
  Until([this] { return result_.has_value(); });
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kInternal);
  result_.reset();
  Call();
  UntilRequest();
  Answer({"a", "b"}, "0");
  Until([this] { return result_.has_value(); });
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kInternal);
}

TEST_F(UnaryCallTest, AServerThatHangsIsGivenUp) {
  Call(milliseconds(50));
  Until([this] { return result_.has_value(); });
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(UnaryCallTest, AnotherNameOrRootIsRefusedBeforeAnythingIsSaid) {
  options_.server_name = "other.test";
  Call();
  Until([this] { return result_.has_value(); });
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(result_->status().message().find("TLS"), absl::string_view::npos) << result_->status();
  result_.reset();
  options_.server_name = "ca.test";
  options_.tls =
      *tls::NewClientContext({.alpn = {"h2"}, .ca_pem = Signed({}, "root").certificate_chain_pem});
  Call();
  Until([this] { return result_.has_value(); });
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(events_.exchanges.empty());
}

}  // namespace
}  // namespace meltemi::http::grpc
