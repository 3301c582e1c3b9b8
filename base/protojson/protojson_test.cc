#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/protojson/decode.h"
#include "base/protojson/duration.h"
#include "base/protojson/encode.h"
#include "base/protojson/sample.pb.h"
#include "base/protojson/suggest.h"
#include "base/protojson/unknown_fields.h"
#include "base/yaml/parse.h"

namespace meltemi::protojson {
namespace {

using sample::Sample;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The text decoded and written again; or the error.
std::string RoundTrip(absl::string_view text) {
  Sample message;
  const absl::Status status = DecodeText(text, "f", &message);
  return status.ok() ? ToJson(message) : std::string(status.message());
}

TEST(Decode, TakesEveryShape) {
  Sample message;
  const absl::Status status = DecodeText(R"(
someText: hello
small: -3
natural: 4294967295
large: "-9223372036854775808"
huge: 18446744073709551615
real: 1.5
rough: 0.1
flag: true
blob: aGk=
colour: DEEP_BLUE
maybe: 0
oddNAME: x
texts: [a, b]
samples: [{small: 1}, {}]
colours: [GREEN, 7]
labels: {version: v1, app: a}
named: {x: {flag: true}}
numbered: {5: true}
flagged: {"true": yy}
wait: 1h1m
at: 2026-01-02T03:04:05.5Z
metadata: {a: [1, null, {b: c}], d: true}
anything: null
list: [1, x]
count: 3
on: false
word: ""
wide: "5"
share: 0.25
mask: someText,small
waits: [3s, 100ms]
)",
                                         "f.yaml", &message);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(message.large(), std::numeric_limits<int64_t>::min());
  EXPECT_TRUE(message.has_maybe());
  EXPECT_EQ(message.blob(), "hi");
  EXPECT_EQ(message.wait().seconds(), 3660);
  EXPECT_EQ(message.at().nanos(), 500'000'000);
  EXPECT_TRUE(message.has_word());
  EXPECT_FALSE(message.on().value());
  EXPECT_EQ(message.colours(1), sample::DEEP_BLUE);
  EXPECT_EQ(message.anything().kind_case(), google::protobuf::Value::kNullValue);
  EXPECT_EQ(message.mask().paths(0), "some_text");
  EXPECT_EQ(
      ToJson(message),
      R"({"someText":"hello","small":-3,"natural":4294967295,"large":"-9223372036854775808",)"
      R"("huge":"18446744073709551615","real":1.5,"rough":0.1,"flag":true,"blob":"aGk=",)"
      R"("colour":"DEEP_BLUE","maybe":0,"oddNAME":"x","texts":["a","b"],)"
      R"("samples":[{"small":1},{}],"colours":["GREEN","DEEP_BLUE"],)"
      R"("labels":{"app":"a","version":"v1"},"named":{"x":{"flag":true}},"numbered":{"5":true},)"
      R"("flagged":{"true":"yy"},"wait":"3660s","at":"2026-01-02T03:04:05.5Z",)"
      R"("metadata":{"a":[1,null,{"b":"c"}],"d":true},"anything":null,"list":[1,"x"],"count":3,)"
      R"("on":false,"word":"","wide":"5","share":0.25,"mask":"someText,small",)"
      R"("waits":["3s","0.100s"]})");
}

TEST(Decode, ProtoNamesAndNumbersOfEnumsWillDo) {
  EXPECT_EQ(RoundTrip("some_text: x\ncolour: 1\nodd_name: yy\n"),
            R"({"someText":"x","colour":"GREEN","oddNAME":"yy"})");
}

TEST(Decode, NullMeansNotSet) {
  EXPECT_EQ(RoundTrip("someText: null\nbyName: ~\nbyNumber: 3\nsamples: null\nlabels:\n"),
            R"({"byNumber":3})");
  EXPECT_THAT(RoundTrip("texts: [a, null]"), HasSubstr("texts[1]: an item of a list"));
  EXPECT_THAT(RoundTrip("labels: {a: null}"), HasSubstr("labels[a]: a value of a map"));
}

TEST(Decode, NamesLinePathAndProblem) {
  EXPECT_EQ(RoundTrip("samples:\n- small: 1\n- smal: 2\n"),
            "f:3: samples[1].smal: unknown field \"smal\" (did you mean \"small\"?)");
  EXPECT_EQ(RoundTrip("named:\n  x:\n    bySample:\n      flag: 3\n"),
            "f:4: named[x].bySample.flag: expected true or false, got 3");
  EXPECT_EQ(RoundTrip("qqqqqqqq: 1"), "f:1: qqqqqqqq: unknown field \"qqqqqqqq\"");
}

TEST(Decode, WrongTypesAreRefused) {
  EXPECT_THAT(RoundTrip("small: three"), HasSubstr("small: expected an integer, got the string"));
  EXPECT_THAT(RoundTrip("small: 3000000000"),
              HasSubstr("expected an integer from -2147483648 to 2147483647, got 3000000000"));
  EXPECT_THAT(RoundTrip("natural: -1"), HasSubstr("expected an integer from 0 to 4294967295"));
  EXPECT_THAT(RoundTrip("small: 1.5"), HasSubstr("expected an integer"));
  EXPECT_THAT(RoundTrip("small: {a: b}"), HasSubstr("expected an integer, got an object"));
  EXPECT_THAT(RoundTrip("someText: 80"), HasSubstr("expected a string, got 80: put it in quotes"));
  EXPECT_THAT(RoundTrip("labels: {version: 1}"), HasSubstr("labels[version]: expected a string"));
  EXPECT_THAT(RoundTrip("labels: [a]"), HasSubstr("expected an object, got a list"));
  EXPECT_THAT(RoundTrip("texts: a"), HasSubstr("texts: expected a list, got the string"));
  EXPECT_THAT(RoundTrip("flag: \"true\""), HasSubstr("expected true or false"));
  EXPECT_THAT(RoundTrip("colour: BLUE"),
              HasSubstr("expected one of RED, GREEN, DEEP_BLUE, got the string \"BLUE\""));
  EXPECT_THAT(RoundTrip("colour: 2"), HasSubstr("expected one of RED"));
  EXPECT_THAT(RoundTrip("blob: '*'"), HasSubstr("expected base64"));
  EXPECT_THAT(RoundTrip("wait: 3"), HasSubstr("expected a duration such as \"3s\""));
  EXPECT_THAT(RoundTrip("wait: 3 s"), HasSubstr("expected a duration"));
  EXPECT_THAT(RoundTrip("at: yesterday"), HasSubstr("expected a time"));
  EXPECT_THAT(RoundTrip("numbered: {x: true}"), HasSubstr("numbered[x]: expected an integer"));
  EXPECT_THAT(RoundTrip("rough: 1e39"), HasSubstr("fits a float"));
  EXPECT_THAT(RoundTrip("someText: \"\xff\""), HasSubstr("not UTF-8"));
  EXPECT_THAT(RoundTrip("- a"), HasSubstr("expected an object, got a list"));
}

TEST(Decode, AOneofIsSetOnce) {
  EXPECT_EQ(RoundTrip("byName: x\nbyNumber: 3\n"),
            "f:2: byNumber: only one of \"byName\" and \"byNumber\" may be set");
}

TEST(Decode, AFieldUnderBothItsNamesIsRefused) {
  EXPECT_THAT(RoundTrip("some_text: x\nsomeText: y\n"), HasSubstr("given twice"));
}

TEST(Decode, TellsAllErrorsOfADocument) {
  const auto value = yaml::Parse("small: x\nlarge: y\nwait: z\nqq: 1\nsomeText: fine\n");
  ASSERT_TRUE(value.ok());
  Sample message;
  std::vector<DecodeError> errors;
  EXPECT_FALSE(Decode(*value, {.path = "spec"}, &message, &errors));
  ASSERT_EQ(errors.size(), 4u);
  EXPECT_EQ(errors[0].path, "spec.small");
  EXPECT_EQ(errors[3].line, 4);
  EXPECT_EQ(message.some_text(), "fine");
  errors.clear();
  EXPECT_FALSE(Decode(*value, {.errors_max = 2}, &message, &errors));
  EXPECT_EQ(errors.size(), 2u);
}

TEST(Decode, QuotedNumbersAreACallersChoice) {
  const auto value = yaml::Parse("small: '80'\nreal: '1.5'\n");
  Sample message;
  EXPECT_TRUE(Decode(*value, "f", &message).ok());
  EXPECT_EQ(message.small(), 80);
  const absl::Status strict = Decode(*value, "f", &message, {.quoted_numbers = false});
  EXPECT_THAT(std::string(strict.message()), HasSubstr("small: expected an integer"));
  EXPECT_THAT(std::string(strict.message()), HasSubstr("real: expected a number"));
}

TEST(Decode, AnyNeedsATypeThatIsKnown) {
  const std::string type = "\"@type\": type.googleapis.com/meltemi.protojson.sample.Sample";
  EXPECT_EQ(RoundTrip(absl::StrCat("extension: {", type, ", small: 3}")),
            "{\"extension\":{\"@type\":\"type.googleapis.com/meltemi.protojson.sample.Sample\","
            "\"small\":3}}");
  EXPECT_EQ(RoundTrip(R"({"extension":{"@type":"a/google.protobuf.Duration","value":"3s"}})"),
            R"({"extension":{"@type":"a/google.protobuf.Duration","value":"3s"}})");
  EXPECT_THAT(RoundTrip(absl::StrCat("extension: {", type, ", smalll: 3}")),
              HasSubstr("extension.smalll: unknown field"));
  EXPECT_THAT(RoundTrip("extension: {\"@type\": a/b.C, x: 3}"),
              HasSubstr("extension: the type \"b.C\" is not known here"));
  EXPECT_THAT(RoundTrip("extension: {x: 3}"), HasSubstr("\"@type\" is missing"));
}

TEST(Decode, DepthIsBounded) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "{\"bySample\":";
  text += "{}" + std::string(60, '}');
  EXPECT_EQ(RoundTrip(text), text);
  Sample message;
  const absl::Status status = DecodeText(text, "f", &message, {.depth_max = 50});
  EXPECT_THAT(std::string(status.message()), HasSubstr("nested deeper than 50"));
}

TEST(Encode, AnAnyOfAnUnknownTypeIsShownAsItIs) {
  Sample message;
  message.mutable_extension()->set_type_url("x/not.Known");
  message.mutable_extension()->set_value("hi");
  EXPECT_EQ(ToJson(message), R"({"extension":{"@type":"x/not.Known","value":"aGk="}})");
  message.set_some_text("t");
  message.clear_extension();
  EXPECT_EQ(ToJson(message, {.proto_names = true}), R"({"some_text":"t"})");
}

TEST(Duration, ReadsGosNotation) {
  const auto nanos = [](absl::string_view text) -> int64_t {
    const auto parts = ParseDuration(text);
    return parts.has_value() ? parts->seconds * 1'000'000'000 + parts->nanos : -999;
  };
  EXPECT_EQ(nanos("3s"), 3'000'000'000);
  EXPECT_EQ(nanos("1h1m"), 3'660'000'000'000);
  EXPECT_EQ(nanos("100ms"), 100'000'000);
  EXPECT_EQ(nanos("1.5s"), 1'500'000'000);
  EXPECT_EQ(nanos(".5m"), 30'000'000'000);
  EXPECT_EQ(nanos("2us3ns"), 2'003);
  EXPECT_EQ(nanos("2\xC2\xB5s"), 2'000);
  EXPECT_EQ(nanos("-1s"), -1'000'000'000);
  EXPECT_EQ(nanos("0"), 0);
  for (const char* bad : {"", "3", "s", "3 s", "3d", "1h1", "-", ".s", "1e3s", "99999999999999h",
                          "999999999999999999999999999999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(bad).has_value()) << bad;
  }
}

TEST(Duration, IsWrittenInSeconds) {
  EXPECT_EQ(FormatDuration({.seconds = 3, .nanos = 0}), "3s");
  EXPECT_EQ(FormatDuration({.seconds = 0, .nanos = 100'000'000}), "0.100s");
  EXPECT_EQ(FormatDuration({.seconds = 0, .nanos = -1'000}), "-0.000001s");
  EXPECT_EQ(FormatDuration({.seconds = -2, .nanos = -1}), "-2.000000001s");
}

TEST(UnknownFields, AreNamedByPathAndNumber) {
  Sample peer;
  peer.mutable_by_sample()->set_small(1);
  auto* inner = peer.mutable_by_sample();
  inner->GetReflection()->MutableUnknownFields(inner)->AddVarint(99, 1);
  peer.add_samples();
  auto* second = peer.add_samples();
  second->GetReflection()->MutableUnknownFields(second)->AddVarint(98, 1);
  Sample ours;
  ASSERT_TRUE(ours.ParseFromString(peer.SerializeAsString()));
  EXPECT_THAT(UnknownFields(ours),
              ElementsAre("by_sample: field 99 of meltemi.protojson.sample.Sample",
                          "samples[1]: field 98 of meltemi.protojson.sample.Sample"));
  EXPECT_THAT(UnknownFields(Sample()), ElementsAre());
}

TEST(Suggestion, IsNearOrNone) {
  EXPECT_EQ(Suggestion("timout", {"timeout", "retries"}), " (did you mean \"timeout\"?)");
  EXPECT_EQ(Suggestion("zzz", {"timeout", "retries"}), "");
}

}  // namespace
}  // namespace meltemi::protojson
