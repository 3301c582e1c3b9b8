#include "test/interop/authorization/table.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace meltemi::authorization {
namespace {

using Words = std::vector<std::string>;

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  int Below(int n) { return static_cast<int>(engine_() % static_cast<uint64_t>(n)); }
  bool Percent(int share) { return Below(100) < share; }
  const std::string& Pick(const Words& words) {
    return words[static_cast<size_t>(Below(static_cast<int>(words.size())))];
  }
  // One or two of `words`, as a list of quoted texts.
  std::string List(const Words& words) {
    std::string list = absl::StrCat("[\"", Pick(words), "\"");
    if (Percent(40)) absl::StrAppend(&list, ", \"", Pick(words), "\"");
    return list + "]";
  }

 private:
  std::mt19937_64 engine_;
};

const Words kPrincipals = {"cluster.local/ns/foo/sa/a",
                           "cluster.local/ns/bar/sa/b",
                           "*",
                           "cluster.local/*",
                           "*/sa/b",
                           "*/a",
                           "b.example.com"};
const Words kNamespaces = {"foo", "ba*", "*", "fo", "*r"};
const Words kAddresses = {"127.0.0.1",  "127.0.0.2/31", "127.0.0.0/8",
                          "10.0.0.0/8", "::1",          "127.0.0.4"};
const Words kRemotes = {"10.1.0.0/16", "127.0.0.0/8", "172.16.0.9", "127.0.0.3", "2001:db8::/32"};
const Words kHosts = {"a.example.com", "*.example.com",  "A.EXAMPLE.COM", "a.*", "*",
                      "localhost",     "b.example.com:*"};
const Words kMethods = {"GET", "POST", "*", "P*", "*T", "DELETE"};
const Words kPaths = {"/admin",         "/admin*", "*/x",        "*",
                      "/api/v1/items",  "*.json",  "/",          "/API/*",
                      "/api/{*}/items", "/{**}/x", "/admin/{**}"};
const Words kServerNames = {"a.example.com", "*.example.com", "*", "a.*"};
const Words kTokens = {"abc", "ab*", "*c", "*", "a,b"};

// One field of a source or an operation and what it may say.
struct Field {
  absl::string_view name, negated;
  const Words* words;
};

// Some of `fields`, at least one.
std::string Some(Dice& dice, const std::vector<Field>& fields) {
  Words parts;
  while (parts.empty()) {
    for (const Field& field : fields) {
      if (!dice.Percent(30)) continue;
      const bool negated = dice.Percent(30);
      parts.push_back(
          absl::StrCat(negated ? field.negated : field.name, ": ", dice.List(*field.words)));
    }
  }
  return absl::StrJoin(parts, ", ");
}

class PolicyMaker {
 public:
  PolicyMaker(uint64_t seed, const WorkloadPorts& ports)
      : dice_(seed),
        ports_({absl::StrCat(ports.http), absl::StrCat(ports.tls), absl::StrCat(ports.tcp), "80"}) {
  }

  std::string Policies() {
    std::string all;
    const int count = 1 + dice_.Below(3);
    for (int i = 0; i < count; ++i) absl::StrAppend(&all, i > 0 ? "---\n" : "", Policy(i));
    return all;
  }

 private:
  std::string Policy(int index) {
    const int die = dice_.Below(100);
    const char* action = die < 45 ? "ALLOW" : die < 85 ? "DENY" : "AUDIT";
    Words rules;
    const int count = die < 3 ? 0 : 1 + dice_.Below(2);  // ALLOW without rules: nothing is allowed
    for (int i = 0; i < count; ++i) rules.push_back(absl::StrCat("  - {", Rule(), "}\n"));
    return absl::StrCat(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p", index,
        ", namespace: foo", dice_.Percent(15) ? ", annotations: {istio.io/dry-run: \"true\"}" : "",
        "}\nspec:\n", "  action: ", action, "\n", rules.empty() ? "" : "  rules:\n",
        absl::StrJoin(rules, ""));
  }

  std::string Rule() {
    Words parts;
    if (dice_.Percent(50)) parts.push_back(absl::StrCat("from: [", Alternatives(true), "]"));
    if (dice_.Percent(60)) parts.push_back(absl::StrCat("to: [", Alternatives(false), "]"));
    if (dice_.Percent(35)) parts.push_back(absl::StrCat("when: [", Condition(), "]"));
    return absl::StrJoin(parts, ", ");
  }

  std::string Alternatives(bool sources) {
    Words out;
    const int count = dice_.Percent(30) ? 2 : 1;
    for (int i = 0; i < count; ++i) {
      out.push_back(sources ? absl::StrCat("{source: {", Some(dice_, kSourceFields), "}}")
                            : absl::StrCat("{operation: {", Operation(), "}}"));
    }
    return absl::StrJoin(out, ", ");
  }

  std::string Operation() {
    return Some(dice_, {{"hosts", "notHosts", &kHosts},
                        {"methods", "notMethods", &kMethods},
                        {"paths", "notPaths", &kPaths},
                        {"ports", "notPorts", &ports_}});
  }

  std::string Condition() {
    struct Choice {
      absl::string_view key;
      const Words* words;
    };
    const std::vector<Choice> choices = {{"request.headers[x-token]", &kTokens},
                                         {"request.headers[X-Token]", &kTokens},
                                         {"source.ip", &kAddresses},
                                         {"remote.ip", &kRemotes},
                                         {"destination.ip", &kAddresses},
                                         {"destination.port", &ports_},
                                         {"connection.sni", &kServerNames},
                                         {"source.namespace", &kNamespaces},
                                         {"source.principal", &kPrincipals}};
    const Choice& choice =
        choices[static_cast<size_t>(dice_.Below(static_cast<int>(choices.size())))];
    return absl::StrCat("{key: \"", choice.key, "\", ",
                        dice_.Percent(30) ? "notValues: " : "values: ", dice_.List(*choice.words),
                        "}");
  }

  const std::vector<Field> kSourceFields = {{"principals", "notPrincipals", &kPrincipals},
                                            {"namespaces", "notNamespaces", &kNamespaces},
                                            {"ipBlocks", "notIpBlocks", &kAddresses},
                                            {"remoteIpBlocks", "notRemoteIpBlocks", &kRemotes}};
  Dice dice_;
  const Words ports_;
};

const Words kRequestPaths = {"/",
                             "/admin",
                             "/admin/x",
                             "/admin?x=/b.json",
                             "/a/../admin",
                             "/ADMIN",
                             "/api/v1/items",
                             "/api/v1/items.json",
                             "/api/v1/items?a=b&c=/admin",
                             "/%61dmin",
                             "/admin%2fx",
                             "/API/%41",
                             "//admin",
                             "/x"};
const Words kRequestHosts = {"a.example.com", "A.Example.COM", "b.example.com:8080", "localhost",
                             "a.b"};

Request MakeRequest(Dice& dice, Kind kind) {
  Request request;
  request.kind = kind;
  request.source_ip = absl::StrCat("127.0.0.", 1 + dice.Below(6));
  request.method = dice.Pick({"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"});
  request.path = dice.Pick(kRequestPaths);
  request.host = dice.Pick(kRequestHosts);
  if (dice.Percent(50)) request.headers = {{"x-token", dice.Pick({"abc", "abd", "", "a", "xc"})}};
  if (dice.Percent(25)) {
    request.headers = {{"x-token", dice.Pick({"a", "abc", "xc"})}, {"X-Token", "b"}};
  }
  if (dice.Percent(40)) {
    request.headers.emplace_back("x-forwarded-for",
                                 dice.Pick({"10.1.2.3", "10.1.2.3, 172.16.0.9", "172.16.0.9",
                                            "2001:db8::7", "10.1.2.3,127.0.0.3"}));
  }
  if (dice.Percent(10)) {
    request.method = "POST";
    request.headers.emplace_back("content-type", "application/grpc");
  }
  if (kind == Kind::kTls) {
    request.identity = static_cast<Identity>(dice.Below(4));
    request.server_name = dice.Pick({"", "a.example.com", "b.example.com", "other"});
  }
  return request;
}

const char* NameOf(Identity identity) {
  switch (identity) {
    case Identity::kNone:
      return "no certificate";
    case Identity::kA:
      return "spiffe://cluster.local/ns/foo/sa/a";
    case Identity::kB:
      return "spiffe://cluster.local/ns/bar/sa/b";
    case Identity::kDnsName:
      return "b.example.com";
  }
  return "";
}

}  // namespace

std::string Request::ToString() const {
  if (kind == Kind::kTcp) return absl::StrCat("bytes from ", source_ip);
  std::string text = absl::StrCat(method, " ", path, " host: ", host, " from ", source_ip);
  for (const auto& [name, value] : headers) absl::StrAppend(&text, " ", name, ": '", value, "'");
  if (kind == Kind::kTls) {
    absl::StrAppend(&text, " over TLS as ", NameOf(identity), ", server name '", server_name, "'");
  }
  return text;
}

std::string MakePolicies(uint64_t seed, const WorkloadPorts& ports) {
  return PolicyMaker(seed, ports).Policies();
}

std::vector<Request> MakeRequests(uint64_t seed, int http, int tls, int tcp) {
  Dice dice(seed);
  std::vector<Request> requests;
  for (int i = 0; i < http; ++i) requests.push_back(MakeRequest(dice, Kind::kHttp));
  for (int i = 0; i < tls; ++i) requests.push_back(MakeRequest(dice, Kind::kTls));
  for (int i = 0; i < tcp; ++i) requests.push_back(MakeRequest(dice, Kind::kTcp));
  return requests;
}

}  // namespace meltemi::authorization
