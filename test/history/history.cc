#include "test/history/history.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace meltemi::history {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

int64_t Number(absl::string_view text) {
  int64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

std::string Describe(const Operation& operation) {
  return absl::StrCat(std::string(1, static_cast<char>(operation.kind)), " ", operation.key, " ",
                      operation.value, " expecting ", operation.expected, " at revision ",
                      operation.revision);
}

// The truth with what is asked of it.
class Truth {
 public:
  explicit Truth(const std::vector<Change>& changes) : changes_(changes) {
    for (size_t i = 0; i < changes.size(); ++i) {
      const Change& change = changes[i];
      std::vector<size_t>& of_key = by_key_[change.key];
      if (!change.deleted) by_value_.emplace(change.value, i);
      if (change.deleted && !of_key.empty()) {
        deletion_of_.emplace(changes[of_key.back()].revision, i);
      }
      previous_.push_back(of_key.empty() ? nullptr : &changes[of_key.back()]);
      of_key.push_back(i);
    }
  }

  // The change that a write made; null: none.
  const Change* Of(const Operation& write) const {
    if (write.kind == Kind::kPut) {
      const auto found = by_value_.find(write.value);
      return found == by_value_.end() ? nullptr : &changes_[found->second];
    }
    // No two deletions end the same version.
    const auto found = deletion_of_.find(write.expected);
    return found == deletion_of_.end() ? nullptr : &changes_[found->second];
  }
  size_t CountOf(const std::string& value) const { return by_value_.count(value); }

  // What the key held before `change`: its revision, 0 when there was nothing.
  int64_t Before(const Change& change) const {
    const Change* previous = previous_[static_cast<size_t>(&change - changes_.data())];
    return previous == nullptr || previous->deleted ? 0 : previous->revision;
  }

  const Change* At(const std::string& key, int64_t revision) const {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    const Change* at = nullptr;
    for (const size_t i : found->second) {
      if (changes_[i].revision > revision) break;
      at = &changes_[i];
    }
    return at == nullptr || at->deleted ? nullptr : at;
  }

  std::map<std::string, std::string> StateAt(int64_t revision) const {
    std::map<std::string, std::string> state;
    for (const Change& change : changes_) {
      if (change.revision > revision) break;
      if (change.deleted) {
        state.erase(change.key);
      } else {
        state[change.key] = change.value;
      }
    }
    return state;
  }

 private:
  const std::vector<Change>& changes_;
  std::vector<const Change*> previous_;  // of the same key
  std::multimap<std::string, size_t> by_value_;
  std::map<int64_t, size_t> deletion_of_;
  std::map<std::string, std::vector<size_t>> by_key_;
};

class Checker {
 public:
  Checker(const std::map<uint64_t, Operation>& operations,
          const std::map<uint64_t, Session>& sessions, const std::vector<Change>& changes)
      : operations_(operations), sessions_(sessions), changes_(changes), truth_(changes) {}

  std::vector<std::string> Run() {
    for (const auto& [id, operation] : operations_) {
      if (operation.kind == Kind::kPut || operation.kind == Kind::kDelete) {
        CheckWrite(operation);
      } else if (operation.outcome == Outcome::kDone) {
        CheckRead(operation);
      }
    }
    CheckOrder(placed_, "of the store");
    for (const auto& [key, placed] : placed_by_key_) CheckOrder(placed, "of " + key);
    CheckInvented();
    for (const auto& [id, session] : sessions_) CheckSession(id, session);
    return std::move(errors_);
  }

 private:
  // An operation's place in the one order of all: writes at even numbers, reads after them.
  struct Placed {
    int64_t place;
    const Operation* operation;
  };

  void Fail(std::string error) {
    if (errors_.size() < 20) errors_.push_back(std::move(error));
  }

  void CheckWrite(const Operation& write) {
    const Change* change = truth_.Of(write);
    if (write.kind == Kind::kDelete && change != nullptr) {
      int& acknowledged = deletions_[change->revision];
      if (write.outcome == Outcome::kDone && ++acknowledged > 1) {
        Fail("a deletion was acknowledged twice: " + Describe(write));
      }
      // Two may have tried to delete the same version: whose deletion it was is told to one alone.
      if (write.outcome == Outcome::kUnknown) return;
    }
    if (write.outcome == Outcome::kRefused) {
      if (write.kind == Kind::kPut && change != nullptr) {
        Fail("a refused write has happened: " + Describe(write));
      }
      return;
    }
    if (change == nullptr) {
      if (write.outcome == Outcome::kDone)
        Fail("an acknowledged write is lost: " + Describe(write));
      return;
    }
    if (write.kind == Kind::kPut && truth_.CountOf(write.value) > 1) {
      Fail("a write has happened twice: " + Describe(write));
    }
    if (change->key != write.key) Fail("a write went to another key: " + Describe(write));
    if (write.revision != 0 && change->revision != write.revision) {
      Fail(absl::StrCat("a write is at another revision (", change->revision,
                        ") than was acknowledged: ", Describe(write)));
    }
    if (truth_.Before(*change) != write.expected) {
      Fail(absl::StrCat("a write has replaced revision ", truth_.Before(*change), ": ",
                        Describe(write)));
    }
    const Placed placed{change->revision * 2, &write};
    placed_.push_back(placed);
    placed_by_key_[write.key].push_back(placed);
  }

  void CheckRead(const Operation& read) {
    if (read.kind == Kind::kGet) {
      // Nothing found: at which revision is not known.
      if (read.revision == 0) return;
      const Change* change = truth_.At(read.key, read.revision);
      if (change == nullptr || change->revision != read.revision || change->value != read.value) {
        Fail("a read saw what never was: " + Describe(read));
        return;
      }
      placed_by_key_[read.key].push_back({read.revision * 2 + 1, &read});
      return;
    }
    std::map<std::string, std::string> state;
    if (read.key.empty()) {
      state = truth_.StateAt(read.revision);
    } else if (const Change* change = truth_.At(read.key, read.revision)) {
      state[read.key] = change->value;
    }
    if (state != read.seen) {
      const auto text = absl::PairFormatter("=");
      Fail(absl::StrCat("a read saw {", absl::StrJoin(read.seen, " ", text), "} where {",
                        absl::StrJoin(state, " ", text), "} was: ", Describe(read)));
    }
    placed_.push_back({read.revision * 2 + 1, &read});
  }

  // No operation has its place before one that had ended when it began.
  void CheckOrder(std::vector<Placed> placed, absl::string_view what) {
    std::vector<Placed> by_end = placed;
    std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
      return a.operation->begin_ns < b.operation->begin_ns;
    });
    const auto end = [](const Placed& p) {
      return p.operation->outcome == Outcome::kDone ? p.operation->end_ns : kNever;
    };
    std::sort(by_end.begin(), by_end.end(),
              [&end](const Placed& a, const Placed& b) { return end(a) < end(b); });
    const Placed* latest = nullptr;
    size_t ended = 0;
    for (const Placed& now : placed) {
      for (; ended < by_end.size() && end(by_end[ended]) < now.operation->begin_ns; ++ended) {
        if (latest == nullptr || by_end[ended].place > latest->place) latest = &by_end[ended];
      }
      if (latest != nullptr && now.place < latest->place) {
        Fail(absl::StrCat("the order ", what, " contradicts time: ", Describe(*now.operation),
                          " began after the end of ", Describe(*latest->operation)));
      }
    }
  }

  // All that has happened is somebody's work.
  void CheckInvented() {
    std::set<std::string> values;
    for (const auto& [id, operation] : operations_) {
      if (operation.kind == Kind::kPut) values.insert(operation.value);
    }
    for (const Change& change : changes_) {
      const bool known =
          change.deleted ? deletions_.contains(change.revision) : values.contains(change.value);
      if (!known) Fail(absl::StrCat("nobody asked for the change at revision ", change.revision));
    }
  }

  void CheckSession(uint64_t id, const Session& session) {
    auto expected = std::partition_point(
        changes_.begin(), changes_.end(),
        [&session](const Change& change) { return change.revision <= session.after; });
    for (const Change& seen : session.seen) {
      if (expected == changes_.end()) {
        return Fail(
            absl::StrCat("watch ", id, " saw more than happened: revision ", seen.revision));
      }
      if (seen.revision != expected->revision || seen.key != expected->key ||
          seen.deleted != expected->deleted || (!seen.deleted && seen.value != expected->value)) {
        return Fail(absl::StrCat("watch ", id, " saw ", seen.key, "=", seen.value, " at revision ",
                                 seen.revision, " where ", expected->key, "=", expected->value,
                                 " at revision ", expected->revision, " was next"));
      }
      ++expected;
    }
  }

  const std::map<uint64_t, Operation>& operations_;
  const std::map<uint64_t, Session>& sessions_;
  const std::vector<Change>& changes_;
  const Truth truth_;
  std::vector<Placed> placed_;
  std::map<std::string, std::vector<Placed>> placed_by_key_;
  std::map<int64_t, int> deletions_;
  std::vector<std::string> errors_;
};

}  // namespace

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string History::Begin(uint64_t id, const Operation& operation) {
  return absl::StrCat("B\t", id, "\t", operation.begin_ns, "\t",
                      std::string(1, static_cast<char>(operation.kind)), "\t", operation.key, "\t",
                      operation.expected, "\t", operation.value, "\n");
}

std::string History::End(uint64_t id, const Operation& operation) {
  return absl::StrCat("E\t", id, "\t", operation.end_ns, "\t",
                      std::string(1, static_cast<char>(operation.outcome)), "\t",
                      operation.revision, "\t", operation.value, "\t",
                      absl::StrJoin(operation.seen, " ", absl::PairFormatter("=")), "\n");
}

std::string History::Watch(uint64_t session, int64_t after) {
  return absl::StrCat("S\t", session, "\t", after, "\n");
}

std::string History::Saw(uint64_t session, const Change& change) {
  return absl::StrCat("W\t", session, "\t", change.revision, "\t", change.key, "\t",
                      change.deleted ? "D" : "P", "\t", change.value, "\n");
}

void History::AddLine(absl::string_view line) {
  if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  const std::vector<std::string> parts = absl::StrSplit(line, '\t');
  if (parts.size() < 3) return;
  const auto id = static_cast<uint64_t>(Number(parts[1]));
  const std::lock_guard<std::mutex> lock(mutex_);
  ++lines_;
  changed_.notify_all();
  if (parts[0] == "B" && parts.size() == 7) {
    operations_[id] = {.kind = static_cast<Kind>(parts[3][0]),
                       .key = parts[4],
                       .expected = Number(parts[5]),
                       .value = parts[6],
                       .begin_ns = Number(parts[2])};
  } else if (parts[0] == "E" && parts.size() == 7) {
    Operation& operation = operations_[id];
    operation.end_ns = Number(parts[2]);
    operation.outcome = static_cast<Outcome>(parts[3][0]);
    operation.revision = Number(parts[4]);
    operation.value = parts[5];
    for (const absl::string_view pair : absl::StrSplit(parts[6], ' ', absl::SkipEmpty())) {
      operation.seen.insert(absl::StrSplit(pair, absl::MaxSplits('=', 1)));
    }
    if (operation.outcome == Outcome::kDone) {
      ++acknowledged_;
      if (operation.kind == Kind::kPut) {
        last_acknowledged_ = std::max(last_acknowledged_, operation.revision);
      }
    }
  } else if (parts[0] == "S") {
    sessions_[id].after = Number(parts[2]);
  } else if (parts[0] == "W" && parts.size() == 6) {
    Change change{Number(parts[2]), parts[3], parts[4] == "D", parts[5]};
    last_seen_ = std::max(last_seen_, change.revision);
    sessions_[id].seen.push_back(std::move(change));
  }
}

std::vector<std::string> History::Check(const std::vector<Change>& truth) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Checker(operations_, sessions_, truth).Run();
}

History::Counts History::counts() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Counts counts{.sessions = sessions_.size()};
  for (const auto& [id, operation] : operations_) {
    const bool write = operation.kind == Kind::kPut || operation.kind == Kind::kDelete;
    if (operation.outcome == Outcome::kUnknown) ++counts.unknown;
    if (operation.outcome == Outcome::kRefused) ++counts.refused;
    if (operation.outcome == Outcome::kDone) ++(write ? counts.acknowledged : counts.reads);
  }
  for (const auto& [id, session] : sessions_) counts.events += session.seen.size();
  return counts;
}

int64_t History::last_seen() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_seen_;
}

void History::WaitForLines(size_t count, std::chrono::microseconds max) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, max, [this, goal = lines_ + count] { return lines_ >= goal; });
}

bool History::WaitForAcknowledged(size_t count, std::chrono::microseconds max) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, max,
                           [this, goal = acknowledged_ + count] { return acknowledged_ >= goal; });
}

bool History::WaitForWatch(std::chrono::microseconds max) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, max,
                           [this, goal = last_acknowledged_] { return last_seen_ >= goal; });
}

}  // namespace meltemi::history
