// exec and port-forward between a client's WebSocket and a runtime's SPDY.

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/port_forward.h"
#include "orchestrator/kubelet/server/streams/remote_command.h"
#include "orchestrator/kubelet/server/streams/spdy.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {
namespace {

using apiserver::Translator;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A client's frame, masked with zeros.
std::string Message(absl::string_view payload, char opcode = 2) {
  return absl::StrCat(std::string{static_cast<char>(0x80 | opcode),
                                  static_cast<char>(0x80 | payload.size()), 0, 0, 0, 0},
                      payload);
}
std::string OnChannel(uint8_t channel, absl::string_view text) {
  return Message(absl::StrCat(std::string(1, static_cast<char>(channel)), text));
}

// Both ends of one translated connection, and what they hear.
class Sides final : private SpdyEvents {
 public:
  explicit Sides(std::shared_ptr<Translator> translator, absl::string_view version)
      : translator_(std::move(translator)) {
    const auto agreed = translator_->OnUpgraded(SpdyRequest(version), out);
    EXPECT_TRUE(agreed.ok());
    if (agreed.ok()) agreement = *agreed;
    Hear();
  }
  void Client(absl::string_view bytes, bool end = false) {
    Buffer in(bytes);
    translator_->FromClient(in, end, out);
    Hear();
  }
  void Runtime(bool end = false) {
    translator_->FromPeer(from_runtime, end, out);
    Hear();
  }
  std::vector<std::string> TakeRuntimeHears() { return std::exchange(runtime_hears_, {}); }
  // The frames' payloads; "close CODE".
  std::vector<std::string> TakeClientHears() {
    std::vector<std::string> heard;
    std::string bytes = out.to_client.ToString();
    out.to_client.Clear();
    for (size_t at = 0; at + 2 <= bytes.size();) {
      const uint8_t opcode = static_cast<uint8_t>(bytes[at]) & 15;
      const size_t size = static_cast<uint8_t>(bytes[at + 1]);
      std::string payload = bytes.substr(at + 2, size);
      if (opcode == 2 && !payload.empty() && payload[0] < 10) {
        payload = absl::StrCat(static_cast<int>(payload[0]), ":", payload.substr(1));
      }
      if (opcode == 10) payload = "pong " + payload;
      if (opcode == 8) {
        payload = absl::StrCat(
            "close ", static_cast<uint8_t>(payload[0]) * 256 + static_cast<uint8_t>(payload[1]));
      }
      heard.push_back(payload);
      at += 2 + size;
    }
    return heard;
  }
  bool over() const { return out.end_client && out.end_peer; }

  Translator::Out out;
  Translator::Fields agreement;
  SpdyWriter runtime;
  Buffer from_runtime;

 private:
  void Hear() { EXPECT_TRUE(reader_.Receive(out.to_peer).ok()); }
  void OnControl(const SpdyControl& frame) override {
    std::string line =
        absl::StrCat("type ", static_cast<int>(frame.type), " of ", frame.stream + frame.value);
    for (const auto& [name, value] : frame.headers) absl::StrAppend(&line, " ", value);
    runtime_hears_.push_back(line);
  }
  void OnData(uint32_t stream, Buffer& data, bool fin) override {
    runtime_hears_.push_back(absl::StrCat(stream, ":", data.ToString(), fin ? " fin" : ""));
  }

  const std::shared_ptr<Translator> translator_;
  std::vector<std::string> runtime_hears_;
  SpdyReader reader_{*this};
};

std::shared_ptr<Translator> Exec(const Runtime::StreamOptions& options,
                                 const std::string& protocol = kRemoteCommandV5) {
  return NewRemoteCommandTranslator("dGhlIHNhbXBsZSBub25jZQ==", protocol, options);
}

TEST(RemoteCommand, ACommandWithInputAndOutput) {
  Sides sides(Exec({.in = true, .out = true, .err = true}), kRemoteCommandV4);
  EXPECT_THAT(sides.agreement,
              ElementsAre(std::pair("upgrade", "websocket"),
                          std::pair("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                          std::pair("sec-websocket-protocol", "v5.channel.k8s.io")));
  EXPECT_THAT(sides.TakeRuntimeHears(), ElementsAre("type 1 of 1 error", "type 1 of 3 stdin",
                                                    "type 1 of 5 stdout", "type 1 of 7 stderr"));
  for (const uint32_t id : {1u, 3u, 5u, 7u}) {
    sides.runtime.SynReply(id, {}, false, sides.from_runtime);
  }
  sides.Runtime();
  EXPECT_THAT(sides.TakeClientHears(), IsEmpty());
  // `echo x | kubectl exec -i … cat`: the input ends, the output is still to come.
  sides.Client(OnChannel(0, "x\n") + Message("hi", 9) + OnChannel(255, std::string(1, '\0')));
  EXPECT_THAT(sides.TakeRuntimeHears(), ElementsAre("3:x\n", "3: fin"));
  sides.Client(OnChannel(0, "too late"));
  EXPECT_THAT(sides.TakeRuntimeHears(), IsEmpty());
  Buffer text("x\n"), complaint("oh"), status(R"({"status":"Success"})");
  sides.runtime.Data(5, text, false, sides.from_runtime);
  sides.runtime.Data(7, complaint, false, sides.from_runtime);
  sides.runtime.Ping(4, sides.from_runtime);
  sides.runtime.Data(1, status, false, sides.from_runtime);
  sides.Runtime();
  EXPECT_THAT(sides.TakeClientHears(),
              ElementsAre("pong hi", "1:x\n", "2:oh", R"(3:{"status":"Success"})"));
  EXPECT_THAT(sides.TakeRuntimeHears(), ElementsAre("type 6 of 4"));
  EXPECT_FALSE(sides.over());
  sides.Runtime(/*end=*/true);
  EXPECT_THAT(sides.TakeClientHears(), ElementsAre("close 1000"));
  EXPECT_TRUE(sides.over());
}

TEST(RemoteCommand, ATerminalIsResized) {
  Sides sides(Exec({.in = true, .out = true, .err = true, .tty = true}), kRemoteCommandV4);
  EXPECT_THAT(sides.TakeRuntimeHears(), ElementsAre("type 1 of 1 error", "type 1 of 3 stdin",
                                                    "type 1 of 5 stdout", "type 1 of 7 resize"));
  sides.Client(OnChannel(4, R"({"Width":80,"Height":24})"));
  EXPECT_THAT(sides.TakeRuntimeHears(), ElementsAre(R"(7:{"Width":80,"Height":24})"));
}

TEST(RemoteCommand, ChannelsThatAreNotThereAreNothing) {
  Sides sides(Exec({.out = true}), kRemoteCommandV4);
  (void)sides.TakeRuntimeHears();
  sides.Client(OnChannel(0, "input") + OnChannel(1, "out") + OnChannel(3, "e") +
               OnChannel(4, "{}") + OnChannel(77, "?") + Message("") + OnChannel(255, "\x09") +
               OnChannel(255, ""));
  EXPECT_THAT(sides.TakeRuntimeHears(), IsEmpty());
  EXPECT_FALSE(sides.over());
}

TEST(RemoteCommand, AnOldClientClosesNoStreams) {
  Sides sides(Exec({.in = true, .out = true}, kRemoteCommandV4), kRemoteCommandV4);
  (void)sides.TakeRuntimeHears();
  sides.Client(OnChannel(255, std::string(1, '\0')) + OnChannel(0, "more"));
  EXPECT_THAT(sides.TakeRuntimeHears(), ElementsAre("3:more"));
}

TEST(RemoteCommand, TheEndsOfAllStreamsAreTheEnd) {
  Sides sides(Exec({.in = true, .out = true}), kRemoteCommandV4);
  Buffer nothing, status("{}");
  sides.runtime.Data(1, status, true, sides.from_runtime);
  sides.Runtime();
  EXPECT_FALSE(sides.over());
  sides.runtime.RstStream(5, kSpdyCancel, sides.from_runtime);
  sides.Runtime();
  EXPECT_TRUE(sides.over());
  EXPECT_THAT(sides.TakeClientHears(), ElementsAre("3:{}", "close 1000"));
}

TEST(RemoteCommand, ARuntimeThatIsLostIsNoSuccess) {
  Sides sides(Exec({.out = true}), kRemoteCommandV4);
  Buffer text("half");
  sides.runtime.Data(3, text, false, sides.from_runtime);
  sides.Runtime(/*end=*/true);
  EXPECT_THAT(sides.TakeClientHears(), ElementsAre("1:half", "close 1011"));
}

TEST(RemoteCommand, AClientThatGoesEndsBothSides) {
  Sides closing(Exec({.in = true}), kRemoteCommandV4);
  closing.Client(Message("\x03\xe8", 8));
  EXPECT_TRUE(closing.over());
  EXPECT_THAT(closing.TakeClientHears(), ElementsAre("close 1000"));
  Sides vanishing(Exec({.in = true}), kRemoteCommandV4);
  vanishing.Client("", /*end=*/true);
  EXPECT_TRUE(vanishing.over());
}

TEST(RemoteCommand, BrokenProtocolsEndIt) {
  Sides client(Exec({.in = true}), kRemoteCommandV4);
  client.Client("GET / HTTP/1.1");
  EXPECT_TRUE(client.over());
  EXPECT_THAT(client.TakeClientHears(), ElementsAre("close 1002"));
  Sides runtime(Exec({.in = true}), kRemoteCommandV4);
  runtime.from_runtime.Append("\x80\x02 is another version");
  runtime.Runtime();
  EXPECT_TRUE(runtime.over());
  EXPECT_THAT(runtime.TakeClientHears(), ElementsAre("close 1011"));
}

TEST(RemoteCommand, ARuntimeThatSpeaksSomethingElseIsRefused) {
  Translator::Out out;
  const auto translator = Exec({.in = true});
  EXPECT_THAT(translator->OnUpgraded(SpdyRequest("v1"), out).status().message,
              HasSubstr("the runtime speaks \"v1\""));
  EXPECT_THAT(translator->OnUpgraded({{"upgrade", "websocket"}}, out).status().message,
              HasSubstr("missing upgrade headers"));
}

TEST(PortForward, BytesPassBothWays) {
  const auto translator = NewPortForwardTranslator("dGhlIHNhbXBsZSBub25jZQ==");
  EXPECT_EQ(translator->PeerMethod(), "POST");
  EXPECT_THAT(translator->PeerFields(),
              ElementsAre(std::pair("upgrade", "SPDY/3.1"),
                          std::pair("x-stream-protocol-version", "portforward.k8s.io")));
  Translator::Out out;
  const auto agreed = translator->OnUpgraded(SpdyRequest(kPortForward), out);
  ASSERT_TRUE(agreed.ok());
  EXPECT_EQ(agreed->at(2).second, "SPDY/3.1+portforward.k8s.io");
  Buffer up(Message("one") + Message("two") + Message("", 9));
  translator->FromClient(up, false, out);
  EXPECT_EQ(out.to_peer.ToString(), "onetwo");
  out.to_client.Clear();
  Buffer down("answer");
  translator->FromPeer(down, false, out);
  EXPECT_EQ(absl::BytesToHexString(out.to_client.ToString()), "8206616e73776572");
  out.to_client.Clear();
  translator->FromPeer(down, true, out);
  EXPECT_EQ(absl::BytesToHexString(out.to_client.ToString()), "880203e8");
  EXPECT_TRUE(out.end_client && out.end_peer);
}

}  // namespace
}  // namespace meltemi::kubelet
