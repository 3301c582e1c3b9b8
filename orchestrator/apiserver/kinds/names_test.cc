#include "orchestrator/apiserver/kinds/names.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Names, Dns1123LabelsSayWhatTheyMustLookLike) {
  EXPECT_THAT(CheckDns1123Label("web-1"), IsEmpty());
  EXPECT_THAT(CheckDns1123Label("a.b"), ElementsAre("must not contain dots"));
  EXPECT_THAT(CheckDns1123Label("Web"),
              ElementsAre("a lowercase RFC 1123 label must consist of lower case alphanumeric "
                          "characters or '-', and must start and end with an alphanumeric "
                          "character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                          "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"));
  EXPECT_THAT(CheckDns1123Label(std::string(64, 'a')),
              ElementsAre("must be no more than 63 characters"));
}

TEST(Names, Dns1123Subdomains) {
  EXPECT_THAT(CheckDns1123Subdomain("a.b-c.d"), IsEmpty());
  for (const char* wrong : {"", "a..b", "-a", "a-", "a_b", "A", ".a", "a."}) {
    EXPECT_THAT(
        CheckDns1123Subdomain(wrong),
        ElementsAre("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                    "characters, '-' or '.', and must start and end with an alphanumeric character "
                    "(e.g. 'example.com', regex used for validation is "
                    R"('[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'))"))
        << wrong;
  }
}

TEST(Names, Dns1035LabelsStartWithALetter) {
  EXPECT_THAT(CheckDns1035Label("abc-1"), IsEmpty());
  EXPECT_THAT(CheckDns1035Label("1abc"),
              ElementsAre("a DNS-1035 label must consist of lower case alphanumeric characters or "
                          "'-', start with an alphabetic character, and end with an alphanumeric "
                          "character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
                          "'[a-z]([-a-z0-9]*[a-z0-9])?')"));
}

TEST(Names, QualifiedNamesHaveAnOptionalPrefix) {
  EXPECT_THAT(CheckQualifiedName("example.com/My.Name_1"), IsEmpty());
  EXPECT_THAT(CheckQualifiedName("/x"), ElementsAre("prefix part must be non-empty"));
  const std::string form =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
      "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
      "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  EXPECT_THAT(CheckQualifiedName("a/"),
              ElementsAre("name part must be non-empty", "name part " + form));
  EXPECT_THAT(CheckQualifiedName("a/b/c"),
              ElementsAre("a qualified name " + form +
                          " with an optional DNS subdomain prefix and '/' (e.g. "
                          "'example.com/MyName')"));
}

TEST(Names, LabelValuesMayBeEmpty) {
  EXPECT_THAT(CheckLabelValue(""), IsEmpty());
  EXPECT_THAT(
      CheckLabelValue("a b"),
      ElementsAre("a valid label must be an empty string or consist of alphanumeric "
                  "characters, '-', '_' or '.', and must start and end with an alphanumeric "
                  "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
                  "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"));
}

TEST(Names, PortNames) {
  EXPECT_THAT(CheckPortName("http-2"), IsEmpty());
  EXPECT_THAT(CheckPortName("1234"), ElementsAre("must contain at least one letter (a-z)"));
  EXPECT_THAT(CheckPortName("a--b-"), ElementsAre("must not contain consecutive hyphens",
                                                  "must not begin or end with a hyphen"));
  EXPECT_THAT(
      CheckPortName("sixteen-letters-"),
      ElementsAre("must be no more than 15 characters", "must not begin or end with a hyphen"));
}

TEST(Names, KeysOfConfigMapsAreNoWayUp) {
  EXPECT_THAT(CheckConfigMapKey("a.conf"), IsEmpty());
  EXPECT_THAT(CheckConfigMapKey(".."), ElementsAre("must not be '..'"));
  EXPECT_THAT(CheckConfigMapKey("..data"), ElementsAre("must not start with '..'"));
}

TEST(Names, Addresses) {
  EXPECT_TRUE(IsIpv4("10.0.0.1"));
  EXPECT_TRUE(IsIpv4("010.0.0.1"));
  EXPECT_TRUE(IsIpv4("::ffff:10.0.0.1"));
  EXPECT_TRUE(IsIpv6("2001:db8::1"));
  for (const char* wrong :
       {"", "10.0.0", "10.0.0.256", "10.0.0.1.2", "a", "1:2", ":::", "1.2.3.+4"})
    EXPECT_FALSE(IsIp(wrong)) << wrong;
  EXPECT_TRUE(IsCidr("10.0.0.0/8"));
  EXPECT_TRUE(IsCidr("::/0"));
  for (const char* wrong : {"10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.0/-1"})
    EXPECT_FALSE(IsCidr(wrong)) << wrong;
}

TEST(Names, APrefixMayEndInADash) {
  EXPECT_THAT(NameIsDnsSubdomain("web-", true), IsEmpty());
  EXPECT_THAT(NameIsDnsSubdomain("web-", false), testing::SizeIs(1));
  EXPECT_THAT(CheckPathSegment("a/b", false), ElementsAre("may not contain '/'"));
  EXPECT_THAT(CheckPathSegment("..", false), ElementsAre("may not be '..'"));
}

}  // namespace
}  // namespace meltemi::apiserver
