#include "kube/events/recorder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/client/client_fake.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/event.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/executor/executor_fake.h"

namespace meltemi::kube {
namespace {

using core::v1::Event;

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() {
    pod_.mutable_metadata()->set_namespace_("ns");
    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_metadata()->set_uid("u1");
    client_.on_call = [this](const ApiCall& call) -> Result<ApiAnswer> {
      if (refusal_.code != 200) return refusal_;
      Event event;
      if (call.method == "POST") {
        EXPECT_TRUE(FromJson(call.body, &event).ok());
        stored_.push_back(event);
      } else {
        event = stored_.back();
        Event patch;
        EXPECT_TRUE(FromJson(call.body, &patch).ok());
        event.MergeFrom(patch);
      }
      return ApiAnswer{.body = ToJson(event)};
    };
    recorder_ = NewEventRecorder(client_, executor_, {.component = "the-controller", .host = "h1"});
  }
  std::vector<std::string> Calls() {
    executor_.RunReady();
    return client_.TakeCalls();
  }
  void RecordAndRun(absl::string_view message) {
    recorder_->Record(pod_, kNormal, "Started", message);
    executor_.RunReady();
  }

  ExecutorFake executor_;
  ClientFake client_;
  core::v1::Pod pod_;
  std::vector<Event> stored_;
  Status refusal_ = GenericStatus(200, "ok");
  std::unique_ptr<EventRecorder> recorder_;
};

TEST_F(RecorderTest, WritesInTheBackground) {
  recorder_->Record(pod_, kWarning, "Failed", "it did not work");
  EXPECT_TRUE(client_.calls().empty());
  EXPECT_EQ(Calls(), (std::vector<std::string>{"POST /api/v1/namespaces/ns/events"}));
  const Event& event = stored_.at(0);
  EXPECT_EQ(event.involved_object().kind(), "Pod");
  EXPECT_EQ(event.involved_object().api_version(), "v1");
  EXPECT_EQ(event.involved_object().uid(), "u1");
  EXPECT_EQ(event.type(), "Warning");
  EXPECT_EQ(event.source().component(), "the-controller");
  EXPECT_EQ(event.reporting_component(), "the-controller");
  EXPECT_EQ(event.source().host(), "h1");
  EXPECT_EQ(event.count(), 1);
  EXPECT_EQ(event.first_timestamp().seconds(), 1704067200);
  EXPECT_TRUE(absl::StartsWith(event.metadata().name(), "web."));
}

TEST_F(RecorderTest, EventsOfNodesAreInTheDefaultNamespace) {
  core::v1::Node node;
  node.mutable_metadata()->set_name("n1");
  recorder_->Record(node, kNormal, "Starting", "here I am");
  EXPECT_EQ(Calls(), (std::vector<std::string>{"POST /api/v1/namespaces/default/events"}));
  EXPECT_EQ(stored_[0].involved_object().namespace_(), "");
}

TEST_F(RecorderTest, WhatRepeatsIsCounted) {
  RecordAndRun("hello");
  executor_.Advance(seconds(3));
  RecordAndRun("hello");
  const std::vector<ApiCall> calls = client_.calls();
  ASSERT_EQ(calls.size(), 2);
  EXPECT_EQ(calls[1].method, "PATCH");
  EXPECT_EQ(calls[1].content_type, "application/strategic-merge-patch+json");
  EXPECT_EQ(calls[1].path,
            absl::StrCat("/api/v1/namespaces/ns/events/", stored_[0].metadata().name()));
  EXPECT_EQ(calls[1].body,
            R"({"count":2,"lastTimestamp":"2024-01-01T00:00:03Z","message":"hello"})");
}

TEST_F(RecorderTest, AnEventThatIsGoneBeginsAnew) {
  RecordAndRun("hello");
  const auto on_call = client_.on_call;
  client_.on_call = [&](const ApiCall& call) -> Result<ApiAnswer> {
    if (call.method == "PATCH") return NotFound({"", "events"}, "x");
    return on_call(call);
  };
  executor_.Advance(seconds(1));
  RecordAndRun("hello");
  ASSERT_EQ(stored_.size(), 2);
  EXPECT_NE(stored_[0].metadata().name(), stored_[1].metadata().name());
}

TEST_F(RecorderTest, ManySimilarOnesBecomeOne) {
  for (int i = 0; i < 15; ++i) RecordAndRun(absl::StrCat("message ", i));
  ASSERT_EQ(stored_.size(), 10);
  EXPECT_EQ(stored_[8].message(), "message 8");
  EXPECT_EQ(stored_[9].message(), "(combined from similar events): message 9");
  EXPECT_TRUE(absl::StrContains(client_.calls().back().body, R"({"count":6,"lastTimestamp")"));
  executor_.Advance(minutes(11));
  RecordAndRun("much later");
  EXPECT_EQ(stored_.back().message(), "much later");
}

TEST_F(RecorderTest, AFloodAboutOneObjectIsCutOff) {
  for (int i = 0; i < 100; ++i) RecordAndRun("again");
  EXPECT_EQ(Calls().size(), 25);
  executor_.Advance(seconds(301));
  RecordAndRun("again");
  RecordAndRun("again");
  EXPECT_EQ(Calls().size(), 1);
  pod_.mutable_metadata()->set_name("other");
  RecordAndRun("again");
  EXPECT_EQ(Calls().size(), 1);
}

TEST_F(RecorderTest, AServerThatCannotBeReachedIsTriedAgain) {
  refusal_.code = 0;
  RecordAndRun("hello");
  EXPECT_EQ(Calls().size(), 1);
  executor_.Advance(seconds(10));
  EXPECT_EQ(Calls().size(), 1);
  refusal_.code = 200;
  executor_.Advance(seconds(10));
  EXPECT_EQ(stored_.size(), 1);
  refusal_ = Forbidden({"", "events"}, "", "no");
  executor_.Advance(minutes(5));
  RecordAndRun("refused");
  EXPECT_EQ(executor_.ready(), 0);
}

TEST_F(RecorderTest, NoMoreThanABoundWait) {
  for (int i = 0; i < 5000; ++i) recorder_->Record(pod_, kNormal, "R", absl::StrCat(i));
  pod_.mutable_metadata()->set_uid("u2");
  EXPECT_LE(executor_.ready(), 1);
  EXPECT_LE(Calls().size(), 25);  // the flood filter
}

TEST_F(RecorderTest, LongMessagesAreCutAtACharacter) {
  recorder_->Record(pod_, kNormal, "R", absl::StrCat(std::string(1023, 'x'), "\u00e4y"));
  executor_.RunReady();
  EXPECT_EQ(stored_[0].message(), std::string(1023, 'x'));
}

}  // namespace
}  // namespace meltemi::kube
