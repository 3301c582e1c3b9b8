#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "orchestrator/kubelet/logs/log_line.h"
#include "orchestrator/kubelet/logs/logs.h"

namespace meltemi::kubelet {
namespace {

class LogReaderTest : public testing::Test {
 protected:
  LogReaderTest() {
    for (const char* rotated : {"", ".20260102-030405", ".20260102-030404.gz"}) {
      unlink((path_ + rotated).c_str());
    }
  }

  void Append(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  // A line of second `second` of a minute.
  static std::string Line(int second, const std::string& text, const std::string& tag = "F",
                          const std::string& stream = "stdout") {
    return absl::StrCat("2026-01-02T03:04:", second < 10 ? "0" : "", second, ".5Z ", stream, " ",
                        tag, " ", text, "\n");
  }
  std::unique_ptr<LogReader> Open(const LogOptions& options = {}) {
    auto reader = OpenLog(path_, options);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }
  static std::string All(LogReader& reader, size_t piece = 10) {
    std::string out;
    for (;;) {
      const absl::StatusOr<std::string> read = reader.Read(piece);
      EXPECT_TRUE(read.ok()) << read.status();
      if (!read.ok() || read->empty()) return out;
      EXPECT_LE(read->size(), piece);
      out += *read;
    }
  }
  std::string Tail(int64_t lines) { return All(*Open({.tail_lines = lines})); }

  const std::string path_ = testing::TempDir() + "0.log";
};

TEST_F(LogReaderTest, GivesWhatWasSaid) {
  Append(Line(1, "one") + Line(2, "to stderr", "F", "stderr") + Line(3, ""));
  auto reader = Open();
  EXPECT_FALSE(reader->done());
  EXPECT_EQ(All(*reader), "one\nto stderr\n\n");
  EXPECT_TRUE(reader->done());
}

TEST_F(LogReaderTest, JoinsPieces) {
  Append(Line(1, "a long ", "P") + Line(1, "line, ", "P") + Line(2, "at last") + Line(3, "next"));
  EXPECT_EQ(All(*Open()), "a long line, at last\nnext\n");
  EXPECT_EQ(All(*Open({.timestamps = true})),
            "2026-01-02T03:04:01.500000000Z a long line, at last\n"
            "2026-01-02T03:04:03.500000000Z next\n");
}

TEST_F(LogReaderTest, SkipsGarbage) {
  Append("garbage\n" + Line(1, "one") + "2026-01-02T03:04:05Z stdlog F x\n\n" +
         "2026-13-02T03:04:05Z stdout F x\n" + std::string(2'000'000, 'x') + "\n" + Line(2, "two"));
  EXPECT_EQ(All(*Open()), "one\ntwo\n");
}

TEST_F(LogReaderTest, TheLastLines) {
  EXPECT_EQ(OpenLog(path_, {}).status().code(), absl::StatusCode::kNotFound);
  Append("");
  EXPECT_EQ(Tail(3), "");
  Append(Line(1, "one"));
  EXPECT_EQ(Tail(3), "one\n");
  EXPECT_EQ(Tail(0), "");
  for (int i = 2; i < 60; ++i) Append(Line(i, absl::StrCat(i)));
  EXPECT_EQ(Tail(1), "59\n");
  EXPECT_EQ(Tail(3), "57\n58\n59\n");
  EXPECT_EQ(Tail(100), All(*Open()));
  Append(Line(59, "cut ", "P") + Line(59, "in three ", "P") + Line(59, "pieces"));
  EXPECT_EQ(Tail(1), "cut in three pieces\n");
  EXPECT_EQ(Tail(2), "59\ncut in three pieces\n");
}

TEST_F(LogReaderTest, TheLastLinesOfALargeFile) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += Line(i % 60, absl::StrCat("line ", i));
  Append(text);
  EXPECT_EQ(Tail(2), "line 19998\nline 19999\n");
  const std::string many = Tail(15'000);
  EXPECT_EQ(many.substr(0, 10), "line 5000\n");
}

TEST_F(LogReaderTest, Since) {
  Append(Line(1, "one") + Line(2, "two") + Line(3, "three"));
  EXPECT_EQ(All(*Open({.since = *ParseLogTime("2026-01-02T03:04:02.5Z")})), "two\nthree\n");
  EXPECT_EQ(All(*Open({.since = *ParseLogTime("2026-01-02T04:04:02.500000001+01:00")})), "three\n");
}

TEST_F(LogReaderTest, Limit) {
  Append(Line(1, "one") + Line(2, "two"));
  auto reader = Open({.follow = true, .limit_bytes = 6});
  EXPECT_EQ(All(*reader), "one\ntw");
  EXPECT_TRUE(reader->done());
  EXPECT_TRUE(Open({.limit_bytes = 0})->done());
}

TEST_F(LogReaderTest, FollowsUntilTheContainerEnds) {
  Append(Line(1, "one"));
  auto reader = Open({.follow = true, .tail_lines = 0});
  EXPECT_EQ(All(*reader), "");
  EXPECT_FALSE(reader->done());
  Append("2026-01-02T03:04:05Z stdo");
  EXPECT_EQ(All(*reader), "");
  Append("ut F two\n" + Line(3, "thr", "P"));
  EXPECT_EQ(All(*reader), "two\nthr");
  Append(Line(3, "ee") + "2026-01-02T03:04:05Z stdout F the last words");
  reader->SetEnded();
  EXPECT_EQ(All(*reader), "ee\nthe last words");
  EXPECT_TRUE(reader->done());
}

TEST_F(LogReaderTest, FollowsOverARotation) {
  Append(Line(1, "one"));
  auto reader = Open({.follow = true});
  EXPECT_EQ(All(*reader), "one\n");
  Append(Line(2, "two"));
  const std::string rotated = path_ + ".20260102-030405";
  ASSERT_EQ(rename(path_.c_str(), rotated.c_str()), 0);
  // The runtime still writes to the renamed file until it is told to reopen.
  std::ofstream(rotated, std::ios::app) << Line(3, "three");
  EXPECT_EQ(All(*reader), "two\nthree\n");
  Append(Line(4, "four"));
  EXPECT_EQ(All(*reader), "four\n");
  reader->SetEnded();
  EXPECT_EQ(All(*reader), "");
  EXPECT_TRUE(reader->done());
}

TEST_F(LogReaderTest, IsThereInTheMiddleOfARotation) {
  Append(Line(1, "one"));
  const std::string rotated = path_ + ".20260102-030405";
  ASSERT_EQ(rename(path_.c_str(), rotated.c_str()), 0);
  std::ofstream(path_ + ".20260102-030404.gz") << "older";
  auto reader = Open({.follow = true});
  EXPECT_EQ(All(*reader), "one\n");
  Append(Line(2, "two"));
  EXPECT_EQ(All(*reader), "two\n");
  unlink(rotated.c_str());
}

TEST_F(LogReaderTest, AnEmptiedFileIsReadFromItsBeginning) {
  Append(Line(1, "one") + Line(2, "two"));
  auto reader = Open({.follow = true});
  EXPECT_EQ(All(*reader), "one\ntwo\n");
  ASSERT_EQ(truncate(path_.c_str(), 0), 0);
  Append(Line(3, "x"));
  EXPECT_EQ(All(*reader), "x\n");
}

TEST_F(LogReaderTest, WhatGrowsWhileItIsReadDoesNotHoldUp) {
  Append(Line(1, "one"));
  auto reader = Open();
  Append(Line(2, "two"));
  EXPECT_EQ(All(*reader), "one\n");
  EXPECT_TRUE(reader->done());
}

TEST(LogLineTest, Times) {
  const auto nanos = [](absl::string_view text) {
    return ParseLogTime(text).value_or(WallTime(Duration(-1))).time_since_epoch().count();
  };
  EXPECT_EQ(nanos("1970-01-01T00:00:01.000000002Z"), 1'000'000'002);
  EXPECT_EQ(nanos("2024-02-29T12:00:00+02:00"), 1'709'200'800'000'000'000);
  EXPECT_EQ(nanos("2024-02-29T10:00:00.1234567891Z"), 1'709'200'800'123'456'789);
  for (const char* bad : {"", "2024", "2024-02-29T10:00:00", "2024-02-29 10:00:00Z",
                          "2024-02-29T10:00:00.Z", "2024-02-29T10:00:00+0200",
                          "2024-00-01T00:00:00Z", "2024-02-29T25:00:00Z", "9999-01-01T00:00:00Z"}) {
    EXPECT_FALSE(ParseLogTime(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace meltemi::kubelet
