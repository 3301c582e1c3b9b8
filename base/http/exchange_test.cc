// The same stories over HTTP/1 and HTTP/2: a client codec and a server codec joined back to back,
// with the bytes between them cut in pieces of every size.

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/http/codec_fake.h"
#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
using Exchange = RecordingServerEvents::Exchange;

HeaderMapPtr Request(const std::string& method, const std::string& path = "/p",
                     const Fields& fields = {}) {
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_method(method);
  headers->set_scheme("http");
  headers->set_path(path);
  headers->set_authority("example.com");
  for (const auto& [name, value] : fields) headers->Add(name, value);
  return headers;
}

HeaderMapPtr Response(int status, const Fields& fields = {}) {
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_status(status);
  for (const auto& [name, value] : fields) headers->Add(name, value);
  return headers;
}

HeaderMapPtr Trailers(const Fields& fields) {
  HeaderMapPtr headers = HeaderMap::New();
  for (const auto& [name, value] : fields) headers->Add(name, value);
  return headers;
}

void Send(Stream& stream, const std::string& body, bool end_stream) {
  Buffer data(body);
  stream.SendData(data, end_stream);
  ASSERT_TRUE(data.empty());
}

class ExchangeTest : public testing::TestWithParam<std::tuple<Protocol, size_t>> {
 protected:
  ExchangeTest() : link_(std::get<0>(GetParam()), std::get<1>(GetParam())) {}

  bool is_h2() const { return std::get<0>(GetParam()) == Protocol::kHttp2; }
  // Lets settings and prefaces pass first, as a pool would.
  Stream& Open(RecordingReceiver* receiver) {
    EXPECT_TRUE(link_.Run());
    EXPECT_GT(link_.client->capacity(), 0u);
    return link_.client->NewStream(receiver);
  }
  Exchange& last() { return link_.server_events.last(); }
  void Run() {
    ASSERT_TRUE(link_.Run());
    ASSERT_TRUE(link_.server_status.ok()) << link_.server_status;
    ASSERT_TRUE(link_.client_status.ok()) << link_.client_status;
  }

  CodecLink link_;
};

TEST_P(ExchangeTest, AGetAndItsAnswer) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET", "/a?b=c", {{"x-colour", "blue"}}), true);
  Run();
  ASSERT_EQ(link_.server_events.exchanges.size(), 1u);
  const HeaderMap& request = *last().receiver.headers;
  EXPECT_EQ(request.method(), "GET");
  EXPECT_EQ(request.path(), "/a?b=c");
  EXPECT_EQ(request.authority(), "example.com");
  EXPECT_EQ(request.Get("x-colour"), "blue");
  EXPECT_EQ(request.size(), 1u);
  EXPECT_TRUE(last().receiver.ended);
  last().stream->SendHeaders(*Response(200, {{"content-length", "5"}, {"x-b", "c"}}), false);
  Send(*last().stream, "hello", true);
  Run();
  EXPECT_EQ(response.headers->status(), 200);
  EXPECT_EQ(response.headers->Get("x-b"), "c");
  EXPECT_EQ(response.body, "hello");
  EXPECT_TRUE(response.ended);
  EXPECT_FALSE(response.reset.has_value());
  EXPECT_EQ(link_.client_events.finished, 1);
  EXPECT_TRUE(last().finished);
  EXPECT_EQ(link_.client->open_streams(), 0u);
  EXPECT_EQ(link_.server->open_streams(), 0u);
  EXPECT_FALSE(link_.client->finished());
  EXPECT_GT(link_.client->capacity(), 0u);
}

TEST_P(ExchangeTest, BodiesOfKnownAndUnknownLengthBothWays) {
  for (const bool known : {true, false}) {
    RecordingReceiver response;
    Stream& stream = Open(&response);
    const Fields length = known ? Fields{{"content-length", "6"}} : Fields{};
    stream.SendHeaders(*Request("POST", "/p", length), false);
    Send(stream, "abc", false);
    Run();
    EXPECT_EQ(last().receiver.body, "abc");
    EXPECT_FALSE(last().receiver.ended);
    Send(stream, "def", true);
    Run();
    EXPECT_EQ(last().receiver.body, "abcdef");
    EXPECT_TRUE(last().receiver.ended);
    last().stream->SendHeaders(*Response(200, length), false);
    Send(*last().stream, "uvw", false);
    Run();
    EXPECT_EQ(response.body, "uvw");
    Send(*last().stream, "xyz", true);
    Run();
    EXPECT_EQ(response.body, "uvwxyz");
    EXPECT_TRUE(response.ended);
  }
  EXPECT_EQ(link_.client_events.finished, 2);
}

TEST_P(ExchangeTest, TrailersBothWays) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST", "/p", {{"te", "trailers"}}), false);
  Send(stream, "abc", false);
  stream.SendTrailers(*Trailers({{"x-sum", "1"}}));
  Run();
  EXPECT_EQ(last().receiver.headers->Get("te"), "trailers");
  EXPECT_EQ(last().receiver.body, "abc");
  ASSERT_NE(last().receiver.trailers, nullptr);
  EXPECT_EQ(last().receiver.trailers->Get("x-sum"), "1");
  last().stream->SendHeaders(*Response(200), false);
  Send(*last().stream, "def", false);
  Run();
  last().stream->SendTrailers(*Trailers({{"grpc-status", "0"}, {"grpc-message", "ok"}}));
  Run();
  EXPECT_EQ(response.body, "def");
  ASSERT_NE(response.trailers, nullptr);
  EXPECT_EQ(response.trailers->Get("grpc-status"), "0");
  EXPECT_TRUE(response.ended);
  EXPECT_EQ(link_.client_events.finished, 1);
}

TEST_P(ExchangeTest, TrailersWithoutABody) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST"), true);
  Run();
  last().stream->SendHeaders(*Response(200), false);
  last().stream->SendTrailers(*Trailers({{"grpc-status", "5"}}));
  Run();
  ASSERT_NE(response.trailers, nullptr);
  EXPECT_EQ(response.trailers->Get("grpc-status"), "5");
  EXPECT_EQ(response.body, "");
}

TEST_P(ExchangeTest, AnEmptyBodyThatEndsLater) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST"), false);
  Run();
  EXPECT_FALSE(last().receiver.ended);
  Send(stream, "", true);
  Run();
  EXPECT_TRUE(last().receiver.ended);
  last().stream->SendHeaders(*Response(200), false);
  Send(*last().stream, "", true);
  Run();
  EXPECT_TRUE(response.ended);
  EXPECT_EQ(response.body, "");
}

TEST_P(ExchangeTest, HeadAndNotModifiedHaveLengthsButNoBodies) {
  for (const auto& [method, status] :
       std::vector<std::pair<std::string, int>>{{"HEAD", 200}, {"GET", 304}}) {
    RecordingReceiver response;
    Stream& stream = Open(&response);
    stream.SendHeaders(*Request(method), true);
    Run();
    last().stream->SendHeaders(*Response(status, {{"content-length", "5"}}), true);
    Run();
    EXPECT_EQ(response.headers->status(), status);
    EXPECT_EQ(response.headers->Get("content-length"), "5");
    EXPECT_TRUE(response.ended);
    EXPECT_EQ(response.body, "");
  }
  EXPECT_EQ(link_.client_events.finished, 2);
}

TEST_P(ExchangeTest, NoContent) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("DELETE"), true);
  Run();
  last().stream->SendHeaders(*Response(204), true);
  Run();
  EXPECT_EQ(response.headers->status(), 204);
  EXPECT_FALSE(response.headers->Has(HeaderId::kContentLength));
  EXPECT_TRUE(response.ended);
}

TEST_P(ExchangeTest, InformationalResponsesArePassed) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST", "/p", {{"expect", "100-continue"}, {"content-length", "2"}}),
                     false);
  Run();
  EXPECT_EQ(last().receiver.headers->Get("expect"), "100-continue");
  last().stream->SendInformational(*Response(100));
  last().stream->SendInformational(*Response(103, {{"link", "x"}}));
  Run();
  ASSERT_EQ(response.informational.size(), 2u);
  EXPECT_EQ(response.informational[0]->status(), 100);
  EXPECT_EQ(response.informational[1]->Get("link"), "x");
  Send(stream, "ok", true);
  Run();
  EXPECT_EQ(last().receiver.body, "ok");
  last().stream->SendHeaders(*Response(201), true);
  Run();
  EXPECT_EQ(response.headers->status(), 201);
  EXPECT_TRUE(response.ended);
}

TEST_P(ExchangeTest, ManyExchangesOnOneConnection) {
  for (int i = 0; i < 50; ++i) {
    RecordingReceiver response;
    Stream& stream = Open(&response);
    stream.SendHeaders(*Request("GET", absl::StrCat("/", i)), true);
    Run();
    EXPECT_EQ(last().receiver.headers->path(), absl::StrCat("/", i));
    last().stream->SendHeaders(*Response(200, {{"x-number", absl::StrCat(i)}}), true);
    Run();
    EXPECT_EQ(response.headers->Get("x-number"), absl::StrCat(i));
  }
  EXPECT_EQ(link_.client_events.finished, 50);
}

TEST_P(ExchangeTest, AnswersGivenWithinOnHeaders) {
  link_.server_events.on_new = [](Exchange& exchange) {
    exchange.receiver.on_headers = [&exchange] {
      exchange.stream->SendHeaders(*Response(404), false);
      Buffer data("no");
      exchange.stream->SendData(data, true);
    };
  };
  for (int i = 0; i < 3; ++i) {
    RecordingReceiver response;
    Open(&response).SendHeaders(*Request("GET"), true);
    Run();
    EXPECT_EQ(response.headers->status(), 404);
    EXPECT_EQ(response.body, "no");
    EXPECT_TRUE(response.ended);
    EXPECT_TRUE(last().finished);
  }
}

TEST_P(ExchangeTest, HopByHopFieldsAreLeftOut) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET", "/p",
                              {{"connection", "x"},
                               {"keep-alive", "1"},
                               {"proxy-connection", "y"},
                               {"transfer-encoding", "chunked"},
                               {"te", "gzip"},
                               {"x-a", "b"}}),
                     true);
  Run();
  const HeaderMap& request = *last().receiver.headers;
  ASSERT_EQ(request.size(), 1u);
  EXPECT_EQ(request.Get("x-a"), "b");
  last().stream->SendHeaders(
      *Response(200, {{"connection", "close"}, {"keep-alive", "1"}, {"x-c", "d"}}), true);
  Run();
  EXPECT_EQ(response.headers->Get("x-c"), "d");
  EXPECT_FALSE(response.headers->Has(HeaderId::kKeepAlive));
  EXPECT_FALSE(link_.client->finished()) << "the user's Connection header says nothing";
}

TEST_P(ExchangeTest, AClientThatResetsIsHeard) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST"), false);
  Send(stream, "abc", false);
  Run();
  stream.Reset(ResetCause::kLocal);
  Run();
  EXPECT_TRUE(last().receiver.reset.has_value());
  EXPECT_EQ(*last().receiver.reset,
            is_h2() ? ResetCause::kRemoteReset : ResetCause::kConnectionLost);
  EXPECT_TRUE(last().finished);
  EXPECT_FALSE(response.reset.has_value()) << "who resets hears nothing";
  EXPECT_EQ(link_.client_events.finished, 1);
  EXPECT_EQ(link_.client->finished(), !is_h2());
}

TEST_P(ExchangeTest, AServerThatResetsIsHeard) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET"), true);
  Run();
  last().stream->SendHeaders(*Response(200), false);
  Send(*last().stream, "abc", false);
  last().stream->Reset(ResetCause::kLocal);
  Run();
  ASSERT_TRUE(response.reset.has_value());
  EXPECT_EQ(*response.reset, is_h2() ? ResetCause::kRemoteReset : ResetCause::kConnectionLost);
  EXPECT_FALSE(response.ended);
  EXPECT_FALSE(last().receiver.reset.has_value());
  EXPECT_TRUE(last().finished);
  EXPECT_EQ(link_.client_events.finished, 1);
}

TEST_P(ExchangeTest, AResponseBeforeItsRequestEnds) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST", "/p", {{"content-length", "100"}}), false);
  Send(stream, "abc", false);
  Run();
  last().stream->SendHeaders(*Response(413), true);
  last().stream->Reset(ResetCause::kLocal);
  Run();
  ASSERT_NE(response.headers, nullptr);
  EXPECT_EQ(response.headers->status(), 413);
  EXPECT_TRUE(response.ended) << "the answer arrives before whatever stops the request";
  EXPECT_TRUE(last().finished);
}

TEST_P(ExchangeTest, ALostConnectionResetsBothSides) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET"), true);
  Run();
  link_.client->OnConnectionClosed(ResetCause::kConnectionLost, "reset by peer");
  link_.server->OnConnectionClosed(ResetCause::kConnectionLost, "reset by peer");
  EXPECT_EQ(response.reset, ResetCause::kConnectionLost);
  EXPECT_EQ(last().receiver.reset, ResetCause::kConnectionLost);
  EXPECT_TRUE(last().finished);
  EXPECT_EQ(link_.client_events.finished, 1);
  EXPECT_TRUE(link_.client->finished());
  EXPECT_EQ(link_.client->capacity(), 0u);
}

TEST_P(ExchangeTest, ConnectIsATunnelWithHalfClose) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  HeaderMapPtr connect = HeaderMap::New();
  connect->set_method("CONNECT");
  connect->set_authority("b:443");
  stream.SendHeaders(*connect, false);
  Send(stream, "early", false);
  Run();
  EXPECT_EQ(last().receiver.headers->method(), "CONNECT");
  EXPECT_EQ(last().receiver.headers->authority(), "b:443");
  EXPECT_FALSE(last().receiver.ended);
  last().stream->SendHeaders(*Response(200), false);
  Run();
  EXPECT_EQ(response.headers->status(), 200);
  EXPECT_FALSE(response.ended);
  EXPECT_EQ(last().receiver.body, "early");
  Send(stream, "up", true);
  Run();
  EXPECT_EQ(last().receiver.body, "earlyup");
  EXPECT_TRUE(last().receiver.ended) << "half-close passes";
  EXPECT_FALSE(last().finished);
  Send(*last().stream, "down", false);
  Run();
  EXPECT_EQ(response.body, "down");
  Send(*last().stream, "", true);
  Run();
  EXPECT_TRUE(response.ended);
  EXPECT_FALSE(response.reset.has_value());
  EXPECT_FALSE(last().receiver.reset.has_value());
  EXPECT_TRUE(last().finished);
  EXPECT_EQ(link_.client_events.finished, 1);
}

TEST_P(ExchangeTest, UpgradeIsATunnel) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET", "/chat", {{"upgrade", "websocket"}, {"x-a", "b"}}), false);
  Run();
  const HeaderMap& request = *last().receiver.headers;
  EXPECT_EQ(request.path(), "/chat");
  EXPECT_EQ(request.Get("x-a"), "b");
  if (is_h2()) {
    EXPECT_EQ(request.method(), "CONNECT");
    EXPECT_EQ(request.protocol(), "websocket");
  } else {
    EXPECT_EQ(request.method(), "GET");
    EXPECT_EQ(request.Get(HeaderId::kUpgrade), "websocket");
  }
  last().stream->SendHeaders(*Response(101, {{"upgrade", "websocket"}}), false);
  Send(*last().stream, "down", false);
  Run();
  EXPECT_EQ(response.headers->status(), 101);
  EXPECT_EQ(response.headers->Get(HeaderId::kUpgrade), "websocket");
  EXPECT_EQ(response.body, "down");
  Send(stream, "up", false);
  Run();
  EXPECT_EQ(last().receiver.body, "up");
  Send(stream, "", true);
  Send(*last().stream, "", true);
  Run();
  EXPECT_TRUE(last().finished);
  EXPECT_EQ(link_.client_events.finished, 1);
}

TEST_P(ExchangeTest, DrainFinishesWhatIsOpen) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET"), true);
  Run();
  link_.server->StartDrain();
  Run();
  EXPECT_FALSE(link_.server->finished());
  link_.server->FinishDrain();
  Run();
  EXPECT_FALSE(link_.server->finished());
  last().stream->SendHeaders(*Response(200), true);
  Run();
  EXPECT_TRUE(response.ended);
  EXPECT_FALSE(response.reset.has_value());
  EXPECT_TRUE(link_.client_events.draining);
  EXPECT_TRUE(link_.server->finished());
  EXPECT_EQ(link_.client->capacity(), 0u);
}

TEST_P(ExchangeTest, APausedReceiverGetsNothingUntilItResumes) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST"), false);
  Run();
  last().stream->PauseReading(true);
  Send(stream, "abc", false);
  stream.SendTrailers(*Trailers({{"x-sum", "1"}}));
  ASSERT_TRUE(link_.Run());
  EXPECT_EQ(last().receiver.body, "");
  EXPECT_EQ(last().receiver.trailers, nullptr);
  last().stream->PauseReading(false);
  EXPECT_EQ(last().receiver.body, "") << "not from within the call";
  Run();
  EXPECT_EQ(last().receiver.body, "abc");
  ASSERT_NE(last().receiver.trailers, nullptr);
}

TEST_P(ExchangeTest, TrailersWaitForAReceiverThatPausesInItsData) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("POST"), false);
  Run();
  last().receiver.on_data = [this] { last().stream->PauseReading(true); };
  Send(stream, "abc", false);
  stream.SendTrailers(*Trailers({{"x-sum", "1"}}));
  ASSERT_TRUE(link_.Run());
  EXPECT_EQ(last().receiver.trailers, nullptr);
  for (int i = 0; i < 100 && last().receiver.trailers == nullptr; ++i) {
    last().stream->PauseReading(false);
    Run();
  }
  EXPECT_EQ(last().receiver.body, "abc");
  ASSERT_NE(last().receiver.trailers, nullptr);
}

TEST_P(ExchangeTest, APausedClientStillGetsAWholeResponse) {
  RecordingReceiver response;
  Stream& stream = Open(&response);
  stream.SendHeaders(*Request("GET"), true);
  Run();
  stream.PauseReading(true);
  last().stream->SendHeaders(*Response(200, {{"content-length", "3"}}), false);
  Send(*last().stream, "abc", true);
  ASSERT_TRUE(link_.Run());
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(link_.client_events.finished, 0);
  stream.PauseReading(false);
  Run();
  EXPECT_EQ(response.body, "abc");
  EXPECT_TRUE(response.ended);
  EXPECT_FALSE(response.reset.has_value());
  EXPECT_EQ(link_.client_events.finished, 1);
}

INSTANTIATE_TEST_SUITE_P(All, ExchangeTest,
                         testing::Combine(testing::Values(Protocol::kHttp11, Protocol::kHttp2),
                                          testing::Values(size_t{1}, size_t{2}, size_t{7},
                                                          size_t{1000}, SIZE_MAX)),
                         [](const testing::TestParamInfo<ExchangeTest::ParamType>& info) {
                           const size_t fragment = std::get<1>(info.param);
                           return absl::StrCat(
                               std::get<0>(info.param) == Protocol::kHttp2 ? "H2" : "H1", "by",
                               fragment == SIZE_MAX ? "All" : absl::StrCat(fragment));
                         });

// ---- Large bodies: only in large pieces
// ----------------------------------------------------------

class LargeBodyTest : public testing::TestWithParam<Protocol> {};

TEST_P(LargeBodyTest, TenMegabytesBothWays) {
  CodecLink link(GetParam(), 5000);
  ASSERT_TRUE(link.Run());
  RecordingReceiver response;
  Stream& stream = link.client->NewStream(&response);
  stream.SendHeaders(*Request("POST"), false);
  ASSERT_TRUE(link.Run());
  Exchange& exchange = link.server_events.last();
  exchange.stream->SendHeaders(*Response(200), false);
  std::string block(100 * 1000, 'x');
  for (int i = 0; i < 100; ++i) {
    block[static_cast<size_t>(i)] = 'y';
    Send(stream, block, i == 99);
    Send(*exchange.stream, block, false);
    ASSERT_TRUE(link.Run());
  }
  Send(*exchange.stream, "", true);
  ASSERT_TRUE(link.Run());
  EXPECT_EQ(exchange.receiver.body.size(), 10u * 1000 * 1000);
  EXPECT_EQ(exchange.receiver.body.substr(9900000), block);
  EXPECT_EQ(response.body, exchange.receiver.body);
  EXPECT_TRUE(exchange.finished);
}

// A sender may hand over more than the transport takes at once: the rest follows as it drains.
TEST_P(LargeBodyTest, OneLargePiece) {
  CodecLink link(GetParam(), 300 * 1000);
  ASSERT_TRUE(link.Run());
  RecordingReceiver response;
  Stream& stream = link.client->NewStream(&response);
  stream.SendHeaders(*Request("GET"), true);
  ASSERT_TRUE(link.Run());
  Exchange& exchange = link.server_events.last();
  exchange.stream->SendHeaders(*Response(200), false);
  Send(*exchange.stream, std::string(5 * 1000 * 1000, 'x'), true);
  ASSERT_TRUE(link.Run());
  EXPECT_EQ(response.body.size(), 5u * 1000 * 1000);
  EXPECT_TRUE(response.ended);
  EXPECT_FALSE(exchange.receiver.blocked);
}

INSTANTIATE_TEST_SUITE_P(All, LargeBodyTest, testing::Values(Protocol::kHttp11, Protocol::kHttp2),
                         [](const testing::TestParamInfo<Protocol>& info) {
                           return info.param == Protocol::kHttp2 ? "H2" : "H1";
                         });

}  // namespace
}  // namespace meltemi::http
