#include "proxy/observe/formatted_log.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

std::string FreshPath(const std::string& name) {
  std::string path = ::testing::TempDir() + "/" + name;
  std::remove(path.c_str());
  return path;
}

std::string Content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(LogSinkTest, LinesOfAllThreadsArriveWhole) {
  const std::string path = FreshPath("threads.log");
  LogSinks sinks;
  const auto sink = *sinks.Open(path);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&sink, t] {
      for (int i = 0; i < 1000; ++i) sink->Write(absl::StrCat("thread ", t, " line\n"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  sinks.Flush();
  std::istringstream lines(Content(path));
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    ++count;
    EXPECT_EQ(line.size(), std::string("thread 0 line").size());
  }
  EXPECT_EQ(count, 4000);
  EXPECT_EQ(sinks.lines_dropped(), 0u);
}

TEST(LogSinkTest, TheEndOfTheSinksWritesWhatIsLeft) {
  const std::string path = FreshPath("end.log");
  std::shared_ptr<LogSink> sink;
  {
    LogSinks sinks;
    sink = *sinks.Open(path);
    sink->Write("last words\n");
  }
  EXPECT_EQ(Content(path), "last words\n");
  sink->Write("too late\n");  // goes nowhere, harms nobody
}

TEST(LogSinkTest, WhatDoesNotFitIsCounted) {
  const std::string path = FreshPath("full.log");
  LogSinks sinks(/*buffer_bytes_max=*/10);
  const auto sink = *sinks.Open(path);
  sink->Write("longer than ten bytes\n");
  EXPECT_EQ(sinks.lines_dropped(), 1u);
  sink->Write("short\n");
  sinks.Flush();
  EXPECT_EQ(Content(path), "short\n");
}

TEST(LogSinkTest, OnePathIsOneSink) {
  const std::string path = FreshPath("same.log");
  LogSinks sinks;
  EXPECT_EQ((*sinks.Open(path)).get(), (*sinks.Open(path)).get());
  EXPECT_FALSE(sinks.Open("/nowhere/at/all").ok());
}

TEST(LogSinkTest, ReopenFollowsARotatedFile) {
  const std::string path = FreshPath("rotated.log"), old = FreshPath("rotated.log.1");
  LogSinks sinks;
  const auto sink = *sinks.Open(path);
  sink->Write("before\n");
  sinks.Flush();
  ASSERT_EQ(std::rename(path.c_str(), old.c_str()), 0);
  sink->Write("still the old file\n");
  sinks.Reopen();
  sink->Write("after\n");
  sinks.Flush();
  EXPECT_EQ(Content(old), "before\nstill the old file\n");
  EXPECT_EQ(Content(path), "after\n");
}

}  // namespace
}  // namespace meltemi::proxy
