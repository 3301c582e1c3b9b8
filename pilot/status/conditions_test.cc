#include "pilot/status/conditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/loop/loop_fake.h"
#include "kube/client/client_fake.h"
#include "kube/executor/executor_fake.h"
#include "pilot/ingest/kube/live_objects_fake.h"
#include "pilot/status/condition_text.h"
#include "pilot/status/programmed_fake.h"

namespace meltemi::pilot {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// An API server of VirtualServices in one namespace, whose watch the test delivers.
class ConditionsTest : public testing::Test {
 protected:
  ConditionsTest() : loop_(executor_.fake_clock()) {
    client_.on_call = [this](const kube::ApiCall& call) { return Serve(call); };
    conditions_ = NewConditions(loop_, client_, executor_, programmed_, live_);
    conditions_->SetLeading(true);
  }

  static ObjectKey Key(absl::string_view name) {
    return {.kind = Kind::kVirtualService, .ns = "n", .name = std::string(name)};
  }
  // The user writes an object; the watch tells it at once.
  void Apply(absl::string_view name, int64_t generation, absl::string_view rejected = "") {
    LiveObject& object = stored_[std::string(name)];
    object.resource = {"networking.istio.io", "v1", "virtualservices", "VirtualService", true};
    object.uid = "u";
    object.generation = generation;
    object.rejected = std::string(rejected);
    object.resource_version = absl::StrCat(++version_);
    Deliver(name);
  }
  void Deliver(absl::string_view name) { live_.Set(Key(name), stored_[std::string(name)]); }

  kube::Result<kube::ApiAnswer> Serve(const kube::ApiCall& call) {
    if (failure_.code != 200) return failure_;
    EXPECT_EQ(call.method, "PATCH");
    const std::string name(
        call.path.substr(call.path.find("virtualservices/") + 16,
                         call.path.size() - call.path.find("virtualservices/") - 16 - 7));
    const auto patch = json::Parse(call.body);
    EXPECT_TRUE(patch.ok());
    LiveObject& object = stored_[name];
    if (patch->Find("metadata")->FindString("resourceVersion") != object.resource_version) {
      return kube::ModifiedConflict({"", "virtualservices"}, name);
    }
    object.resource_version = absl::StrCat(++version_);
    object.status_json = keeps_ ? json::ToString(*patch->Find("status")) : "{}";
    ++writes_;
    return kube::ApiAnswer{.body = absl::StrCat(R"({"metadata":{"resourceVersion":")", version_,
                                                R"("},"status":)", object.status_json, "}")};
  }

  void Wait(Duration by) {
    for (Duration done = Duration(); done < by; done += milliseconds(10)) {
      executor_.Advance(milliseconds(10));
      loop_.RunPending();
      executor_.RunReady();
      loop_.RunPending();
    }
  }
  // "Accepted=True/Accepted@3 Programmed=…" as it is stored.
  std::string Stored(absl::string_view name) {
    const auto status = json::Parse(stored_[std::string(name)].status_json);
    if (!status.ok()) return "none";
    std::string out;
    for (const json::Value& c : status->Find("conditions")->items()) {
      absl::StrAppend(&out, out.empty() ? "" : " ", c.FindString("type"), "=",
                      c.FindString("status"), "/", c.FindString("reason"), "@",
                      c.Find("observedGeneration") ? c.Find("observedGeneration")->text() : "");
    }
    return out;
  }
  std::string Message(absl::string_view name, absl::string_view type, absl::string_view member) {
    const auto status = json::Parse(stored_[std::string(name)].status_json);
    for (const json::Value& c : status->Find("conditions")->items()) {
      if (c.FindString("type") == type) return std::string(c.FindString(member));
    }
    return "none";
  }

  kube::ExecutorFake executor_;
  FakeLoop loop_;
  kube::ClientFake client_;
  ProgrammedFake programmed_;
  LiveObjectsFake live_;
  std::map<std::string, LiveObject> stored_;
  int version_ = 0, writes_ = 0;
  bool keeps_ = true;  // the status that is written
  kube::Status failure_{.code = 200};
  std::unique_ptr<Conditions> conditions_;
};

TEST_F(ConditionsTest, AnObjectIsProgrammedWhenEveryProxyHasAcknowledgedIt) {
  Apply("r", 1);
  Wait(seconds(1));
  EXPECT_EQ(Stored("r"), "none");  // nothing is known of it yet
  programmed_.Set(Key("r"), {.generation = 1, .concerned = 2, .acknowledged = 1});
  Wait(seconds(2));
  EXPECT_EQ(Stored("r"), "Accepted=True/Accepted@1 Programmed=False/Pending@1");
  EXPECT_EQ(Message("r", "Programmed", "message"), "1 of 2 proxies have acknowledged");
  programmed_.Set(Key("r"), {.generation = 1, .concerned = 2, .acknowledged = 2});
  Wait(milliseconds(50));
  EXPECT_EQ(Stored("r"), "Accepted=True/Accepted@1 Programmed=True/Programmed@1");
  EXPECT_EQ(writes_, 2);
}

TEST_F(ConditionsTest, WhatProxiesAcknowledgeQuicklyIsOneWrite) {
  Apply("r", 1);
  for (size_t acknowledged = 0; acknowledged <= 50; ++acknowledged) {
    programmed_.Set(Key("r"), {.generation = 1, .concerned = 50, .acknowledged = acknowledged});
    Wait(milliseconds(1));
  }
  Wait(seconds(60));
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(Message("r", "Programmed", "message"), "50 of 50 proxies have acknowledged");
}

TEST_F(ConditionsTest, OurOwnEventsMakeNoMoreWrites) {
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1});
  Wait(milliseconds(100));
  for (int i = 0; i < 10; ++i) {
    Deliver("r");
    Wait(seconds(1));
  }
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(Message("r", "Programmed", "message"), "no connected proxy is concerned");
}

TEST_F(ConditionsTest, ANewGenerationCountsOnlyOnceTheSnapshotHasIt) {
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1, .concerned = 1, .acknowledged = 1});
  Wait(milliseconds(100));
  Apply("r", 2);
  Wait(seconds(5));
  EXPECT_EQ(Stored("r"), "Accepted=True/Accepted@1 Programmed=True/Programmed@1");
  programmed_.Set(Key("r"), {.generation = 2, .concerned = 1, .acknowledged = 1});
  Wait(milliseconds(100));
  EXPECT_EQ(Stored("r"), "Accepted=True/Accepted@2 Programmed=True/Programmed@2");
}

TEST_F(ConditionsTest, WhatIsInvalidOrHeldBackSaysWhy) {
  Apply("bad", 2, "spec.hosts: \"hosts\" is missing");
  Apply("held", 1);
  programmed_.Set(Key("held"), {.generation = 1,
                                .accepted = false,
                                .reason = "HeldBack",
                                .message = "subset v2 does not exist"});
  Wait(seconds(1));
  EXPECT_EQ(Stored("bad"), "Accepted=False/Invalid@2 Programmed=False/Invalid@2");
  EXPECT_EQ(Message("bad", "Accepted", "message"), "spec.hosts: \"hosts\" is missing");
  EXPECT_EQ(Stored("held"), "Accepted=False/HeldBack@1 Programmed=False/HeldBack@1");
  EXPECT_EQ(Message("held", "Accepted", "message"), "subset v2 does not exist");
}

TEST_F(ConditionsTest, TheFirstRejectionIsTold) {
  Apply("r", 1);
  programmed_.Set(
      Key("r"),
      {.generation = 1, .concerned = 3, .acknowledged = 2, .first_nack = "web-1.n: bad regex"});
  Wait(milliseconds(100));
  EXPECT_EQ(Stored("r"), "Accepted=True/Accepted@1 Programmed=False/Rejected@1");
  EXPECT_EQ(Message("r", "Programmed", "message"),
            "2 of 3 proxies have acknowledged; web-1.n: bad regex");
}

TEST_F(ConditionsTest, ConditionsOfOthersStayAndSoDoesTheTimeOfATransition) {
  stored_["r"].status_json =
      R"({"validationMessages":[1],"conditions":[{"type":"Reconciled","status":"True"}]})";
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1, .concerned = 1, .acknowledged = 1});
  Wait(milliseconds(100));
  Deliver("r");
  EXPECT_EQ(Stored("r"), "Reconciled=True/@ Accepted=True/Accepted@1 Programmed=True/Programmed@1");
  const std::string since = Message("r", "Programmed", "lastTransitionTime");
  EXPECT_EQ(since.size(), 20u);
  programmed_.Set(Key("r"), {.generation = 1, .concerned = 2, .acknowledged = 2});
  Wait(seconds(14));
  EXPECT_EQ(writes_, 1);  // only the words differ
  Wait(seconds(2));
  EXPECT_EQ(writes_, 2);
  EXPECT_EQ(Message("r", "Programmed", "lastTransitionTime"), since);
  EXPECT_THAT(Message("r", "Programmed", "message"), HasSubstr("2 of 2"));
}

TEST_F(ConditionsTest, AConflictIsTriedAgainWithWhatTheWatchBrings) {
  Apply("r", 1);
  stored_["r"].resource_version = "somebody else's";
  programmed_.Set(Key("r"), {.generation = 1});
  Wait(milliseconds(100));
  EXPECT_EQ(writes_, 0);
  Deliver("r");
  Wait(milliseconds(500));
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(conditions_->stats().conflicts, 1u);
}

TEST_F(ConditionsTest, AServerThatRefusesIsNotAskedAllTheTime) {
  failure_ = kube::GenericStatus(403, "forbidden");
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1});
  Wait(seconds(65));
  EXPECT_EQ(client_.TakeCalls().size(), 3u);
  failure_ = kube::Status{.code = 200};
  Wait(seconds(31));
  EXPECT_EQ(writes_, 1);
}

TEST_F(ConditionsTest, OnlyTheLeaderWrites) {
  conditions_->SetLeading(false);
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1});
  Wait(seconds(5));
  EXPECT_EQ(writes_, 0);
  conditions_->SetLeading(true);
  Wait(milliseconds(100));
  EXPECT_EQ(writes_, 1);
}

TEST_F(ConditionsTest, ManyObjectsAreWrittenAtABoundedRate) {
  for (int i = 0; i < 1000; ++i) {
    Apply(absl::StrCat("r", i), 1);
    programmed_.Set(Key(absl::StrCat("r", i)), {.generation = 1});
  }
  Wait(seconds(2));
  EXPECT_GT(writes_, 200);
  EXPECT_LT(writes_, 350);
  Wait(seconds(10));
  EXPECT_EQ(writes_, 1000);
  EXPECT_EQ(conditions_->stats().waiting, 0u);
}

TEST_F(ConditionsTest, ADefinitionThatKeepsNoConditionsIsNotWrittenToForEver) {
  keeps_ = false;
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1});
  for (int i = 0; i < 10; ++i) {
    Wait(seconds(1));
    Deliver("r");
  }
  EXPECT_EQ(writes_, 1);
}

TEST_F(ConditionsTest, ItEndsWithAWriteUnderWay) {
  Apply("r", 1);
  programmed_.Set(Key("r"), {.generation = 1});
  executor_.Advance(milliseconds(30));
  loop_.RunPending();
  EXPECT_EQ(executor_.ready(), 1u);
  conditions_ = nullptr;
  executor_.RunReady();
  loop_.RunPending();
  EXPECT_THAT(client_.TakeCalls(), IsEmpty());
  live_.Remove(Key("r"));
}

TEST(ConditionText, AnAppliedVersionIsNotCalledProgrammedWhileAnOlderOneIs) {
  const LiveObject live{.generation = 3};
  const ProgramState state{.generation = 2, .concerned = 1, .acknowledged = 1};
  EXPECT_FALSE(ConditionsOf(live, &state).has_value());
  EXPECT_FALSE(ConditionsOf(live, nullptr).has_value());
}

TEST(ConditionText, LongMessagesAreCutBetweenCharacters) {
  LiveObject live{.generation = 1};
  for (int i = 0; i < 3000; ++i) live.rejected += "ä";
  const std::string message = ConditionsOf(live, nullptr)->conditions[0].message;
  EXPECT_LE(message.size(), 2052u);
  EXPECT_EQ(message.size() % 2, 1u);  // whole ä's and one "…"
}

}  // namespace
}  // namespace meltemi::pilot
