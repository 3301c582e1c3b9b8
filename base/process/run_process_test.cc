#include "base/process/run_process.h"

#include "gtest/gtest.h"

namespace meltemi {
namespace {

TEST(RunProcess, GivesInputAndTakesBothOutputs) {
  const std::string input(300'000, 'x');  // more than a pipe holds
  const auto result = RunProcess({"sh", "-c", "cat; echo oops >&2; exit 3"}, input);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, input);
  EXPECT_EQ(result->err, "oops\n");
  EXPECT_EQ(result->exit_code, 3);
}

TEST(RunProcess, SaysThatThereIsNoSuchProgram) {
  EXPECT_EQ(RunProcess({"no-such-program"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindProgram("no-such-program"), "");
  EXPECT_NE(FindProgram("sh"), "");
}

TEST(RunProcess, KillsWhatTakesTooLongWithItsChildren) {
  ProcessOptions options;
  options.timeout = milliseconds(100);
  const auto result = RunProcess({"sh", "-c", "sleep 300 & sleep 300"}, "", options);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded) << result.status();
}

TEST(RunProcess, BoundsTheOutput) {
  ProcessOptions options;
  options.output_bytes_max = 1000;
  const auto result = RunProcess({"sh", "-c", "head -c 100000 /dev/zero"}, "", options);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out.size(), 1000u);
  EXPECT_EQ(result->exit_code, 0);
}

TEST(RunProcess, InputThatNobodyReadsDoesNoHarm) {
  const auto result = RunProcess({"true"}, std::string(1'000'000, 'x'));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0);
}

TEST(RunProcess, FailureHasTheProgramsWords) {
  const absl::Status status = RunToSuccess({"sh", "-c", "echo 'no way' >&2; exit 1"});
  EXPECT_EQ(status.message(), "sh -c echo 'no way' >&2; exit 1: no way");
  EXPECT_EQ(RunToSuccess({"false"}).message(), "false: exit code 1");
  EXPECT_TRUE(RunToSuccess({"true"}).ok());
}

}  // namespace
}  // namespace meltemi
