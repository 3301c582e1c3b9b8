#include "orchestrator/kubelet/server/streams/spdy.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::kubelet {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// What a reader tells, one line each.
struct Told final : SpdyEvents {
  void OnControl(const SpdyControl& frame) override {
    std::string line = absl::StrCat("type ", static_cast<int>(frame.type), " stream ", frame.stream,
                                    " value ", frame.value, frame.fin ? " fin" : "");
    for (const auto& [name, value] : frame.headers) absl::StrAppend(&line, " ", name, "=", value);
    lines.push_back(line);
  }
  void OnData(uint32_t stream, Buffer& data, bool fin) override {
    bytes += data.size();
    lines.push_back(absl::StrCat("data ", stream, " ", data.ToString(), fin ? " fin" : ""));
  }
  std::vector<std::string> lines;
  size_t bytes = 0;
};

// Frames as github.com/moby/spdystream 0.5.0 writes them, one connection.
constexpr const char* kRecorded[] = {
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000"
    "ffff",
    "800300010000002e0000000300000000000002a5470c295029930829b08b40899bc9c280818181b30812bd99a064cf"
    "6800000000ffff",
    "800300020000000e000000016260606000000000ffff",
    "000000030000000568656c6c6f",
    "0000000301000000",
    "80030003000000080000000100000005",
    "800300060000000400000002",
    "80030007000000080000000300000000",
    "80030009000000080000000300010000",
    "800300040000000c000000010000000400000064",
    "800300080000001100000003821acc0852cc9804000000ffff",
};

std::string Recorded() {
  std::string out;
  for (const char* const frame : kRecorded) out += absl::HexStringToBytes(frame);
  return out;
}

TEST(Spdy, ReadsWhatKubernetesPeersWrite) {
  Told told;
  SpdyReader reader(told);
  Buffer in(Recorded());
  ASSERT_TRUE(reader.Receive(in).ok());
  EXPECT_TRUE(in.empty());
  EXPECT_THAT(told.lines,
              ElementsAre("type 1 stream 1 value 0 streamtype=error",
                          // In whatever order Go's maps have them.
                          AllOf(HasSubstr("type 1 stream 3 value 0 "), HasSubstr(" port=80"),
                                HasSubstr(" requestid=0"), HasSubstr(" streamtype=data")),
                          "type 2 stream 1 value 0", "data 3 hello", "data 3  fin",
                          "type 3 stream 1 value 5", "type 6 stream 0 value 2",
                          "type 7 stream 3 value 0", "type 9 stream 3 value 65536",
                          "type 4 stream 0 value 0", "type 8 stream 3 value 0 a=b"));
}

TEST(Spdy, FramesMayComeByteByByte) {
  Told told;
  SpdyReader reader(told);
  for (const char c : Recorded()) {
    Buffer in(absl::string_view(&c, 1));
    ASSERT_TRUE(reader.Receive(in).ok());
  }
  EXPECT_EQ(told.bytes, 5u);
  // But for data, which is handed on as it comes.
  EXPECT_EQ(told.lines.size(), 11u + 4u);
}

TEST(Spdy, WhatIsWrittenCanBeRead) {
  SpdyWriter writer;
  Buffer wire;
  writer.SynStream(1, {{"streamtype", "error"}}, false, wire);
  writer.SynStream(3, {{"streamtype", "stdin"}, {"a", ""}}, true, wire);
  writer.SynReply(2, {}, false, wire);
  Buffer data("text");
  writer.Data(3, data, false, wire);
  writer.Data(3, data, true, wire);
  writer.RstStream(3, kSpdyCancel, wire);
  writer.Ping(7, wire);
  writer.Goaway(3, 0, wire);
  Told told;
  SpdyReader reader(told);
  ASSERT_TRUE(reader.Receive(wire).ok());
  EXPECT_THAT(told.lines, ElementsAre("type 1 stream 1 value 0 streamtype=error",
                                      "type 1 stream 3 value 0 fin streamtype=stdin a=",
                                      "type 2 stream 2 value 0", "data 3 text", "data 3  fin",
                                      "type 3 stream 3 value 5", "type 6 stream 0 value 7",
                                      "type 7 stream 3 value 0"));
}

TEST(Spdy, BigDataIsManyFrames) {
  SpdyWriter writer;
  Buffer wire, data(std::string(40'000'000, 'x'));
  writer.Data(5, data, true, wire);
  EXPECT_EQ(wire.size(), 40'000'000u + 3 * 8);
  Told told;
  SpdyReader reader(told);
  ASSERT_TRUE(reader.Receive(wire).ok());
  EXPECT_EQ(told.bytes, 40'000'000u);
  EXPECT_THAT(told.lines.back(), HasSubstr(" fin"));
}

std::string Refusal(const std::string& hex, SpdyLimits limits = {}) {
  Told told;
  SpdyReader reader(told, limits);
  Buffer in(absl::HexStringToBytes(hex));
  const absl::Status status = reader.Receive(in);
  Buffer more(absl::HexStringToBytes("800300060000000400000002"));
  EXPECT_EQ(reader.Receive(more), status);
  return std::string(status.message());
}

TEST(Spdy, RefusesWhatIsNoSpdy) {
  EXPECT_EQ(Refusal("8002000600000004"), "SPDY: a frame of version 2");
  EXPECT_EQ(Refusal("0000000000000001"), "SPDY: data of stream 0");
  EXPECT_EQ(Refusal("8003000100000009"), "SPDY: a frame of type 1 of 9 bytes");
  EXPECT_EQ(Refusal("8003000100ffffff"), "SPDY: a control frame of 16777215 bytes");
  EXPECT_EQ(Refusal("80030002000000080000000100000000"),
            "SPDY: a header block that can't be unpacked");
  EXPECT_EQ(Refusal("800300020000000e000000006260606000000000ffff"), "SPDY: headers of stream 0");
}

TEST(Spdy, HeadersThatUnpackToMuchAreRefused) {
  SpdyWriter writer;
  Buffer wire;
  writer.SynReply(1, {{"a", std::string(1'000'000, 'a')}}, false, wire);
  EXPECT_LT(wire.size(), 64u * 1024);
  Told told;
  SpdyReader reader(told);
  EXPECT_FALSE(reader.Receive(wire).ok());
  // Many values of one long name.
  Buffer second;
  SpdyWriter other;
  other.SynReply(1, {{std::string(30'000, 'n'), std::string(30'000, '\0')}}, false, second);
  SpdyReader again(told);
  EXPECT_EQ(again.Receive(second).message(), "SPDY: too many headers");
}

}  // namespace
}  // namespace meltemi::kubelet
