// Selectors, quantities, patches and server-side apply, each beside Kubernetes' own libraries: the
// same random questions to both, and the same answers.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "kube/quantity/quantity.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/patch/managed_fields.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/patch/same_json.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/schema/from_proto.h"
#include "test/interop/clients/fetch.h"
#include "test/interop/clients/random_objects.h"

namespace meltemi::interop {
namespace {

using apiserver::Schema;
using json::Value;

constexpr int kCases = 400;

// Answers of the Go program, one for each request.
std::vector<Value> Ask(const std::string& program, const std::vector<Value>& requests) {
  const std::string folder = ::testing::TempDir();
  const std::string in = absl::StrCat(folder, "/requests"), out = absl::StrCat(folder, "/answers");
  {
    std::ofstream file(in);
    for (const Value& request : requests) file << json::ToString(request) << "\n";
  }
  EXPECT_EQ(std::system(absl::StrCat(program, " <", in, " >", out).c_str()), 0);
  std::ifstream file(out);
  std::vector<Value> answers;
  for (std::string line; std::getline(file, line);) {
    absl::StatusOr<Value> answer = json::Parse(line);
    EXPECT_TRUE(answer.ok()) << line;
    answers.push_back(answer.value_or(Value()));
  }
  EXPECT_EQ(answers.size(), requests.size());
  answers.resize(requests.size());
  return answers;
}

class SemanticsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    program_ = Fetch("semantics", &why_not_);
    if (program_.empty()) GTEST_SKIP() << why_not_;
  }

  const Schema& SchemaOf(absl::string_view name) {
    const Schema* schema = schemas_.Find(absl::StrCat("io.k8s.api.", name));
    EXPECT_NE(schema, nullptr) << name;
    return *schema;
  }

  std::string program_, why_not_;
  apiserver::SchemaArena arena_;
  apiserver::KubeSchemas schemas_{arena_};
  RandomObjects random_{20260101};
};

std::string AnswerText(const Value& answer) {
  absl::string_view error = answer.FindString("error");
  return error.empty() ? absl::StrCat("ok ", answer.FindString("text"))
                       : absl::StrCat("error ", error);
}

std::string TextRequest(absl::string_view op, absl::string_view text, std::vector<Value>* out) {
  Value request = Value::Object();
  request.Set("op", Value::String(std::string(op)));
  request.Set("text", Value::String(std::string(text)));
  out->push_back(std::move(request));
  return std::string(text);
}

std::string QuantityText(const std::string& text) {
  std::string why;
  std::optional<kube::Quantity> quantity = kube::Quantity::Parse(text, &why);
  if (!quantity.has_value()) return absl::StrCat("error ", why);
  std::string out = absl::StrCat("ok ", quantity->ToString());
  // There, larger ones overflow, and so do negative ones that are rounded.
  const kube::Quantity bound = kube::Quantity::Of(1'000'000'000'000'000);
  if (quantity->Sign() >= 0 && *quantity < bound) {
    absl::StrAppend(&out, " ", quantity->Value(), " ", quantity->MilliValue());
  }
  return out;
}

TEST_F(SemanticsTest, Quantities) {
  std::vector<Value> requests;
  std::vector<std::string> texts;
  for (int i = 0; i < 20 * kCases; ++i) {
    texts.push_back(TextRequest("quantity", random_.QuantityText(), &requests));
  }
  std::vector<Value> answers = Ask(program_, requests);
  for (size_t i = 0; i < texts.size(); ++i) {
    // There, thousands of "E" lose the suffix.
    std::optional<kube::Quantity> quantity = kube::Quantity::Parse(texts[i]);
    if (quantity.has_value() && absl::EndsWith(quantity->ToString(), "000E")) continue;
    EXPECT_EQ(QuantityText(texts[i]), AnswerText(answers[i])) << "of " << texts[i];
  }
}

template <typename Selector>
std::string SelectorText(absl::string_view text) {
  absl::StatusOr<Selector> selector = Selector::Parse(text);
  return selector.ok() ? absl::StrCat("ok ", selector->ToString())
                       : absl::StrCat("error ", selector.status().message());
}

TEST_F(SemanticsTest, Selectors) {
  std::vector<Value> requests;
  std::vector<std::string> texts;
  for (int i = 0; i < 10 * kCases; ++i) {
    texts.push_back(TextRequest("labels", random_.LabelSelectorText(), &requests));
    texts.push_back(TextRequest("fields", random_.FieldSelectorText(), &requests));
  }
  std::vector<Value> answers = Ask(program_, requests);
  for (size_t i = 0; i < texts.size(); i += 2) {
    // "==" is the same as "=", and is written so.
    std::string other = AnswerText(answers[i]);
    if (absl::StartsWith(other, "ok ")) other = absl::StrReplaceAll(other, {{"==", "="}});
    EXPECT_EQ(SelectorText<kube::LabelSelector>(texts[i]), other) << texts[i];
    EXPECT_EQ(SelectorText<kube::FieldSelector>(texts[i + 1]), AnswerText(answers[i + 1]))
        << texts[i + 1];
  }
}

// Entries that are new by a strategic merge keep directives and nulls there, until decoding drops
// them; here they don't.
Value Cleaned(const Value& value) {
  Value out = value;
  out.items().clear();
  out.members().clear();
  for (const Value& item : value.items()) {
    if (item.Find("$patch") == nullptr) out.Append(Cleaned(item));
  }
  for (const json::Member& member : value.members()) {
    if (absl::StartsWith(member.key, "$") || member.value.is_null()) continue;
    if (member.value.Find("$patch") == nullptr) out.Set(member.key, Cleaned(member.value));
  }
  return out;
}

struct PatchCase {
  Value object, patch;
};

Value PatchRequest(absl::string_view op, const PatchCase& c) {
  Value request = Value::Object();
  request.Set("op", Value::String(std::string(op)));
  request.Set("apiVersion", Value::String("v1"));
  request.Set("kind", Value::String("Pod"));
  request.Set("object", c.object);
  request.Set("patch", c.patch);
  return request;
}

void ExpectSame(const kube::Result<Value>& ours, const Value& answer, const PatchCase& c,
                bool strict) {
  absl::string_view error = answer.FindString("error");
  std::string told = ours.ok()                      ? ""
                     : ours.status().causes.empty() ? ours.status().message
                                                    : ours.status().causes[0].message;
  if (!error.empty() || !ours.ok()) {
    // Which of several errors is told is by chance there, and texts contain the directives.
    if (strict || told.empty() != error.empty()) {
      EXPECT_EQ(told, error) << json::ToString(c.object) << "\n" << json::ToString(c.patch);
    }
    return;
  }
  const Value* object = answer.Find("object");
  ASSERT_NE(object, nullptr);
  EXPECT_TRUE(apiserver::SameJson(Cleaned(*ours), Cleaned(*object)))
      << json::ToString(c.object) << "\n"
      << json::ToString(c.patch) << "\nours:  " << json::ToString(*ours)
      << "\nother: " << json::ToString(*object);
}

TEST_F(SemanticsTest, JsonPatches) {
  std::vector<PatchCase> cases;
  std::vector<Value> requests;
  for (int i = 0; i < 5 * kCases; ++i) {
    PatchCase c{random_.Tree(3), Value()};
    if (!c.object.is_object()) continue;
    c.patch = random_.JsonPatchFor(c.object);
    requests.push_back(PatchRequest("json", c));
    cases.push_back(std::move(c));
  }
  std::vector<Value> answers = Ask(program_, requests);
  for (size_t i = 0; i < cases.size(); ++i) {
    ExpectSame(apiserver::ApplyJsonPatch(cases[i].object, cases[i].patch), answers[i], cases[i],
               /*strict=*/true);
  }
}

TEST_F(SemanticsTest, StrategicMergePatches) {
  const Schema& schema = SchemaOf("core.v1.Pod");
  std::vector<PatchCase> cases;
  std::vector<Value> requests;
  for (int i = 0; i < 5 * kCases; ++i) {
    PatchCase c{random_.Pod(), random_.PodPatch()};
    requests.push_back(PatchRequest("strategic", c));
    cases.push_back(std::move(c));
  }
  std::vector<Value> answers = Ask(program_, requests);
  for (size_t i = 0; i < cases.size(); ++i) {
    ExpectSame(apiserver::ApplyStrategicMerge(schema, cases[i].object, cases[i].patch), answers[i],
               cases[i], /*strict=*/false);
  }
}

Value WithoutTimes(Value object) {
  Value* metadata = object.Find("metadata");
  Value* entries = metadata == nullptr ? nullptr : metadata->Find("managedFields");
  if (entries == nullptr) return object;
  for (Value& entry : entries->items()) entry.Remove("time");
  // They are sorted by time first, which the two clocks see differently.
  std::sort(entries->items().begin(), entries->items().end(), [](const Value& a, const Value& b) {
    return std::make_pair(a.FindString("manager"), a.FindString("operation")) <
           std::make_pair(b.FindString("manager"), b.FindString("operation"));
  });
  return object;
}

// Plays the writes of a request on our side: the object at the end, or what went wrong.
kube::Result<Value> Play(const Schema& schema, const Value& request) {
  Value live;
  for (const Value& write : request.Find("writes")->items()) {
    apiserver::FieldManager manager;
    manager.name = std::string(write.FindString("manager"));
    manager.api_version = std::string(request.FindString("apiVersion"));
    manager.time = "2026-01-01T00:00:00Z";
    Value object = *write.Find("object");
    object.Set("apiVersion", *request.Find("apiVersion"));
    object.Set("kind", *request.Find("kind"));
    if (write.Find("apply")->bool_value()) {
      kube::Result<Value> applied =
          apiserver::Apply(schema, live, object, manager, write.Find("force")->bool_value());
      if (!applied.ok()) return applied;
      live = *std::move(applied);
    } else {
      apiserver::TrackUpdate(schema, live, manager, object);
      live = std::move(object);
    }
    // As the server keeps it.
    apiserver::DropEmpty(schema, live);
    apiserver::AddEmpty(schema, live);
  }
  return WithoutTimes(std::move(live));
}

TEST_F(SemanticsTest, StoriesOfServerSideApply) {
  const Schema& schema = SchemaOf("core.v1.Pod");
  std::vector<Value> requests;
  for (int i = 0; i < 5 * kCases; ++i) requests.push_back(random_.PodStory());
  std::vector<Value> answers = Ask(program_, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    kube::Result<Value> ours = Play(schema, requests[i]);
    absl::string_view error = answers[i].FindString("error");
    std::string told = ours.ok() ? "" : ours.status().message;
    if (!error.empty() || !ours.ok()) {
      EXPECT_EQ(told, error) << json::ToString(requests[i]);
      continue;
    }
    Value other = WithoutTimes(*answers[i].Find("object"));
    Value mine = *std::move(ours);
    apiserver::DropEmpty(schema, other);
    apiserver::DropEmpty(schema, mine);
    EXPECT_TRUE(apiserver::SameJson(mine, other))
        << json::ToString(requests[i], 1) << "\nours:  " << json::ToString(mine)
        << "\nother: " << json::ToString(other);
  }
}

}  // namespace
}  // namespace meltemi::interop
