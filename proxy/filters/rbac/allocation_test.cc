// Judging a request allocates nothing, whatever the rules ask.
#include <atomic>
#include <cstdlib>
#include <new>

#include "gtest/gtest.h"
#include "proxy/filters/rbac/engine.h"
#include "proxy/observe/tls_info.h"

namespace {
std::atomic<int> allocations{0};
}  // namespace

void* operator new(size_t size) {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace meltemi::proxy {
namespace {

StringMatcher Text(StringMatcher::Kind kind, absl::string_view text) {
  StringMatcher matcher;
  matcher.kind = kind;
  matcher.text = std::string(text);
  return matcher;
}

template <typename Condition>
RbacRule Rule(Condition condition) {
  RbacRule rule;
  rule.condition = std::move(condition);
  return rule;
}

TEST(RbacAllocationTest, JudgingAllocatesNothing) {
  HeaderMatcher method, token;
  method.name = ":method";
  method.kind = HeaderMatcher::Kind::kString;
  method.string = Text(StringMatcher::Kind::kExact, "GET");
  token.name = "x-a-token-with-a-name-that-is-not-short";
  StringMatcher spiffe = Text(StringMatcher::Kind::kRegex, "");
  spiffe.regex = *Regex::Compile(".*/ns/shop/.*");
  RbacRules rules;
  rules.policies.emplace_back(
      "p",
      std::vector{Rule(rbac::Set{
          .all = true,
          .rules = {Rule(method), Rule(token), Rule(rbac::Port{80, 81}),
                    Rule(rbac::UrlPath{Text(StringMatcher::Kind::kPrefix, "/a/rather/long/path")}),
                    Rule(rbac::Ip{rbac::Whose::kRemote, *net::Cidr::Parse("10.0.0.0/8")})}})},
      std::vector{Rule(rbac::Authenticated{false, spiffe})});

  const http::HeaderMapPtr request = http::HeaderMap::New();
  request->set_method("GET");
  request->set_path("/a/rather/long/path/with/a/query?x=1&y=2");
  request->Add("x-a-token-with-a-name-that-is-not-short", "a value that is not short either");
  TlsInfo tls;
  tls.peer_verified = true;
  tls.peer_uri_sans = {"spiffe://cluster.local/ns/shop/sa/front"};
  const net::Address address = *net::Address::Parse("10.0.0.1:80");
  const RbacFacts facts{.request = *request,
                        .local = address,
                        .direct_remote = address,
                        .remote = address,
                        .server_name = "",
                        .tls = &tls};
  ASSERT_TRUE(rules.Judge(facts).allowed);  // regexes make their automata at first use
  const int before = allocations;
  for (int i = 0; i < 100; ++i) {
    if (!rules.Judge(facts).allowed) abort();
  }
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace meltemi::proxy
