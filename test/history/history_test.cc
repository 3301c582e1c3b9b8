#include "test/history/history.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"

namespace meltemi::history {
namespace {

// a is put twice and deleted, b is put.
const std::vector<Change> kTruth = {
    {2, "a", false, "v1"}, {3, "b", false, "w1"}, {4, "a", false, "v2"}, {5, "a", true, ""}};

class HistoryTest : public testing::Test {
 protected:
  void Add(const Operation& operation) {
    history_.AddLine(History::Begin(next_, operation));
    if (operation.outcome != Outcome::kUnknown) history_.AddLine(History::End(next_, operation));
    ++next_;
  }
  void AddWrites() {
    Add({.kind = Kind::kPut,
         .key = "a",
         .value = "v1",
         .begin_ns = 10,
         .end_ns = 20,
         .outcome = Outcome::kDone,
         .revision = 2});
    Add({.kind = Kind::kPut,
         .key = "b",
         .value = "w1",
         .begin_ns = 15,
         .end_ns = 30,
         .outcome = Outcome::kDone,
         .revision = 3});
    Add({.kind = Kind::kPut, .key = "a", .expected = 2, .value = "v2", .begin_ns = 40});
    Add({.kind = Kind::kDelete,
         .key = "a",
         .expected = 4,
         .begin_ns = 60,
         .end_ns = 70,
         .outcome = Outcome::kDone,
         .revision = 5});
  }
  std::string Errors() { return absl::StrJoin(history_.Check(kTruth), "\n"); }
  void ExpectError(const char* text) { EXPECT_TRUE(absl::StrContains(Errors(), text)) << Errors(); }

  History history_;
  uint64_t next_ = 1;
};

TEST_F(HistoryTest, WhatCanBeIsAccepted) {
  AddWrites();
  Add({.kind = Kind::kPut, .key = "b", .value = "w2", .begin_ns = 80});  // never happened
  Add({.kind = Kind::kPut,
       .key = "b",
       .value = "w3",
       .begin_ns = 80,
       .end_ns = 81,
       .outcome = Outcome::kRefused});
  Add({.kind = Kind::kRead,
       .begin_ns = 32,
       .end_ns = 50,
       .outcome = Outcome::kDone,
       .revision = 4,
       .seen = {{"a", "v2"}, {"b", "w1"}}});
  Add({.kind = Kind::kRead,
       .key = "a",
       .begin_ns = 90,
       .end_ns = 91,
       .outcome = Outcome::kDone,
       .revision = 5});
  Add({.kind = Kind::kGet,
       .key = "b",
       .value = "w1",
       .begin_ns = 90,
       .end_ns = 91,
       .outcome = Outcome::kDone,
       .revision = 3});
  history_.AddLine(History::Watch(1, 0));
  for (const Change& change : kTruth) history_.AddLine(History::Saw(1, change));
  history_.AddLine(History::Watch(2, 3));
  history_.AddLine(History::Saw(2, kTruth[2]));
  EXPECT_EQ(Errors(), "");
  EXPECT_EQ(history_.last_seen(), 5);
  EXPECT_EQ(history_.counts().acknowledged, 3u);
  EXPECT_EQ(history_.counts().unknown, 2u);
}

TEST_F(HistoryTest, ALostWriteIsFound) {
  AddWrites();
  Add({.kind = Kind::kPut,
       .key = "b",
       .expected = 3,
       .value = "w9",
       .begin_ns = 80,
       .end_ns = 90,
       .outcome = Outcome::kDone,
       .revision = 6});
  ExpectError("an acknowledged write is lost: P b w9");
}

TEST_F(HistoryTest, ARefusedWriteThatHappenedIsFound) {
  Add({.kind = Kind::kPut,
       .key = "a",
       .value = "v1",
       .begin_ns = 1,
       .end_ns = 2,
       .outcome = Outcome::kRefused});
  ExpectError("a refused write has happened");
}

TEST_F(HistoryTest, AWriteOnAnotherStateIsFound) {
  Add({.kind = Kind::kPut,
       .key = "a",
       .expected = 0,
       .value = "v2",
       .begin_ns = 1,
       .end_ns = 2,
       .outcome = Outcome::kDone,
       .revision = 4});
  ExpectError("a write has replaced revision 2");
}

TEST_F(HistoryTest, ADeletionThatTwoAreToldOfIsFound) {
  AddWrites();
  Add({.kind = Kind::kDelete,
       .key = "a",
       .expected = 4,
       .begin_ns = 60,
       .end_ns = 70,
       .outcome = Outcome::kDone});
  ExpectError("a deletion was acknowledged twice");
}

// Who was told nothing may have come too late.
TEST_F(HistoryTest, ADeletionOfUnknownOutcomeMayBeAnothers) {
  AddWrites();
  Add({.kind = Kind::kRead,
       .key = "a",
       .begin_ns = 75,
       .end_ns = 76,
       .outcome = Outcome::kDone,
       .revision = 5});
  Add({.kind = Kind::kDelete, .key = "a", .expected = 4, .begin_ns = 80});
  EXPECT_EQ(Errors(), "");
}

TEST_F(HistoryTest, AChangeThatNobodyAskedForIsFound) {
  ExpectError("nobody asked for the change at revision 5");
}

TEST_F(HistoryTest, AStaleReadIsFound) {
  AddWrites();
  Add({.kind = Kind::kRead,
       .begin_ns = 35,
       .end_ns = 36,
       .outcome = Outcome::kDone,
       .revision = 2,
       .seen = {{"a", "v1"}}});
  ExpectError("the order of the store contradicts time");
}

TEST_F(HistoryTest, AStaleGetIsFound) {
  AddWrites();
  Add({.kind = Kind::kGet,
       .key = "a",
       .value = "v1",
       .begin_ns = 75,
       .end_ns = 76,
       .outcome = Outcome::kDone,
       .revision = 2});
  ExpectError("the order of a contradicts time");
}

TEST_F(HistoryTest, AReadOfTheFutureIsFound) {
  AddWrites();
  Add({.kind = Kind::kRead,
       .key = "a",
       .begin_ns = 50,
       .end_ns = 55,
       .outcome = Outcome::kDone,
       .revision = 5});
  ExpectError("the order of the store contradicts time");
}

TEST_F(HistoryTest, AReadOfWhatNeverWasIsFound) {
  AddWrites();
  Add({.kind = Kind::kRead,
       .begin_ns = 90,
       .end_ns = 95,
       .outcome = Outcome::kDone,
       .revision = 5,
       .seen = {{"a", "v2"}, {"b", "w1"}}});
  ExpectError("a read saw {a=v2 b=w1} where {b=w1} was");
}

TEST_F(HistoryTest, AWatchWithAGapARepetitionOrAnotherOrderIsFound) {
  const std::vector<std::vector<int>> wrong = {{0, 2}, {0, 0}, {1, 0}, {0, 1, 2, 3, 3}};
  for (const std::vector<int>& order : wrong) {
    History history;
    history.AddLine(History::Watch(1, 0));
    for (const int i : order) history.AddLine(History::Saw(1, kTruth[static_cast<size_t>(i)]));
    EXPECT_TRUE(absl::StrContains(absl::StrJoin(history.Check(kTruth), "\n"), "watch 1 saw"))
        << order.size();
  }
}

}  // namespace
}  // namespace meltemi::history
