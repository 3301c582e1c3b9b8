#include "kube/names/names.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/names/check.h"

namespace meltemi::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Names, ApiVersionsAreReadAndWritten) {
  EXPECT_EQ(GroupVersionKind::Of("v1", "Pod"), (GroupVersionKind{"", "v1", "Pod"}));
  EXPECT_EQ(GroupVersionKind::Of("apps/v1", "Deployment"),
            (GroupVersionKind{"apps", "v1", "Deployment"}));
  EXPECT_EQ(GroupVersionKind::Of("a/b/c", "X"), (GroupVersionKind{"a", "b/c", "X"}));
  EXPECT_EQ(GroupVersionKind::Of("apps/v1", "Deployment").ApiVersion(), "apps/v1");
  EXPECT_EQ(GroupVersionKind::Of("v1", "Pod").ApiVersion(), "v1");
}

TEST(Names, ResourcesAndObjectsHaveOneText) {
  EXPECT_EQ((GroupResource{"apps", "deployments"}.ToString()), "deployments.apps");
  EXPECT_EQ((GroupResource{"", "pods"}.ToString()), "pods");
  EXPECT_EQ((NamespacedName{"default", "web"}.ToString()), "default/web");
  EXPECT_EQ((NamespacedName{"", "node-1"}.ToString()), "node-1");
}

TEST(CheckNames, AcceptsWhatKubernetesAccepts) {
  for (absl::string_view name : {"simple", "now-with-dashes", "1-starts-with-num", "1234",
                                 "simple/simple", "1.2.3.4/5678", "Uppercase_Is.OK-123"}) {
    EXPECT_THAT(CheckQualifiedName(name), IsEmpty()) << name;
  }
  for (absl::string_view name : {"", "simple", "end-1_.x", "A"}) {
    EXPECT_THAT(CheckLabelValue(name), IsEmpty()) << name;
  }
  for (absl::string_view name : {"a", "ab", "a-1", "1-2", "0"}) {
    EXPECT_THAT(CheckDns1123Label(name), IsEmpty()) << name;
  }
  for (absl::string_view name : {"a", "a.b.c", "1.2.3", "a-b.c-d"}) {
    EXPECT_THAT(CheckDns1123Subdomain(name), IsEmpty()) << name;
  }
  EXPECT_THAT(CheckWildcardDns1123Subdomain("*.example.com"), IsEmpty());
  EXPECT_THAT(CheckDns1035Label("a-1"), IsEmpty());
  EXPECT_THAT(CheckPortName("http-8080"), IsEmpty());
  EXPECT_THAT(CheckPathSegmentName("system:node", false), IsEmpty());
  EXPECT_THAT(CheckPathSegmentName("..", true), IsEmpty());
  EXPECT_THAT(CheckConfigKey("app.conf"), IsEmpty());
  EXPECT_THAT(CheckEnvironmentName("PATH_1.x"), IsEmpty());
}

TEST(CheckNames, SaysWhatIsWrongInKubernetesWords) {
  EXPECT_THAT(CheckDns1123Subdomain("Web"),
              ElementsAre("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                          "characters, '-' or '.', and must start and end with an alphanumeric "
                          "character (e.g. 'example.com', regex used for validation is "
                          "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"));
  EXPECT_THAT(CheckDns1123Label("a.b"), ElementsAre("must not contain dots"));
  EXPECT_THAT(CheckDns1123Label("a_b"),
              ElementsAre("a lowercase RFC 1123 label must consist of lower case alphanumeric "
                          "characters or '-', and must start and end with an alphanumeric "
                          "character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                          "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"));
  EXPECT_THAT(CheckLabelValue(std::string(64, 'a')),
              ElementsAre("must be no more than 63 characters"));
  EXPECT_THAT(CheckQualifiedName("/"),
              ElementsAre("prefix part must be non-empty", "name part must be non-empty",
                          "name part must consist of alphanumeric characters, '-', '_' or '.', and "
                          "must start and end with an alphanumeric character (e.g. 'MyName',  or "
                          "'my.name',  or '123-abc', regex used for validation is "
                          "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"));
  EXPECT_THAT(CheckQualifiedName("a/b/c"),
              ElementsAre("a qualified name must consist of alphanumeric characters, '-', '_' or "
                          "'.', and must start and end with an alphanumeric character (e.g. "
                          "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                          "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS "
                          "subdomain prefix and '/' (e.g. 'example.com/MyName')"));
  EXPECT_THAT(CheckPortName("-1--2-"), ElementsAre("must contain at least one letter (a-z)",
                                                   "must not contain consecutive hyphens",
                                                   "must not begin or end with a hyphen"));
  EXPECT_THAT(CheckPathSegmentName("a/%", false),
              ElementsAre("may not contain '/'", "may not contain '%'"));
  EXPECT_THAT(CheckPathSegmentName("..", false), ElementsAre("may not be '..'"));
  EXPECT_THAT(CheckConfigKey("..x"), ElementsAre("must not start with '..'"));
  EXPECT_EQ(CheckEnvironmentName("1X").size(), 1u);
  EXPECT_EQ(CheckDns1035Label("1a").size(), 1u);
  EXPECT_EQ(CheckDns1035Label("").size(), 1u);
  EXPECT_EQ(CheckWildcardDns1123Subdomain("example.com").size(), 1u);
}

}  // namespace
}  // namespace meltemi::kube
