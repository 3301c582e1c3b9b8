// The HTTP/1 server codec against raw bytes: what it accepts, refuses and answers.

#include <string>
#include <vector>

#include "base/http/codec_fake.h"
#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

std::string Get(const std::string& fields = "host: a\r\n") {
  return "GET / HTTP/1.1\r\n" + fields + "\r\n";
}

// A server codec fed with raw bytes; answers every request with an empty 200 when told so.
class Server {
 public:
  explicit Server(const Http1Limits& limits = {})
      : codec(NewHttp1ServerCodec(transport, events, limits)) {}

  absl::Status Feed(const std::string& bytes, bool end_of_input = false) {
    in.Append(bytes);
    return Again(end_of_input);
  }
  absl::Status Again(bool end_of_input = false) {
    transport.again = false;
    return codec->Receive(in, end_of_input);
  }
  absl::Status FeedByteByByte(const std::string& bytes) {
    for (const char c : bytes) {
      const absl::Status status = Feed(std::string(1, c));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  void AnswerAtOnce() {
    events.on_new = [](RecordingServerEvents::Exchange& exchange) {
      exchange.receiver.on_headers = [&exchange] { Answer(exchange, 200); };
    };
  }
  static void Answer(RecordingServerEvents::Exchange& exchange, int status) {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_status(status);
    exchange.stream->SendHeaders(*headers, true);
  }
  RecordingReceiver& receiver() { return events.last().receiver; }
  std::string Output() { return transport.TakeOutput(); }

  FakeTransport transport;
  RecordingServerEvents events;
  std::unique_ptr<ServerCodec> codec;
  Buffer in;
};

HeaderMapPtr Response(int status, std::vector<std::pair<std::string, std::string>> fields = {}) {
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_status(status);
  for (const auto& [name, value] : fields) headers->Add(name, value);
  return headers;
}

TEST(Http1ServerTest, ParsesARequest) {
  Server server;
  ASSERT_TRUE(server
                  .Feed("POST /a/b?c=d HTTP/1.1\r\nHost: Example.com:8080\r\nX-Colour:  blue \t\r\n"
                        "Content-Length: 5\r\nAccept:\r\n\r\nhello")
                  .ok());
  RecordingReceiver& r = server.receiver();
  EXPECT_EQ(r.headers->method(), "POST");
  EXPECT_EQ(r.headers->path(), "/a/b?c=d");
  EXPECT_EQ(r.headers->authority(), "Example.com:8080");
  EXPECT_EQ(r.headers->Get("x-colour"), "blue");
  EXPECT_EQ(r.headers->Get("content-length"), "5");
  ASSERT_NE(r.headers->Find("accept"), nullptr);
  EXPECT_EQ(r.headers->Get("accept"), "");
  EXPECT_FALSE(r.headers->Has(HeaderId::kHost));
  EXPECT_EQ(r.body, "hello");
  EXPECT_TRUE(r.ended);
  EXPECT_EQ(server.events.last().stream->protocol(), Protocol::kHttp11);
}

TEST(Http1ServerTest, ParsesByteByByte) {
  Server server;
  const std::string request =
      "\r\nPUT /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: "
      "Chunked\r\nx-a-rather-long-Header-Name: "
      "v\r\n\r\n5;a=b;c=\"d e\"\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 7\r\nhost: b\r\n\r\n";
  ASSERT_TRUE(server.FeedByteByByte(request).ok());
  RecordingReceiver& r = server.receiver();
  EXPECT_EQ(r.body, "hello!");
  EXPECT_EQ(r.headers->Get("x-a-rather-long-header-name"), "v");
  ASSERT_NE(r.trailers, nullptr);
  EXPECT_EQ(r.trailers->Get("x-sum"), "7");
  EXPECT_FALSE(r.trailers->Has(HeaderId::kHost)) << "routing has no place in trailers";
  EXPECT_TRUE(r.ended);
}

struct BadCase {
  const char* what;
  std::string bytes;
  int status;
};

class Http1ServerBadTest : public testing::TestWithParam<BadCase> {};

TEST_P(Http1ServerBadTest, IsRefusedAndNeverReachesAReceiver) {
  for (const bool whole : {true, false}) {
    Server server;
    const absl::Status status =
        whole ? server.Feed(GetParam().bytes) : server.FeedByteByByte(GetParam().bytes);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(server.events.exchanges.empty());
    EXPECT_TRUE(server.codec->finished());
    EXPECT_FALSE(server.codec->wants_input());
    const std::string output = server.Output();
    EXPECT_EQ(output.substr(0, 13), "HTTP/1.1 " + std::to_string(GetParam().status) + " ")
        << status << "\n"
        << output;
    EXPECT_NE(output.find("connection: close\r\n"), std::string::npos);
    const CodecCounters& counters = server.codec->counters();
    EXPECT_EQ(counters.protocol_errors + counters.limit_errors, 1u);
  }
}

std::string Many(int count) {
  std::string fields = "host: a\r\n";
  for (int i = 0; i < count; ++i) fields += "x: y\r\n";
  return fields;
}

const BadCase kBadCases[] = {
    {"repeated Content-Length", Get("host: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n"), 400},
    {"conflicting Content-Length", Get("host: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n"),
     400},
    {"Content-Length list", Get("host: a\r\ncontent-length: 5, 5\r\n"), 400},
    {"negative Content-Length", Get("host: a\r\ncontent-length: -5\r\n"), 400},
    {"signed Content-Length", Get("host: a\r\ncontent-length: +5\r\n"), 400},
    {"empty Content-Length", Get("host: a\r\ncontent-length:\r\n"), 400},
    {"hexadecimal Content-Length", Get("host: a\r\ncontent-length: 0x5\r\n"), 400},
    {"overflowing Content-Length", Get("host: a\r\ncontent-length: 9223372036854775808\r\n"), 400},
    {"very long Content-Length", Get("host: a\r\ncontent-length: 00000000000000000000000005\r\n"),
     400},
    {"blank within Content-Length", Get("host: a\r\ncontent-length: 5 5\r\n"), 400},
    {"both framings", Get("host: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n"), 400},
    {"both framings, other order",
     Get("host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n"), 400},
    {"chunked twice", Get("host: a\r\ntransfer-encoding: chunked, chunked\r\n"), 400},
    {"Transfer-Encoding twice",
     Get("host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), 400},
    {"chunked not last", Get("host: a\r\ntransfer-encoding: chunked, gzip\r\n"), 400},
    {"unknown coding", Get("host: a\r\ntransfer-encoding: gzip, chunked\r\n"), 501},
    {"unknown coding alone", Get("host: a\r\ntransfer-encoding: gzip\r\n"), 400},
    {"identity", Get("host: a\r\ntransfer-encoding: identity\r\n"), 400},
    {"empty Transfer-Encoding", Get("host: a\r\ntransfer-encoding:\r\n"), 400},
    {"Transfer-Encoding with a vertical tab",
     Get("host: a\r\ntransfer-encoding: \x0b"
         "chunked\r\n"),
     400},
    {"xchunked", Get("host: a\r\ntransfer-encoding: xchunked\r\n"), 400},
    {"quoted chunked", Get("host: a\r\ntransfer-encoding: \"chunked\"\r\n"), 400},
    {"chunked with a leading comma", Get("host: a\r\ntransfer-encoding: ,chunked\r\n"), 400},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
     400},
    {"bare LF after the request line", "GET / HTTP/1.1\nhost: a\r\n\r\n", 400},
    {"bare LF after a field", "GET / HTTP/1.1\r\nhost: a\n\r\n", 400},
    {"bare LF at the end", "GET / HTTP/1.1\r\nhost: a\r\n\n", 400},
    {"bare CR in a value", Get("host: a\r\nx: a\rb\r\n"), 400},
    {"CR CR LF", "GET / HTTP/1.1\r\nhost: a\r\r\n\r\n", 400},
    {"NUL in a value", Get(std::string("host: a\r\nx: a\0b\r\n", 16)), 400},
    {"NUL in a name", Get(std::string("host: a\r\nx\0: b\r\n", 15)), 400},
    {"control character in a value", Get("host: a\r\nx: \x01\r\n"), 400},
    {"DEL in a value", Get("host: a\r\nx: \x7f\r\n"), 400},
    {"line folding", Get("host: a\r\nx: a\r\n b\r\n"), 400},
    {"line folding with a tab", Get("host: a\r\nx: a\r\n\tb\r\n"), 400},
    {"blank before the first field", "GET / HTTP/1.1\r\n host: a\r\n\r\n", 400},
    {"blank before the colon", Get("host: a\r\nx : b\r\n"), 400},
    {"tab before the colon", Get("host: a\r\nx\t: b\r\n"), 400},
    {"no colon", Get("host: a\r\nnothing\r\n"), 400},
    {"no name", Get("host: a\r\n: b\r\n"), 400},
    {"illegal character in a name", Get("host: a\r\nx(y): b\r\n"), 400},
    {"non-ASCII name", Get("host: a\r\n\xc3\xa9: b\r\n"), 400},
    {"no Host", Get(""), 400},
    {"empty Host", Get("host:\r\n"), 400},
    {"two Hosts", Get("host: a\r\nhost: a\r\n"), 400},
    {"Host with a path", Get("host: a/b\r\n"), 400},
    {"Host with user information", Get("host: u@a\r\n"), 400},
    {"Host with a blank", Get("host: a b\r\n"), 400},
    {"Host with a bad port", Get("host: a:b\r\n"), 400},
    {"Host with a port too large", Get("host: a:65536\r\n"), 400},
    {"Host with an open bracket", Get("host: [::1\r\n"), 400},
    {"Host with only a port", Get("host: :80\r\n"), 400},
    {"no target", "GET  HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"two blanks", "GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"blank in the target", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"tab in the target", "GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"fragment in the target", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"non-ASCII target", "GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"relative target", "GET a/b HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"other scheme", "GET ftp://a/b HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"absolute form without a host", "GET http:///b HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"absolute form with user information", "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"asterisk to GET", "GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"CONNECT without a port", "CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 1\r\n\r\n", 400},
    {"bad method", "GE(T / HTTP/1.1\r\nhost: a\r\n\r\n", 400},
    {"lower-case version", "GET / http/1.1\r\nhost: a\r\n\r\n", 400},
    {"no version", "GET /\r\nhost: a\r\n\r\n", 400},
    {"blank after the version", "GET / HTTP/1.1 \r\nhost: a\r\n\r\n", 400},
    {"version 2.0", "GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505},
    {"version 1.2", "GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505},
    {"version 1.10", "GET / HTTP/1.10\r\nhost: a\r\n\r\n", 400},
    {"TLS instead of HTTP", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},
    {"many empty lines", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 400},
    {"too many fields", Get(Many(101)), 431},
    {"large fields", Get("host: a\r\nx: " + std::string(61 * 1024, 'x') + "\r\n"), 431},
    {"long target", "GET /" + std::string(61 * 1024, 'x') + " HTTP/1.1\r\nhost: a\r\n\r\n", 414},
};

INSTANTIATE_TEST_SUITE_P(All, Http1ServerBadTest, testing::ValuesIn(kBadCases),
                         [](const testing::TestParamInfo<BadCase>& info) {
                           std::string name;
                           for (const char* c = info.param.what; *c != 0; ++c) {
                             name += isalnum(static_cast<unsigned char>(*c)) ? *c : '_';
                           }
                           return name;
                         });

class Http1ServerBadBodyTest : public testing::TestWithParam<BadCase> {};

TEST_P(Http1ServerBadBodyTest, EndsTheStreamAndTheConnection) {
  for (const bool whole : {true, false}) {
    Server server;
    const std::string bytes =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + GetParam().bytes;
    const absl::Status status = whole ? server.Feed(bytes) : server.FeedByteByByte(bytes);
    EXPECT_FALSE(status.ok());
    ASSERT_EQ(server.events.exchanges.size(), 1u);
    EXPECT_TRUE(server.receiver().reset.has_value());
    EXPECT_FALSE(server.receiver().ended);
    EXPECT_TRUE(server.events.last().finished);
    EXPECT_TRUE(server.codec->finished());
    EXPECT_EQ(server.Output().substr(0, 13), "HTTP/1.1 " + std::to_string(GetParam().status) + " ");
  }
}

const BadCase kBadBodies[] = {
    {"no digits", "\r\nhello\r\n", 400},
    {"not a number", "xyz\r\n", 400},
    {"signed", "+5\r\nhello\r\n0\r\n\r\n", 400},
    {"prefixed", "0x5\r\nhello\r\n0\r\n\r\n", 400},
    {"blank after the size", "5 \r\nhello\r\n0\r\n\r\n", 400},
    {"blank before the size", " 5\r\nhello\r\n0\r\n\r\n", 400},
    {"LF after the size", "5\nhello\r\n0\r\n\r\n", 400},
    {"CR alone after the size", "5\rhello\r\n0\r\n\r\n", 400},
    {"overflow", "FFFFFFFFFFFFFFFF\r\n", 400},
    {"too many digits", "00000000000000005\r\nhello\r\n", 400},
    {"longer than its size", "4\r\nhello\r\n0\r\n\r\n", 400},
    {"LF after the data", "5\r\nhello\n0\r\n\r\n", 400},
    {"long extension", "5;" + std::string(300, 'a') + "\r\nhello\r\n0\r\n\r\n", 400},
    {"LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", 400},
    {"unclosed quote in an extension", "5;a=\"b\r\nhello\r\n0\r\n\r\n", 400},
    {"escape in an extension", "5;a=\"b\\\"\"\r\nhello\r\n0\r\n\r\n", 400},
    {"NUL in an extension", std::string("5;a\0b\r\nhello\r\n0\r\n\r\n", 19), 400},
    {"Content-Length in the trailers", "0\r\ncontent-length: 5\r\n\r\n", 400},
    {"Transfer-Encoding in the trailers", "0\r\ntransfer-encoding: chunked\r\n\r\n", 400},
    {"bad trailer", "0\r\nbad name: x\r\n\r\n", 400},
    {"folded trailer", "0\r\na: x\r\n b\r\n\r\n", 400},
    {"LF in the trailers", "0\r\na: x\n\r\n", 400},
    {"large trailers", "0\r\na: " + std::string(61 * 1024, 'x') + "\r\n\r\n", 431},
    {"many trailers", "0\r\n" + Many(120) + "\r\n", 431},
};

INSTANTIATE_TEST_SUITE_P(All, Http1ServerBadBodyTest, testing::ValuesIn(kBadBodies),
                         [](const testing::TestParamInfo<BadCase>& info) {
                           std::string name;
                           for (const char* c = info.param.what; *c != 0; ++c) {
                             name += isalnum(static_cast<unsigned char>(*c)) ? *c : '_';
                           }
                           return name;
                         });

TEST(Http1ServerTest, ChunkExtensionsOfAllChunksShareOneBound) {
  Http1Limits limits;
  limits.chunk_extension_bytes_max = 10;
  Server server(limits);
  ASSERT_TRUE(server
                  .Feed("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                        "1;aaaa\r\nx\r\n1;aaaa\r\nx\r\n")
                  .ok());
  EXPECT_FALSE(server.Feed("1;aaaa\r\nx\r\n").ok());
  EXPECT_EQ(server.receiver().body, "xx");
}

TEST(Http1ServerTest, AbsoluteFormReplacesHost) {
  Server server;
  ASSERT_TRUE(server.Feed("GET HTTP://b.example:81/p?q HTTP/1.1\r\nhost: a\r\n\r\n").ok());
  EXPECT_EQ(server.receiver().headers->authority(), "b.example:81");
  EXPECT_EQ(server.receiver().headers->path(), "/p?q");
}

TEST(Http1ServerTest, AbsoluteFormWithoutAPathIsTheRoot) {
  Server server;
  server.AnswerAtOnce();
  ASSERT_TRUE(server
                  .Feed("GET http://b HTTP/1.1\r\nhost: a\r\n\r\n"
                        "GET http://b?q HTTP/1.1\r\nhost: a\r\n\r\n")
                  .ok());
  EXPECT_EQ(server.events.exchanges[0]->receiver.headers->path(), "/");
  EXPECT_EQ(server.events.exchanges[1]->receiver.headers->path(), "/?q");
}

TEST(Http1ServerTest, AsteriskFormIsForOptions) {
  Server server;
  ASSERT_TRUE(server.Feed("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").ok());
  EXPECT_EQ(server.receiver().headers->path(), "*");
}

TEST(Http1ServerTest, GoodAuthorities) {
  for (const char* host : {"a", "a.b-c_d:80", "127.0.0.1", "[::1]", "[::1]:8080", "a%20b", "a:"}) {
    Server server;
    EXPECT_TRUE(server.Feed(Get(std::string("Host: ") + host + "\r\n")).ok()) << host;
  }
}

TEST(Http1ServerTest, HopByHopFieldsStayOnThisHop) {
  Server server;
  ASSERT_TRUE(server
                  .Feed(Get("host: a\r\nconnection: keep-alive, X-Private, TE, authorization\r\n"
                            "keep-alive: timeout=5\r\nproxy-connection: x\r\nx-private: 1\r\n"
                            "te: gzip, trailers\r\nx-public: 2\r\nauthorization: me\r\n"
                            "upgrade: h2c\r\nhttp2-settings: AA\r\n"))
                  .ok());
  const HeaderMap& headers = *server.receiver().headers;
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers.Get("te"), "trailers");
  EXPECT_EQ(headers.Get("x-public"), "2");
  EXPECT_EQ(headers.Get("authorization"), "me")
      << "no field that the mesh relies on can be taken away";
}

TEST(Http1ServerTest, OtherMethodsUpgradeWhereTheyMay) {
  const std::string request =
      "POST /exec HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n"
      "content-length: 0\r\n\r\n";
  Server strict;
  ASSERT_TRUE(strict.Feed(request).ok());
  EXPECT_TRUE(strict.receiver().ended) << "an ordinary request";
  EXPECT_EQ(strict.receiver().headers->Get("upgrade"), "");
  Http1Limits limits;
  limits.upgrade_any_method = true;
  Server server(limits);
  ASSERT_TRUE(server.Feed(request + "tunnel").ok());
  EXPECT_FALSE(server.receiver().ended);
  EXPECT_EQ(server.receiver().headers->Get("upgrade"), "SPDY/3.1");
  server.events.last().stream->SendHeaders(*Response(101, {{"upgrade", "SPDY/3.1"}}), false);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.receiver().body, "tunnel");
}

TEST(Http1ServerTest, AnswersPipelinedRequestsInOrder) {
  Server server;
  ASSERT_TRUE(
      server.Feed("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n").ok());
  ASSERT_EQ(server.events.exchanges.size(), 1u) << "the second one waits";
  EXPECT_FALSE(server.codec->wants_input());
  server.Answer(server.events.last(), 201);
  EXPECT_EQ(server.events.exchanges.size(), 1u) << "nothing happens within the call";
  EXPECT_TRUE(server.transport.again);
  ASSERT_TRUE(server.Again().ok());
  ASSERT_EQ(server.events.exchanges.size(), 2u);
  EXPECT_TRUE(server.events.exchanges[0]->finished);
  EXPECT_EQ(server.receiver().headers->path(), "/2");
  server.Answer(server.events.last(), 202);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.Output(),
            "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(server.codec->wants_input());
  EXPECT_FALSE(server.codec->finished());
}

TEST(Http1ServerTest, PipelineWaitsWhileTheTransportIsBlocked) {
  Server server;
  server.AnswerAtOnce();
  server.codec->OnTransportBlocked(true);
  ASSERT_TRUE(server.Feed(Get() + Get()).ok());
  EXPECT_EQ(server.events.exchanges.size(), 0u);
  EXPECT_FALSE(server.codec->wants_input());
  server.codec->OnTransportBlocked(false);
  EXPECT_TRUE(server.transport.again);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.events.exchanges.size(), 2u);
}

TEST(Http1ServerTest, BodiesAreFramedAsAnnounced) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  server.events.last().stream->SendHeaders(*Response(200, {{"content-length", "5"}, {"x", "y"}}),
                                           false);
  Buffer data("hello");
  server.events.last().stream->SendData(data, true);
  EXPECT_TRUE(data.empty());
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\nhello");
}

TEST(Http1ServerTest, BodiesOfUnknownLengthAreChunkedWithTrailers) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  Stream& stream = *server.events.last().stream;
  stream.SendHeaders(*Response(200), false);
  Buffer data(std::string(300, 'x'));
  stream.SendData(data, false);
  HeaderMapPtr trailers = HeaderMap::New();
  trailers->Add("grpc-status", "0");
  trailers->Add("content-length", "12");
  stream.SendTrailers(*trailers);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n12c\r\n" +
                                 std::string(300, 'x') + "\r\n0\r\ngrpc-status: 0\r\n\r\n");
  EXPECT_FALSE(server.codec->finished());
}

TEST(Http1ServerTest, HeadAnd204And304HaveNoBody) {
  for (const auto& [method, status, expected] :
       std::vector<std::tuple<std::string, int, std::string>>{
           {"HEAD", 200, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
           {"GET", 304, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"},
           {"GET", 204, "HTTP/1.1 204 No Content\r\n\r\n"}}) {
    Server server;
    ASSERT_TRUE(server.Feed(method + " / HTTP/1.1\r\nhost: a\r\n\r\n").ok());
    server.events.last().stream->SendHeaders(*Response(status, {{"content-length", "5"}}), false);
    Buffer data("hello");
    server.events.last().stream->SendData(data, true);
    ASSERT_TRUE(server.Again().ok());
    EXPECT_EQ(server.Output(), expected);
    EXPECT_TRUE(server.events.last().finished);
    EXPECT_FALSE(server.codec->finished());
  }
}

TEST(Http1ServerTest, ABodyShorterOrLongerThanAnnouncedClosesTheConnection) {
  for (const std::string body : {"hell", "hello!"}) {
    Server server;
    ASSERT_TRUE(server.Feed(Get()).ok());
    server.events.last().stream->SendHeaders(*Response(200, {{"content-length", "5"}}), false);
    Buffer data(body);
    server.events.last().stream->SendData(data, true);
    ASSERT_TRUE(server.Again().ok());
    EXPECT_TRUE(server.codec->finished());
    EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + body.substr(0, 5));
  }
}

TEST(Http1ServerTest, ConnectionCloseIsHonoured) {
  Server server;
  server.AnswerAtOnce();
  ASSERT_TRUE(server.Feed(Get("host: a\r\nConnection: Close\r\n") + Get()).ok());
  EXPECT_EQ(server.events.exchanges.size(), 1u);
  EXPECT_TRUE(server.codec->finished());
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

TEST(Http1ServerTest, Http10ClosesUnlessAskedToStay) {
  Server server;
  server.AnswerAtOnce();
  ASSERT_TRUE(server.Feed("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").ok());
  EXPECT_EQ(server.events.last().stream->protocol(), Protocol::kHttp10);
  EXPECT_EQ(server.Output(),
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(server.Feed("GET / HTTP/1.0\r\n\r\n").ok());
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, Http10GetsNoChunksAndNo100) {
  Server server;
  ASSERT_TRUE(server.Feed("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").ok());
  Stream& stream = *server.events.last().stream;
  stream.SendInformational(*Response(100));
  stream.SendHeaders(*Response(200), false);
  Buffer data("hello");
  stream.SendData(data, true);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, Http10CanBeTurnedOff) {
  Http1Limits limits;
  limits.accept_http10 = false;
  Server server(limits);
  EXPECT_FALSE(server.Feed("GET / HTTP/1.0\r\n\r\n").ok());
  EXPECT_EQ(server.Output().substr(0, 13), "HTTP/1.1 426 ");
}

TEST(Http1ServerTest, ExpectReachesTheReceiverWhoSendsThe100) {
  Server server;
  ASSERT_TRUE(
      server.Feed("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
          .ok());
  EXPECT_EQ(server.receiver().headers->Get("expect"), "100-continue");
  EXPECT_EQ(server.Output(), "");
  server.events.last().stream->SendInformational(*Response(100));
  EXPECT_EQ(server.Output(), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(server.Feed("ok").ok());
  EXPECT_EQ(server.receiver().body, "ok");
}

TEST(Http1ServerTest, AResponseBeforeTheEndOfItsRequestClosesTheConnection) {
  Server server;
  ASSERT_TRUE(server.Feed("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").ok());
  server.Answer(server.events.last(), 413);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_NE(server.Output().find("connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(server.codec->finished());
  EXPECT_TRUE(server.events.last().finished);
  EXPECT_FALSE(server.receiver().reset.has_value());
}

TEST(Http1ServerTest, PausedReadingLeavesTheBytesWhereTheyAre) {
  Server server;
  ASSERT_TRUE(server.Feed("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").ok());
  Stream& stream = *server.events.last().stream;
  stream.PauseReading(true);
  EXPECT_FALSE(server.codec->wants_input());
  ASSERT_TRUE(server.Feed("defghi").ok());
  EXPECT_EQ(server.receiver().body, "abc");
  EXPECT_EQ(server.in.size(), 6u);
  stream.PauseReading(false);
  EXPECT_EQ(server.receiver().body, "abc") << "not from within the call";
  EXPECT_TRUE(server.transport.again);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.receiver().body, "abcdefghi");
  EXPECT_TRUE(server.receiver().ended);
}

TEST(Http1ServerTest, AReceiverIsToldWhenTheTransportIsBlocked) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  server.codec->OnTransportBlocked(true);
  EXPECT_TRUE(server.receiver().blocked);
  server.codec->OnTransportBlocked(false);
  EXPECT_FALSE(server.receiver().blocked);
}

TEST(Http1ServerTest, AClientThatLeavesResetsItsStream) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  ASSERT_TRUE(server.Again(/*end_of_input=*/true).ok());
  EXPECT_EQ(server.receiver().reset, ResetCause::kConnectionLost);
  EXPECT_TRUE(server.events.last().finished);
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, AClientThatLeavesWithinItsBodyResetsItsStream) {
  Server server;
  ASSERT_TRUE(server.Feed("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc", true).ok());
  EXPECT_EQ(server.receiver().body, "abc");
  EXPECT_EQ(server.receiver().reset, ResetCause::kConnectionLost);
}

TEST(Http1ServerTest, AClientThatLeavesWithinAHeadIsAnError) {
  Server server;
  EXPECT_FALSE(server.Feed("GET / HT", true).ok());
  EXPECT_EQ(server.codec->counters().protocol_errors, 1u);
}

TEST(Http1ServerTest, ALostConnectionResetsTheStream) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  server.codec->OnConnectionClosed(ResetCause::kConnectionLost, "reset by peer");
  EXPECT_EQ(server.receiver().reset, ResetCause::kConnectionLost);
  EXPECT_EQ(server.receiver().reset_detail, "reset by peer");
  EXPECT_TRUE(server.events.last().finished);
  EXPECT_EQ(server.codec->open_streams(), 0u);
}

TEST(Http1ServerTest, ResetClosesWithoutCallingBack) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  server.events.last().stream->Reset(ResetCause::kLocal);
  EXPECT_FALSE(server.events.last().finished);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_TRUE(server.events.last().finished);
  EXPECT_FALSE(server.receiver().reset.has_value());
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, DrainEndsAfterTheCurrentRequest) {
  Server server;
  ASSERT_TRUE(server.Feed(Get() + Get()).ok());
  server.codec->StartDrain();
  EXPECT_FALSE(server.codec->finished());
  server.Answer(server.events.last(), 200);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.events.exchanges.size(), 1u);
  EXPECT_NE(server.Output().find("connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, AnIdleConnectionDrainsAtOnce) {
  Server server;
  server.codec->StartDrain();
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, UpgradeOpensATunnelBothWays) {
  Server server;
  ASSERT_TRUE(server
                  .Feed(Get("host: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
                            "sec-websocket-key: k\r\n") +
                        "early")
                  .ok());
  EXPECT_EQ(server.receiver().headers->Get("upgrade"), "websocket");
  EXPECT_FALSE(server.receiver().ended);
  EXPECT_EQ(server.receiver().body, "") << "nothing passes before the answer";
  Stream& stream = *server.events.last().stream;
  stream.SendHeaders(*Response(101, {{"upgrade", "websocket"}}), false);
  EXPECT_EQ(
      server.Output(),
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.receiver().body, "early");
  Buffer data("down");
  stream.SendData(data, false);
  EXPECT_EQ(server.Output(), "down");
  ASSERT_TRUE(server.Feed("up", /*end_of_input=*/true).ok());
  EXPECT_EQ(server.receiver().body, "earlyup");
  EXPECT_TRUE(server.receiver().ended) << "the half-close arrives";
  EXPECT_FALSE(server.receiver().reset.has_value());
  EXPECT_FALSE(server.events.last().finished) << "the other half stays open";
  Buffer more("bye");
  stream.SendData(more, true);
  EXPECT_TRUE(server.transport.write_closed);
  ASSERT_TRUE(server.Again(true).ok());
  EXPECT_TRUE(server.events.last().finished);
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, ARefusedUpgradeIsAnOrdinaryRequest) {
  Server server;
  ASSERT_TRUE(
      server.Feed(Get("host: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n") + Get()).ok());
  server.Answer(server.events.last(), 403);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.Output(), "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(server.events.exchanges.size(), 2u);
}

TEST(Http1ServerTest, ConnectOpensATunnel) {
  Server server;
  ASSERT_TRUE(server.Feed("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n").ok());
  EXPECT_EQ(server.receiver().headers->authority(), "b:443");
  EXPECT_EQ(server.receiver().headers->path(), "");
  server.events.last().stream->SendHeaders(*Response(200, {{"content-length", "0"}}), false);
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(server.Feed("GET / HTTP/1.1\r\n\r\n").ok()) << "bytes of a tunnel are not parsed";
  EXPECT_EQ(server.receiver().body, "GET / HTTP/1.1\r\n\r\n");
}

TEST(Http1ServerTest, ARefusedConnectClosesTheConnection) {
  Server server;
  ASSERT_TRUE(
      server.Feed("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n")
          .ok());
  server.Answer(server.events.last(), 403);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.events.exchanges.size(), 1u);
  EXPECT_TRUE(server.codec->finished());
}

TEST(Http1ServerTest, AValueCanNeverBeginALineOfItsOwn) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  server.events.last().stream->SendHeaders(
      *Response(200, {{"x-bad", "a\r\nset-cookie: evil"}, {"x-tab", "a\tb"}}), true);
  EXPECT_EQ(
      server.Output(),
      "HTTP/1.1 200 OK\r\nx-bad: a  set-cookie: evil\r\nx-tab: a\tb\r\ncontent-length: 0\r\n\r\n");
}

TEST(Http1ServerTest, LargeResponseHeadsAreWrittenWhole) {
  Server server;
  ASSERT_TRUE(server.Feed(Get()).ok());
  server.events.last().stream->SendHeaders(*Response(200, {{"x-large", std::string(50000, 'l')}}),
                                           true);
  EXPECT_EQ(server.Output(), "HTTP/1.1 200 OK\r\nx-large: " + std::string(50000, 'l') +
                                 "\r\ncontent-length: 0\r\n\r\n");
}

TEST(Http1ServerTest, HeadsUpToTheLimitAreTaken) {
  Server server;
  const std::string request = Get("host: a\r\nx: " + std::string(59 * 1024, 'x') + "\r\n");
  ASSERT_TRUE(server.FeedByteByByte(request).ok());
  EXPECT_EQ(server.receiver().headers->Get("x").size(), 59u * 1024);
  EXPECT_TRUE(server.receiver().ended);
}

}  // namespace
}  // namespace meltemi::http
