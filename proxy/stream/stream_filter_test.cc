// Filters on a stream: the order, pausing, answering, and what becomes of a body meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/stream/stream_test_harness.h"

namespace meltemi::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::string_view kGet = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";

// What a test filter does, and what it saw; shared by all its streams.
struct Script {
  std::string name;
  FilterResult result = FilterResult::kContinue;
  LocalReply (*answer)() = nullptr;  // with kAnswered
  bool absent = false;               // nothing to do on this stream
  FilterStream* stream = nullptr;
  std::vector<std::string>* events = nullptr;
};

class ScriptedFilter final : public Filter {
 public:
  explicit ScriptedFilter(Script& script) : script_(script) {}
  FilterResult OnRequestHeaders(http::HeaderMap& headers, bool) override {
    script_.events->push_back("request " + script_.name);
    headers.Add("x-seen-by", script_.name);
    if (script_.result == FilterResult::kAnswered) script_.stream->Answer(script_.answer());
    return script_.result;
  }
  void OnResponseHeaders(http::HeaderMap& headers) override {
    script_.events->push_back("response " + script_.name);
    headers.Add("x-passed", script_.name);
  }
  void OnEnd() override { script_.events->push_back("end " + script_.name); }

 private:
  Script& script_;
};

class ScriptedFactory final : public FilterFactory {
 public:
  explicit ScriptedFactory(Script& script) : script_(script) {}
  absl::string_view name() const override { return script_.name; }
  std::unique_ptr<Filter> NewFilter(FilterStream& stream) override {
    script_.stream = &stream;
    if (script_.absent) return nullptr;
    return std::make_unique<ScriptedFilter>(script_);
  }

 private:
  Script& script_;
};

class ScriptedConfig final : public FilterConfig {
 public:
  explicit ScriptedConfig(Script& script) : script_(script) {}
  std::unique_ptr<FilterFactory> NewFactory(metrics::Scope&) const override {
    return std::make_unique<ScriptedFactory>(script_);
  }

 private:
  Script& script_;
};

class FilterTest : public ::testing::Test {
 protected:
  FilterTest() {
    for (Script* script : {&a_, &b_}) {
      script->events = &events_;
      t_.config->filters.push_back({script->name, std::make_shared<ScriptedConfig>(*script)});
    }
  }
  std::vector<std::string> events_;
  Script a_{.name = "a"}, b_{.name = "b"};
  StreamHarness t_;  // last: streams that it ends still use the scripts
};

TEST_F(FilterTest, DownInOrderAndUpInReverse) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  std::string scratch;
  bool present = false;
  EXPECT_EQ(t_.attempt().headers->GetJoined("x-seen-by", &scratch, &present), "a,b");
  t_.attempt().Headers(200, true);
  t_.Run();
  EXPECT_THAT(events_,
              ElementsAre("request a", "request b", "response b", "response a", "end a", "end b"));
  EXPECT_THAT(client.Received(), HasSubstr("x-passed: b\r\nx-passed: a\r\n"));
}

TEST_F(FilterTest, FilterWithNothingToDoIsLeftOut) {
  a_.absent = true;
  TestClient client = t_.Connect();
  client.Send(kGet);
  EXPECT_EQ(t_.attempt().headers->Get("x-seen-by"), "b");
}

TEST_F(FilterTest, AnswerSkipsWhatComesAfter) {
  a_.result = FilterResult::kAnswered;
  a_.answer = [] {
    LocalReply reply;
    reply.status = 429;
    reply.body = "slow down";
    reply.details = "test_answer";
    reply.flags = kFlagRateLimited;
    return reply;
  };
  TestClient client = t_.Connect();
  client.Send(kGet);
  const std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 429"));
  EXPECT_THAT(got, HasSubstr("slow down"));
  EXPECT_THAT(got, HasSubstr("x-passed: a\r\n"));
  EXPECT_THAT(events_, ElementsAre("request a", "response a", "end a", "end b"));
  EXPECT_EQ(t_.log->lines.at(0).flags, "RL");
  EXPECT_EQ(t_.log->lines.at(0).details, "test_answer");
  EXPECT_TRUE(t_.cluster().attempts.empty());
}

// A filter without an object: refuses one path.
class Bouncer final : public FilterFactory, public FilterConfig {
 public:
  explicit Bouncer(std::vector<std::string>* events) : events_(*events) {}
  absl::string_view name() const override { return "bouncer"; }
  bool stateless() const override { return true; }
  std::unique_ptr<Filter> NewFilter(FilterStream&) override {
    ADD_FAILURE() << "a stateless filter is not asked for objects";
    return nullptr;
  }
  FilterResult Judge(FilterStream& stream, const http::HeaderMap& request) override {
    events_.push_back("judged");
    if (request.path() != "/private") return FilterResult::kContinue;
    LocalReply reply;
    reply.status = 403;
    reply.details = "bounced";
    stream.Answer(std::move(reply));
    return FilterResult::kAnswered;
  }
  std::unique_ptr<FilterFactory> NewFactory(metrics::Scope&) const override {
    return std::make_unique<Bouncer>(&events_);
  }

 private:
  std::vector<std::string>& events_;
};

TEST_F(FilterTest, AStatelessFilterJudgesInItsTurn) {
  auto& filters = t_.config->filters;
  filters.insert(filters.begin() + 1, {"bouncer", std::make_shared<Bouncer>(&events_)});
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(200, true);
  t_.Run();
  EXPECT_THAT(events_, ElementsAre("request a", "judged", "request b", "response b", "response a",
                                   "end a", "end b"));
  events_.clear();
  client.Send("GET /private HTTP/1.1\r\nhost: shop\r\n\r\n");
  t_.Run();
  EXPECT_THAT(events_, ElementsAre("request a", "judged", "response a", "end a", "end b"));
  EXPECT_EQ(t_.log->lines.at(1).status, 403);
  EXPECT_EQ(t_.log->lines.at(1).details, "bounced");
}

TEST_F(FilterTest, PausedRequestWaitsAndItsBodyIsNotRead) {
  b_.result = FilterResult::kPause;
  TestClient client = t_.Connect();
  client.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 40000\r\n\r\n");
  client.Send(std::string(30000, 'x'));
  EXPECT_TRUE(t_.cluster().attempts.empty());
  EXPECT_TRUE(client.connection().reading_paused());
  b_.stream->Continue();
  t_.Run();
  ASSERT_EQ(t_.cluster().attempts.size(), 1u);
  EXPECT_EQ(t_.attempt().body.size(), 30000u);
  EXPECT_FALSE(client.connection().reading_paused());
  client.Send(std::string(10000, 'x'));
  EXPECT_TRUE(t_.attempt().ended);
  EXPECT_EQ(t_.attempt().body.size(), 40000u);
}

TEST_F(FilterTest, PausedFilterMayAnswerLater) {
  a_.result = FilterResult::kPause;
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.loop.Advance(seconds(1));
  LocalReply reply;
  reply.status = 503;
  reply.details = "later";
  a_.stream->Answer(std::move(reply));
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(t_.log->lines.at(0).details, "later");
}

TEST_F(FilterTest, ClientThatLeavesDuringAPauseEndsTheFilter) {
  a_.result = FilterResult::kPause;
  TestClient client = t_.Connect();
  client.Send(kGet);
  client.Reset();
  EXPECT_THAT(events_, ElementsAre("request a", "end a", "end b"));
  EXPECT_EQ(t_.log->lines.at(0).flags, "DC");
}

TEST_F(FilterTest, FiltersRunAlsoWhereNoRouteMatches) {
  t_.AddRoute("/only");
  TestClient client = t_.Connect();
  client.Send(kGet);
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 404"));
  EXPECT_EQ(events_.at(0), "request a");
  EXPECT_EQ(a_.stream->route(), nullptr);
}

TEST_F(FilterTest, OverridesOfTheChosenClusterStandOverTheRoutes) {
  Route& route = t_.AddRoute("/");
  route.filters.cors_disabled = true;
  TestClient client = t_.Connect();
  client.Send(kGet);
  EXPECT_EQ(a_.stream->overrides(), &route.filters);
  EXPECT_EQ(a_.stream->cluster_name(), "c");
  t_.attempt().Headers(200, true);
  t_.Run();
  route.clusters[0].filters.fault_disabled = true;
  client.Send(kGet);
  EXPECT_EQ(a_.stream->overrides(), &route.clusters[0].filters);
}

}  // namespace
}  // namespace meltemi::proxy
