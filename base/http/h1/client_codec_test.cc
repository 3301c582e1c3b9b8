// The HTTP/1 client codec against raw bytes.

#include <string>
#include <utility>
#include <vector>

#include "base/http/codec_fake.h"
#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

class Client {
 public:
  Client() : codec(NewHttp1ClientCodec(transport, events, {})) {}

  absl::Status Feed(const std::string& bytes, bool end_of_input = false) {
    in.Append(bytes);
    transport.again = false;
    return codec->Receive(in, end_of_input);
  }
  // A new exchange whose request has been sent.
  Stream& Send(const std::string& method, bool end_stream = true,
               const std::vector<std::pair<std::string, std::string>>& fields = {}) {
    receivers.push_back(std::make_unique<RecordingReceiver>());
    Stream& stream = codec->NewStream(receivers.back().get());
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method(method);
    headers->set_path("/p");
    headers->set_authority("a");
    for (const auto& [name, value] : fields) headers->Add(name, value);
    stream.SendHeaders(*headers, end_stream);
    return stream;
  }
  RecordingReceiver& receiver() { return *receivers.back(); }
  std::string Output() { return transport.TakeOutput(); }

  FakeTransport transport;
  RecordingClientEvents events;
  std::unique_ptr<ClientCodec> codec;
  std::vector<std::unique_ptr<RecordingReceiver>> receivers;
  Buffer in;
};

TEST(Http1ClientTest, SendsARequestAndReadsItsResponse) {
  Client client;
  EXPECT_EQ(client.codec->capacity(), 1u);
  client.Send("GET", true, {{"x-a", "b"}, {"connection", "close"}, {"te", "trailers"}});
  EXPECT_EQ(client.codec->capacity(), 0u);
  EXPECT_EQ(client.Output(), "GET /p HTTP/1.1\r\nhost: a\r\nx-a: b\r\nte: trailers\r\n\r\n");
  ASSERT_TRUE(client.Feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-B: c\r\n\r\nhello").ok());
  EXPECT_EQ(client.receiver().headers->status(), 200);
  EXPECT_EQ(client.receiver().headers->Get("x-b"), "c");
  EXPECT_EQ(client.receiver().body, "hello");
  EXPECT_TRUE(client.receiver().ended);
  EXPECT_EQ(client.events.finished, 1);
  EXPECT_EQ(client.codec->capacity(), 1u) << "the connection can be used again";
  client.Send("GET");
  ASSERT_TRUE(client.Feed("HTTP/1.1 204 No Content\r\n\r\n").ok());
  EXPECT_EQ(client.events.finished, 2);
}

TEST(Http1ClientTest, FramesRequestBodies) {
  Client client;
  Stream& stream = client.Send("POST", false, {{"content-length", "3"}});
  Buffer data("abc");
  stream.SendData(data, true);
  EXPECT_EQ(client.Output(), "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
  ASSERT_TRUE(client.Feed("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n").ok());
  client.Send("POST", true);
  EXPECT_EQ(client.Output(), "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(client.Feed("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok());
  Stream& chunked = client.Send("PUT", false);
  Buffer more("abc");
  chunked.SendData(more, true);
  EXPECT_EQ(
      client.Output(),
      "PUT /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
}

struct ResponseCase {
  const char* what;
  std::string method;
  std::string bytes;
  std::string body;
  bool reusable;
};

class Http1ClientResponseTest : public testing::TestWithParam<ResponseCase> {};

TEST_P(Http1ClientResponseTest, IsReadAsFramed) {
  for (const bool whole : {true, false}) {
    Client client;
    client.Send(GetParam().method);
    if (whole) {
      ASSERT_TRUE(client.Feed(GetParam().bytes).ok());
    } else {
      for (const char c : GetParam().bytes) ASSERT_TRUE(client.Feed(std::string(1, c)).ok());
    }
    if (!client.receiver().ended) {
      ASSERT_TRUE(client.Feed("", true).ok());
    }
    EXPECT_EQ(client.receiver().body, GetParam().body);
    EXPECT_TRUE(client.receiver().ended);
    EXPECT_FALSE(client.receiver().reset.has_value());
    EXPECT_EQ(client.events.finished, 1);
    EXPECT_EQ(client.codec->capacity(), GetParam().reusable ? 1u : 0u);
    EXPECT_EQ(client.codec->finished(), !GetParam().reusable);
  }
}

std::string CaseName(const char* what) {
  std::string name;
  for (const char* c = what; *c != 0; ++c) {
    name += isalnum(static_cast<unsigned char>(*c)) ? *c : '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    All, Http1ClientResponseTest,
    testing::Values(
        ResponseCase{"length", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok", true},
        ResponseCase{"no reason", "GET", "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", "ok",
                     true},
        ResponseCase{"chunked", "GET",
                     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                     "ok", true},
        ResponseCase{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nok", "ok", false},
        ResponseCase{"connection close", "GET",
                     "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", "ok",
                     false},
        ResponseCase{"HTTP 1 0", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok",
                     false},
        ResponseCase{"HTTP 1 0 kept", "GET",
                     "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
                     "ok", true},
        ResponseCase{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "", true},
        ResponseCase{"HEAD chunked", "HEAD",
                     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "", true},
        ResponseCase{"not modified", "GET",
                     "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n", "", true},
        ResponseCase{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
        ResponseCase{"empty", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", true}),
    [](const testing::TestParamInfo<ResponseCase>& info) { return CaseName(info.param.what); });

struct BadResponse {
  const char* what;
  std::string bytes;
};
class Http1ClientBadTest : public testing::TestWithParam<BadResponse> {};

TEST_P(Http1ClientBadTest, ResetsTheStreamAndGivesUpTheConnection) {
  Client client;
  client.Send("GET");
  EXPECT_FALSE(client.Feed(GetParam().bytes).ok());
  EXPECT_EQ(client.receiver().reset, ResetCause::kProtocolError);
  EXPECT_TRUE(client.codec->finished());
  EXPECT_EQ(client.events.finished, 1);
  EXPECT_EQ(client.codec->counters().protocol_errors, 1u);
}

INSTANTIATE_TEST_SUITE_P(
    All, Http1ClientBadTest,
    testing::Values(
        BadResponse{"not HTTP", "SSH-2.0-OpenSSH\r\n\r\n"},
        BadResponse{"bare LF", "HTTP/1.1 200 OK\n\n"},
        BadResponse{"version", "HTTP/2.0 200 OK\r\n\r\n"},
        BadResponse{"status letters", "HTTP/1.1 2x0 OK\r\n\r\n"},
        BadResponse{"status too long", "HTTP/1.1 2000 OK\r\n\r\n"},
        BadResponse{"status below 100", "HTTP/1.1 099 OK\r\n\r\n"},
        BadResponse{"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n"},
        BadResponse{"two lengths",
                    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n"},
        BadResponse{"both framings",
                    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"},
        BadResponse{"chunked in 1 0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"},
        BadResponse{"100 with a body", "HTTP/1.1 100 Continue\r\ncontent-length: 1\r\n\r\n"},
        BadResponse{"folding", "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n"},
        BadResponse{"unasked 101", "HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"},
        BadResponse{"bad chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\n"}),
    [](const testing::TestParamInfo<BadResponse>& info) { return CaseName(info.param.what); });

TEST(Http1ClientTest, InformationalResponsesComeFirst) {
  Client client;
  client.Send("GET");
  ASSERT_TRUE(client
                  .Feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
                        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                  .ok());
  ASSERT_EQ(client.receiver().informational.size(), 2u);
  EXPECT_EQ(client.receiver().informational[1]->Get("link"), "x");
  EXPECT_EQ(client.receiver().headers->status(), 200);
}

TEST(Http1ClientTest, EndlessInformationalResponsesAreALimit) {
  Client client;
  client.Send("GET");
  std::string flood;
  for (int i = 0; i < 40; ++i) flood += "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_FALSE(client.Feed(flood).ok());
  EXPECT_EQ(client.receiver().reset, ResetCause::kLimit);
}

TEST(Http1ClientTest, BytesWithoutARequestGiveUpTheConnection) {
  Client client;
  EXPECT_FALSE(client.Feed("HTTP/1.1 408 Request Timeout\r\n\r\n").ok());
  EXPECT_TRUE(client.codec->finished());
  EXPECT_EQ(client.codec->capacity(), 0u);
}

TEST(Http1ClientTest, AnIdleConnectionThatIsClosedIsFinished) {
  Client client;
  ASSERT_TRUE(client.Feed("", true).ok());
  EXPECT_TRUE(client.codec->finished());
  EXPECT_TRUE(client.events.draining);
}

TEST(Http1ClientTest, ACloseBeforeTheResponseIsALostConnection) {
  Client client;
  client.Send("GET");
  ASSERT_TRUE(client.Feed("", true).ok());
  EXPECT_EQ(client.receiver().reset, ResetCause::kConnectionLost);
}

TEST(Http1ClientTest, ACloseWithinABodyIsALostConnection) {
  for (const char* head : {"content-length: 9", "transfer-encoding: chunked"}) {
    Client client;
    client.Send("GET");
    ASSERT_TRUE(
        client.Feed(std::string("HTTP/1.1 200 OK\r\n") + head + "\r\n\r\n5\r\nab", true).ok());
    EXPECT_EQ(client.receiver().reset, ResetCause::kConnectionLost) << head;
    EXPECT_FALSE(client.receiver().ended);
  }
}

TEST(Http1ClientTest, AnEarlyResponseEndsTheUseOfTheConnection) {
  Client client;
  Stream& stream = client.Send("POST", false, {{"content-length", "100"}});
  ASSERT_TRUE(client.Feed("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").ok());
  EXPECT_TRUE(client.receiver().ended);
  EXPECT_EQ(client.events.finished, 0) << "the user may still hold the stream";
  client.Output();
  Buffer data("more");
  stream.SendData(data, false);
  EXPECT_EQ(client.Output(), "");
  stream.Reset(ResetCause::kLocal);
  ASSERT_TRUE(client.Feed("").ok());
  EXPECT_EQ(client.events.finished, 1);
  EXPECT_TRUE(client.codec->finished());
}

TEST(Http1ClientTest, UpgradeOpensATunnel) {
  Client client;
  Stream& stream =
      client.Send("GET", false, {{"upgrade", "websocket"}, {"sec-websocket-key", "k"}});
  EXPECT_EQ(client.Output(),
            "GET /p HTTP/1.1\r\nhost: a\r\nsec-websocket-key: k\r\nconnection: upgrade\r\n"
            "upgrade: websocket\r\n\r\n");
  Buffer early("early");
  stream.SendData(early, false);
  EXPECT_EQ(client.Output(), "") << "nothing enters a tunnel that is not open";
  ASSERT_TRUE(client.Feed("").ok());
  EXPECT_TRUE(client.receiver().blocked);
  ASSERT_TRUE(client
                  .Feed("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                        "Upgrade: websocket\r\n\r\nhi")
                  .ok());
  EXPECT_EQ(client.receiver().headers->status(), 101);
  EXPECT_EQ(client.receiver().headers->Get("upgrade"), "websocket");
  EXPECT_EQ(client.receiver().body, "hi");
  EXPECT_FALSE(client.receiver().blocked);
  EXPECT_EQ(client.Output(), "early");
  ASSERT_TRUE(client.Feed("bye", true).ok());
  EXPECT_TRUE(client.receiver().ended);
  Buffer last("last");
  stream.SendData(last, true);
  EXPECT_EQ(client.Output(), "last");
  ASSERT_TRUE(client.Feed("", true).ok());
  EXPECT_EQ(client.events.finished, 1);
  EXPECT_TRUE(client.codec->finished());
}

TEST(Http1ClientTest, ARefusedUpgradeIsAnOrdinaryResponse) {
  Client client;
  client.Send("GET", false, {{"upgrade", "websocket"}});
  ASSERT_TRUE(client.Feed("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").ok());
  EXPECT_EQ(client.receiver().body, "no");
  EXPECT_EQ(client.events.finished, 1);
  EXPECT_EQ(client.codec->capacity(), 1u);
}

TEST(Http1ClientTest, ExtendedConnectBecomesAnUpgrade) {
  Client client;
  client.receivers.push_back(std::make_unique<RecordingReceiver>());
  Stream& stream = client.codec->NewStream(client.receivers.back().get());
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_method("CONNECT");
  headers->set_protocol("websocket");
  headers->set_path("/chat");
  headers->set_authority("a");
  stream.SendHeaders(*headers, false);
  const std::string request = client.Output();
  EXPECT_EQ(request.substr(0, 20), "GET /chat HTTP/1.1\r\n");
  EXPECT_NE(request.find("upgrade: websocket\r\nsec-websocket-key: "), std::string::npos);
  ASSERT_TRUE(
      client.Feed("HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").ok());
  EXPECT_EQ(client.receiver().headers->status(), 200);
  EXPECT_EQ(client.receiver().headers->size(), 0u);
}

TEST(Http1ClientTest, ATargetIsEscapedRatherThanSplit) {
  Client client;
  client.receivers.push_back(std::make_unique<RecordingReceiver>());
  Stream& stream = client.codec->NewStream(client.receivers.back().get());
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_method("GET");
  headers->set_path("/a b\r\nc");
  headers->set_authority("a");
  stream.SendHeaders(*headers, true);
  EXPECT_EQ(client.Output(), "GET /a%20b%0D%0Ac HTTP/1.1\r\nhost: a\r\n\r\n");
}

TEST(Http1ClientTest, ResponseTrailersAreKept) {
  Client client;
  client.Send("GET");
  ASSERT_TRUE(client
                  .Feed("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                        "2\r\nok\r\n0\r\ngrpc-status: 5\r\n\r\n")
                  .ok());
  ASSERT_NE(client.receiver().trailers, nullptr);
  EXPECT_EQ(client.receiver().trailers->Get("grpc-status"), "5");
}

}  // namespace
}  // namespace meltemi::http
