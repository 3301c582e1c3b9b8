// Upstream servers that answer, that do not, and what is remembered of what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/random/random.h"
#include "orchestrator/dns/forward/cache.h"
#include "orchestrator/dns/forward/forwarder.h"

namespace meltemi::dns {
namespace {

using testing::ElementsAre;

ForwardKey KeyOf(absl::string_view name, uint16_t type = kTypeA) {
  return {NameFromText(name), type, kClassIn, false, false};
}

// A server on a port of its own; `answer` says what it answers, nothing: not at all.
class FakeUpstream {
 public:
  using Say = std::function<void(const Query& query, AnswerWriter& writer)>;

  FakeUpstream(Loop& loop, Say say) : say_(std::move(say)) {
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const net::Address any = net::Address::Loopback4(0);
    EXPECT_EQ(bind(fd_, any.raw(), any.raw_length()), 0);
    sockaddr_storage bound{};
    socklen_t length = sizeof(bound);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &length);
    address = net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length);
    watch_ = loop.WatchFd(fd_, FdTrigger::kLevel, kFdReadable, [this](uint8_t) { Serve(); });
  }
  ~FakeUpstream() {
    watch_.reset();
    close(fd_);
  }

  net::Address address;
  int asked = 0;
  bool last_had_edns = false;

 private:
  void Serve() {
    char bytes[2048], out[kUdpBytesMax];
    sockaddr_storage from{};
    socklen_t length = sizeof(from);
    const ssize_t size =
        recvfrom(fd_, bytes, sizeof(bytes), 0, reinterpret_cast<sockaddr*>(&from), &length);
    Query query;
    if (size < 0 || ReadQuery({bytes, static_cast<size_t>(size)}, &query) != QueryRead::kOk) return;
    if (absl::string_view(query.name).substr(1, 12) == "meltemi-loop") return;
    ++asked;
    last_had_edns = query.has_edns;
    if (say_ == nullptr) return;
    AnswerWriter writer(out, sizeof(out));
    writer.Begin(query, kNoError, 0);
    say_(query, writer);
    const absl::string_view answer = writer.Finish();
    sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }

  int fd_;
  Say say_;
  std::unique_ptr<FdWatch> watch_;
};

void SayAddress(const Query& query, AnswerWriter& writer) { writer.Address("", 60, "\1\2\3\4"); }

class ForwardTest : public testing::Test {
 protected:
  ForwardTest() : loop_(NewEventLoop(clock_)) {
    ForwarderOptions options;
    options.timeout = milliseconds(60);
    options.forwards_max = 3;
    forwarder_ = std::make_unique<Forwarder>(*loop_, options, random_, nullptr);
  }

  FakeUpstream& Add(FakeUpstream::Say say) {
    upstreams_.push_back(std::make_unique<FakeUpstream>(*loop_, std::move(say)));
    std::vector<net::Address> addresses;
    for (const auto& upstream : upstreams_) addresses.push_back(upstream->address);
    forwarder_->SetUpstreams(addresses);
    return *upstreams_.back();
  }
  void Ask(const ForwardKey& key) {
    forwarder_->Ask(key, [this](const UpstreamAnswerPtr& answer) {
      heard_.push_back(answer == nullptr ? "nothing" : std::string(RcodeText(answer->info.rcode)));
      last_ = answer;
    });
  }
  std::vector<std::string> Hear(size_t count) {
    const MonotonicTime until = clock_.Now() + seconds(10);
    while (heard_.size() < count && clock_.Now() < until) loop_->RunOnce(milliseconds(20));
    return std::exchange(heard_, {});
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  FastRandom random_{7};
  std::vector<std::unique_ptr<FakeUpstream>> upstreams_;
  std::unique_ptr<Forwarder> forwarder_;
  std::vector<std::string> heard_;
  UpstreamAnswerPtr last_;
};

TEST_F(ForwardTest, AQuestionIsAskedOnceAndRemembered) {
  FakeUpstream& upstream = Add(SayAddress);
  Ask(KeyOf("www.example"));
  Ask(KeyOf("www.example"));
  EXPECT_THAT(Hear(2), ElementsAre("NOERROR", "NOERROR"));
  EXPECT_EQ(upstream.asked, 1);
  EXPECT_NE(forwarder_->Cached(KeyOf("www.example")), nullptr);
  EXPECT_EQ(forwarder_->Cached(KeyOf("www.example", kTypeAaaa)), nullptr);
}

TEST_F(ForwardTest, TheNextServerIsAskedWhenOneIsSilent) {
  FakeUpstream& silent = Add(nullptr);
  FakeUpstream& good = Add(SayAddress);
  for (int i = 0; i < 3; ++i) {
    Ask(KeyOf(absl::StrCat("www", i, ".example")));
    EXPECT_THAT(Hear(1), ElementsAre("NOERROR"));
  }
  // Twice silent, it is asked last.
  EXPECT_EQ(silent.asked, 2);
  EXPECT_EQ(good.asked, 3);
}

TEST_F(ForwardTest, ARefusalIsTheAnswerOnlyIfNobodyKnowsBetter) {
  Add([](const Query&, AnswerWriter& writer) { writer.SetRcode(kRefused); });
  Ask(KeyOf("a.example"));
  EXPECT_THAT(Hear(1), ElementsAre("REFUSED"));
  Add(SayAddress);
  Ask(KeyOf("a.example"));
  EXPECT_THAT(Hear(1), ElementsAre("NOERROR"));
}

TEST_F(ForwardTest, NobodyIsANothing) {
  Ask(KeyOf("a.example"));
  EXPECT_THAT(Hear(1), ElementsAre("nothing"));
  Add(nullptr);
  Ask(KeyOf("a.example"));
  EXPECT_THAT(Hear(1), ElementsAre("nothing"));
  EXPECT_EQ(forwarder_->under_way(), 0u);
}

TEST_F(ForwardTest, TooManyQuestionsAreTurnedAway) {
  Add(nullptr);
  for (int i = 0; i < 4; ++i) Ask(KeyOf(absl::StrCat("www", i, ".example")));
  EXPECT_EQ(forwarder_->under_way(), 3u);
  EXPECT_THAT(Hear(1), ElementsAre("nothing"));
}

TEST_F(ForwardTest, AServerThatKnowsNoEdnsIsAskedWithoutIt) {
  FakeUpstream& old = Add([](const Query& query, AnswerWriter& writer) {
    if (query.has_edns) {
      writer.SetRcode(kFormErr);
    } else {
      writer.Address("", 60, "\1\2\3\4");
    }
  });
  Ask(KeyOf("a.example"));
  EXPECT_THAT(Hear(1), ElementsAre("NOERROR"));
  Ask(KeyOf("b.example"));
  EXPECT_THAT(Hear(1), ElementsAre("NOERROR"));
  EXPECT_EQ(old.asked, 3);
  EXPECT_FALSE(old.last_had_edns);
}

TEST_F(ForwardTest, AServerThatLeadsBackIsLeftOut) {
  // What arrives there comes back to us.
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const net::Address any = net::Address::Loopback4(0);
  ASSERT_EQ(bind(fd, any.raw(), any.raw_length()), 0);
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length);
  forwarder_->SetUpstreams(
      {net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length)});
  char bytes[512];
  const ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
  close(fd);
  Query query;
  ASSERT_EQ(ReadQuery({bytes, static_cast<size_t>(std::max<ssize_t>(size, 0))}, &query),
            QueryRead::kOk);
  EXPECT_FALSE(forwarder_->NoticeLoop(NameFromText("www.example")));
  EXPECT_FALSE(forwarder_->NoticeLoop(NameFromText("meltemi-loop.0000000000000000.0")));
  EXPECT_TRUE(forwarder_->NoticeLoop(query.name));
  Ask(KeyOf("a.example"));
  EXPECT_EQ(forwarder_->under_way(), 0u);
  EXPECT_THAT(Hear(1), ElementsAre("nothing"));
}

TEST(UpstreamsTest, ResolvConf) {
  const std::vector<net::Address> found = ParseResolvConf(
      "# nameserver 9.9.9.9\nsearch example\nnameserver 10.0.0.1\nnameserver\tfd00::1\n"
      "nameserver nonsense\noptions ndots:5\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].ToString(), "10.0.0.1:53");
  EXPECT_EQ(found[1].ToString(), "[fd00::1]:53");
}

class CacheTest : public testing::Test {
 protected:
  UpstreamAnswerPtr Answer(const FakeUpstream::Say& say, MonotonicTime at) {
    std::string message =
        WriteQuery(1, NameFromText("a.example"), kTypeA, kClassIn, 0, false, false);
    Query query;
    EXPECT_EQ(ReadQuery(message, &query), QueryRead::kOk);
    char out[kMessageBytesMax];
    AnswerWriter writer(out, sizeof(out));
    writer.Begin(query, kNoError, 0);
    say(query, writer);
    auto answer = std::make_shared<UpstreamAnswer>();
    answer->message = std::string(writer.Finish());
    answer->received_at = at;
    EXPECT_TRUE(ReadAnswer(answer->message, &answer->info));
    return answer;
  }
  static void SayNothing(const Query&, AnswerWriter& writer) {
    writer.SetRcode(kNxDomain);
    writer.SetSection(AnswerWriter::Section::kAuthority);
    writer.SoaRecord(NameFromText("example"), 100,
                     {NameFromText("ns.example"), NameFromText("m.example"), 1, 2, 3, 4, 5});
  }

  const MonotonicTime now_ = MonotonicTime() + seconds(1000);
  const ForwardKey key_ = KeyOf("a.example");
};

TEST_F(CacheTest, AnAnswerCountsAsLongAsItSays) {
  AnswerCache cache(100'000, seconds(30));
  cache.Add(key_, Answer(SayAddress, now_));
  EXPECT_NE(cache.Find(key_, now_ + seconds(29)), nullptr);
  EXPECT_EQ(cache.Find(key_, now_ + seconds(30)), nullptr);  // the cache's own bound
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST_F(CacheTest, NothingIsRememberedByItsSoa) {
  AnswerCache cache(100'000, seconds(30));
  cache.Add(key_, Answer(SayNothing, now_));
  EXPECT_NE(cache.Find(key_, now_ + milliseconds(4900)), nullptr);
  EXPECT_EQ(cache.Find(key_, now_ + seconds(5)), nullptr);
  cache.Add(key_, Answer([](const Query&, AnswerWriter& w) { w.SetRcode(kNxDomain); }, now_));
  EXPECT_EQ(cache.Find(key_, now_), nullptr);
  cache.Add(key_, Answer([](const Query&, AnswerWriter& w) { w.SetRcode(kServFail); }, now_));
  EXPECT_EQ(cache.Find(key_, now_), nullptr);
}

TEST_F(CacheTest, WhatWasUsedLongestAgoMakesRoom) {
  AnswerCache cache(2'000, seconds(30));
  for (int i = 0; i < 100; ++i) {
    cache.Add(KeyOf(absl::StrCat("a", i, ".example")), Answer(SayAddress, now_));
    EXPECT_NE(cache.Find(KeyOf("a0.example"), now_), nullptr);
    EXPECT_LE(cache.bytes(), 2'000u);
  }
  EXPECT_EQ(cache.Find(KeyOf("a50.example"), now_), nullptr);
}

TEST_F(CacheTest, EachAskerGetsTheAnswerItsWay) {
  const UpstreamAnswerPtr answer = Answer(SayAddress, now_);
  Query query;
  std::string message = WriteQuery(77, NameFromText("a.example"), kTypeA, kClassIn,
                                   kFlagRecursionDesired, true, false);
  message[13] = 'A';
  ASSERT_EQ(ReadQuery(message, &query), QueryRead::kOk);
  AnswerInfo info;
  const std::string given = AnswerFor(query, *answer, now_ + seconds(20), kUdpBytesMax);
  ASSERT_TRUE(ReadAnswer(given, &info));
  EXPECT_EQ(info.id, 77);
  EXPECT_EQ(info.ttl_min, 40u);
  EXPECT_EQ(given[13], 'A');
  EXPECT_NE(info.opt_offset, 0u);
  query.has_edns = false;
  AnswerInfo plain;
  ASSERT_TRUE(ReadAnswer(AnswerFor(query, *answer, now_, kUdpBytesDefault), &plain));
  EXPECT_EQ(plain.opt_offset, 0u);
  const UpstreamAnswerPtr large = Answer(
      [](const Query&, AnswerWriter& w) {
        for (int i = 0; i < 100; ++i) w.Address("", 60, "\1\2\3\4");
      },
      now_);
  AnswerInfo cut;
  ASSERT_TRUE(ReadAnswer(AnswerFor(query, *large, now_, kUdpBytesDefault), &cut));
  EXPECT_NE(cut.flags & kFlagTruncated, 0);
  EXPECT_EQ(cut.answers, 0);
}

}  // namespace
}  // namespace meltemi::dns
