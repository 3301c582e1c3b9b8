#include "orchestrator/store/contract_test.h"

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/store/watcher_fake.h"

namespace meltemi::store {

using Type = Write::Type;

// Tests of a suite that a program does not instantiate are none of its failures.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreContract);

void StoreContract::SetUp() {
  auto store = GetParam()();
  if (absl::IsNotFound(store.status())) GTEST_SKIP() << store.status().message();
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
  prefix_ = absl::StrCat("/contract/",
                         testing::UnitTest::GetInstance()->current_test_info()->name(), "/");
}

Revision StoreContract::Put(absl::string_view name, absl::string_view value) {
  const auto result =
      store_->Transact({}, {{.type = Type::kPut, .key = Key(name), .value = std::string(value)}});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->revision : 0;
}

Revision StoreContract::Delete(absl::string_view name) {
  const auto result = store_->Transact({}, {{.type = Type::kDelete, .key = Key(name)}});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->revision : 0;
}

std::string StoreContract::ValueOf(absl::string_view name, Revision revision) {
  const auto kv = store_->Get(Key(name), revision);
  if (!kv.ok()) return std::string(kv.status().message());
  return kv->has_value() ? (*kv)->value : "(none)";
}

TEST_P(StoreContract, KeepsWhatIsPut) {
  EXPECT_EQ(ValueOf("a"), "(none)");
  const Revision first = Put("a", "1");
  const Revision second = Put("a", "2");
  EXPECT_EQ(second, first + 1);
  const auto kv = store_->Get(Key("a"));
  ASSERT_TRUE(kv.ok() && kv->has_value());
  EXPECT_EQ((*kv)->key, Key("a"));
  EXPECT_EQ((*kv)->value, "2");
  EXPECT_EQ((*kv)->create_revision, first);
  EXPECT_EQ((*kv)->mod_revision, second);
  EXPECT_EQ((*kv)->version, 2);
  EXPECT_EQ(*store_->CurrentRevision(), second);
}

TEST_P(StoreContract, KeepsAnyBytes) {
  const std::string bytes("\0\xff\x01 text", 8);
  ASSERT_GT(Put(bytes, bytes), 0);
  EXPECT_EQ(ValueOf(bytes), bytes);
  ASSERT_GT(Put("empty", ""), 0);
  EXPECT_EQ(ValueOf("empty"), "");
}

TEST_P(StoreContract, WritesOnlyUnderItsConditions) {
  const Revision first = Put("a", "1");
  auto result = store_->Transact({{.key = Key("a"), .mod_revision = first}},
                                 {{.type = Type::kPut, .key = Key("a"), .value = "2"}});
  ASSERT_TRUE(result.ok() && result->succeeded);
  const Revision second = result->revision;

  result = store_->Transact({{.key = Key("a"), .mod_revision = first}, {.key = Key("b")}},
                            {{.type = Type::kPut, .key = Key("a"), .value = "3"}});
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->succeeded);
  EXPECT_EQ(result->revision, second);
  ASSERT_EQ(result->current.size(), 2u);
  ASSERT_TRUE(result->current[0].has_value());
  EXPECT_EQ(result->current[0]->value, "2");
  EXPECT_EQ(result->current[0]->mod_revision, second);
  EXPECT_FALSE(result->current[1].has_value());
  EXPECT_EQ(ValueOf("a"), "2");
}

TEST_P(StoreContract, CreatesOnlyWhatIsNotThere) {
  const std::vector<Compare> missing = {{.key = Key("a"), .mod_revision = 0}};
  const std::vector<Write> put = {{.type = Type::kPut, .key = Key("a"), .value = "1"}};
  EXPECT_TRUE(store_->Transact(missing, put)->succeeded);
  EXPECT_FALSE(store_->Transact(missing, put)->succeeded);
  const Revision deleted = Delete("a");
  const auto again = store_->Transact(missing, put);
  ASSERT_TRUE(again.ok() && again->succeeded);
  EXPECT_EQ(again->revision, deleted + 1);
  const auto kv = store_->Get(Key("a"));
  EXPECT_EQ((*kv)->version, 1);
  EXPECT_EQ((*kv)->create_revision, again->revision);
}

TEST_P(StoreContract, ATransactionIsOneRevision) {
  ASSERT_GT(Put("old", "x"), 0);
  const auto result = store_->Transact({}, {{.type = Type::kPut, .key = Key("a"), .value = "1"},
                                            {.type = Type::kPut, .key = Key("b"), .value = "2"},
                                            {.type = Type::kDelete, .key = Key("old")}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ((*store_->Get(Key("a")))->mod_revision, result->revision);
  EXPECT_EQ((*store_->Get(Key("b")))->mod_revision, result->revision);
  EXPECT_EQ(ValueOf("old"), "(none)");
  EXPECT_EQ(ValueOf("old", result->revision - 1), "x");
  EXPECT_EQ(ValueOf("a", result->revision - 1), "(none)");
}

TEST_P(StoreContract, DeletingNothingIsNoRevision) {
  const Revision before = Put("a", "1");
  EXPECT_EQ(Delete("missing"), before);
  EXPECT_EQ(*store_->CurrentRevision(), before);
}

TEST_P(StoreContract, RangesAreSortedAndBounded) {
  for (const char* name : {"c", "a", "d", "b"}) Put(name, name);
  Delete("d");
  auto range = store_->Range(Key(""), end());
  ASSERT_TRUE(range.ok()) << range.status();
  ASSERT_EQ(range->kvs.size(), 3u);
  EXPECT_EQ(range->kvs[0].value, "a");
  EXPECT_EQ(range->kvs[2].value, "c");
  EXPECT_FALSE(range->more);
  EXPECT_EQ(range->count, 3);
  EXPECT_EQ(range->revision, *store_->CurrentRevision());

  range = store_->Range(Key(""), end(), {.limit = 2});
  ASSERT_EQ(range->kvs.size(), 2u);
  EXPECT_TRUE(range->more);
  EXPECT_EQ(range->count, 3);
  range = store_->Range(Key("b"), Key("c"), {.keys_only = true});
  ASSERT_EQ(range->kvs.size(), 1u);
  EXPECT_EQ(range->kvs[0].key, Key("b"));
  EXPECT_EQ(range->kvs[0].value, "");
  EXPECT_GT(range->kvs[0].mod_revision, 0);
  range = store_->Range(Key(""), end(), {.count_only = true});
  EXPECT_TRUE(range->kvs.empty());
  EXPECT_EQ(range->count, 3);
  range = store_->Range(Key("a"), "");
  ASSERT_EQ(range->kvs.size(), 1u);
  EXPECT_EQ(range->kvs[0].value, "a");
}

TEST_P(StoreContract, ThePastStaysReadable) {
  const Revision one = Put("a", "1");
  const Revision two = Put("b", "2");
  const Revision three = Put("a", "3");
  const Revision four = Delete("b");
  EXPECT_EQ(ValueOf("a", one), "1");
  EXPECT_EQ(ValueOf("a", two), "1");
  EXPECT_EQ(ValueOf("a", three), "3");
  EXPECT_EQ(store_->Range(Key(""), end(), {.revision = one})->count, 1);
  EXPECT_EQ(store_->Range(Key(""), end(), {.revision = three})->count, 2);
  EXPECT_EQ(store_->Range(Key(""), end(), {.revision = four})->count, 1);
  const auto future = store_->Get(Key("a"), four + 1);
  EXPECT_TRUE(absl::IsOutOfRange(future.status()));
  EXPECT_TRUE(absl::StrContains(future.status().message(),
                                "etcdserver: mvcc: required revision is a future revision"))
      << future.status();
}

TEST_P(StoreContract, AWatchSeesThePastThenWhatComes) {
  const Revision from = Put("a", "1");
  Put("a", "2");
  CollectingWatcher watcher;
  const auto watch = store_->Watch(Key(""), end(), from, watcher);
  watcher.WaitForEvents(2);
  Delete("a");
  Put("b", "3");
  const auto events = watcher.WaitForEvents(4);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].kv.value, "1");
  EXPECT_EQ(events[0].kv.mod_revision, from);
  EXPECT_FALSE(events[0].previous.has_value());
  EXPECT_EQ(events[1].kv.value, "2");
  EXPECT_EQ(events[1].kv.version, 2);
  ASSERT_TRUE(events[1].previous.has_value());
  EXPECT_EQ(events[1].previous->value, "1");
  EXPECT_TRUE(events[2].deleted);
  EXPECT_EQ(events[2].kv.key, Key("a"));
  EXPECT_EQ(events[2].kv.mod_revision, from + 2);
  ASSERT_TRUE(events[2].previous.has_value());
  EXPECT_EQ(events[2].previous->value, "2");
  EXPECT_EQ(events[2].previous->mod_revision, from + 1);
  EXPECT_EQ(events[3].kv.create_revision, from + 3);
}

TEST_P(StoreContract, AWatchFromNowSeesWhatComesAlone) {
  Put("a", "1");
  CollectingWatcher watcher;
  const auto watch = store_->Watch(Key(""), end(), 0, watcher);
  Put("a", "2");
  const auto events = watcher.WaitForEvents(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kv.value, "2");
}

TEST_P(StoreContract, AWatchSeesItsRangeAlone) {
  CollectingWatcher range, key;
  const Revision from = *store_->CurrentRevision() + 1;
  const auto range_watch = store_->Watch(Key("b"), Key("d"), from, range);
  const auto key_watch = store_->Watch(Key("c"), "", from, key);
  for (const char* name : {"a", "b", "c", "d", "c"}) Put(name, name);
  const auto of_range = range.WaitForEvents(3);
  ASSERT_EQ(of_range.size(), 3u);
  EXPECT_EQ(of_range[0].kv.key, Key("b"));
  EXPECT_EQ(of_range[1].kv.key, Key("c"));
  const auto of_key = key.WaitForEvents(2);
  ASSERT_EQ(of_key.size(), 2u);
  EXPECT_EQ(of_key[0].kv.key, Key("c"));
}

TEST_P(StoreContract, AWatchMayWaitForTheFuture) {
  CollectingWatcher watcher;
  const Revision now = Put("a", "1");
  const auto watch = store_->Watch(Key(""), end(), now + 2, watcher);
  Put("a", "2");
  Put("a", "3");
  const auto events = watcher.WaitForEvents(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kv.value, "3");
}

TEST_P(StoreContract, CompactionForgetsThePastAlone) {
  const Revision one = Put("a", "1");
  Put("gone", "x");
  Delete("gone");
  const Revision two = Put("a", "2");
  const Revision three = Put("a", "3");
  ASSERT_TRUE(store_->Compact(two).ok());
  const auto old = store_->Get(Key("a"), one);
  EXPECT_TRUE(absl::IsOutOfRange(old.status())) << old.status();
  EXPECT_TRUE(absl::StrContains(old.status().message(),
                                "etcdserver: mvcc: required revision has been compacted"))
      << old.status();
  EXPECT_EQ(ValueOf("a", two), "2");
  EXPECT_EQ(ValueOf("a", three), "3");
  EXPECT_EQ(ValueOf("gone"), "(none)");
  EXPECT_EQ(store_->Range(Key(""), end(), {.revision = two})->count, 1);
  EXPECT_TRUE(absl::IsOutOfRange(store_->Compact(one)));
  EXPECT_TRUE(absl::IsOutOfRange(store_->Compact(three + 1000)));
}

TEST_P(StoreContract, AWatchFromACompactedRevisionEnds) {
  const Revision one = Put("a", "1");
  const Revision two = Put("a", "2");
  ASSERT_TRUE(store_->Compact(two).ok());
  CollectingWatcher late, in_time;
  const auto late_watch = store_->Watch(Key(""), end(), one, late);
  const absl::Status why = late.WaitForEnd();
  EXPECT_TRUE(absl::IsOutOfRange(why)) << why;
  const auto watch = store_->Watch(Key(""), end(), two, in_time);
  Put("a", "3");
  const auto events = in_time.WaitForEvents(2);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kv.value, "2");
}

TEST_P(StoreContract, KeysEndWithTheirLease) {
  const auto lease = store_->GrantLease(seconds(60));
  ASSERT_TRUE(lease.ok()) << lease.status();
  const Write under{.type = Type::kPut, .key = Key("a"), .value = "1", .lease = *lease};
  ASSERT_TRUE(store_->Transact({}, {under}).ok());
  Put("stays", "1");
  EXPECT_EQ((*store_->Get(Key("a")))->lease, *lease);
  EXPECT_TRUE(store_->KeepLeaseAlive(*lease).ok());
  ASSERT_TRUE(store_->RevokeLease(*lease).ok());
  EXPECT_EQ(ValueOf("a"), "(none)");
  EXPECT_EQ(ValueOf("stays"), "1");
  EXPECT_TRUE(absl::IsNotFound(store_->KeepLeaseAlive(*lease)));
  EXPECT_TRUE(absl::IsNotFound(store_->RevokeLease(*lease)));
  EXPECT_TRUE(absl::IsNotFound(store_->Transact({}, {under}).status()));
}

TEST_P(StoreContract, AKeyThatIsPutAgainLeavesItsLease) {
  const auto lease = store_->GrantLease(seconds(60));
  ASSERT_TRUE(lease.ok());
  ASSERT_TRUE(store_->Transact({}, {{.key = Key("a"), .value = "1", .lease = *lease}}).ok());
  Put("a", "2");
  ASSERT_TRUE(store_->RevokeLease(*lease).ok());
  EXPECT_EQ(ValueOf("a"), "2");
}

TEST_P(StoreContract, BadRequestsAreRefusedAndChangeNothing) {
  const Revision before = Put("a", "1");
  const Write put{.type = Type::kPut, .key = Key("b"), .value = "1"};
  const Write huge{.type = Type::kPut, .key = Key("c"), .value = std::string(2 << 20, 'x')};
  std::vector<Write> many;
  for (int i = 0; i < 200; ++i) many.push_back({.key = Key(absl::StrCat(i)), .value = "x"});
  const std::vector<std::vector<Write>> requests = {{put, put}, {huge}, many, {{.key = ""}}};
  for (const std::vector<Write>& request : requests) {
    const auto result = store_->Transact({}, request);
    EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
  }
  EXPECT_EQ(*store_->CurrentRevision(), before);
}

TEST_P(StoreContract, ManyWritersLoseNothing) {
  constexpr int kWriters = 8, kIncrements = 40;
  CollectingWatcher watcher;
  const Revision from = Put("counter", "0");
  const auto watch = store_->Watch(Key(""), end(), from, watcher);
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([this] {
      for (int done = 0; done < kIncrements;) {
        const auto current = store_->Get(Key("counter"));
        int64_t number = 0;
        if (!current.ok() || !absl::SimpleAtoi((*current)->value, &number)) return;
        const auto result =
            store_->Transact({{.key = Key("counter"), .mod_revision = (*current)->mod_revision}},
                             {{.key = Key("counter"), .value = absl::StrCat(number + 1)}});
        if (!result.ok()) return;
        if (result->succeeded) ++done;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const auto events = watcher.WaitForEvents(kWriters * kIncrements + 1);
  ASSERT_EQ(events.size(), static_cast<size_t>(kWriters * kIncrements + 1));
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].kv.value, absl::StrCat(i));
    EXPECT_EQ(events[i].kv.mod_revision, from + static_cast<Revision>(i));
  }
}

TEST_P(StoreContract, AWatchThatEndsIsSilent) {
  for (int round = 0; round < 20; ++round) {
    CollectingWatcher watcher;  // destroyed right after its watch
    const auto watch = store_->Watch(Key(""), end(), 0, watcher);
    Put("a", absl::StrCat(round));
  }
}

TEST_P(StoreContract, TellsItsSizeAndHealth) {
  Put("a", std::string(1000, 'x'));
  const auto size = store_->Size();
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_GT(size->bytes_in_use, 1000);
  EXPECT_TRUE(store_->Health().ok()) << store_->Health();
}

}  // namespace meltemi::store
