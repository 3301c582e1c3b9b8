#include "orchestrator/kubelet/server/streams/websocket.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::kubelet {
namespace {

using testing::ElementsAre;

struct Told final : WebSocketEvents {
  void OnMessage(Buffer& data, bool begins, bool ends) override {
    if (begins) message.clear();
    message += data.ToString();
    if (ends) lines.push_back(absl::StrCat("message ", message.substr(0, 20)));
    bytes += data.size();
  }
  void OnPing(absl::string_view payload) override {
    lines.push_back(absl::StrCat("ping ", payload));
  }
  void OnClose(uint16_t code) override { lines.push_back(absl::StrCat("close ", code)); }
  std::string message;
  std::vector<std::string> lines;
  size_t bytes = 0;
};

std::string FromHex(absl::string_view hex) { return absl::HexStringToBytes(hex); }

// RFC 6455 1.3.
TEST(WebSocket, AcceptsKeys) {
  EXPECT_EQ(WebSocketAccept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

// The first one is RFC 6455 5.7's.
TEST(WebSocket, ReadsMessagesInPieces) {
  const std::string wire =
      FromHex(absl::StrCat("818537fa213d7f9f4d5158", "828000000000",
                           // Two fragments with a ping between them.
                           "028300000000616263", "898200000000", absl::BytesToHexString("hi"),
                           "808300000000646566", "8a8000000000", "888200000000", "03e8"));
  for (const size_t step : {size_t{1}, size_t{3}, wire.size()}) {
    Told told;
    WebSocketReader reader(told);
    for (size_t at = 0; at < wire.size(); at += step) {
      Buffer in(absl::string_view(wire).substr(at, step));
      ASSERT_TRUE(reader.Receive(in).ok());
    }
    EXPECT_THAT(told.lines, ElementsAre("message Hello", "message ", "ping hi", "message abcdef",
                                        "close 1000"));
    // Nothing is heard after it.
    Buffer more(wire);
    EXPECT_TRUE(reader.Receive(more).ok());
    EXPECT_EQ(told.lines.size(), 5u);
  }
}

TEST(WebSocket, LongMessages) {
  for (const size_t size :
       {size_t{125}, size_t{126}, size_t{65535}, size_t{65536}, size_t{3'000'000}}) {
    Buffer data(std::string(size, 'm')), wire;
    AppendWebSocketMessage("", data, wire);
    // The same frame as a client sends it: with the bit and a mask of zeros.
    std::string text = wire.ToString();
    const size_t head = text.size() - size;
    text[1] = static_cast<char>(text[1] | 0x80);
    text.insert(head, 4, '\0');
    Told told;
    WebSocketReader reader(told);
    Buffer in(text);
    ASSERT_TRUE(reader.Receive(in).ok());
    EXPECT_EQ(told.bytes, size);
    EXPECT_THAT(told.lines, ElementsAre("message mmmmmmmmmmmmmmmmmmmm"));
  }
}

std::string Refusal(absl::string_view hex) {
  Told told;
  WebSocketReader reader(told);
  Buffer in(FromHex(hex));
  const absl::Status status = reader.Receive(in);
  EXPECT_FALSE(status.ok()) << hex;
  return std::string(status.message());
}

TEST(WebSocket, RefusesWhatIsNone) {
  EXPECT_EQ(Refusal("8205"), "a frame that is not masked");
  EXPECT_EQ(Refusal("c285"), "a frame with reserved bits");
  EXPECT_EQ(Refusal("8385"), "a frame of type 3");
  EXPECT_EQ(Refusal("8085"), "a continuation of nothing");
  EXPECT_EQ(Refusal("0280000000008280"), "a message within a message");
  EXPECT_EQ(Refusal("0985"), "a control frame that is too long");
  EXPECT_EQ(Refusal("89fe"), "a control frame that is too long");
  EXPECT_EQ(Refusal("82ffffffffffffffffff00000000"), "a frame whose length is negative");
}

TEST(WebSocket, WritesFrames) {
  Buffer out, data("data");
  AppendWebSocketMessage("\x01", data, out);
  EXPECT_EQ(absl::BytesToHexString(out.ToString()), "82050164617461");
  out.Clear();
  AppendWebSocketPong("hi", out);
  EXPECT_EQ(absl::BytesToHexString(out.ToString()), "8a026869");
  out.Clear();
  AppendWebSocketClose(1000, "", out);
  EXPECT_EQ(absl::BytesToHexString(out.ToString()), "880203e8");
  out.Clear();
  AppendWebSocketClose(1011, std::string(500, 'x'), out);
  EXPECT_EQ(out.size(), 127u);
}

}  // namespace
}  // namespace meltemi::kubelet
