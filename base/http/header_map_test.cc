#include "base/http/header_map.h"

#include <string>

#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

TEST(HeaderIdTest, EveryNameFindsItsOwnNumber) {
  for (size_t i = 1; i < static_cast<size_t>(HeaderId::kCount); ++i) {
    const auto id = static_cast<HeaderId>(i);
    EXPECT_EQ(FindHeaderId(HeaderName(id)), id) << std::string(HeaderName(id));
  }
}

TEST(HeaderIdTest, OtherNamesAreUnknown) {
  for (const char* name : {"", "x", "hosts", "hos", "x-request-ie", "content-lengty", "Host"}) {
    EXPECT_EQ(FindHeaderId(name), HeaderId::kUnknown) << name;
  }
}

TEST(HeaderMapTest, FindsWhatWasAddedByNumberAndByText) {
  HeaderMapPtr map = HeaderMap::New();
  map->Add(HeaderId::kContentType, "text/plain");
  map->Add("x-request-id", "7");
  map->Add("x-colour", "blue");
  EXPECT_EQ(map->Get("content-type"), "text/plain");
  EXPECT_EQ(map->Get(HeaderId::kXRequestId), "7");
  EXPECT_EQ(map->Get("x-colour"), "blue");
  EXPECT_FALSE(map->Has(HeaderId::kCookie));
  EXPECT_EQ(map->Find("x-color"), nullptr);
}

TEST(HeaderMapTest, PseudoHeadersAndHostAreFoundByText) {
  HeaderMapPtr map = HeaderMap::New();
  map->set_method("GET");
  map->set_path("/a?b");
  map->set_authority("example.com:80");
  EXPECT_EQ(map->Get(":path"), "/a?b");
  EXPECT_EQ(map->Get("host"), "example.com:80");
  std::string scratch;
  bool present = false;
  EXPECT_EQ(map->GetJoined(":method", &scratch, &present), "GET");
  EXPECT_TRUE(present);
  map->GetJoined(":protocol", &scratch, &present);
  EXPECT_FALSE(present);
}

TEST(HeaderMapTest, JoinsSeveralValuesWithCommas) {
  HeaderMapPtr map = HeaderMap::New();
  map->Add("accept", "a");
  map->Add("x-between", "z");
  map->Add("accept", "b");
  std::string scratch;
  bool present = false;
  EXPECT_EQ(map->GetJoined("accept", &scratch, &present), "a,b");
  EXPECT_EQ(map->GetJoined("x-between", &scratch, &present), "z");
  EXPECT_TRUE(present);
}

TEST(HeaderMapTest, SetReplacesTheFirstAndRemovesTheOthersInPlace) {
  HeaderMapPtr map = HeaderMap::New();
  map->Add("a", "1");
  map->Add("b", "2");
  map->Add("a", "3");
  const absl::string_view old_value = map->Get("a");
  map->Set("a", "4");
  ASSERT_EQ(map->size(), 2u);
  EXPECT_EQ(map->entries()[0].value, "4");
  EXPECT_EQ(old_value, "1") << "views stay valid when an entry is replaced";
  map->Set(HeaderId::kHost, "h");
  map->Set(HeaderId::kHost, "i");
  EXPECT_EQ(map->Get(HeaderId::kHost), "i");
  EXPECT_EQ(map->size(), 3u);
}

TEST(HeaderMapTest, RemoveForgetsAllOccurrences) {
  HeaderMapPtr map = HeaderMap::New();
  map->Add(HeaderId::kCookie, "a");
  map->Add("x-a-1", "b");
  map->Add(HeaderId::kCookie, "c");
  map->Add("x-a-2", "d");
  EXPECT_EQ(map->Remove(HeaderId::kCookie), 2u);
  EXPECT_FALSE(map->Has(HeaderId::kCookie));
  EXPECT_EQ(map->RemovePrefix("x-a-"), 2u);
  EXPECT_EQ(map->size(), 0u);
  EXPECT_EQ(map->Remove("nothing"), 0u);
}

TEST(HeaderMapTest, ViewsStayWhenTheArenaOverflows) {
  HeaderMapPtr map = HeaderMap::New();
  map->Add("first", "value");
  const absl::string_view first = map->Get("first");
  for (int i = 0; i < 200; ++i) map->Add("x-many", std::string(100, 'a' + i % 26));
  EXPECT_EQ(first, "value");
  EXPECT_EQ(map->entries()[200].value, std::string(100, 'a' + 199 % 26));
  map->Add("x-huge", std::string(100000, 'h'));
  EXPECT_EQ(map->Get("x-huge").size(), 100000u);
}

TEST(HeaderMapTest, CloneSharesNothing) {
  HeaderMapPtr copy;
  {
    HeaderMapPtr map = HeaderMap::New();
    map->set_method("POST");
    map->set_status(204);
    map->Add("x-colour", "blue");
    map->Add(HeaderId::kTe, "trailers");
    copy = map->Clone();
    map->Set("x-colour", "red");
  }
  HeaderMapPtr other = HeaderMap::New();  // takes the freed one
  other->set_method("XXXX");
  other->Add("y-colour", "pink");
  EXPECT_EQ(copy->method(), "POST");
  EXPECT_EQ(copy->status(), 204);
  EXPECT_EQ(copy->Get("x-colour"), "blue");
  EXPECT_EQ(copy->Get(HeaderId::kTe), "trailers");
}

TEST(HeaderMapTest, RecycledMapsComeBackEmpty) {
  for (int i = 0; i < 200; ++i) {
    HeaderMapPtr a = HeaderMap::New();
    HeaderMapPtr b = HeaderMap::New();
    EXPECT_EQ(a->size(), 0u);
    EXPECT_EQ(a->path(), "");
    EXPECT_EQ(a->status(), 0);
    EXPECT_FALSE(a->Has(HeaderId::kVia));
    a->set_path("/x");
    a->Add(HeaderId::kVia, std::string(3000, 'v'));
    b->set_status(200);
  }
}

TEST(HeaderMapTest, ByteSizeCountsAsHttp2Does) {
  HeaderMapPtr map = HeaderMap::New();
  map->set_method("GET");
  map->Add("ab", "cde");
  EXPECT_EQ(map->byte_size(), (7 + 3 + 32) + (2 + 3 + 32));
}

}  // namespace
}  // namespace meltemi::http
