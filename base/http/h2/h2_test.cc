// What only HTTP/2 has: frames made by hand against the codecs. Conformance at large is h2spec's
// part (test/conformance/h2spec); these are limits, floods, and the rules of our own.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/http/codec_fake.h"
#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
constexpr uint32_t kNoError = 0, kProtocolError = 1, kRefusedStream = 7, kEnhanceYourCalm = 11;

std::string Be32(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame = Be32(static_cast<uint32_t>(payload.size())).substr(1);
  frame += {static_cast<char>(type), static_cast<char>(flags)};
  return frame + Be32(stream) + payload;
}

// Literal fields without indexing and without Huffman; names and values under 127 bytes, or longer
// values with the length in HPACK's continuation form.
std::string HpackInt(size_t value, uint8_t prefix_max) {
  if (value < prefix_max) return std::string(1, static_cast<char>(value));
  std::string bytes(1, static_cast<char>(prefix_max));
  value -= prefix_max;
  for (; value >= 128; value >>= 7) bytes.push_back(static_cast<char>(value % 128 + 128));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
using Fields = std::vector<std::pair<std::string, std::string>>;
std::string Hpack(const Fields& fields) {
  std::string block;
  for (const auto& [name, value] : fields) {
    block += '\0';
    block += HpackInt(name.size(), 127) + name + HpackInt(value.size(), 127) + value;
  }
  return block;
}
Fields Get(const std::string& path = "/") {
  return {{":method", "GET"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}};
}
Fields With(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
std::string HeadersFrame(uint32_t stream, const Fields& fields,
                         uint8_t flags = kEndStream | kEndHeaders) {
  return Frame(kHeaders, flags, stream, Hpack(fields));
}
std::string Preface() { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, ""); }

struct Seen {
  uint8_t type, flags;
  uint32_t stream;
  std::string payload;
  uint32_t code() const {  // of RST_STREAM and GOAWAY
    const size_t at = type == kGoaway ? 4 : 0;
    uint32_t v = 0;
    for (size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<uint8_t>(payload.at(at + i));
    return v;
  }
};

// The frames in `bytes`.
std::vector<Seen> Parse(std::string bytes) {
  std::vector<Seen> frames;
  while (bytes.size() >= 9) {
    const auto byte = [&](size_t i) {
      return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
    };
    const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    Seen frame{static_cast<uint8_t>(byte(3)), static_cast<uint8_t>(byte(4)),
               byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8), bytes.substr(9, size)};
    frames.push_back(frame);
    bytes.erase(0, 9 + size);
  }
  return frames;
}

class Server {
 public:
  explicit Server(const Http2Limits& limits = {})
      : codec(NewHttp2ServerCodec(transport, events, limits)) {
    EXPECT_TRUE(Feed(Preface()).ok());
    transport.TakeOutput();
  }
  absl::Status Feed(const std::string& bytes) {
    in.Append(bytes);
    transport.again = false;
    return codec->Receive(in, false);
  }
  absl::Status Again() { return Feed(""); }
  std::vector<Seen> Frames() { return Parse(transport.TakeOutput()); }
  // The first frame of a type; a frame of type 255 when there is none.
  Seen Find(uint8_t type) {
    for (Seen& frame : Frames()) {
      if (frame.type == type) return frame;
    }
    return {255, 0, 0, ""};
  }
  RecordingReceiver& receiver() { return events.last().receiver; }

  FakeTransport transport;
  RecordingServerEvents events;
  std::unique_ptr<ServerCodec> codec;
  Buffer in;
};

HeaderMapPtr Response(int status) {
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_status(status);
  return headers;
}

// ---- Requests
// ------------------------------------------------------------------------------------

TEST(Http2ServerTest, JoinsCookieCrumbsAndTakesHostForAuthority) {
  Server server;
  ASSERT_TRUE(server
                  .Feed(HeadersFrame(1, {{":method", "GET"},
                                         {":scheme", "http"},
                                         {":path", "/"},
                                         {"host", "b.example"},
                                         {"cookie", "a=1"},
                                         {"x", "y"},
                                         {"cookie", "b=2"}}))
                  .ok());
  const HeaderMap& headers = *server.receiver().headers;
  EXPECT_EQ(headers.authority(), "b.example");
  EXPECT_FALSE(headers.Has(HeaderId::kHost));
  EXPECT_EQ(headers.Get("cookie"), "a=1; b=2");
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.scheme(), "http");
}

struct BadRequest {
  const char* what;
  Fields fields;
};
class Http2BadRequestTest : public testing::TestWithParam<BadRequest> {};

TEST_P(Http2BadRequestTest, IsResetAndNeverReachesAReceiver) {
  Server server;
  ASSERT_TRUE(server.Feed(HeadersFrame(1, GetParam().fields)).ok());
  EXPECT_TRUE(server.events.exchanges.empty());
  const Seen reset = server.Find(kRstStream);
  ASSERT_EQ(reset.type, kRstStream);
  EXPECT_EQ(reset.code(), kProtocolError);
  EXPECT_EQ(server.codec->open_streams(), 0u);
  EXPECT_GE(server.codec->counters().protocol_errors, 1u);
  // The connection goes on.
  ASSERT_TRUE(server.Feed(HeadersFrame(3, Get())).ok());
  EXPECT_EQ(server.events.exchanges.size(), 1u);
}

const BadRequest kBadRequests[] = {
    {"path without slash",
     {{":method", "GET"}, {":scheme", "x"}, {":path", "a"}, {":authority", "a"}}},
    {"path with fragment", Get("/a#b")},
    {"path with blank", Get("/a b")},
    {"path not ASCII", Get("/\xc3\xa9")},
    {"authority with path",
     {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a/b"}}},
    {"authority with user",
     {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "u@a"}}},
    {"host differs", With(Get(), {{"host", "b"}})},
    {"no path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}}},
    {"no method", {{":scheme", "http"}, {":path", "/"}, {":authority", "a"}}},
    {"two paths", With(Get(), {{":path", "/b"}})},
    {"late pseudo header", With(Get(), {{"a", "b"}, {":path", "/b"}})},
    {"connection", With(Get(), {{"connection", "close"}})},
    {"transfer encoding", With(Get(), {{"transfer-encoding", "chunked"}})},
    {"upgrade", With(Get(), {{"upgrade", "x"}})},
    {"te", With(Get(), {{"te", "gzip"}})},
    {"upper case name", With(Get(), {{"X", "y"}})},
    {"line break in a value", With(Get(), {{"x", "a\r\nb"}})},
    {"NUL in a value", With(Get(), {{"x", std::string("a\0b", 3)}})},
    {"blank in a name", With(Get(), {{"x y", "z"}})},
    {"empty name", With(Get(), {{"", "z"}})},
    {"content length without content", With(Get(), {{"content-length", "5"}})},
    {"two content lengths", With(Get(), {{"content-length", "0"}, {"content-length", "0"}})},
    {"status in a request", With(Get(), {{":status", "200"}})},
    {"CONNECT with a path", {{":method", "CONNECT"}, {":path", "/"}, {":authority", "a:1"}}},
    {"CONNECT without authority", {{":method", "CONNECT"}}},
};
INSTANTIATE_TEST_SUITE_P(All, Http2BadRequestTest, testing::ValuesIn(kBadRequests),
                         [](const testing::TestParamInfo<BadRequest>& info) {
                           std::string name;
                           for (const char* c = info.param.what; *c != 0; ++c) {
                             name += isalnum(static_cast<unsigned char>(*c)) ? *c : '_';
                           }
                           return name;
                         });

TEST(Http2ServerTest, HeadersOverTheLimitAreAnsweredWith431) {
  for (const bool count : {true, false}) {
    Http2Limits limits;
    limits.headers_bytes_max = 4000;
    Server server(limits);
    Fields fields = Get();
    for (int i = 0; i < (count ? 101 : 20); ++i)
      fields.push_back({"x", std::string(count ? 1 : 300, 'x')});
    if (count) limits.headers_bytes_max = 60000;
    ASSERT_TRUE(server.Feed(HeadersFrame(1, fields, kEndHeaders)).ok());
    EXPECT_TRUE(server.events.exchanges.empty());
    const std::vector<Seen> frames = server.Frames();
    ASSERT_EQ(frames.size(), 2u);
    EXPECT_EQ(frames[0].type, kHeaders);
    EXPECT_EQ(frames[0].flags & kEndStream, kEndStream);
    EXPECT_EQ(frames[1].type, kRstStream);
    EXPECT_EQ(frames[1].code(), kNoError);
    EXPECT_EQ(server.codec->counters().limit_errors, 1u);
    EXPECT_EQ(server.codec->open_streams(), 0u);
    EXPECT_EQ(server.events.unknown_finished, 0);
  }
}

TEST(Http2ServerTest, StreamsOverTheLimitAreRefused) {
  Http2Limits limits;
  limits.concurrent_streams_max = 2;
  Server server(limits);
  ASSERT_TRUE(
      server.Feed(HeadersFrame(1, Get()) + HeadersFrame(3, Get()) + HeadersFrame(5, Get())).ok());
  EXPECT_EQ(server.events.exchanges.size(), 2u);
  const Seen reset = server.Find(kRstStream);
  EXPECT_EQ(reset.stream, 5u);
  EXPECT_EQ(reset.code(), kRefusedStream);
}

TEST(Http2ServerTest, AnswersComeInOnePieceAtTheNextTurn) {
  Server server;
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get())).ok());
  Stream& stream = *server.events.last().stream;
  stream.SendHeaders(*Response(200), false);
  Buffer data("hello");
  stream.SendData(data, true);
  EXPECT_TRUE(server.transport.output().empty()) << "nothing is written within the calls";
  EXPECT_TRUE(server.transport.again);
  ASSERT_TRUE(server.Again().ok());
  const std::vector<Seen> frames = server.Frames();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[1].payload, "hello");
  EXPECT_EQ(frames[1].flags, kEndStream);
  EXPECT_TRUE(server.events.last().finished);
}

TEST(Http2ServerTest, TrailersAfterSentDataNeedNoEmptyFrame) {
  Server server;
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get())).ok());
  Stream& stream = *server.events.last().stream;
  stream.SendHeaders(*Response(200), false);
  Buffer data("hello");
  stream.SendData(data, false);
  ASSERT_TRUE(server.Again().ok());
  HeaderMapPtr trailers = HeaderMap::New();
  trailers->Add("grpc-status", "0");
  stream.SendTrailers(*trailers);
  ASSERT_TRUE(server.Again().ok());
  const std::vector<Seen> frames = server.Frames();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[2].type, kHeaders);
  EXPECT_EQ(frames[2].flags & kEndStream, kEndStream);
  EXPECT_TRUE(server.events.last().finished);
}

// ---- Flow control
// --------------------------------------------------------------------------------

TEST(Http2ServerTest, APausedStreamHoldsAtMostItsWindow) {
  Http2Limits limits;
  limits.stream_window_bytes = 65535;
  Server server(limits);
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get(), kEndHeaders)).ok());
  server.events.last().stream->PauseReading(true);
  const std::string block(16000, 'x');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(server.Feed(Frame(kData, 0, 1, block)).ok());
  EXPECT_EQ(server.receiver().body, "");
  EXPECT_EQ(server.Find(kWindowUpdate).type, 255) << "no credit while nobody reads";
  // A peer that sends more than its credit breaks the protocol.
  ASSERT_TRUE(server.Feed(Frame(kData, 0, 1, block)).ok());
  EXPECT_TRUE(server.receiver().reset.has_value());
  EXPECT_EQ(server.Find(kRstStream).code(), 3u);  // FLOW_CONTROL_ERROR
}

TEST(Http2ServerTest, CreditComesBackAsTheReceiverReads) {
  Http2Limits limits;
  limits.stream_window_bytes = 65535;
  Server server(limits);
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get(), kEndHeaders)).ok());
  server.events.last().stream->PauseReading(true);
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(server.Feed(Frame(kData, 0, 1, std::string(16000, 'x'))).ok());
  server.Frames();
  server.events.last().stream->PauseReading(false);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_EQ(server.receiver().body.size(), 64000u);
  EXPECT_EQ(server.Find(kWindowUpdate).type, kWindowUpdate);
}

TEST(Http2ServerTest, DataOfAResetStreamGivesTheConnectionItsCreditBack) {
  Http2Limits limits;
  limits.connection_window_bytes = 65535;
  Server server(limits);
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get(), kEndHeaders)).ok());
  server.events.last().stream->PauseReading(true);
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(server.Feed(Frame(kData, 0, 1, std::string(16000, 'x'))).ok());
  server.Frames();
  server.events.last().stream->Reset(ResetCause::kLocal);
  ASSERT_TRUE(server.Again().ok());
  bool connection_credit = false;
  for (const Seen& frame : server.Frames()) {
    if (frame.type == kWindowUpdate && frame.stream == 0) connection_credit = true;
  }
  EXPECT_TRUE(connection_credit);
  EXPECT_TRUE(server.events.last().finished);
}

TEST(Http2ServerTest, ASlowReaderBlocksItsSender) {
  Server server;
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get())).ok());
  Stream& stream = *server.events.last().stream;
  stream.SendHeaders(*Response(200), false);
  Buffer data(std::string(400 * 1024, 'x'));
  stream.SendData(data, false);
  EXPECT_FALSE(server.receiver().blocked) << "not from within the call";
  ASSERT_TRUE(server.Again().ok());
  EXPECT_TRUE(server.receiver().blocked) << "the peer's window is 64 KiB";
  EXPECT_GT(stream.unsent_bytes(), 300u * 1024);
  ASSERT_TRUE(server
                  .Feed(Frame(kWindowUpdate, 0, 0, Be32(1 << 20)) +
                        Frame(kWindowUpdate, 0, 1, Be32(1 << 20)))
                  .ok());
  // Bounded per turn: the transport says when there is room again.
  server.transport.TakeOutput();
  server.codec->OnTransportBlocked(false);
  EXPECT_FALSE(server.receiver().blocked);
  EXPECT_EQ(stream.unsent_bytes(), 0u);
}

TEST(Http2ServerTest, NothingIsWrittenWhileTheTransportIsBlocked) {
  Server server;
  server.codec->OnTransportBlocked(true);
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get())).ok());
  server.events.last().stream->SendHeaders(*Response(200), true);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_TRUE(server.transport.output().empty());
  server.codec->OnTransportBlocked(false);
  EXPECT_EQ(server.Find(kHeaders).stream, 1u);
  EXPECT_TRUE(server.events.last().finished);
}

// ---- Floods
// --------------------------------------------------------------------------------------

void ExpectCalm(Server& server, const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(server.codec->finished());
  EXPECT_GE(server.codec->counters().limit_errors, 1u);
  const Seen goaway = server.Find(kGoaway);
  ASSERT_EQ(goaway.type, kGoaway);
  EXPECT_EQ(goaway.code(), kEnhanceYourCalm);
}

TEST(Http2FloodTest, RapidResets) {
  Server server;
  absl::Status status;
  uint32_t id = 1;
  for (; id < 2000 && status.ok(); id += 2) {
    status = server.Feed(HeadersFrame(id, Get(), kEndHeaders) + Frame(kRstStream, 0, id, Be32(8)));
  }
  ExpectCalm(server, status);
  EXPECT_NEAR(id / 2, 201, 2);
  for (const auto& exchange : server.events.exchanges) {
    EXPECT_TRUE(exchange->finished);
    EXPECT_TRUE(exchange->receiver.reset.has_value());
  }
}

TEST(Http2FloodTest, ClientsThatCancelNowAndThenAreLeftAlone) {
  Server server;
  uint32_t id = 1;
  for (int i = 0; i < 2000; ++i) {
    for (int k = 0; k < 2; ++k, id += 2) {
      ASSERT_TRUE(server.Feed(HeadersFrame(id, Get())).ok());
      server.events.last().stream->SendHeaders(*Response(200), true);
      ASSERT_TRUE(server.Again().ok());
    }
    ASSERT_TRUE(server.Feed(HeadersFrame(id, Get()) + Frame(kRstStream, 0, id, Be32(8))).ok());
    id += 2;
    server.Frames();
    server.events.exchanges.clear();
  }
}

TEST(Http2FloodTest, RequestsThatForceUsToReset) {
  Server server;
  absl::Status status;
  for (uint32_t id = 1; id < 2000 && status.ok(); id += 2) {
    status = server.Feed(HeadersFrame(id, Get("/a#b")));
  }
  ExpectCalm(server, status);
}

TEST(Http2FloodTest, WindowUpdatesThatForceUsToReset) {
  Server server;
  absl::Status status;
  for (uint32_t id = 1; id < 2000 && status.ok(); id += 2) {
    status = server.Feed(HeadersFrame(id, Get(), kEndHeaders) +
                         Frame(kWindowUpdate, 0, id, Be32(0x7fffffff)));
  }
  ExpectCalm(server, status);
}

TEST(Http2FloodTest, Continuations) {
  Server server;
  absl::Status status = server.Feed(HeadersFrame(1, Get(), 0));
  for (int i = 0; i < 100 && status.ok(); ++i) status = server.Feed(Frame(kContinuation, 0, 1, ""));
  ExpectCalm(server, status);
  EXPECT_TRUE(server.events.exchanges.empty());
}

TEST(Http2FloodTest, AFewContinuationsAreFine) {
  Server server;
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get(), 0)).ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(
        server.Feed(Frame(kContinuation, i == 19 ? kEndHeaders : 0, 1, Hpack({{"x", "y"}}))).ok());
  }
  EXPECT_EQ(server.events.exchanges.size(), 1u);
}

TEST(Http2FloodTest, PingsThatNobodyReadsTheAnswersOf) {
  for (const std::string& frame : {Frame(kPing, 0, 0, "12345678"), Frame(kSettings, 0, 0, "")}) {
    Server server;
    server.codec->OnTransportBlocked(true);
    absl::Status status;
    for (int i = 0; i < 3000 && status.ok(); ++i) status = server.Feed(frame);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_TRUE(server.codec->finished());
  }
}

TEST(Http2FloodTest, EmptyDataFrames) {
  Server server;
  absl::Status status = server.Feed(HeadersFrame(1, Get(), kEndHeaders));
  for (int i = 0; i < 200 && status.ok(); ++i) status = server.Feed(Frame(kData, 0, 1, ""));
  ExpectCalm(server, status);
  EXPECT_EQ(server.receiver().reset, ResetCause::kLimit);
}

TEST(Http2ServerTest, AnotherProtocolIsAnError) {
  FakeTransport transport;
  RecordingServerEvents events;
  auto codec = NewHttp2ServerCodec(transport, events, Http2Limits());
  Buffer in("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_FALSE(codec->Receive(in, false).ok());
  EXPECT_TRUE(codec->finished());
}

TEST(Http2ServerTest, AProtocolErrorResetsEveryStream) {
  Server server;
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get())).ok());
  EXPECT_FALSE(server.Feed(Frame(kData, 0, 0, "x")).ok());
  EXPECT_EQ(server.Find(kGoaway).code(), kProtocolError);
  EXPECT_EQ(server.receiver().reset, ResetCause::kProtocolError);
  EXPECT_TRUE(server.events.last().finished);
  EXPECT_TRUE(server.codec->finished());
}

// ---- GOAWAY
// --------------------------------------------------------------------------------------

TEST(Http2ServerTest, DrainTellsTwiceAndEnds) {
  Server server;
  server.codec->StartDrain();
  const Seen notice = server.Find(kGoaway);
  EXPECT_EQ(notice.payload.substr(0, 4), Be32(0x7fffffff));
  ASSERT_TRUE(server.Feed(HeadersFrame(1, Get())).ok());
  EXPECT_EQ(server.events.exchanges.size(), 1u) << "what was under way is still taken";
  server.codec->FinishDrain();
  const Seen last = server.Find(kGoaway);
  EXPECT_EQ(last.payload.substr(0, 4), Be32(1));
  ASSERT_TRUE(server.Feed(HeadersFrame(3, Get())).ok());
  EXPECT_EQ(server.events.exchanges.size(), 1u);
  EXPECT_FALSE(server.codec->finished());
  server.events.last().stream->SendHeaders(*Response(200), true);
  ASSERT_TRUE(server.Again().ok());
  EXPECT_TRUE(server.codec->finished());
}

// A client codec whose server is played by hand.
class Client {
 public:
  explicit Client(uint32_t max_streams = 100)
      : codec(NewHttp2ClientCodec(transport, events, Http2Limits())) {
    EXPECT_TRUE(Feed(Frame(kSettings, 0, 0, std::string("\0\3", 2) + Be32(max_streams))).ok());
  }
  absl::Status Feed(const std::string& bytes) {
    in.Append(bytes);
    return codec->Receive(in, false);
  }
  Stream& Send() {
    receivers.push_back(std::make_unique<RecordingReceiver>());
    Stream& stream = codec->NewStream(receivers.back().get());
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method("GET");
    headers->set_path("/");
    headers->set_authority("a");
    stream.SendHeaders(*headers, true);
    EXPECT_TRUE(Feed("").ok());
    return stream;
  }
  FakeTransport transport;
  RecordingClientEvents events;
  std::unique_ptr<ClientCodec> codec;
  std::vector<std::unique_ptr<RecordingReceiver>> receivers;
  Buffer in;
};

TEST(Http2ClientTest, GoawayRefusesWhatTheServerNeverLookedAt) {
  Client client;
  client.Send();
  client.Send();
  ASSERT_TRUE(client.Feed(Frame(kGoaway, 0, 0, Be32(1) + Be32(0))).ok());
  EXPECT_FALSE(client.receivers[0]->reset.has_value());
  EXPECT_EQ(client.receivers[1]->reset, ResetCause::kRemoteRefused);
  EXPECT_TRUE(client.events.draining);
  EXPECT_EQ(client.codec->capacity(), 0u);
  EXPECT_FALSE(client.codec->finished());
  ASSERT_TRUE(client.Feed(HeadersFrame(1, {{":status", "200"}})).ok());
  EXPECT_TRUE(client.receivers[0]->ended);
  EXPECT_TRUE(client.codec->finished());
  EXPECT_EQ(client.events.finished, 2);
}

TEST(Http2ClientTest, RefusedStreamsSaySo) {
  Client client;
  client.Send();
  ASSERT_TRUE(client.Feed(Frame(kRstStream, 0, 1, Be32(kRefusedStream))).ok());
  EXPECT_EQ(client.receivers[0]->reset, ResetCause::kRemoteRefused);
  client.Send();
  ASSERT_TRUE(client.Feed(Frame(kRstStream, 0, 3, Be32(2))).ok());
  EXPECT_EQ(client.receivers[1]->reset, ResetCause::kRemoteReset);
  EXPECT_EQ(client.codec->counters().resets_received, 2u);
}

TEST(Http2ClientTest, CapacityFollowsTheServersSettings) {
  Client client(2);
  EXPECT_EQ(client.codec->capacity(), 2u);
  client.Send();
  EXPECT_EQ(client.codec->capacity(), 1u);
  ASSERT_TRUE(client.Feed(Frame(kSettings, 0, 0, std::string("\0\3", 2) + Be32(10))).ok());
  EXPECT_EQ(client.codec->capacity(), 9u);
  EXPECT_EQ(client.events.capacity_changes, 2);
}

TEST(Http2ClientTest, AMalformedResponseIsAProtocolError) {
  Client client;
  client.Send();
  ASSERT_TRUE(client.Feed(HeadersFrame(1, {{":status", "200"}, {"connection", "close"}})).ok());
  EXPECT_EQ(client.receivers[0]->reset, ResetCause::kProtocolError);
  EXPECT_EQ(client.receivers[0]->headers, nullptr);
}

TEST(Http2ClientTest, StatusesThatHttp2DoesNotHaveAreProtocolErrors) {
  for (const char* status : {"000", "099", "101"}) {
    Client client;
    client.Send();
    ASSERT_TRUE(client
                    .Feed(HeadersFrame(1, {{":status", status}}, kEndHeaders) +
                          Frame(kData, kEndStream, 1, "x"))
                    .ok());
    EXPECT_EQ(client.receivers[0]->reset, ResetCause::kProtocolError) << status;
    EXPECT_EQ(client.receivers[0]->body, "");
    EXPECT_EQ(client.events.finished, 1);
  }
}

TEST(Http2ClientTest, AResetAfterAWholeResponseDoesNotLoseIt) {
  Client client;
  client.receivers.push_back(std::make_unique<RecordingReceiver>());
  Stream& stream = client.codec->NewStream(client.receivers.back().get());
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_method("POST");
  headers->set_path("/");
  headers->set_authority("a");
  stream.SendHeaders(*headers, false);
  ASSERT_TRUE(client.Feed("").ok());
  stream.PauseReading(true);
  ASSERT_TRUE(client
                  .Feed(HeadersFrame(1, {{":status", "200"}}, kEndHeaders) +
                        Frame(kData, kEndStream, 1, "all") + Frame(kRstStream, 0, 1, Be32(0)))
                  .ok());
  EXPECT_FALSE(client.receivers[0]->reset.has_value());
  stream.PauseReading(false);
  ASSERT_TRUE(client.Feed("").ok());
  EXPECT_EQ(client.receivers[0]->body, "all");
  EXPECT_TRUE(client.receivers[0]->ended);
  EXPECT_EQ(client.receivers[0]->reset, ResetCause::kRemoteReset);
  EXPECT_EQ(client.events.finished, 1);
}

TEST(Http2ClientTest, PingsAreAnswered) {
  Client client;
  client.transport.TakeOutput();
  EXPECT_TRUE(client.codec->SendPing());
  ASSERT_TRUE(client.Feed("").ok());
  EXPECT_EQ(client.events.pongs, 0);
  ASSERT_TRUE(client.Feed(Frame(kPing, kAck, 0, std::string(8, '\0'))).ok());
  EXPECT_EQ(client.events.pongs, 1);
}

TEST(Http2ClientTest, AStreamThatIsResetBeforeItWasSentLeavesNoTrace) {
  Client client;
  client.transport.TakeOutput();
  client.codec->OnTransportBlocked(true);
  Stream& stream = client.Send();
  stream.Reset(ResetCause::kLocal);
  ASSERT_TRUE(client.Feed("").ok());
  EXPECT_EQ(client.events.finished, 1);
  client.codec->OnTransportBlocked(false);
  ASSERT_TRUE(client.Feed("").ok());
  EXPECT_EQ(client.codec->open_streams(), 0u);
}

TEST(Http2ClientTest, AnUpgradeThatThePeerCannotDoIsAnOrdinaryRequest) {
  Client client;
  client.receivers.push_back(std::make_unique<RecordingReceiver>());
  Stream& stream = client.codec->NewStream(client.receivers.back().get());
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_method("GET");
  headers->set_path("/");
  headers->set_authority("a");
  headers->Add(HeaderId::kUpgrade, "websocket");
  stream.SendHeaders(*headers, false);
  Buffer data("x");
  stream.SendData(data, false);
  ASSERT_TRUE(client.Feed("").ok());
  ASSERT_TRUE(client.Feed(HeadersFrame(1, {{":status", "426"}})).ok());
  EXPECT_EQ(client.receivers[0]->headers->status(), 426);
  EXPECT_TRUE(client.receivers[0]->ended);
  EXPECT_EQ(client.events.finished, 1);
}

}  // namespace
}  // namespace meltemi::http
