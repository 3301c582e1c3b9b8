#include "kube/quantity/quantity.h"

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::kube {
namespace {

Quantity Of(absl::string_view text) {
  std::optional<Quantity> quantity = Quantity::Parse(text);
  EXPECT_TRUE(quantity.has_value()) << text;
  return quantity.value_or(Quantity());
}

TEST(Quantity, IsWrittenInItsCanonicalForm) {
  const std::pair<absl::string_view, absl::string_view> kCases[] = {
      {"0", "0"},
      {"0Ki", "0"},
      {"000", "0"},
      {"1", "1"},
      {"100m", "100m"},
      {"1000m", "1"},
      {"1500m", "1500m"},
      {"1.5", "1500m"},
      {"0.5", "500m"},
      {".001", "1m"},
      {"1000", "1k"},
      {"1000M", "1G"},
      {"50k", "50k"},
      {"100.035k", "100.035k"},
      {"8.1k", "8100"},
      {"12E", "12E"},
      {"1Ki", "1Ki"},
      {"1024Mi", "1Gi"},
      {"1.5Gi", "1536Mi"},
      {"0.5Mi", "512Ki"},
      {"0.05Gi", "53687091200m"},
      {"1.", "1."},
      {"1.G", "1.G"},
      {".001Ki", "1024m"},
      {".000001Ki", "1024u"},
      {".000000001Ki", "1024n"},
      {".000000000001Ki", "2n"},
      {"1e3", "1e3"},
      {"1E3", "1E3"},
      {"1e4", "10e3"},
      {"1.2e3", "1200"},
      {"1e-3", "1e-3"},
      {"0.5e-1", "50e-3"},
      {"3.001n", "4n"},
      {"0.0000000001", "1n"},
      {"1.1E-9", "2e-9"},
      {"9Ei", "9223372036854775807"},
      {"9223372036854775807Ki", "9223372036854775807"},
      {"512", "512"},
      {"0.0000000005", "1n"},
      {"1000E", "1000E"},
      // The digits could be canonical, so they are kept.
      {"1.250", "1.250"},
      {"1000Ki", "1000Ki"},
      {"+5", "+5"},
      {"1e1000000000000", "10e27"},
      {"1e-1000000000000", "1e-9"},
  };
  for (const auto& [text, canonical] : kCases) EXPECT_EQ(Of(text).ToString(), canonical) << text;
}

TEST(Quantity, NegativeOnesMirrorThePositive) {
  for (absl::string_view text : {"1.5", "100m", "1Gi", "1.5Gi", "0.0000000001", "12E", "9Ei"}) {
    EXPECT_EQ(Of(absl::StrCat("-", text)).ToString(), absl::StrCat("-", Of(text).ToString()));
  }
  EXPECT_EQ(Of("-0.5").Sign(), -1);
  EXPECT_EQ(Of("-0").ToString(), "0");
}

TEST(Quantity, WhatIsNoneIsRefusedInKubernetesWords) {
  for (absl::string_view text :
       {"",    "1.1.M", "1+1.0M", "0.1mi",   "0.1am", "aoeu",
        ".5i", "1i",    "-3.01i", "-3.01e-", " 1",    "1 ",
        "1e",  "1m5",   "1ki",    "1K",      "0x1",   "1e99999999999999999999",
        "--1", "1e3.5"}) {
    EXPECT_FALSE(Quantity::Parse(text).has_value()) << text;
  }
  std::string why;
  EXPECT_FALSE(Quantity::Parse("100q", &why).has_value());
  EXPECT_EQ(why,
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  EXPECT_FALSE(Quantity::Parse("100Kii", &why).has_value());
  EXPECT_EQ(why, "unable to parse quantity's suffix");
}

TEST(Quantity, ValuesRoundAwayFromZeroAndAreCapped) {
  EXPECT_EQ(Of("1.1").Value(), 2);
  EXPECT_EQ(Of("-1.1").Value(), -2);
  EXPECT_EQ(Of("100m").Value(), 1);
  EXPECT_EQ(Of("100m").MilliValue(), 100);
  EXPECT_EQ(Of("1u").MilliValue(), 1);
  EXPECT_EQ(Of("2Gi").Value(), int64_t{2} << 30);
  EXPECT_EQ(Of("12E").Value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Of("-12E").Value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Of("1P").MilliValue(), 1'000'000'000'000'000'000);
}

TEST(Quantity, ComparesByValueAcrossFormats) {
  EXPECT_EQ(Of("1024Mi"), Of("1Gi"));
  EXPECT_EQ(Of("1e3"), Of("1k"));
  EXPECT_LT(Of("100Gi"), Of("10000T"));
  EXPECT_LT(Of("50m"), Of("100m"));
  EXPECT_LT(Of("-1"), Of("0"));
  EXPECT_FALSE(Of("1") < Of("1000m"));
}

TEST(Quantity, SumsTakeTheFormatOfWhatIsNotZero) {
  Quantity sum;
  sum += Of("1Gi");
  EXPECT_EQ(sum.ToString(), "1Gi");
  sum += Of("512Mi");
  EXPECT_EQ(sum.ToString(), "1536Mi");
  sum -= Of("2Gi");
  EXPECT_EQ(sum.ToString(), "-512Mi");
  Quantity cpu = Of("250m");
  cpu += Of("1.750");
  EXPECT_EQ(cpu.ToString(), "2");
  // Even the largest stay in range.
  Quantity huge = Of("1e28");
  for (int i = 0; i < 100; ++i) huge += huge;
  EXPECT_EQ(huge, Of("1e28"));
}

TEST(Quantity, MadeOfNumbers) {
  EXPECT_EQ(Quantity::OfMilli(1234000).ToString(), "1234");
  EXPECT_EQ(Quantity::OfMilli(1024, Quantity::Format::kBinarySi).ToString(), "1024m");
  EXPECT_EQ(Quantity::OfMilli(1024 * 1024, Quantity::Format::kBinarySi).ToString(), "1048576m");
  EXPECT_EQ(Quantity::Of(1024, Quantity::Format::kBinarySi).ToString(), "1Ki");
  EXPECT_EQ(Quantity::Of(1000000, Quantity::Format::kDecimalExponent).ToString(), "1e6");
  EXPECT_TRUE(Quantity().IsZero());
}

}  // namespace
}  // namespace meltemi::kube
