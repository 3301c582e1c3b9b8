// Names of a cluster and what is answered to them.
#include "orchestrator/dns/records/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::dns {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class RecordsTest : public testing::Test {
 protected:
  RecordsTest() {
    records_.SetNamespace("shop", true);
    records_.SetNamespace("kube-system", true);
    Add("kube-system", "kube-dns", {"10.96.0.10"}, {{"dns", "udp", 53}, {"dns-tcp", "tcp", 53}});
    Add("shop", "web", {"10.96.1.1"}, {{"http", "tcp", 80}, {"", "tcp", 81}});
    auto db = std::make_unique<ServiceRecord>();
    db->ns = "shop";
    db->name = "db";
    db->headless = true;
    db->endpoint_ports = {{{"sql", "tcp", 5432}}};
    db->endpoints = {{AddressBytes("10.244.0.7"), 0}, {AddressBytes("10.244.1.8"), 0}};
    db->hostnames[0] = "db-0";
    records_.SetService(std::move(db));
    auto alias = std::make_unique<ServiceRecord>();
    alias->ns = "shop";
    alias->name = "outside";
    alias->external = NameFromText("www.example.com");
    records_.SetService(std::move(alias));
    alias = std::make_unique<ServiceRecord>();
    alias->ns = "shop";
    alias->name = "inside";
    alias->external = NameFromText("web.shop.svc.cluster.local");
    records_.SetService(std::move(alias));
  }

  void Add(const std::string& ns, const std::string& name, std::vector<std::string> addresses,
           std::vector<PortRecord> ports) {
    auto service = std::make_unique<ServiceRecord>();
    service->ns = ns;
    service->name = name;
    for (const std::string& address : addresses) {
      service->addresses.push_back(AddressBytes(address));
    }
    service->ports = std::move(ports);
    records_.SetService(std::move(service));
  }

  struct Got {
    Answered answered;
    AnswerInfo info;
    std::vector<std::string> addresses;
    std::string bytes, external;
  };
  Got Ask(absl::string_view name, uint16_t type) {
    const std::string message =
        WriteQuery(1, NameFromText(name), type, kClassIn, kFlagRecursionDesired, true, false);
    Query query;
    EXPECT_EQ(ReadQuery(message, &query), QueryRead::kOk);
    char out[kUdpBytesMax];
    AnswerWriter writer(out, query.udp_bytes_max);
    Got got;
    Name external;
    got.answered = records_.Answer(query, &writer, &external);
    if (got.answered == Answered::kElsewhere) return got;
    got.bytes = std::string(writer.Finish());
    EXPECT_TRUE(ReadAnswer(got.bytes, &got.info));
    if (!external.empty()) got.external = NameToText(external);
    // Addresses are the last four bytes of A records.
    for (const uint16_t ttl : got.info.ttl_offsets) {
      const absl::string_view record = absl::string_view(got.bytes).substr(ttl - 4u);
      if (record.substr(0, 4) != absl::string_view("\0\1\0\1", 4)) continue;
      std::vector<int> bytes;
      for (const char c : record.substr(10, 4)) bytes.push_back(static_cast<unsigned char>(c));
      got.addresses.push_back(absl::StrJoin(bytes, "."));
    }
    return got;
  }
  std::vector<std::string> A(absl::string_view name) { return Ask(name, kTypeA).addresses; }
  uint8_t Rcode(absl::string_view name, uint16_t type = kTypeA) {
    const Got got = Ask(name, type);
    EXPECT_EQ(got.answered, Answered::kDone) << name;
    EXPECT_EQ(got.info.has_soa, got.info.answers == 0) << name;
    return got.info.rcode;
  }

  Records records_{RecordsOptions{}};
};

TEST_F(RecordsTest, AServiceHasItsAddress) {
  const Got got = Ask("WEB.shop.svc.cluster.local", kTypeA);
  EXPECT_THAT(got.addresses, ElementsAre("10.96.1.1"));
  EXPECT_EQ(got.info.ttl_min, 30u);
  EXPECT_NE(got.info.flags & kFlagAuthoritative, 0);
}

TEST_F(RecordsTest, ANameWithoutSuchARecordIsNotNoName) {
  EXPECT_EQ(Rcode("web.shop.svc.cluster.local", kTypeAaaa), kNoError);
  EXPECT_EQ(Rcode("shop.svc.cluster.local"), kNoError);
  EXPECT_EQ(Rcode("svc.cluster.local"), kNoError);
  EXPECT_EQ(Rcode("_tcp.web.shop.svc.cluster.local"), kNoError);
  EXPECT_EQ(Rcode("_http._tcp.web.shop.svc.cluster.local"), kNoError);
  for (const char* name : {"nobody.shop.svc", "web.nowhere.svc", "nowhere.svc", "web.shop.svcx",
                           "example.com.shop.svc", "_udp.web.shop.svc", "a.b.c.d.e.f.svc"}) {
    EXPECT_EQ(Rcode(absl::StrCat(name, ".cluster.local")), kNxDomain) << name;
  }
}

TEST_F(RecordsTest, OtherNamesAreSomebodyElses) {
  for (const char* name : {"example.com", "xcluster.local", "local", "9.9.9.9.in-addr.arpa"}) {
    EXPECT_EQ(Ask(name, kTypeA).answered, Answered::kElsewhere) << name;
  }
}

TEST_F(RecordsTest, AHeadlessServiceIsItsEndpoints) {
  EXPECT_THAT(A("db.shop.svc.cluster.local"), UnorderedElementsAre("10.244.0.7", "10.244.1.8"));
  EXPECT_THAT(A("db-0.db.shop.svc.cluster.local"), ElementsAre("10.244.0.7"));
  EXPECT_THAT(A("10-244-1-8.db.shop.svc.cluster.local"), ElementsAre("10.244.1.8"));
  EXPECT_EQ(Rcode("10-244-0-7.db.shop.svc.cluster.local"), kNxDomain);  // it has a name
  // Each one comes first some day.
  EXPECT_NE(A("db.shop.svc.cluster.local")[0], A("db.shop.svc.cluster.local")[0]);
}

TEST_F(RecordsTest, PortsAreFoundByName) {
  Got got = Ask("_http._tcp.web.shop.svc.cluster.local", kTypeSrv);
  EXPECT_EQ(got.info.answers, 1);
  EXPECT_THAT(got.addresses, ElementsAre("10.96.1.1"));
  EXPECT_THAT(got.bytes, HasSubstr(absl::string_view("\0\120\3web\4shop", 11)));  // port 80
  got = Ask("_sql._tcp.db.shop.svc.cluster.local", kTypeSrv);
  EXPECT_EQ(got.info.answers, 2);
  EXPECT_THAT(got.bytes, HasSubstr("\4db-0\2db\4shop"));
  EXPECT_THAT(got.addresses, UnorderedElementsAre("10.244.0.7", "10.244.1.8"));
  EXPECT_EQ(Ask("web.shop.svc.cluster.local", kTypeSrv).info.answers, 2);
  EXPECT_EQ(Rcode("_http._udp.web.shop.svc.cluster.local", kTypeSrv), kNxDomain);
}

TEST_F(RecordsTest, PodsHaveTheNameOfTheirAddress) {
  EXPECT_THAT(A("10-244-3-4.shop.pod.cluster.local"), ElementsAre("10.244.3.4"));
  EXPECT_EQ(Rcode("10-244-3-4.shop.pod.cluster.local", kTypeAaaa), kNoError);
  EXPECT_EQ(Rcode("10-244-3-4.nowhere.pod.cluster.local"), kNxDomain);
  EXPECT_EQ(Rcode("10-244-3.shop.pod.cluster.local"), kNxDomain);
  EXPECT_EQ(Rcode("fd00--1.shop.pod.cluster.local", kTypeAaaa), kNoError);
}

TEST_F(RecordsTest, AddressesLeadBack) {
  Got got = Ask("1.1.96.10.in-addr.arpa", kTypePtr);
  EXPECT_THAT(got.bytes, HasSubstr("\3web\4shop\3svc\7cluster\5local"));
  got = Ask("7.0.244.10.in-addr.arpa", kTypePtr);
  EXPECT_THAT(got.bytes, HasSubstr("\4db-0\2db\4shop\3svc"));
  EXPECT_EQ(Rcode("1.1.96.10.in-addr.arpa", kTypeA), kNoError);
  records_.RemoveService("shop", "db");
  EXPECT_EQ(Ask("7.0.244.10.in-addr.arpa", kTypePtr).answered, Answered::kElsewhere);
}

TEST_F(RecordsTest, AnExternalNameIsAnAlias) {
  const Got outside = Ask("outside.shop.svc.cluster.local", kTypeA);
  EXPECT_EQ(outside.answered, Answered::kExternal);
  EXPECT_EQ(outside.external, "www.example.com.");
  EXPECT_EQ(outside.info.answers, 1);
  EXPECT_THAT(A("inside.shop.svc.cluster.local"), ElementsAre("10.96.1.1"));
  EXPECT_EQ(Ask("outside.shop.svc.cluster.local", kTypeCname).info.answers, 1);
}

TEST_F(RecordsTest, AliasesInACircleEnd) {
  auto alias = std::make_unique<ServiceRecord>();
  alias->ns = "shop";
  alias->name = "loop";
  alias->external = NameFromText("loop.shop.svc.cluster.local");
  records_.SetService(std::move(alias));
  EXPECT_EQ(Rcode("loop.shop.svc.cluster.local"), kNoError);
}

TEST_F(RecordsTest, TheZoneSpeaksOfItself) {
  EXPECT_EQ(Ask("cluster.local", kTypeSoa).info.answers, 1);
  EXPECT_THAT(Ask("cluster.local", kTypeNs).addresses, ElementsAre("10.96.0.10"));
  EXPECT_THAT(A("ns.dns.cluster.local"), ElementsAre("10.96.0.10"));
  EXPECT_THAT(Ask("dns-version.cluster.local", kTypeTxt).bytes, HasSubstr("\0051.1.0"));
}

TEST_F(RecordsTest, AChangedServiceIsTheNewOneOnly) {
  Add("shop", "web", {"10.96.2.2"}, {});
  EXPECT_THAT(A("web.shop.svc.cluster.local"), ElementsAre("10.96.2.2"));
  EXPECT_EQ(Ask("1.1.96.10.in-addr.arpa", kTypePtr).answered, Answered::kElsewhere);
  EXPECT_EQ(Rcode("_http._tcp.web.shop.svc.cluster.local", kTypeSrv), kNxDomain);
}

}  // namespace
}  // namespace meltemi::dns
