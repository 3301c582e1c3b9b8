// What paths, queries and durations mean.

#include "orchestrator/apiserver/http/request.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/http/go_duration.h"
#include "orchestrator/apiserver/http/in_flight.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "verb group version ns resource subresource name [parts]", "-" for what is empty; paths that are
// no resources: "verb path".
std::string Describe(absl::string_view method, absl::string_view target) {
  const size_t question = std::min(target.find('?'), target.size());
  const RequestInfo info =
      ParseRequestInfo(method, target.substr(0, question),
                       question < target.size() ? target.substr(question + 1) : "");
  const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
  if (!info.is_resource) return absl::StrJoin({info.verb, info.path}, " ");
  return absl::StrJoin({or_dash(info.verb), or_dash(info.group), info.version, or_dash(info.ns),
                        or_dash(info.resource), or_dash(info.subresource), or_dash(info.name),
                        "[" + absl::StrJoin(info.parts, " ") + "]"},
                       " ");
}

struct Case {
  const char *method, *target, *expected;
};

class RequestInfoTest : public testing::TestWithParam<Case> {};

TEST_P(RequestInfoTest, IsWhatKubernetesMakesOfIt) {
  EXPECT_EQ(Describe(GetParam().method, GetParam().target), GetParam().expected)
      << GetParam().method << " " << GetParam().target;
}

INSTANTIATE_TEST_SUITE_P(
    Resources, RequestInfoTest,
    testing::Values(
        Case{"GET", "/api/v1/namespaces", "list - v1 - namespaces - - [namespaces]"},
        Case{"GET", "/api/v1/namespaces/other",
             "get - v1 other namespaces - other "
             "[namespaces other]"},
        Case{"PUT", "/api/v1/namespaces/other/finalize",
             "update - v1 other namespaces finalize other [namespaces other finalize]"},
        Case{"PATCH", "/api/v1/namespaces/other/status",
             "patch - v1 other namespaces status other [namespaces other status]"},
        Case{"GET", "/api/v1/namespaces/other/pods", "list - v1 other pods - - [pods]"},
        Case{"GET", "/api/v1/namespaces/other/pods/foo", "get - v1 other pods - foo [pods foo]"},
        Case{"HEAD", "/api/v1/namespaces/other/pods/foo", "get - v1 other pods - foo [pods foo]"},
        Case{"GET", "/api/v1/pods", "list - v1 - pods - - [pods]"},
        Case{"HEAD", "/api/v1/pods", "list - v1 - pods - - [pods]"},
        Case{"POST", "/api/v1/namespaces/other/pods", "create - v1 other pods - - [pods]"},
        Case{"PUT", "/api/v1/namespaces/other/pods/foo", "update - v1 other pods - foo [pods foo]"},
        Case{"PATCH", "/api/v1/namespaces/other/pods/foo",
             "patch - v1 other pods - foo [pods foo]"},
        Case{"DELETE", "/api/v1/namespaces/other/pods/foo",
             "delete - v1 other pods - foo [pods foo]"},
        Case{"DELETE", "/api/v1/namespaces/other/pods",
             "deletecollection - v1 other pods - - "
             "[pods]"},
        Case{"OPTIONS", "/api/v1/pods", "- - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/nodes/n1/status", "get - v1 - nodes status n1 [nodes n1 status]"},
        Case{"GET", "/api/v1/namespaces/x/pods/y/log?follow=true",
             "get - v1 x pods log y [pods y log]"},
        Case{"POST", "/api/v1/namespaces/x/pods/y/exec?command=ls",
             "create - v1 x pods exec y [pods y exec]"},
        Case{"GET", "/api/v1/namespaces/x/services/http:s:80/proxy/a/b",
             "get - v1 x services proxy http:s:80 [services http:s:80 proxy a b]"},
        Case{"POST", "/api/v1/namespaces/x/serviceaccounts/d/token",
             "create - v1 x serviceaccounts token d [serviceaccounts d token]"},
        Case{"GET", "/apis/apps/v1/namespaces/other/deployments/foo/scale",
             "get apps v1 other deployments scale foo [deployments foo scale]"},
        Case{"GET", "/apis/apps/v1/deployments", "list apps v1 - deployments - - [deployments]"},
        Case{"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x",
             "get rbac.authorization.k8s.io v1 - clusterroles - x [clusterroles x]"},
        Case{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
             "create authorization.k8s.io v1 - selfsubjectaccessreviews - - "
             "[selfsubjectaccessreviews]"},
        Case{"GET", "/apis/apps/v1/namespaces/x", "get apps v1 x namespaces - x [namespaces x]"},
        Case{"GET", "/api/v1/namespaces/a%20b/pods", "list - v1 a b pods - - [pods]"},
        Case{"GET", "/api/v1/pods/", "list - v1 - pods - - [pods]"},
        Case{"GET", "//api/v1/pods", "list - v1 - pods - - [pods]"}));

INSTANTIATE_TEST_SUITE_P(
    Watches, RequestInfoTest,
    testing::Values(
        Case{"GET", "/api/v1/pods?watch=1", "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch=true", "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch", "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch=", "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch=yes", "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch=0", "list - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch=False", "list - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?watch=0&watch=1", "list - v1 - pods - - [pods]"},
        Case{"POST", "/api/v1/pods?watch=1", "create - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/namespaces/x/pods/y?watch=1", "get - v1 x pods - y [pods y]"},
        Case{"GET", "/api/v1/watch/pods", "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/watch/namespaces/other/pods", "watch - v1 other pods - - [pods]"},
        Case{"GET", "/api/v1/watch/namespaces/other/pods/foo",
             "watch - v1 other pods - foo [pods foo]"},
        Case{"GET", "/api/v1/watch/namespaces", "watch - v1 - namespaces - - [namespaces]"},
        Case{"GET", "/apis/apps/v1/watch/deployments",
             "watch apps v1 - deployments - - [deployments]"},
        Case{"GET", "/api/v1/proxy/namespaces/other/pods/foo/a",
             "proxy - v1 other pods - foo [pods foo a]"},
        Case{"GET", "/api/v1/proxy/nodes/n1", "proxy - v1 - nodes - n1 [nodes n1]"}));

INSTANTIATE_TEST_SUITE_P(
    Names, RequestInfoTest,
    testing::Values(
        Case{"GET", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Dfoo",
             "list - v1 x pods - foo [pods]"},
        Case{"GET", "/api/v1/namespaces/x/pods?watch=1&fieldSelector=metadata.name=foo",
             "watch - v1 x pods - foo [pods]"},
        Case{"GET",
             "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3D%3Dfoo,status.phase=Running",
             "list - v1 x pods - foo [pods]"},
        Case{"GET", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name!=foo",
             "list - v1 x pods - - [pods]"},
        Case{"GET", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name=a/b",
             "list - v1 x pods - - [pods]"},
        Case{"GET", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name=..",
             "list - v1 x pods - - [pods]"},
        Case{"DELETE", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name=foo",
             "deletecollection - v1 x pods - - [pods]"},
        // One bad option and none counts, but for watch.
        Case{"GET", "/api/v1/pods?watch=1&limit=x&fieldSelector=metadata.name=foo",
             "watch - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?timeoutSeconds=x&fieldSelector=metadata.name=foo",
             "list - v1 - pods - - [pods]"},
        Case{"GET", "/api/v1/pods?labelSelector=%20,,%20&fieldSelector=metadata.name=foo",
             "list - v1 - pods - - [pods]"}));

INSTANTIATE_TEST_SUITE_P(
    Paths, RequestInfoTest,
    testing::Values(Case{"GET", "/", "get /"}, Case{"GET", "/healthz", "get /healthz"},
                    Case{"GET", "/api", "get /api"}, Case{"GET", "/api/v1", "get /api/v1"},
                    Case{"GET", "/api/v1/", "get /api/v1/"}, Case{"GET", "/apis", "get /apis"},
                    Case{"GET", "/apis/apps", "get /apis/apps"},
                    Case{"GET", "/apis/apps/v1", "get /apis/apps/v1"},
                    Case{"POST", "/metrics", "post /metrics"},
                    Case{"GET", "/openapi/v3/apis/apps/v1", "get /openapi/v3/apis/apps/v1"},
                    Case{"GET", "/livez/etcd/x", "get /livez/etcd/x"}));

TEST(RequestInfoTest, APrefixOfNothingIsNoWatch) {
  const RequestInfo info = ParseRequestInfo("GET", "/api/v1/watch", "");
  EXPECT_TRUE(info.is_resource);
  EXPECT_EQ(info.resource, "");
}

TEST(QueryTest, DecodesAndKeepsTheFirst) {
  const Query query = Query::Parse("a=1&a=2&b=x%20y+z&c&d=&e=%zz&f;g=1&%68=i&=j");
  EXPECT_EQ(query.Get("a"), "1");
  EXPECT_THAT(query.All("a"), ElementsAre("1", "2"));
  EXPECT_EQ(query.Get("b"), "x y z");
  EXPECT_EQ(query.Get("c"), "");
  EXPECT_EQ(query.Get("d"), "");
  EXPECT_EQ(query.Get("e"), std::nullopt);
  EXPECT_EQ(query.Get("g"), std::nullopt);
  EXPECT_EQ(query.Get("h"), "i");
  EXPECT_THAT(query.All("nothing"), IsEmpty());
}

TEST(QueryTest, FlagsAreAsKubernetesReadsThem) {
  const Query query = Query::Parse("a=true&b=1&c=0&d=FALSE&e=&f=no");
  for (const auto& [name, expected] :
       std::vector<std::pair<std::string, bool>>{{"a", true},
                                                 {"b", true},
                                                 {"c", false},
                                                 {"d", false},
                                                 {"e", true},
                                                 {"f", true},
                                                 {"missing", false}}) {
    EXPECT_EQ(*query.Bool(name), expected) << name;
  }
}

TEST(QueryTest, NumbersAreNumbers) {
  const Query query = Query::Parse("a=500&b=-3&c=x&d=99999999999999999999&e=%2B7&f=");
  EXPECT_EQ(**query.Int("a"), 500);
  EXPECT_EQ(**query.Int("b"), -3);
  EXPECT_EQ(**query.Int("e"), 7);
  EXPECT_FALSE(query.Int("missing")->has_value());
  EXPECT_EQ(query.Int("c").status().code, 400);
  EXPECT_EQ(query.Int("c").status().message, "strconv.ParseInt: parsing \"x\": invalid syntax");
  EXPECT_EQ(query.Int("d").status().message,
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
  EXPECT_FALSE(query.Int("f").ok());
}

TEST(GoDurationTest, ReadsWhatGoReads) {
  EXPECT_EQ(*ParseGoDuration("0"), Duration(0));
  EXPECT_EQ(*ParseGoDuration("30s"), seconds(30));
  EXPECT_EQ(*ParseGoDuration("1m30.5s"), milliseconds(90500));
  EXPECT_EQ(*ParseGoDuration("-1h"), -minutes(60));
  EXPECT_EQ(*ParseGoDuration("1.5us"), Duration(1500));
  EXPECT_EQ(*ParseGoDuration("2\xc2\xb5s"), Duration(2000));
  for (const auto& [text, error] : std::vector<std::pair<std::string, std::string>>{
           {"", "time: invalid duration \"\""},
           {"x", "time: invalid duration \"x\""},
           {"3", "time: missing unit in duration \"3\""},
           {"3x", "time: unknown unit \"x\" in duration \"3x\""},
           {".s", "time: invalid duration \".s\""},
           {"9999999999h", "time: invalid duration \"9999999999h\""}}) {
    EXPECT_EQ(ParseGoDuration(text).status().message(), error);
  }
}

TEST(ReplyTest, StatusesAreJsonWithRetryAfter) {
  const Reply reply = StatusReply(kube::TooManyRequests("busy", 3));
  const Body& body = std::get<Body>(reply);
  EXPECT_EQ(body.code, 429);
  EXPECT_EQ(body.content_type, "application/json");
  ASSERT_EQ(body.fields.size(), 1u);
  EXPECT_EQ(body.fields[0].first, "retry-after");
  EXPECT_EQ(body.fields[0].second, "3");
  EXPECT_EQ(body.bytes.back(), '\n');
}

// ---- In flight ----------------------------------------------------------------------------------

Request NewRequest(const std::string& user, const std::string& verb, bool superuser = false) {
  Request request;
  request.user.name = user;
  if (superuser) request.user.groups = {"system:masters"};
  request.info.is_resource = true;
  request.info.verb = verb;
  return request;
}

TEST(InFlightLimiterTest, ReadsAndWritesAreCountedApart) {
  InFlightLimiter limiter(2, 1);
  const auto first = limiter.Enter(NewRequest("u", "get"));
  {
    const auto second = limiter.Enter(NewRequest("u", "list"));
    EXPECT_TRUE(second.admitted());
    const auto third = limiter.Enter(NewRequest("u", "get"));
    EXPECT_FALSE(third.admitted());
    EXPECT_EQ(third.refusal().code, 429);
    EXPECT_EQ(third.refusal().retry_after_seconds, 1);
    EXPECT_EQ(third.refusal().message, "Too many requests, please try again later.");
    EXPECT_TRUE(limiter.Enter(NewRequest("u", "create")).admitted());
  }
  EXPECT_EQ(limiter.reads(), 1u);
  EXPECT_EQ(limiter.writes(), 0u);
  EXPECT_TRUE(limiter.Enter(NewRequest("u", "get")).admitted());
}

TEST(InFlightLimiterTest, SystemTrafficGoesFirst) {
  InFlightLimiter limiter(4, 4);
  std::vector<InFlightLimiter::Ticket> held;
  for (int i = 0; i < 4; ++i) held.push_back(limiter.Enter(NewRequest("u", "update")));
  EXPECT_FALSE(limiter.Enter(NewRequest("u", "update")).admitted());
  EXPECT_FALSE(limiter.Enter(NewRequest("system:anonymous", "update")).admitted());
  EXPECT_FALSE(limiter.Enter(NewRequest("system:serviceaccount:a:b", "update")).admitted());
  // A quarter more for components …
  held.push_back(limiter.Enter(NewRequest("system:node:n1", "update")));
  EXPECT_TRUE(held.back().admitted());
  EXPECT_FALSE(limiter.Enter(NewRequest("system:kube-scheduler", "update")).admitted());
  // … and no bound for those who must always get through, nor for what takes long anyway.
  EXPECT_TRUE(limiter.Enter(NewRequest("admin", "update", true)).admitted());
  EXPECT_TRUE(limiter.Enter(NewRequest("u", "watch")).admitted());
}

TEST(InFlightLimiterTest, KnowsWhatTakesLong) {
  RequestInfo info = ParseRequestInfo("GET", "/api/v1/namespaces/x/pods/y/log", "");
  EXPECT_TRUE(IsLongRunning(info));
  info = ParseRequestInfo("GET", "/api/v1/namespaces/x/pods/y", "");
  EXPECT_FALSE(IsLongRunning(info));
  info = ParseRequestInfo("POST", "/api/v1/namespaces/x/pods/y/portforward", "");
  EXPECT_TRUE(IsLongRunning(info));
}

}  // namespace
}  // namespace meltemi::apiserver
