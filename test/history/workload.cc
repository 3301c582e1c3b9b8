#include "test/history/workload.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/store/watcher_fake.h"

namespace meltemi::history {

class Workload::Telling final : public store::Watcher {
 public:
  Telling(uint64_t session, const std::function<void(const std::string&)>& tell)
      : session_(session), tell_(tell) {}
  void OnEvents(std::vector<store::Event> events, store::Revision) override {
    for (const store::Event& event : events) {
      tell_(History::Saw(session_,
                         {event.kv.mod_revision, event.kv.key, event.deleted, event.kv.value}));
    }
  }
  void OnEnd(const absl::Status&) override {}

 private:
  const uint64_t session_;
  const std::function<void(const std::string&)>& tell_;
};

Workload::Workload(store::Store& store, const WorkloadOptions& options,
                   std::function<void(const std::string& line)> tell)
    : store_(store), options_(options), tell_(std::move(tell)), next_id_(options.first_id) {
  const uint64_t session = next_id_++;
  tell_(History::Watch(session, options_.watch_after));
  watcher_ = std::make_unique<Telling>(session, tell_);
  watch_ = store_.Watch(kPrefix, store::PrefixEnd(kPrefix), options_.watch_after + 1, *watcher_);
  for (int i = 0; i < options_.clients; ++i) {
    clients_.emplace_back(
        [this, i] { RunClient(options_.seed * 1000 + static_cast<uint64_t>(i)); });
  }
}

Workload::~Workload() {
  stop_ = true;
  for (std::thread& client : clients_) client.join();
}

std::string Workload::Key(uint64_t number) const { return absl::StrCat(kPrefix, "k", number); }

void Workload::RunClient(uint64_t seed) {
  FastRandom random(seed);
  while (!stop_) {
    if (random.Below(4) == 0) {
      Read(random);
    } else {
      Write(random);
    }
  }
}

void Workload::Read(Random& random) {
  const uint64_t id = next_id_++;
  Operation read{.kind = Kind::kRead};
  if (random.Below(3) != 0) read.key = Key(random.Below(static_cast<uint64_t>(options_.keys)));
  read.begin_ns = NowNs();
  tell_(History::Begin(id, read));
  const auto range = read.key.empty() ? store_.Range(kPrefix, store::PrefixEnd(kPrefix))
                                      : store_.Range(read.key, "");
  read.end_ns = NowNs();
  if (range.ok()) {
    read.outcome = Outcome::kDone;
    read.revision = range->revision;
    for (const store::KeyValue& kv : range->kvs) read.seen[kv.key] = kv.value;
  }
  tell_(History::End(id, read));
}

void Workload::Write(Random& random) {
  const std::string key = Key(random.Below(static_cast<uint64_t>(options_.keys)));
  const auto current = store_.Get(key);
  if (!current.ok()) return;
  const uint64_t id = next_id_++;
  Operation write{.kind = Kind::kPut, .key = key};
  if (current->has_value()) write.expected = (*current)->mod_revision;
  if (current->has_value() && random.Below(5) == 0) {
    write.kind = Kind::kDelete;
  } else {
    write.value = absl::StrCat("v", id);
  }
  write.begin_ns = NowNs();
  tell_(History::Begin(id, write));
  const auto type =
      write.kind == Kind::kDelete ? store::Write::Type::kDelete : store::Write::Type::kPut;
  const auto result = store_.Transact({{.key = key, .mod_revision = write.expected}},
                                      {{.type = type, .key = key, .value = write.value}});
  write.end_ns = NowNs();
  if (result.ok()) {
    write.outcome = result->succeeded ? Outcome::kDone : Outcome::kRefused;
    write.revision = result->revision;
  }
  tell_(History::End(id, write));
}

std::vector<Change> ReadTruth(store::Store& store, const std::string& prefix) {
  store::CollectingWatcher watcher;
  std::vector<Change> truth;
  // A change of our own at the end, so that the watch is known to have come to it.
  const auto end = store.Transact({}, {{.key = prefix + "-the-end"}});
  if (!end.ok()) return truth;
  const auto watch = store.Watch(prefix, store::PrefixEnd(prefix), 2, watcher);
  if (!watcher.WaitForRevision(end->revision)) return truth;
  for (const store::Event& event : watcher.WaitForEvents(0)) {
    if (event.kv.mod_revision == end->revision) continue;
    truth.push_back({event.kv.mod_revision, event.kv.key, event.deleted, event.kv.value});
  }
  return truth;
}

}  // namespace meltemi::history
