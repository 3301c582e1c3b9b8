#include "orchestrator/apiserver/memory/memory_api.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// Notes "ADDED name", and "END 410".
class SinkFake final : public kube::WatchSink {
 public:
  void OnEvent(absl::string_view type, absl::string_view object) override {
    absl::StatusOr<Value> tree = json::Parse(object);
    ASSERT_TRUE(tree.ok());
    const absl::string_view name = kube::Name(*tree);
    seen.push_back(absl::StrCat(type, " ", name.empty() ? "-" : name));
    last = *std::move(tree);
  }
  void OnEnd(const kube::Status& why) override { seen.push_back(absl::StrCat("END ", why.code)); }

  std::vector<std::string> seen;
  Value last;
};

constexpr absl::string_view kPods = "/api/v1/namespaces/default/pods";
constexpr absl::string_view kDeployments = "/apis/apps/v1/namespaces/default/deployments";

std::string Pod(absl::string_view name, absl::string_view more = "") {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"(","labels":{"app":"web"}},"spec":{)",
                      more, R"("containers":[{"name":"c","image":"i"}]}})");
}

std::string Deployment(absl::string_view name) {
  return absl::StrCat(R"({"metadata":{"name":")", name,
                      R"("},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},)",
                      R"("template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":)",
                      R"([{"name":"c","image":"i"}]}}}})");
}

class MemoryApiTest : public testing::Test {
 protected:
  kube::Result<kube::ApiAnswer> Call(absl::string_view method, absl::string_view path,
                                     std::string body = "", std::string type = "application/json") {
    return process_->client().Call({.method = std::string(method),
                                    .path = std::string(path),
                                    .body = std::move(body),
                                    .content_type = std::move(type)});
  }
  // The answer's tree; or {"code":409,"reason":…} of the refusal.
  Value Json(absl::string_view method, absl::string_view path, std::string body = "",
             std::string type = "application/json") {
    kube::Result<kube::ApiAnswer> answer = Call(method, path, std::move(body), std::move(type));
    if (!answer.ok()) {
      Value out = Value::Object();
      out.Set("code", Value::Int(answer.status().code));
      out.Set("reason", Value::String(answer.status().reason));
      out.Set("message", Value::String(answer.status().message));
      return out;
    }
    absl::StatusOr<Value> tree = json::Parse(answer->body);
    EXPECT_TRUE(tree.ok()) << answer->body;
    return tree.ok() ? *std::move(tree) : Value();
  }
  std::unique_ptr<kube::ApiWatch> Watch(
      absl::string_view path, SinkFake& sink,
      std::vector<std::pair<std::string, std::string>> query = {}) {
    return process_->client().Watch({.path = std::string(path), .query = std::move(query)}, sink);
  }
  std::string Revision() const { return absl::StrCat(api_->revision()); }

  FakeClock clock_;
  FastRandom random_{1};
  std::unique_ptr<MemoryApi> api_ = NewMemoryApi(clock_, random_);
  std::unique_ptr<MemoryApi::Process> process_ = api_->NewProcess("system:admin");
};

TEST_F(MemoryApiTest, ObjectsAreCreatedReadChangedAndDeleted) {
  Value made = Json("POST", kDeployments, Deployment("web"));
  EXPECT_EQ(kube::TextAt(made, "kind"), "Deployment");
  EXPECT_EQ(kube::TextAt(made, "spec.strategy.type"), "RollingUpdate");  // a default
  EXPECT_EQ(kube::IntAt(made, "metadata.generation", 0), 1);
  EXPECT_EQ(kube::TextAt(made, "metadata.creationTimestamp"), "2024-01-01T00:00:00Z");
  EXPECT_EQ(Json("POST", kDeployments, Deployment("web")).FindString("reason"), "AlreadyExists");

  const std::string path = absl::StrCat(kDeployments, "/web");
  Value read = Json("GET", path);
  EXPECT_EQ(json::ToString(*read.Find("spec")), json::ToString(*made.Find("spec")));
  EXPECT_EQ(kube::TextAt(read, "metadata.uid"), kube::TextAt(made, "metadata.uid"));
  read.MutableObject("spec").Set("replicas", Value::Int(3));
  EXPECT_EQ(kube::IntAt(Json("PUT", path, json::ToString(read)), "spec.replicas", 0), 3);
  EXPECT_EQ(Json("PUT", path, json::ToString(read)).FindString("reason"), "Conflict");
  EXPECT_EQ(
      kube::IntAt(Json("PATCH", path, R"({"spec":{"replicas":4}})", "application/merge-patch+json"),
                  "metadata.generation", 0),
      3);
  EXPECT_EQ(kube::TextAt(Json("DELETE", path), "status"), "Success");
  EXPECT_EQ(Json("GET", path).FindString("reason"), "NotFound");
  EXPECT_EQ(
      Json("POST", kDeployments, R"({"metadata":{"name":"x"},"spec":{}})").FindString("reason"),
      "Invalid");
}

TEST_F(MemoryApiTest, TheStatusIsASubresource) {
  Value made = Json("POST", kDeployments, Deployment("web"));
  made.MutableObject("status").Set("replicas", Value::Int(2));
  made.MutableObject("spec").Set("replicas", Value::Int(9));
  const Value written =
      Json("PUT", absl::StrCat(kDeployments, "/web/status"), json::ToString(made));
  EXPECT_EQ(kube::IntAt(written, "status.replicas", 0), 2);
  EXPECT_EQ(kube::IntAt(written, "spec.replicas", 0), 2);
  const Value scaled = Json("PATCH", absl::StrCat(kDeployments, "/web/scale"),
                            R"({"spec":{"replicas":5}})", "application/merge-patch+json");
  EXPECT_EQ(kube::TextAt(scaled, "kind"), "Scale");
  EXPECT_EQ(kube::IntAt(Json("GET", absl::StrCat(kDeployments, "/web")), "spec.replicas", 0), 5);
}

TEST_F(MemoryApiTest, GeneratedNamesAndUidsComeFromTheSeed) {
  std::string pod = Pod("");
  pod.replace(pod.find("\"name\""), 6, "\"generateName\"");
  pod.replace(pod.find("\"\","), 2, "\"web-\"");
  const Value first = Json("POST", kPods, pod), second = Json("POST", kPods, pod);
  EXPECT_TRUE(absl::StartsWith(kube::Name(first), "web-"));
  EXPECT_NE(kube::Name(first), kube::Name(second));

  FastRandom again(1);
  api_ = NewMemoryApi(clock_, again);
  process_ = api_->NewProcess("system:admin");
  EXPECT_EQ(json::ToString(Json("POST", kPods, pod)), json::ToString(first));
}

TEST_F(MemoryApiTest, FinalizersKeepAnObject) {
  Json("POST", "/api/v1/namespaces/default/configmaps",
       R"({"metadata":{"name":"c","finalizers":["a.b/c"]}})");
  const std::string path = "/api/v1/namespaces/default/configmaps/c";
  EXPECT_NE(kube::TextAt(Json("DELETE", path), "metadata.deletionTimestamp"), "");
  EXPECT_EQ(kube::Name(Json("GET", path)), "c");
  Json("PATCH", path, R"({"metadata":{"finalizers":null}})", "application/merge-patch+json");
  EXPECT_EQ(Json("GET", path).FindString("reason"), "NotFound");
}

TEST_F(MemoryApiTest, PodsAreBoundOnceAndDeletedGracefully) {
  Json("POST", kPods, Pod("p"));
  const std::string path = absl::StrCat(kPods, "/p");
  const std::string binding = R"({"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}})";
  EXPECT_EQ(kube::TextAt(Json("POST", path + "/binding", binding), "status"), "Success");
  EXPECT_EQ(Json("POST", path + "/binding", binding).FindString("reason"), "Conflict");
  EXPECT_EQ(kube::TextAt(Json("GET", path), "spec.nodeName"), "n1");
  Json("DELETE", path);
  EXPECT_EQ(kube::IntAt(Json("GET", path), "metadata.deletionGracePeriodSeconds", 0), 30);
  Json("DELETE", path, R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0})");
  EXPECT_EQ(Json("GET", path).FindString("reason"), "NotFound");
  // Nobody has to stop what was never started.
  Json("POST", kPods, Pod("q"));
  Json("DELETE", absl::StrCat(kPods, "/q"));
  EXPECT_EQ(Json("GET", absl::StrCat(kPods, "/q")).FindString("reason"), "NotFound");
}

TEST_F(MemoryApiTest, EvictionsAskTheBudget) {
  Json("POST", kPods, Pod("p"));
  Json("POST", absl::StrCat(kPods, "/p/binding"),
       R"({"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}})");
  Json("PATCH", absl::StrCat(kPods, "/p/status"),
       R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})",
       "application/merge-patch+json");
  const std::string budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  Json("POST", budgets,
       R"({"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":)"
       R"({"app":"web"}}}})");
  Json("PATCH", budgets + "/b/status", R"({"status":{"observedGeneration":1}})",
       "application/merge-patch+json");
  const std::string eviction = R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":)"
                               R"({"name":"p","namespace":"default"}})";
  const std::string path = absl::StrCat(kPods, "/p/eviction");
  EXPECT_EQ(kube::IntAt(Json("POST", path, eviction), "code", 0), 429);
  Json("PATCH", budgets + "/b/status",
       R"({"status":{"disruptionsAllowed":1,"desiredHealthy":1,"expectedPods":2}})",
       "application/merge-patch+json");
  EXPECT_EQ(kube::TextAt(Json("POST", path, eviction), "status"), "Success");
}

TEST_F(MemoryApiTest, AdmissionIsTheRealOne) {
  EXPECT_EQ(Json("POST", "/api/v1/namespaces/none/pods", Pod("p")).FindString("reason"),
            "NotFound");
  Json("POST", "/apis/scheduling.k8s.io/v1/priorityclasses",
       R"({"metadata":{"name":"high"},"value":1000})");
  const Value pod = Json("POST", kPods, Pod("p", R"("priorityClassName":"high",)"));
  EXPECT_EQ(kube::IntAt(pod, "spec.priority", 0), 1000);
  EXPECT_EQ(kube::At(pod, "spec.tolerations")->items().size(), 2u);
  const Value service = Json("POST", "/api/v1/namespaces/default/services",
                             R"({"metadata":{"name":"s"},"spec":{"ports":[{"port":80}]}})");
  EXPECT_TRUE(absl::StartsWith(kube::TextAt(service, "spec.clusterIP"), "10."));
}

TEST_F(MemoryApiTest, WatchesTellWhatTheirSelectorMatchesWhenAsked) {
  SinkFake all, labelled;
  const std::string begin = Revision();
  Json("POST", kPods, Pod("a"));
  const auto first = Watch(kPods, all, {{"resourceVersion", begin}});
  const auto second = Watch(kPods, labelled, {{"labelSelector", "app=web,x!=y"}});
  Json("PATCH", absl::StrCat(kPods, "/a"), R"({"metadata":{"labels":{"x":"y"}}})",
       "application/merge-patch+json");
  EXPECT_TRUE(all.seen.empty());
  EXPECT_EQ(api_->undelivered(), 4u);
  api_->DeliverOne(1);
  EXPECT_EQ(labelled.seen, std::vector<std::string>{"ADDED a"});
  api_->DeliverAll();
  EXPECT_EQ(all.seen, (std::vector<std::string>{"ADDED a", "MODIFIED a"}));
  EXPECT_EQ(labelled.seen, (std::vector<std::string>{"ADDED a", "DELETED a"}));
  EXPECT_EQ(kube::TextAt(labelled.last, "metadata.resourceVersion"), Revision());
  EXPECT_EQ(kube::TextAt(labelled.last, "kind"), "Pod");
}

TEST_F(MemoryApiTest, PodsAreWatchedByNode) {
  SinkFake sink;
  const auto watch = Watch("/api/v1/pods", sink, {{"fieldSelector", "spec.nodeName=n1"}});
  Json("POST", kPods, Pod("p"));
  EXPECT_EQ(api_->undelivered(), 0u);
  Json("POST", absl::StrCat(kPods, "/p/binding"),
       R"({"metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}})");
  api_->DeliverAll();
  EXPECT_EQ(sink.seen, std::vector<std::string>{"ADDED p"});
}

TEST_F(MemoryApiTest, AWatchEndsAndHistoryIsForgotten) {
  SinkFake sink, late;
  const std::string begin = Revision();
  const auto watch = Watch(kPods, sink, {{"resourceVersion", begin}});
  Json("POST", kPods, Pod("a"));
  api_->EndWatch(0, /*forget_history=*/true);
  EXPECT_EQ(sink.seen, std::vector<std::string>{"END 410"});
  EXPECT_EQ(api_->undelivered(), 0u);
  const auto again = Watch(kPods, late, {{"resourceVersion", begin}});
  EXPECT_TRUE(late.seen.empty());  // never from within Watch
  api_->DeliverAll();
  EXPECT_EQ(late.seen, std::vector<std::string>{"END 410"});
}

TEST_F(MemoryApiTest, BookmarksMoveOnAWatchThatHearsNothing) {
  SinkFake sink;
  const auto watch =
      Watch(kDeployments, sink, {{"resourceVersion", Revision()}, {"allowWatchBookmarks", "true"}});
  for (int i = 0; i < 150; ++i) Json("POST", kPods, Pod(absl::StrCat("p", i)));
  api_->DeliverAll();
  EXPECT_EQ(sink.seen, std::vector<std::string>{"BOOKMARK -"});
  EXPECT_EQ(kube::TextAt(sink.last, "kind"), "Deployment");
}

TEST_F(MemoryApiTest, CallsFailAsTheFateWants) {
  Fate fate = Fate::kRefuse;
  process_->SetFate([&fate](const kube::ApiCall&) { return fate; });
  EXPECT_EQ(Call("POST", kPods, Pod("a")).status().code, 429);
  EXPECT_EQ(Call("POST", kPods, Pod("a")).status().code, 500);
  fate = Fate::kLoseCall;
  EXPECT_EQ(Call("POST", kPods, Pod("a")).status().code, 0);
  fate = Fate::kLoseAnswer;
  EXPECT_EQ(Call("POST", kPods, Pod("b")).status().code, 0);
  fate = Fate::kPass;
  EXPECT_EQ(Json("GET", absl::StrCat(kPods, "/a")).FindString("reason"), "NotFound");
  EXPECT_EQ(kube::Name(Json("GET", absl::StrCat(kPods, "/b"))), "b");
}

TEST_F(MemoryApiTest, ADeadProcessHearsAndWritesNothing) {
  SinkFake sink;
  const auto watch = Watch(kPods, sink);
  Json("POST", kPods, Pod("a"));
  process_->Disconnect();
  EXPECT_EQ(api_->undelivered(), 0u);
  EXPECT_EQ(Call("POST", kPods, Pod("b")).status().code, 0);
  process_ = api_->NewProcess("system:admin");
  EXPECT_EQ(Json("GET", absl::StrCat(kPods, "/b")).FindString("reason"), "NotFound");
}

TEST_F(MemoryApiTest, ListsComeInPages) {
  for (const char* name : {"a", "b", "c"}) Json("POST", kPods, Pod(name));
  kube::ApiCall call{.path = std::string(kPods), .query = {{"limit", "2"}}};
  kube::Result<kube::ApiAnswer> page = process_->client().Call(call);
  ASSERT_TRUE(page.ok());
  Value tree = *json::Parse(page->body);
  EXPECT_EQ(tree.Find("items")->items().size(), 2u);
  call.query.emplace_back("continue", kube::TextAt(tree, "metadata.continue"));
  page = process_->client().Call(call);
  ASSERT_TRUE(page.ok());
  tree = *json::Parse(page->body);
  EXPECT_EQ(tree.Find("items")->items().size(), 1u);
  EXPECT_EQ(kube::TextAt(tree, "metadata.continue"), "");
  Json("POST", kPods, Pod("d"));
  EXPECT_EQ(process_->client().Call(call).status().code, 410);
}

TEST_F(MemoryApiTest, DiscoveryAndHistoryAreThere) {
  EXPECT_EQ(kube::TextAt(Json("GET", "/apis/apps/v1"), "kind"), "APIResourceList");
  EXPECT_EQ(kube::TextAt(Json("GET", "/api"), "kind"), "APIVersions");
  EXPECT_EQ(kube::TextAt(Json("GET", "/apis"), "kind"), "APIGroupList");
  Json("POST", kDeployments, Deployment("web"));
  const HistoryEntry& last = api_->history().back();
  EXPECT_EQ(last.type, "ADDED");
  EXPECT_EQ(last.resource, "deployments.apps");
  EXPECT_EQ(last.name, "web");
  EXPECT_EQ(last.user, "system:admin");
  EXPECT_EQ(last.revision, api_->revision());
  EXPECT_EQ(kube::TextAt(*json::Parse(last.json), "apiVersion"), "apps/v1");
}

}  // namespace
}  // namespace meltemi::apiserver
