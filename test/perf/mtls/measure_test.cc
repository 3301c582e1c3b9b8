#include "test/perf/mtls/measure.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace meltemi::bench {
namespace {

TEST(Measure, ReadsFortiosReport) {
  const absl::StatusOr<Latency> latency = ParseFortio(R"({
    "ActualQPS": 999.5, "RetCodes": {"200": 1990, "503": 10},
    "DurationHistogram": {"Count": 2000, "Percentiles": [
      {"Percentile": 50, "Value": 0.00025}, {"Percentile": 99, "Value": 0.0015}]}})");
  ASSERT_TRUE(latency.ok()) << latency.status();
  EXPECT_DOUBLE_EQ(latency->p50_ms, 0.25);
  EXPECT_DOUBLE_EQ(latency->p99_ms, 1.5);
  EXPECT_DOUBLE_EQ(latency->rate, 999.5);
  EXPECT_EQ(latency->failed, 10);
  EXPECT_FALSE(ParseFortio("{}").ok());
  EXPECT_FALSE(ParseFortio("connection refused").ok());
}

TEST(Measure, CpuAndMemoryAreReadFromTheKernel) {
  const double before_s = CpuSeconds({getpid()});
  volatile uint64_t sum = 0;
  for (uint64_t i = 0; CpuSeconds({getpid()}) < before_s + 0.01; ++i) sum = sum + i;
  const Memory memory = MemoryOf({getpid()});
  EXPECT_GT(memory.resident_kb, 100);
  EXPECT_GT(memory.proportional_kb, 0);
  EXPECT_LE(memory.proportional_kb, memory.resident_kb);
}

TEST(Measure, MedianOfEvenAndOddNumbers) {
  EXPECT_EQ(Median({}), 0);
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
}

}  // namespace
}  // namespace meltemi::bench
