#include "orchestrator/apiserver/verbs/rest.h"

#include <utility>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/verbs/testing/widgets.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Headers = std::map<std::string, std::string>;

constexpr absl::string_view kWidgets = "/apis/example.com/v1/namespaces/default/widgets";
constexpr absl::string_view kTableAccept =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

class TokenIssuerFake final : public TokenIssuer {
 public:
  IssuedToken Issue(const TokenRequest& request) override {
    last = request;
    return {.token = "secret", .expires_at_s = 1704070800};
  }
  std::string KeySetJson() const override { return "{}"; }
  std::string DiscoveryJson() const override { return "{}"; }
  TokenRequest last;
};

class RestTest : public testing::Test {
 protected:
  RestTest()
      : handler(NewResourceHandler({
            .objects = *world.objects,
            .cache = world.cache,
            .catalogs = *world.catalogs,
            .admission = world.admission,
            .tokens = &tokens,
            .reviews = {{{"authentication.k8s.io", "tokenreviews"},
                         [](const Request&, Value review) -> kube::Result<Value> {
                           review.MutableObject("status").Set("authenticated", Value::Bool(true));
                           return review;
                         }}},
            .clock = world.clock,
            .random = random,
        })) {}

  Reply Do(absl::string_view method, absl::string_view target, absl::string_view body = "",
           Headers headers = {}) {
    Request request;
    request.method = std::string(method);
    request.target = std::string(target);
    const size_t question = target.find('?');
    const absl::string_view path = target.substr(0, question);
    const absl::string_view query =
        question == absl::string_view::npos ? absl::string_view() : target.substr(question + 1);
    request.query = Query::Parse(query);
    request.info = ParseRequestInfo(method, path, query);
    request.headers = std::move(headers);
    if (request.headers.count("user-agent") == 0) request.headers["user-agent"] = "tester/1.0";
    request.body = std::string(body);
    request.user.name = "tester";
    Reply reply = handler->Handle(request);
    warnings = request.warnings;
    return reply;
  }
  // The answer as a tree; its code goes into `code`.
  Value Ask(absl::string_view method, absl::string_view target, absl::string_view body = "",
            Headers headers = {}) {
    Reply reply = Do(method, target, body, std::move(headers));
    const Body& answer = std::get<Body>(reply);
    code = answer.code;
    content_type = answer.content_type;
    text = answer.bytes;
    return Json(answer.bytes);
  }
  void MakeWidget(const std::string& name, const std::string& color = "red", int size = 1) {
    Ask("POST", kWidgets,
        "{\"metadata\":{\"name\":\"" + name + "\",\"labels\":{\"color\":\"" + color +
            "\"}},\"spec\":{\"color\":\"" + color + "\",\"size\":" + std::to_string(size) + "}}");
    ASSERT_EQ(code, 201) << text;
  }
  std::string Widget(absl::string_view name) { return absl::StrCat(kWidgets, "/", name); }
  std::string Message(absl::string_view method, absl::string_view target,
                      absl::string_view body = "", Headers headers = {}) {
    return std::string(Ask(method, target, body, std::move(headers)).FindString("message"));
  }

  WidgetWorld world;
  TokenIssuerFake tokens;
  FastRandom random{3};
  std::unique_ptr<Handler> handler;
  int code = 0;
  std::string content_type, text;
  std::vector<std::string> warnings;
};

TEST_F(RestTest, AnObjectsWholeLife) {
  Value made = Ask("POST", kWidgets, R"({"metadata":{"name":"a"},"spec":{"color":"red"}})");
  EXPECT_EQ(code, 201) << text;
  EXPECT_EQ(made.FindString("kind"), "Widget");
  EXPECT_EQ(kube::Metadata(made).Find("managedFields")->items()[0].FindString("manager"), "tester");
  Value got = Ask("GET", Widget("a"));
  EXPECT_EQ(code, 200);
  EXPECT_EQ(kube::ResourceVersion(got), kube::ResourceVersion(made));
  got.MutableObject("spec").Set("size", Value::Int(5));
  const Value put = Ask("PUT", Widget("a"), json::ToString(got));
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(kube::Generation(put), 2);
  EXPECT_EQ(Message("PUT", Widget("a"), json::ToString(got)),
            "Operation cannot be fulfilled on widgets.example.com \"a\": the object has been "
            "modified; please apply your changes to the latest version and try again");
  const Value status = Ask("DELETE", Widget("a"));
  EXPECT_EQ(code, 200);
  EXPECT_EQ(status.FindString("status"), "Success");
  EXPECT_EQ(kube::TextAt(status, "details.kind"), "widgets");
  EXPECT_EQ(Message("GET", Widget("a")), "widgets.example.com \"a\" not found");
  EXPECT_EQ(code, 404);
}

TEST_F(RestTest, UnknownPathsAndMethods) {
  EXPECT_EQ(Message("GET", "/apis/example.com/v1/gizmos"),
            "the server could not find the requested resource");
  EXPECT_EQ(code, 404);
  EXPECT_EQ(Message("PUT", kWidgets),
            "the server does not allow this method on the requested "
            "resource");
  EXPECT_EQ(code, 405);
  Ask("POST", "/apis/example.com/v1/widgets", R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(code, 405);
  Ask("GET", "/apis/example.com/v1/namespaces/default/gadgets/g");
  EXPECT_EQ(code, 404);
  MakeWidget("a");
  Ask("GET", Widget("a") + "/log");
  EXPECT_EQ(code, 404);
}

TEST_F(RestTest, ListsWithSelectors) {
  MakeWidget("a", "red");
  MakeWidget("b", "blue");
  const Value all = Ask("GET", kWidgets);
  EXPECT_EQ(all.FindString("kind"), "WidgetList");
  EXPECT_EQ(all.Find("items")->items().size(), 2u);
  EXPECT_EQ(kube::ResourceVersion(all), "3");
  const Value red = Ask("GET", absl::StrCat(kWidgets, "?labelSelector=color%3Dred"));
  ASSERT_EQ(red.Find("items")->items().size(), 1u);
  EXPECT_EQ(kube::Name(red.Find("items")->items()[0]), "a");
  const Value blue = Ask("GET", absl::StrCat(kWidgets, "?fieldSelector=spec.color%3Dblue"));
  ASSERT_EQ(blue.Find("items")->items().size(), 1u);
  EXPECT_EQ(Message("GET", absl::StrCat(kWidgets, "?fieldSelector=spec.weight%3D1")),
            "field label not supported: spec.weight");
  EXPECT_EQ(code, 400);
  const Value none = Ask("GET", "/apis/example.com/v1/namespaces/empty/widgets");
  EXPECT_TRUE(none.Find("items")->is_array());
}

TEST_F(RestTest, PagesAreContinued) {
  for (const char* name : {"a", "b", "c"}) MakeWidget(name);
  const Value first = Ask("GET", absl::StrCat(kWidgets, "?limit=2"));
  EXPECT_EQ(first.Find("items")->items().size(), 2u);
  EXPECT_EQ(kube::IntAt(first, "metadata.remainingItemCount", 0), 1);
  const std::string token = kube::TextAt(first, "metadata.continue");
  const Value second = Ask("GET", absl::StrCat(kWidgets, "?limit=2&continue=", token));
  ASSERT_EQ(second.Find("items")->items().size(), 1u);
  EXPECT_EQ(kube::Name(second.Find("items")->items()[0]), "c");
  EXPECT_EQ(kube::TextAt(second, "metadata.continue"), "");
  EXPECT_EQ(world.cache.last_query.continue_revision, 4);
  EXPECT_TRUE(absl::StartsWith(Message("GET", absl::StrCat(kWidgets, "?continue=%21%21")),
                               "continue key is not valid: "));
  EXPECT_EQ(Message("GET", absl::StrCat(kWidgets, "?resourceVersion=3&continue=", token)),
            "specifying resource version is not allowed when using continue");
}

TEST_F(RestTest, VersionsOfLists) {
  MakeWidget("a");
  Ask("GET", absl::StrCat(kWidgets, "?resourceVersion=0"));
  EXPECT_TRUE(world.cache.last_query.any_version);
  Ask("GET", absl::StrCat(kWidgets, "?resourceVersion=2&resourceVersionMatch=NotOlderThan"));
  EXPECT_EQ(world.cache.last_query.min_revision, 2);
  EXPECT_FALSE(world.cache.last_query.exact);
  Ask("GET", absl::StrCat(kWidgets, "?resourceVersion=2&limit=1"));
  EXPECT_TRUE(world.cache.last_query.exact);
  EXPECT_EQ(Message("GET", absl::StrCat(kWidgets, "?resourceVersionMatch=Exact")),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
            "resourceVersionMatch is forbidden unless resourceVersion is provided");
  EXPECT_EQ(code, 422);
  Ask("GET", absl::StrCat(kWidgets, "?resourceVersion=abc"));
  EXPECT_EQ(code, 400);
}

TEST_F(RestTest, TablesForKubectl) {
  MakeWidget("a", "red", 4);
  const Value table = Ask("GET", kWidgets, "", {{"accept", std::string(kTableAccept)}});
  EXPECT_EQ(table.FindString("kind"), "Table");
  EXPECT_EQ(table.FindString("apiVersion"), "meta.k8s.io/v1");
  EXPECT_EQ(table.Find("columnDefinitions")->items()[1].FindString("name"), "Size");
  const Value& row = table.Find("rows")->items()[0];
  EXPECT_EQ(json::ToString(*row.Find("cells")), R"(["a",4])");
  EXPECT_EQ(row.Find("object")->FindString("kind"), "PartialObjectMetadata");
  EXPECT_EQ(row.Find("object", "spec"), nullptr);
  const Value whole = Ask("GET", absl::StrCat(Widget("a"), "?includeObject=Object"), "",
                          {{"accept", std::string(kTableAccept)}});
  EXPECT_EQ(whole.Find("rows")->items()[0].Find("object")->FindString("kind"), "Widget");
  Ask("GET", absl::StrCat(kWidgets, "?includeObject=All"), "",
      {{"accept", std::string(kTableAccept)}});
  EXPECT_EQ(code, 400);
}

TEST_F(RestTest, MetadataAlone) {
  MakeWidget("a");
  const Headers list = {
      {"accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}};
  const Value partial = Ask("GET", kWidgets, "", list);
  EXPECT_EQ(partial.FindString("kind"), "PartialObjectMetadataList");
  EXPECT_EQ(partial.Find("items")->items()[0].FindString("kind"), "PartialObjectMetadata");
  EXPECT_EQ(partial.Find("items")->items()[0].Find("spec"), nullptr);
  Ask("GET", Widget("a"), "", list);
  EXPECT_EQ(code, 406);
}

TEST_F(RestTest, ContentTypes) {
  MakeWidget("a");
  Ask("GET", Widget("a"), "", {{"accept", "application/vnd.kubernetes.protobuf,application/json"}});
  EXPECT_EQ(code, 200);
  EXPECT_EQ(Message("GET", Widget("a"), "", {{"accept", "application/vnd.kubernetes.protobuf"}}),
            "only the following media types are accepted: application/json, application/yaml");
  EXPECT_EQ(code, 406);
  EXPECT_EQ(Message("POST", kWidgets, "x", {{"content-type", "text/plain"}}),
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml");
  EXPECT_EQ(code, 415);
  Ask("POST", kWidgets, "metadata:\n  name: y\nspec:\n  size: 3\n",
      {{"content-type", "application/yaml"}});
  EXPECT_EQ(code, 201) << text;
  Ask("GET", Widget("y"), "", {{"accept", "application/yaml"}});
  EXPECT_EQ(content_type, "application/yaml");
  EXPECT_TRUE(absl::StartsWith(text, "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n"))
      << text;
  Ask("GET", absl::StrCat(Widget("a"), "?pretty=true"));
  EXPECT_TRUE(absl::StrContains(text, "\n  \"kind\": \"Widget\"")) << text;
}

TEST_F(RestTest, BadBodiesGetTheWordsOfKubernetes) {
  EXPECT_TRUE(absl::StartsWith(
      Message("POST", kWidgets, ""),
      "the object provided is unrecognized (must be of type Widget): couldn't get version/kind; "
      "json parse error: unexpected end of JSON input (<empty>)"));
  EXPECT_EQ(code, 400);
  EXPECT_TRUE(absl::StartsWith(Message("POST", kWidgets, "{\"a\":"),
                               "the object provided is unrecognized (must be of type Widget): "));
  EXPECT_EQ(Message("POST", kWidgets, R"({"apiVersion":"example.com/v1alpha1","kind":"Widget"})"),
            "the API version in the data (example.com/v1alpha1) does not match the expected API "
            "version (example.com/v1)");
  EXPECT_TRUE(absl::StartsWith(
      Message("POST", kWidgets, R"({"apiVersion":"v9","kind":"Thing"})"),
      "Thing in version \"v9\" cannot be handled as a Widget: no kind \"Thing\" is registered for "
      "version \"v9\""));
  EXPECT_TRUE(absl::StrContains(
      Message("POST", kWidgets, R"({"apiVersion":"example.com/v1","kind":"Gadget"})"),
      "unknown conversion"));
  Ask("POST", kWidgets, R"({"metadata":{"name":"a"},"spec":{"size":"big"}})");
  EXPECT_EQ(code, 400) << text;
  EXPECT_EQ(Message("PUT", Widget("a"), R"({"metadata":{"name":"b"}})"),
            "the name of the object (b) does not match the name on the URL (a)");
  Ask("POST", kWidgets, std::string(200, '['));
  EXPECT_EQ(code, 400);
}

TEST_F(RestTest, RepeatedKeysAreTold) {
  Ask("POST", kWidgets, R"({"metadata":{"name":"a"},"spec":{"size":1,"size":2}})");
  EXPECT_EQ(code, 201) << text;
  EXPECT_EQ(warnings, std::vector<std::string>{"duplicate field \"spec.size\""});
  EXPECT_EQ(Message("POST", absl::StrCat(kWidgets, "?fieldValidation=Strict"),
                    R"({"metadata":{"name":"b"},"spec":{"size":1,"size":2}})"),
            "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: "
            "duplicate field \"spec.size\"");
}

TEST_F(RestTest, OptionsAreChecked) {
  EXPECT_EQ(Message("POST", absl::StrCat(kWidgets, "?dryRun=Some"), "{}"),
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: "
            "[]string{\"Some\"}: supported values: \"All\"");
  EXPECT_EQ(Message("POST", absl::StrCat(kWidgets, "?fieldValidation=Loud"), "{}"),
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: "
            "\"Loud\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"");
  Ask("POST", absl::StrCat(kWidgets, "?dryRun=All"), R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(code, 201);
  Ask("GET", Widget("a"));
  EXPECT_EQ(code, 404);
}

TEST_F(RestTest, PatchesInFourWays) {
  MakeWidget("a");
  Value patched = Ask("PATCH", Widget("a"), R"({"spec":{"size":2}})",
                      {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(kube::IntAt(patched, "spec.size", 0), 2);
  patched = Ask("PATCH", Widget("a"), R"([{"op":"replace","path":"/spec/size","value":3}])",
                {{"content-type", "application/json-patch+json"}});
  EXPECT_EQ(kube::IntAt(patched, "spec.size", 0), 3) << text;
  patched = Ask("PATCH", Widget("a"), R"({"spec":{"color":null,"size":4}})",
                {{"content-type", "application/strategic-merge-patch+json"}});
  EXPECT_EQ(kube::IntAt(patched, "spec.size", 0), 4) << text;
  EXPECT_EQ(kube::TextAt(patched, "spec.color"), "");
  EXPECT_EQ(Message("PATCH", Widget("a"), "{}", {{"content-type", "application/json"}}),
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/strategic-merge-patch+json, application/apply-patch+yaml");
  EXPECT_EQ(code, 415);
  Ask("PATCH", Widget("none"), "{}", {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(code, 404);
  Ask("PATCH", Widget("a"), R"({"spec":{"size":-3}})",
      {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(code, 422);
  Ask("PATCH", Widget("a"), "[]", {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(code, 400);
}

TEST_F(RestTest, ServerSideApply) {
  const Headers apply = {{"content-type", "application/apply-patch+yaml"}};
  const std::string yaml =
      "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  size: 3\n";
  EXPECT_EQ(Message("PATCH", Widget("a"), yaml, apply),
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required "
            "for apply patch");
  Ask("PATCH", absl::StrCat(Widget("a"), "?fieldManager=one"), yaml, apply);
  EXPECT_EQ(code, 201) << text;
  Ask("PATCH", absl::StrCat(Widget("a"), "?fieldManager=one"), yaml, apply);
  EXPECT_EQ(code, 200) << text;
  const std::string other =
      R"({"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"},)"
      R"("spec":{"size":9}})";
  const Value conflict = Ask("PATCH", absl::StrCat(Widget("a"), "?fieldManager=two"), other, apply);
  EXPECT_EQ(code, 409) << text;
  EXPECT_EQ(conflict.FindString("reason"), "Conflict");
  const Value forced =
      Ask("PATCH", absl::StrCat(Widget("a"), "?fieldManager=two&force=true"), other, apply);
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(kube::IntAt(forced, "spec.size", 0), 9);
  EXPECT_EQ(Message("PATCH", absl::StrCat(Widget("a"), "?fieldManager=two"),
                    R"({"apiVersion":"example.com/v2","kind":"Widget"})", apply),
            "invalid object type: example.com/v2, Kind=Widget");
}

TEST_F(RestTest, StatusIsWrittenThroughItsOwnDoor) {
  MakeWidget("a");
  const Value patched = Ask("PATCH", Widget("a") + "/status", R"({"status":{"size":2}})",
                            {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(kube::IntAt(patched, "status.size", 0), 2);
  const Value main = Ask("PATCH", Widget("a"), R"({"status":{"size":7}})",
                         {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(kube::IntAt(main, "status.size", 0), 2);
  EXPECT_EQ(kube::ResourceVersion(main), kube::ResourceVersion(patched)) << "nothing changed";
}

TEST_F(RestTest, ScalesThroughTheScaleSubresource) {
  MakeWidget("a", "red", 2);
  Value scale = Ask("GET", Widget("a") + "/scale");
  EXPECT_EQ(scale.FindString("apiVersion"), "autoscaling/v1");
  EXPECT_EQ(kube::IntAt(scale, "spec.replicas", 0), 2);
  scale.MutableObject("spec").Set("replicas", Value::Int(5));
  const Value put = Ask("PUT", Widget("a") + "/scale", json::ToString(scale));
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(kube::IntAt(put, "spec.replicas", 0), 5);
  EXPECT_EQ(kube::Generation(Ask("GET", Widget("a"))), 2);
  Ask("PUT", Widget("a") + "/scale", json::ToString(scale));
  EXPECT_EQ(code, 409);
  Ask("PATCH", Widget("a") + "/scale", R"({"spec":{"replicas":1}})",
      {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(Message("PATCH", Widget("a") + "/scale", R"({"spec":{"replicas":-1}})",
                    {{"content-type", "application/merge-patch+json"}}),
            "Scale.autoscaling \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater "
            "than or equal to 0");
}

TEST_F(RestTest, WatchesAreAnsweredWithAQuery) {
  MakeWidget("a");
  Reply reply = Do("GET", absl::StrCat(kWidgets,
                                       "?watch=1&resourceVersion=2&timeoutSeconds=7"
                                       "&allowWatchBookmarks=true"));
  ASSERT_TRUE(std::holds_alternative<WatchAnswer>(reply));
  const WatchAnswer& answer = std::get<WatchAnswer>(reply);
  EXPECT_EQ(answer.timeout, seconds(7));
  EXPECT_EQ(answer.query.from_revision, 2);
  EXPECT_TRUE(answer.query.bookmarks);
  EXPECT_EQ(answer.query.ns, "default");
  std::string line;
  answer.query.encode(**world.cache.Get(world.widgets->storage, "default", "a", true), &line);
  EXPECT_EQ(Json(line).FindString("kind"), "Widget");

  Reply table =
      Do("GET", absl::StrCat(kWidgets, "?watch=1"), "", {{"accept", std::string(kTableAccept)}});
  const WatchAnswer& tables = std::get<WatchAnswer>(table);
  EXPECT_GE(tables.timeout, minutes(30));
  EXPECT_LE(tables.timeout, minutes(60));
  EXPECT_EQ(tables.query.kind, "Table");
  EXPECT_NE(tables.query.encoding_key, answer.query.encoding_key);
  line.clear();
  tables.query.encode(**world.cache.Get(world.widgets->storage, "default", "a", true), &line);
  EXPECT_EQ(Json(line).Find("rows")->items().size(), 1u);

  EXPECT_EQ(Message("GET", absl::StrCat(kWidgets, "?watch=1&sendInitialEvents=true")),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
}

TEST_F(RestTest, DeletesWithOptionsAndCollections) {
  MakeWidget("a");
  MakeWidget("b", "blue");
  EXPECT_EQ(Message("DELETE", Widget("a"), R"({"propagationPolicy":"Sideways"})"),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: "
            "\"Sideways\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"");
  const Value marked =
      Ask("DELETE", Widget("a"), R"({"kind":"DeleteOptions","propagationPolicy":"Foreground"})");
  EXPECT_EQ(code, 200) << text;
  EXPECT_TRUE(kube::BeingDeleted(marked));
  const Value list = Ask("DELETE", absl::StrCat(kWidgets, "?labelSelector=color%3Dblue"));
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(list.Find("items")->items().size(), 1u);
  EXPECT_EQ(Ask("GET", kWidgets).Find("items")->items().size(), 1u);
}

TEST_F(RestTest, ReviewsAreAnsweredAndNotStored) {
  const Value review = Ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "{}");
  EXPECT_EQ(code, 201) << text;
  EXPECT_TRUE(kube::BoolAt(review, "status.authenticated", false));
  Ask("GET", "/apis/authentication.k8s.io/v1/tokenreviews");
  EXPECT_EQ(code, 405);
  EXPECT_TRUE(world.store.all().empty());
}

// ---- pods ----

constexpr absl::string_view kPods = "/api/v1/namespaces/default/pods";

class PodsTest : public RestTest {
 protected:
  void MakePod(absl::string_view extra_spec = "", absl::string_view status = "") {
    Ask("POST", kPods,
        absl::StrCat(R"({"metadata":{"name":"p","labels":{"app":"x"}},"spec":{"containers":[)",
                     R"({"name":"main"}])", extra_spec, "}}"));
    ASSERT_EQ(code, 201) << text;
    if (status.empty()) return;
    Ask("PATCH", absl::StrCat(kPods, "/p/status"), absl::StrCat("{\"status\":", status, "}"),
        {{"content-type", "application/merge-patch+json"}});
    ASSERT_EQ(code, 200) << text;
  }
  void MakeNode() {
    Ask("POST", "/api/v1/nodes", R"({"metadata":{"name":"n1"}})");
    Ask("PATCH", "/api/v1/nodes/n1/status",
        R"({"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.7"}],
            "daemonEndpoints":{"kubeletEndpoint":{"Port":10255}}}})",
        {{"content-type", "application/merge-patch+json"}});
    ASSERT_EQ(code, 200) << text;
  }
  std::string Pod(absl::string_view rest = "") { return absl::StrCat(kPods, "/p", rest); }
};

TEST_F(PodsTest, ABindingPutsThePodOnItsNodeOnce) {
  MakePod();
  const std::string binding =
      R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"name":"n1"}})";
  Ask("POST", Pod("/binding"), binding);
  EXPECT_EQ(code, 201) << text;
  const Value pod = Ask("GET", Pod());
  EXPECT_EQ(kube::TextAt(pod, "spec.nodeName"), "n1");
  EXPECT_EQ(pod.Find("status", "conditions")->items()[0].FindString("type"), "PodScheduled");
  EXPECT_EQ(Message("POST", Pod("/binding"), binding),
            "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to "
            "node \"n1\"");
  EXPECT_EQ(code, 409);
}

TEST_F(PodsTest, LogsGoToTheKubelet) {
  MakePod(R"(,"nodeName":"n1")");
  MakeNode();
  Reply reply = Do("GET", Pod("/log?follow=true&tailLines=5"));
  ASSERT_TRUE(std::holds_alternative<ProxyAnswer>(reply));
  const ProxyAnswer& answer = std::get<ProxyAnswer>(reply);
  EXPECT_EQ(answer.host, "10.0.0.7:10255");
  EXPECT_EQ(answer.target, "/containerLogs/default/p/main?follow=true&tailLines=5");
  EXPECT_EQ(answer.status_of, "pods/log p");
  EXPECT_EQ(Message("GET", Pod("/log?container=side")), "container side is not valid for pod p");
  EXPECT_EQ(Message("GET", Pod("/log?tailLines=-1")),
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or "
            "equal to 0");
}

TEST_F(PodsTest, StreamsNeedAnUpgradeAndAHost) {
  MakePod(R"(,"initContainers":[{"name":"init"}])");
  EXPECT_EQ(Message("POST", Pod("/exec?command=ls")), "pod p does not have a host assigned");
  MakeNode();
  Ask("POST", Pod("/binding"), R"({"metadata":{"name":"p"},"target":{"name":"n1"}})");
  EXPECT_EQ(Message("POST", Pod("/exec?command=ls")), "Upgrade request required");
  Reply reply = Do("POST", Pod("/exec?command=ls&command=-l%20%2F&stdin=true&tty=true"), "",
                   {{"upgrade", "SPDY/3.1"}});
  ASSERT_TRUE(std::holds_alternative<ProxyAnswer>(reply));
  EXPECT_EQ(std::get<ProxyAnswer>(reply).target,
            "/exec/default/p/main?input=1&tty=1&command=ls&command=-l%20%2F");
  reply = Do("POST", Pod("/portforward?ports=80"), "", {{"upgrade", "SPDY/3.1"}});
  EXPECT_EQ(std::get<ProxyAnswer>(reply).target, "/portForward/default/p?port=80");
  reply = Do("GET", "/api/v1/nodes/n1/proxy/stats/summary?x=1");
  EXPECT_EQ(std::get<ProxyAnswer>(reply).target, "/stats/summary?x=1");
  world.admission.validate = [](AdmissionRequest& request) -> kube::Outcome {
    EXPECT_EQ(request.operation, Operation::kConnect);
    return kube::Forbidden({"", "pods"}, "p", "no");
  };
  Ask("POST", Pod("/exec?command=ls"), "", {{"upgrade", "SPDY/3.1"}});
  EXPECT_EQ(code, 403);
}

TEST_F(PodsTest, OnlyPodsCanBeProxiedTo) {
  MakePod(R"(,"nodeName":"n1")", R"({"podIP":"127.0.0.1"})");
  EXPECT_EQ(Message("GET", Pod("/proxy/x")), "address not allowed");
  Ask("PATCH", Pod("/status"), R"({"status":{"podIP":"10.244.0.3"}})",
      {{"content-type", "application/merge-patch+json"}});
  Reply reply = Do("GET", "/api/v1/namespaces/default/pods/p:8080/proxy/a%20b?c=d");
  ASSERT_TRUE(std::holds_alternative<ProxyAnswer>(reply));
  EXPECT_EQ(std::get<ProxyAnswer>(reply).host, "10.244.0.3:8080");
  EXPECT_EQ(std::get<ProxyAnswer>(reply).target, "/a%20b?c=d");
}

TEST_F(PodsTest, EvictionRespectsTheBudget) {
  MakePod("", R"({"phase":"Running","conditions":[{"type":"Ready","status":"True"}]})");
  const std::string budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  Ask("POST", budgets,
      R"({"metadata":{"name":"b"},"spec":{"selector":{"matchLabels":{"app":"x"}}}})");
  ASSERT_EQ(code, 201) << text;
  const auto allow = [&](int allowed) {
    Ask("PATCH", budgets + "/b/status",
        absl::StrCat(R"({"status":{"observedGeneration":1,"desiredHealthy":1,"currentHealthy":1,)",
                     "\"disruptionsAllowed\":", allowed, "}}"),
        {{"content-type", "application/merge-patch+json"}});
    ASSERT_EQ(code, 200) << text;
  };
  allow(0);
  const std::string eviction =
      R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}})";
  const Value refused = Ask("POST", Pod("/eviction"), eviction);
  EXPECT_EQ(code, 429) << text;
  EXPECT_EQ(refused.FindString("message"),
            "Cannot evict pod as it would violate the pod's disruption budget.");
  EXPECT_EQ(refused.Find("details", "causes")->items()[0].FindString("message"),
            "The disruption budget b needs 1 healthy pods and has 1 currently");
  allow(1);
  Ask("POST", Pod("/eviction"), eviction);
  EXPECT_EQ(code, 201) << text;
  Ask("GET", Pod());
  EXPECT_EQ(code, 404);
  const Value budget = Ask("GET", budgets + "/b");
  EXPECT_EQ(kube::IntAt(budget, "status.disruptionsAllowed", -1), 0);
  EXPECT_NE(budget.Find("status", "disruptedPods", "p"), nullptr);
}

TEST_F(PodsTest, TokensAreIssuedForServiceAccounts) {
  const std::string accounts = "/api/v1/namespaces/default/serviceaccounts";
  Ask("POST", accounts, R"({"metadata":{"name":"robot"}})");
  ASSERT_EQ(code, 201);
  const Value token = Ask("POST", accounts + "/robot/token",
                          R"({"spec":{"expirationSeconds":1200,"audiences":["me"]}})");
  EXPECT_EQ(code, 201) << text;
  EXPECT_EQ(kube::TextAt(token, "status.token"), "secret");
  EXPECT_EQ(kube::TextAt(token, "status.expirationTimestamp"), "2024-01-01T01:00:00Z");
  EXPECT_EQ(tokens.last.audiences, std::vector<std::string>{"me"});
  EXPECT_EQ(Message("POST", accounts + "/robot/token", R"({"spec":{"expirationSeconds":5}})"),
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid "
            "value: 5: may not specify a duration less than 10 minutes");
  MakePod(R"(,"serviceAccountName":"other")");
  EXPECT_EQ(Message("POST", accounts + "/robot/token",
                    R"({"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p"}}})"),
            "cannot bind token for serviceaccount \"robot\" to pod running with different "
            "serviceaccount name.");
  Ask("POST", accounts + "/none/token", "{}");
  EXPECT_EQ(code, 404);
}

TEST_F(PodsTest, ANamespaceIsFinalized) {
  Ask("POST", "/api/v1/namespaces",
      R"({"metadata":{"name":"n"},"spec":{"finalizers":["kubernetes"]}})");
  ASSERT_EQ(code, 201) << text;
  Value marked = Ask("DELETE", "/api/v1/namespaces/n");
  EXPECT_EQ(kube::TextAt(marked, "status.phase"), "Terminating");
  marked.MutableObject("spec").Set("finalizers", Value::Array());
  Ask("PUT", "/api/v1/namespaces/n/finalize", json::ToString(marked));
  EXPECT_EQ(code, 200) << text;
  Ask("GET", "/api/v1/namespaces/n");
  EXPECT_EQ(code, 404);
}

}  // namespace
}  // namespace meltemi::apiserver
