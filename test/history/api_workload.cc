#include "test/history/api_workload.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/json/write.h"

namespace meltemi::history {
namespace {

constexpr char kPath[] = "/api/v1/namespaces/default/configmaps";

std::string TextAt(const json::Value& object, absl::string_view outer, absl::string_view inner) {
  const json::Value* value = object.Find(outer, inner);
  return value == nullptr ? "" : value->text();
}

int64_t VersionOf(const json::Value& object) {
  int64_t version = 0;
  return absl::SimpleAtoi(TextAt(object, "metadata", "resourceVersion"), &version) ? version : 0;
}

std::string KeyOf(absl::string_view name) {
  return absl::StrCat(absl::string_view(kConfigMapPrefix), name.substr(1));
}

std::string ConfigMap(absl::string_view name, int64_t version, absl::string_view value) {
  const std::string condition =
      version == 0 ? "" : absl::StrCat("\"resourceVersion\":\"", version, "\",");
  return absl::StrCat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{)", condition,
                      R"("name":")", name, R"("},"data":{"v":")", value, R"("}})");
}

}  // namespace

ApiWorkload::ApiWorkload(const ApiWorkloadOptions& options, History& history)
    : options_(options), history_(history), next_id_(options.first_id) {
  threads_.emplace_back([this] { RunWatch(); });
  for (int i = 0; i < options_.clients; ++i) {
    threads_.emplace_back(
        [this, i] { RunClient(options_.seed * 1000 + static_cast<uint64_t>(i)); });
  }
}

ApiWorkload::~ApiWorkload() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

std::vector<std::string> ApiWorkload::surprises() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return surprises_;
}

void ApiWorkload::Surprise(const std::string& what) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (surprises_.size() < 10) surprises_.push_back(what);
}

void ApiWorkload::RunClient(uint64_t seed) {
  FastRandom random(seed);
  do {
    const auto client = ApiClient::Connect(options_.server);
    while (client.ok() && !stop_ && Step(**client, random)) {
    }
  } while (options_.reconnect && !stop_);
}

bool ApiWorkload::Step(ApiClient& client, Random& random) {
  const std::string name = absl::StrCat("k", random.Below(static_cast<uint64_t>(options_.keys)));
  switch (random.Below(8)) {
    case 0:
      return List(client);
    case 1:
      return Get(client, name);
    default:
      return Write(client, name, random);
  }
}

bool ApiWorkload::List(ApiClient& client) {
  const uint64_t id = next_id_++;
  Operation list{.kind = Kind::kRead, .begin_ns = NowNs()};
  history_.AddLine(History::Begin(id, list));
  const ApiClient::Answer answer = client.Do("GET", kPath);
  if (answer.code == 0) return false;
  const json::Value* items = answer.body.Find("items");
  if (answer.code != 200 || items == nullptr) return true;
  list.end_ns = NowNs();
  list.outcome = Outcome::kDone;
  list.revision = VersionOf(answer.body);
  for (const json::Value& item : items->items()) {
    const std::string name = TextAt(item, "metadata", "name");
    if (absl::StartsWith(name, "k") && name.size() == 2) {
      list.seen[KeyOf(name)] = TextAt(item, "data", "v");
    }
  }
  history_.AddLine(History::End(id, list));
  return true;
}

bool ApiWorkload::Get(ApiClient& client, const std::string& name) {
  const uint64_t id = next_id_++;
  Operation get{.kind = Kind::kGet, .key = KeyOf(name), .begin_ns = NowNs()};
  history_.AddLine(History::Begin(id, get));
  const ApiClient::Answer answer = client.Do("GET", absl::StrCat(kPath, "/", name));
  if (answer.code == 0) return false;
  if (answer.code != 200 && answer.code != 404) return true;
  get.end_ns = NowNs();
  get.outcome = Outcome::kDone;
  get.revision = answer.code == 200 ? VersionOf(answer.body) : 0;
  get.value = TextAt(answer.body, "data", "v");
  history_.AddLine(History::End(id, get));
  return true;
}

bool ApiWorkload::Write(ApiClient& client, const std::string& name, Random& random) {
  const std::string path = absl::StrCat(kPath, "/", name);
  const ApiClient::Answer current = client.Do("GET", path);
  if (current.code == 0) return false;
  if (current.code != 200 && current.code != 404) return true;
  const uint64_t id = next_id_++;
  Operation write{.kind = Kind::kPut, .key = KeyOf(name)};
  if (current.code == 200) write.expected = VersionOf(current.body);
  if (write.expected != 0 && random.Below(5) == 0) {
    write.kind = Kind::kDelete;
  } else {
    write.value = absl::StrCat("v", id);
  }
  write.begin_ns = NowNs();
  history_.AddLine(History::Begin(id, write));
  ApiClient::Answer answer;
  if (write.kind == Kind::kDelete) {
    answer = client.Do(
        "DELETE", path,
        absl::StrCat(R"({"apiVersion":"v1","kind":"DeleteOptions",)",
                     R"("preconditions":{"resourceVersion":")", write.expected, R"("}})"));
  } else if (write.expected == 0) {
    answer = client.Do("POST", kPath, ConfigMap(name, 0, write.value));
  } else {
    answer = client.Do("PUT", path, ConfigMap(name, write.expected, write.value));
  }
  if (answer.code == 0) return false;
  Record(id, write, answer);
  return true;
}

void ApiWorkload::Record(uint64_t id, Operation& write, const ApiClient::Answer& answer) {
  write.end_ns = NowNs();
  if (answer.code == 200 || answer.code == 201) {
    write.outcome = Outcome::kDone;
    if (write.kind == Kind::kPut) write.revision = VersionOf(answer.body);
  } else if (answer.code == 409 || answer.code == 404) {
    write.outcome = Outcome::kRefused;
  } else {
    // Whether it has happened is not known; the store may be away.
    if (!options_.reconnect) {
      Surprise(absl::StrCat(answer.code, " ", json::ToString(answer.body)));
    }
    return;
  }
  history_.AddLine(History::End(id, write));
}

void ApiWorkload::RunWatch() {
  int64_t after = options_.watch_after;
  do {
    const auto client = ApiClient::Connect(options_.server);
    if (!client.ok()) continue;
    if (after == 0) {
      const ApiClient::Answer list = (*client)->Do("GET", kPath);
      if (list.code != 200) continue;
      after = VersionOf(list.body);
    }
    const uint64_t session = next_id_++;
    history_.AddLine(History::Watch(session, after));
    const int code = (*client)->Watch(
        absl::StrCat(kPath, "?watch=1&resourceVersion=", after),
        [&](const json::Value& event) {
          const absl::string_view type = event.FindString("type");
          const json::Value* object = event.Find("object");
          if (type == "ERROR" || object == nullptr) {
            Surprise(absl::StrCat("a watch got ", json::ToString(event)));
            return false;
          }
          after = VersionOf(*object);
          const std::string name = TextAt(*object, "metadata", "name");
          if (!absl::StartsWith(name, "k") || name.size() != 2) return true;
          const bool deleted = type == "DELETED";
          history_.AddLine(History::Saw(
              session, {after, KeyOf(name), deleted, deleted ? "" : TextAt(*object, "data", "v")}));
          return true;
        },
        [this] { return !stop_; });
    if (code != 200 && code != 0 && code != 503) {
      Surprise(absl::StrCat("a watch after ", after, " got ", code));
    }
  } while (options_.reconnect && !stop_);
}

}  // namespace meltemi::history
