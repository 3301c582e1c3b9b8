#include "kube/status/status.h"

#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "kube/status/field_error.h"

namespace meltemi::kube {
namespace {

using json::Value;

TEST(StatusTest, NotFoundReadsAsKubernetesWritesIt) {
  const Status status = NotFound({"apps", "deployments"}, "web");
  EXPECT_EQ(json::ToString(status.ToJson()),
            R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
            R"("message":"deployments.apps \"web\" not found","reason":"NotFound",)"
            R"("details":{"name":"web","group":"apps","kind":"deployments"},"code":404})");
}

TEST(StatusTest, InvalidHasOneCausePerError) {
  const FieldPath spec("spec");
  const Status status =
      Invalid({"apps", "v1", "Deployment"}, "web",
              {Required(spec.Child("selector")),
               InvalidField(spec.Child("ports").Index(0).Child("port"), int64_t{70000},
                            "must be between 1 and 65535, inclusive")});
  EXPECT_EQ(status.message,
            "Deployment.apps \"web\" is invalid: [spec.selector: Required value, "
            "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive]");
  ASSERT_EQ(status.causes.size(), 2u);
  EXPECT_EQ(status.causes[0].reason, "FieldValueRequired");
  EXPECT_EQ(status.causes[0].message, "Required value");
  EXPECT_EQ(status.causes[0].field, "spec.selector");
  EXPECT_EQ(status.causes[1].reason, "FieldValueInvalid");
  EXPECT_EQ(status.kind, "Deployment");
}

TEST(StatusTest, SurvivesTheWayOverTheWire) {
  Status sent = TooManyRequests("Cannot evict pod", 10);
  sent.causes.push_back({"DisruptionBudget", "needs 2 healthy pods", ""});
  const Status got = Status::FromJson(*json::Parse(json::ToString(sent.ToJson())), 500);
  EXPECT_EQ(got.code, 429);
  EXPECT_EQ(got.reason, "TooManyRequests");
  EXPECT_EQ(got.retry_after_seconds, 10);
  ASSERT_EQ(got.causes.size(), 1u);
  EXPECT_EQ(got.causes[0].message, "needs 2 healthy pods");
}

TEST(StatusTest, WhatIsNoStatusIsReadByItsCode) {
  const Status got = Status::FromJson(*json::Parse("[]"), 404);
  EXPECT_EQ(got.code, 404);
  EXPECT_EQ(got.reason, "NotFound");
  EXPECT_EQ(got.message, "the server could not find the requested resource");
}

TEST(StatusTest, ConflictTexts) {
  EXPECT_EQ(ModifiedConflict({"", "pods"}, "a").message,
            "Operation cannot be fulfilled on pods \"a\": the object has been modified; please "
            "apply your changes to the latest version and try again");
  EXPECT_EQ(Forbidden({}, "", "User \"x\" cannot get path \"/\"").message,
            "forbidden: User \"x\" cannot get path \"/\"");
  EXPECT_EQ(json::ToString(Forbidden({}, "", "no").ToJson()),
            R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
            R"("message":"forbidden: no","reason":"Forbidden","details":{},"code":403})");
}

TEST(StatusTest, BadRequestHasNoDetails) {
  EXPECT_EQ(BadRequest("x").ToJson().Find("details"), nullptr);
}

TEST(FieldErrorTest, PrintsValuesAsGoDoes) {
  const FieldPath path("metadata.labels");
  EXPECT_EQ(InvalidField(path.Key("app"), Value::String("a\"\n\x01\xff"), "bad").ToString(),
            "metadata.labels[app]: Invalid value: \"a\\\"\\n\\x01\\xff\": bad");
  EXPECT_EQ(InvalidField(path, Value(), "bad").ToString(),
            "metadata.labels: Invalid value: null: bad");
  EXPECT_EQ(NotSupported(path, Value::String("x"), {"b", "a"}).ToString(),
            "metadata.labels: Unsupported value: \"x\": supported values: \"b\", \"a\"");
  EXPECT_EQ(TooLong(path, 63).ToString(),
            "metadata.labels: Too long: may not be more than 63 bytes");
  EXPECT_EQ(TooMany(path, 5, 3).ToString(),
            "metadata.labels: Too many: 5: must have at most 3 items");
  EXPECT_EQ(ForbiddenField(path, "no").ToString(), "metadata.labels: Forbidden: no");
}

TEST(FieldErrorTest, QuotesPrintableUnicodeAsItIs) {
  EXPECT_EQ(GoQuote("é→"), "\"é→\"");
  EXPECT_EQ(GoQuote("\xE2\x80\x8B"), "\"\\u200b\"");  // zero-width space
}

TEST(FieldErrorTest, RepetitionsAreSaidOnce) {
  const FieldError error = Required(FieldPath("spec"));
  EXPECT_EQ(JoinErrors({error, error}), "spec: Required value");
}

TEST(ResultTest, HoldsEither) {
  Result<int> good = 3;
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, 3);
  Result<int> bad = BadRequest("no");
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.status().code, 400);
}

}  // namespace
}  // namespace meltemi::kube
