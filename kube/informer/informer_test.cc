#include "kube/informer/informer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/client/client_fake.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/executor/executor_fake.h"
#include "kube/informer/limits.h"

namespace meltemi::kube {
namespace {

using core::v1::Pod;
using Lines = std::vector<std::string>;

std::string PodJson(absl::string_view name, int version, absl::string_view node = "n1",
                    absl::string_view ns = "ns") {
  return absl::StrCat(R"({"metadata":{"namespace":")", ns, R"(","name":")", name, R"(","uid":"u-)",
                      name, R"(","resourceVersion":")", version, R"("},"spec":{"nodeName":")", node,
                      R"("}})");
}

std::string ListJson(int version, const Lines& items, absl::string_view token = "") {
  return absl::StrCat(R"({"metadata":{"resourceVersion":")", version, R"(","continue":")", token,
                      R"("},"items":[)", absl::StrJoin(items, ","), "]}");
}

class InformerTest : public testing::Test {
 protected:
  InformerTest() {
    client_.on_call = [this](const ApiCall&) -> Result<ApiAnswer> {
      if (refusal_.code != 200) return refusal_;
      return ApiAnswer{.body = list_};
    };
    informers_ = NewInformers(client_, executor_);
    pods_ = &informers_->Of<Pod>();
    pods_->AddIndex("node", [](const google::protobuf::Message& pod) {
      return Lines{static_cast<const Pod&>(pod).spec().node_name()};
    });
    pods_->AddHandler([this](const Change& change) {
      const auto name = [](const MessagePtr& object) {
        if (object == nullptr) return std::string("-");
        return absl::StrCat(NameOf(*object).name, "@",
                            static_cast<const Pod&>(*object).spec().node_name());
      };
      told_.push_back(absl::StrCat(change.initial ? "initially " : "", name(change.before), " > ",
                                   name(change.after)));
      // Handlers see what they are told of.
      if (change.after != nullptr) {
        const NamespacedName key = NameOf(*change.after);
        EXPECT_EQ(pods_->GetMessage(key.ns, key.name), change.after);
      }
    });
  }
  void Start() {
    informers_->Start([this] { ++synced_; });
    executor_.RunReady();
  }
  Lines Told() { return std::exchange(told_, {}); }
  Lines Names(const std::vector<MessagePtr>& messages) {
    Lines out;
    for (const MessagePtr& message : messages) out.push_back(NameOf(*message).ToString());
    return out;
  }
  WatchSink& Sink() {
    EXPECT_EQ(client_.watches().size(), 1);
    return *client_.watches().at(0).sink;
  }
  static Status Ended(int code) {
    Status out;
    out.code = code;
    return out;
  }

  ExecutorFake executor_;
  ClientFake client_;
  std::string list_ = ListJson(10, {PodJson("b", 7), PodJson("a", 3, "n2")});
  Status refusal_ = Ended(200);
  std::unique_ptr<Informers> informers_;
  Informer* pods_;
  Lines told_;
  int synced_ = 0;
};

TEST_F(InformerTest, ListsThenWatches) {
  EXPECT_FALSE(informers_->synced());
  EXPECT_EQ(informers_->Waiting(), "pods");
  Start();
  EXPECT_TRUE(informers_->synced());
  EXPECT_EQ(synced_, 1);
  EXPECT_EQ(pods_->revision(), 10);
  EXPECT_EQ(Told(), (Lines{"initially - > a@n2", "initially - > b@n1"}));
  EXPECT_EQ(Names(pods_->ListMessages("")), (Lines{"ns/a", "ns/b"}));
  EXPECT_EQ(client_.TakeCalls(), (Lines{"GET /api/v1/pods?limit=500"}));
  const ApiCall watch = client_.watches().at(0).call;
  EXPECT_EQ(watch.query[0], std::make_pair(std::string("resourceVersion"), std::string("10")));
  EXPECT_EQ(watch.query[1].first, "allowWatchBookmarks");

  Sink().OnEvent("ADDED", PodJson("c", 11));
  Sink().OnEvent("MODIFIED", PodJson("a", 12, "n1"));
  Sink().OnEvent("DELETED", PodJson("b", 13));
  EXPECT_EQ(Told(), (Lines{"- > c@n1", "a@n2 > a@n1", "b@n1 > -"}));
  EXPECT_EQ(pods_->revision(), 13);
  Sink().OnEvent("BOOKMARK", R"({"metadata":{"resourceVersion":"20"}})");
  EXPECT_EQ(pods_->revision(), 20);
  EXPECT_EQ(Told(), Lines{});
  EXPECT_EQ(pods_->size(), 2);
}

TEST_F(InformerTest, IndexesFollow) {
  Start();
  EXPECT_EQ(Names(pods_->IndexedMessages("node", "n1")), (Lines{"ns/b"}));
  Sink().OnEvent("MODIFIED", PodJson("a", 12, "n1"));
  EXPECT_EQ(Names(pods_->IndexedMessages("node", "n1")), (Lines{"ns/a", "ns/b"}));
  EXPECT_EQ(Names(pods_->IndexedMessages("node", "n2")), Lines{});
  Sink().OnEvent("DELETED", PodJson("a", 13, "n1"));
  EXPECT_EQ(Names(pods_->IndexedMessages("node", "n1")), (Lines{"ns/b"}));
  EXPECT_EQ(Names(pods_->IndexedMessages("unheard of", "n1")), Lines{});
}

TEST_F(InformerTest, NamespacesAreListedAlone) {
  list_ = ListJson(10, {PodJson("x", 1, "", "n"), PodJson("y", 2, "", "ns"),
                        PodJson("z", 3, "", "nsz"), PodJson("a", 4, "", "ns")});
  Start();
  EXPECT_EQ(Names(pods_->ListMessages("ns")), (Lines{"ns/a", "ns/y"}));
  EXPECT_EQ(Names(pods_->ListMessages("nobody")), Lines{});
  EXPECT_EQ(pods_->size(), 4);
}

TEST_F(InformerTest, SomeOfAKindCanBeKeptInShortForm) {
  Informer& some = informers_->Of<Pod>("spec.nodeName=n1");
  EXPECT_NE(&some, pods_);
  EXPECT_EQ(&some, &informers_->Of<Pod>("spec.nodeName=n1"));
  some.SetTransform([](google::protobuf::Message& pod) { static_cast<Pod&>(pod).clear_spec(); });
  Start();
  EXPECT_FALSE(Lister<Pod>(some).Get("ns", "a")->has_spec());
  EXPECT_TRUE(Lister<Pod>(*pods_).Get("ns", "a")->has_spec());
  EXPECT_EQ(client_.TakeCalls().at(1), "GET /api/v1/pods?fieldSelector=spec.nodeName=n1&limit=500");
}

TEST_F(InformerTest, AWatchThatEndsGoesOnWhereItWas) {
  Start();
  Sink().OnEvent("BOOKMARK", R"({"metadata":{"resourceVersion":"15"}})");
  Sink().OnEnd(Ended(200));
  executor_.RunReady();
  EXPECT_EQ(client_.watches().at(0).call.query[0].second, "15");
  EXPECT_EQ(client_.TakeCalls().size(), 1);  // the first list
}

TEST_F(InformerTest, AWatchThatTellsNothingIsNotBegunInALoop) {
  Start();
  Sink().OnEnd(Ended(200));
  executor_.RunReady();
  EXPECT_EQ(executor_.ready(), 0);
  WatchSink& old = Sink();
  executor_.Advance(milliseconds(800));
  EXPECT_EQ(&Sink(), &old);  // a new watch of the same informer
  EXPECT_EQ(client_.watches().at(0).call.query[0].second, "10");
}

TEST_F(InformerTest, AfterAGapTheDifferenceIsTold) {
  Start();
  Told();
  const MessagePtr b = pods_->GetMessage("ns", "b");
  list_ = ListJson(30, {PodJson("b", 7), PodJson("c", 25), PodJson("d", 26)});
  Sink().OnEnd(ResourceExpired("too old resource version"));
  executor_.Advance(seconds(1));
  EXPECT_EQ(Told(), (Lines{"- > c@n1", "- > d@n1", "a@n2 > -"}));
  EXPECT_EQ(pods_->GetMessage("ns", "b"), b);  // the same object, not a copy
  EXPECT_EQ(pods_->revision(), 30);
  EXPECT_EQ(client_.watches().at(0).call.query[0].second, "30");
  EXPECT_EQ(Names(pods_->IndexedMessages("node", "n2")), Lines{});
}

TEST_F(InformerTest, AServerThatCannotBeReachedIsAskedAgainAndAgain) {
  refusal_ = Ended(0);
  Start();
  EXPECT_EQ(client_.TakeCalls().size(), 1);
  executor_.Advance(minutes(1));
  const size_t calls = client_.TakeCalls().size();
  EXPECT_GT(calls, 18);  // three seconds apart at most
  EXPECT_LT(calls, 45);
  refusal_ = Ended(200);
  executor_.Advance(seconds(3));
  EXPECT_TRUE(informers_->synced());
  Sink().OnEnd(Ended(0));
  executor_.Advance(seconds(1));
  EXPECT_EQ(client_.watches().size(), 1);
  EXPECT_EQ(client_.TakeCalls().size(), 1);  // the list alone: the watch goes on from where it was
}

TEST_F(InformerTest, AListThatGrowsTooOldBetweenPagesIsReadAtOnce) {
  client_.on_call = [this](const ApiCall& call) -> Result<ApiAnswer> {
    if (call.query.empty()) return ApiAnswer{.body = list_};
    if (call.query.back().first == "continue") return ResourceExpired("expired");
    return ApiAnswer{.body = ListJson(5, {PodJson("z", 1)}, "more")};
  };
  Start();
  EXPECT_EQ(Told(), (Lines{"initially - > a@n2", "initially - > b@n1"}));
}

TEST_F(InformerTest, EventsOfThePastAreNotTold) {
  Start();
  Told();
  Sink().OnEvent("MODIFIED", PodJson("b", 7, "n9"));
  Sink().OnEvent("MODIFIED", PodJson("b", 5, "n9"));
  Sink().OnEvent("DELETED", PodJson("unknown", 12));
  EXPECT_EQ(Told(), Lines{});
}

TEST_F(InformerTest, AnEventThatCannotBeReadMeansANewList) {
  Start();
  Told();
  Sink().OnEvent("ADDED", R"({"metadata":[]})");
  Sink().OnEvent("ADDED", PodJson("c", 12));  // what follows waits for the list
  EXPECT_EQ(Told(), Lines{});
  list_ = ListJson(12, {PodJson("c", 12)});
  executor_.Advance(seconds(1));
  EXPECT_EQ(Told(), (Lines{"- > c@n1", "a@n2 > -", "b@n1 > -"}));
}

TEST_F(InformerTest, ManyObjectsAreKeptPacked) {
  const std::unique_ptr<Informers> informers =
      NewInformers(client_, executor_, InformerOptions(), {.messages_max = 2});
  Informer& pods = informers->Of<Pod>();
  pods.AddIndex("node", [](const google::protobuf::Message& pod) {
    return Lines{static_cast<const Pod&>(pod).spec().node_name()};
  });
  Lines nodes;
  pods.AddHandler([&](const Change& change) {
    nodes.clear();
    for (const MessagePtr& each : {change.before, change.after}) {
      if (each != nullptr) nodes.push_back(static_cast<const Pod&>(*each).spec().node_name());
    }
  });
  Lines items;
  for (int i = 100; i < 200; ++i) items.push_back(PodJson(absl::StrCat("p", i), i));
  list_ = ListJson(200, items);
  informers->Start();
  executor_.RunReady();
  const auto node = [&](const std::string& name) {
    return Lister<Pod>(pods).Get("ns", name)->spec().node_name();
  };
  for (int i = 100; i < 200; ++i) EXPECT_EQ(node(absl::StrCat("p", i)), "n1");
  // What somebody holds is the same for all.
  const MessagePtr held = pods.GetMessage("ns", "p100");
  pods.ListMessages("");
  EXPECT_EQ(pods.GetMessage("ns", "p100"), held);
  Sink().OnEvent("MODIFIED", PodJson("p150", 201, "n2"));
  EXPECT_EQ(nodes, (Lines{"n1", "n2"}));
  EXPECT_EQ(Names(pods.IndexedMessages("node", "n2")), (Lines{"ns/p150"}));
  EXPECT_EQ(pods.IndexedMessages("node", "n1").size(), 99);
  EXPECT_EQ(pods.ListMessages("").size(), 100);
  Sink().OnEvent("DELETED", PodJson("p150", 202, "n2"));
  EXPECT_EQ(pods.GetMessage("ns", "p150"), nullptr);
  EXPECT_EQ(Names(pods.IndexedMessages("node", "n2")), Lines{});
}

TEST_F(InformerTest, MetadataAloneOfAnyResource) {
  const ApiResource widgets{.group = "example.com", .version = "v1", .resource = "widgets"};
  Informer& informer = informers_->OfMetadata(widgets);
  Start();
  EXPECT_EQ(NameOf(*informer.GetMessage("ns", "a")).name, "a");
  for (const ApiCall& call : client_.calls()) {
    if (call.path != "/apis/example.com/v1/widgets") continue;
    EXPECT_EQ(call.accept, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  }
  informers_->Stop();
  EXPECT_EQ(client_.watches().size(), 0);
  EXPECT_EQ(informer.size(), 2);
}

TEST_F(InformerTest, NothingIsHeardAfterItsEnd) {
  informers_->Start();
  informers_.reset();
  executor_.RunReady();
  EXPECT_EQ(Told(), Lines{});
  EXPECT_EQ(client_.watches().size(), 0);
}

TEST_F(InformerTest, OnSyncedWaitsForAllThatWereStarted) {
  informers_->Of<core::v1::Node>();
  int nodes_allowed = 0;
  client_.on_call = [&](const ApiCall& call) -> Result<ApiAnswer> {
    if (call.path == "/api/v1/nodes" && nodes_allowed == 0) return Ended(503);
    return ApiAnswer{.body = ListJson(10, {})};
  };
  Start();
  EXPECT_EQ(synced_, 0);
  EXPECT_EQ(informers_->Waiting(), "nodes");
  nodes_allowed = 1;
  executor_.Advance(seconds(2));
  EXPECT_EQ(synced_, 1);
  int again = 0;
  informers_->Start([&] { ++again; });
  executor_.RunReady();
  EXPECT_EQ(again, 1);
}

}  // namespace
}  // namespace meltemi::kube
