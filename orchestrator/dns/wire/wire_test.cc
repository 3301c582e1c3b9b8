// Messages as they go over the wire: what is read, what is written, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "orchestrator/dns/wire/message.h"

namespace meltemi::dns {
namespace {

using testing::ElementsAre;

Query Asked(absl::string_view name, uint16_t type, bool edns = false) {
  const std::string message =
      WriteQuery(7, NameFromText(name), type, kClassIn, kFlagRecursionDesired, edns, false);
  Query query;
  EXPECT_EQ(ReadQuery(message, &query), QueryRead::kOk);
  return query;
}

std::string Bytes(std::initializer_list<int> bytes) {
  std::string out;
  for (const int byte : bytes) out += static_cast<char>(byte);
  return out;
}

TEST(NameTest, TextAndBack) {
  EXPECT_EQ(NameFromText("Www.Example"), absl::string_view("\3www\7example\0", 13));
  EXPECT_EQ(NameFromText("."), absl::string_view("\0", 1));
  EXPECT_EQ(NameToText(NameFromText("a.b.")), "a.b.");
  EXPECT_EQ(NameToText(absl::string_view("\3a.\1\0", 5)), "a\\046\\001.");
  EXPECT_EQ(NameFromText("a..b"), "");
  EXPECT_EQ(NameFromText(std::string(64, 'x')), "");
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += "x.";
  EXPECT_EQ(NameFromText(longest).size(), 255u);
  EXPECT_EQ(NameFromText(longest + "x"), "");
  EXPECT_THAT(LabelsOf(NameFromText("a.bc")), ElementsAre("a", "bc"));
}

TEST(NameTest, PointersLeadBackwards) {
  // "b" at 0, "a" with a pointer to it at 3, a pointer to itself at 7, one forwards at 9.
  const std::string message =
      Bytes({1, 'B', 0, 1, 'a', 0xC0, 0, 0xC0, 7, 0xC0, 11, 0}) + Bytes({1, 'x'});
  Name name;
  size_t at = 3;
  ASSERT_TRUE(ReadName(message, &at, &name));
  EXPECT_EQ(NameToText(name), "a.b.");
  EXPECT_EQ(at, 7u);
  EXPECT_FALSE(ReadName(message, &(at = 7), &name));
  EXPECT_FALSE(ReadName(message, &(at = 9), &name));
  EXPECT_FALSE(ReadName(message, &(at = 12), &name));
}

TEST(QueryTest, TheQuestionKeepsItsCase) {
  std::string message = WriteQuery(1, NameFromText("web.example"), kTypeA, kClassIn, 0, true, true);
  message[13] = 'W';
  Query query;
  ASSERT_EQ(ReadQuery(message, &query), QueryRead::kOk);
  EXPECT_EQ(query.name, NameFromText("web.example"));
  EXPECT_EQ(query.question[1], 'W');
  EXPECT_TRUE(query.has_edns);
  EXPECT_TRUE(query.dnssec_ok);
  EXPECT_EQ(query.udp_bytes_max, kUdpBytesMax);
  char out[512];
  AnswerWriter writer(out, sizeof(out));
  writer.Begin(query, kNoError, 0);
  writer.Address("", 30, "\1\2\3\4");
  EXPECT_EQ(writer.Finish()[13], 'W');
}

TEST(QueryTest, WhatIsNoQueryIsRefusedOrIgnored) {
  Query query;
  EXPECT_EQ(ReadQuery("short", &query), QueryRead::kIgnore);
  std::string message = WriteQuery(1, NameFromText("a"), kTypeA, kClassIn, 0, true, false);
  std::string answer = message;
  answer[2] = static_cast<char>(0x80);
  EXPECT_EQ(ReadQuery(answer, &query), QueryRead::kIgnore);
  std::string update = message;
  update[2] = 5 << 3;
  EXPECT_EQ(ReadQuery(update, &query), QueryRead::kNotImp);
  std::string two = message;
  two[5] = 2;
  EXPECT_EQ(ReadQuery(two, &query), QueryRead::kFormErr);
  EXPECT_EQ(ReadQuery(message.substr(0, message.size() - 1), &query), QueryRead::kFormErr);
  EXPECT_EQ(ReadQuery(message.substr(0, 14), &query), QueryRead::kFormErr);
  std::string opts = message + message.substr(message.size() - kOptBytes);
  opts[11] = 2;
  EXPECT_EQ(ReadQuery(opts, &query), QueryRead::kFormErr);
}

TEST(AnswerTest, NamesAreCompressed) {
  const Query query = Asked("_http._tcp.web.ns.svc.cluster.local", kTypeSrv);
  char out[512];
  AnswerWriter writer(out, sizeof(out));
  writer.Begin(query, kNoError, kFlagAuthoritative);
  const Name target = NameFromText("web.ns.svc.cluster.local");
  writer.Srv("", 30, 0, 100, 80, target);
  writer.SetSection(AnswerWriter::Section::kAdditional);
  writer.Address(target, 30, "\12\1\2\3");
  const absl::string_view message = writer.Finish();
  // A target of SRV stands in full; the address' owner is two bytes.
  EXPECT_EQ(message.size(), kHeaderBytes + query.question.size() + (12 + 6 + target.size()) + 16);
  AnswerInfo info;
  ASSERT_TRUE(ReadAnswer(message, &info));
  EXPECT_EQ(info.answers, 1);
  EXPECT_EQ(info.ttl_min, 30u);
  EXPECT_EQ(info.ttl_offsets.size(), 2u);
  EXPECT_EQ(info.flags & kFlagRecursionDesired, kFlagRecursionDesired);
}

TEST(AnswerTest, WhatDoesNotFitIsDroppedWholeAndSaid) {
  for (const bool edns : {false, true}) {
    const Query query = Asked("many.example", kTypeA, edns);
    char out[kUdpBytesMax];
    AnswerWriter writer(out, query.udp_bytes_max);
    writer.Begin(query, kNoError, 0);
    for (int i = 0; i < 200; ++i) writer.Address("", 5, "\1\2\3\4");
    const absl::string_view message = writer.Finish();
    EXPECT_LE(message.size(), query.udp_bytes_max);
    EXPECT_GT(message.size(), query.udp_bytes_max - 16);
    AnswerInfo info;
    ASSERT_TRUE(ReadAnswer(message, &info));
    EXPECT_NE(info.flags & kFlagTruncated, 0);
    EXPECT_EQ(info.opt_offset != 0, edns);
  }
}

TEST(AnswerTest, ANegativeAnswerTellsHowLongItCounts) {
  const Query query = Asked("no.example", kTypeA);
  char out[512];
  AnswerWriter writer(out, sizeof(out));
  writer.Begin(query, kNxDomain, 0);
  writer.SetSection(AnswerWriter::Section::kAuthority);
  writer.SoaRecord(NameFromText("example"), 300,
                   {NameFromText("ns.example"), NameFromText("host.example"), 1, 2, 3, 4, 60});
  AnswerInfo info;
  ASSERT_TRUE(ReadAnswer(writer.Finish(), &info));
  EXPECT_EQ(info.rcode, kNxDomain);
  EXPECT_TRUE(info.has_soa);
  EXPECT_EQ(info.negative_ttl, 60u);
}

TEST(AnswerTest, RecordsAreCopiedWithTheirNamesInFull) {
  const Query theirs = Asked("www.example", kTypeA);
  char one[512], two[512];
  AnswerWriter upstream(one, sizeof(one));
  upstream.Begin(theirs, kNoError, 0);
  upstream.NameRecord("", kTypeCname, 20, NameFromText("web.example"));
  upstream.Address(NameFromText("web.example"), 10, "\1\2\3\4");
  const absl::string_view message = upstream.Finish();
  AnswerInfo info;
  ASSERT_TRUE(ReadAnswer(message, &info));
  AnswerWriter writer(two, sizeof(two));
  writer.Begin(Asked("alias.ns.svc.cluster.local", kTypeA), kNoError, 0);
  writer.NameRecord("", kTypeCname, 30, NameFromText("www.example"));
  CopyAnswers(message, info, &writer);
  EXPECT_EQ(writer.answers(), 3);
  AnswerInfo copied;
  ASSERT_TRUE(ReadAnswer(writer.Finish(), &copied));
  EXPECT_EQ(copied.ttl_min, 10u);
}

}  // namespace
}  // namespace meltemi::dns
