#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/metrics/entry.h"
#include "base/metrics/metrics.h"

namespace meltemi::metrics {
namespace {

// Prometheus text format: backslash, quote and line feed are escaped in label values.
std::string Escape(absl::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string LabelText(const Labels& labels, absl::string_view extra = {}) {
  std::string out;
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&out, out.empty() ? "" : ",", name, "=\"", Escape(value), "\"");
  }
  if (!extra.empty()) absl::StrAppend(&out, out.empty() ? "" : ",", extra);
  return out.empty() ? out : absl::StrCat("{", out, "}");
}

bool Contains(const Labels& all, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&all](const auto& one) {
    return std::binary_search(all.begin(), all.end(), one);
  });
}

std::string Number(double value) {
  if (std::abs(value) < 1e15 && value == std::floor(value)) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  return absl::StrCat(value);
}

}  // namespace

struct Registry::Merged {
  std::string name;
  Labels labels;
  uint8_t kind = 0;
  int64_t value = 0;
  absl::Span<const double> bounds;
  std::vector<uint64_t> buckets;
  double sum = 0;

  uint64_t count() const {
    uint64_t total = 0;
    for (const uint64_t n : buckets) total += n;
    return total;
  }
};

Registry::Registry() = default;
Registry::~Registry() = default;

Shard& Registry::NewShard() {
  std::lock_guard<std::mutex> lock(mutex_);
  shards_.push_back(std::unique_ptr<Shard>(new Shard));
  return *shards_.back();
}

void Registry::Describe(absl::string_view name, absl::string_view help) {
  std::lock_guard<std::mutex> lock(mutex_);
  help_[std::string(name)] = std::string(help);
}

std::vector<Registry::Merged> Registry::Collect(
    const std::function<bool(absl::string_view)>& name_filter) const {
  std::map<std::pair<std::string, Labels>, Merged> merged;
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& shard : shards_) {
    std::lock_guard<std::mutex> shard_lock(shard->mutex_);
    for (const Scope* scope : shard->scopes_) {
      for (const auto& [key, entry] : scope->entries_) {
        if (name_filter && !name_filter(entry->name)) continue;
        Merged& into = merged[{entry->name, entry->AllLabels()}];
        into.kind = entry->kind;
        if (entry->kind == Scope::Entry::kCounter) {
          into.value += static_cast<int64_t>(entry->counter.value());
        } else if (entry->kind == Scope::Entry::kGauge) {
          into.value += entry->gauge.value();
        } else {
          const Histogram& histogram = *entry->histogram;
          into.bounds = histogram.upper_bounds();
          into.buckets.resize(into.bounds.size() + 1);
          for (size_t i = 0; i < into.buckets.size(); ++i) into.buckets[i] += histogram.bucket(i);
          into.sum += histogram.sum();
        }
      }
    }
  }
  std::vector<Merged> result;
  result.reserve(merged.size());
  for (auto& [key, one] : merged) {
    one.name = key.first;
    one.labels = key.second;
    result.push_back(std::move(one));
  }
  return result;
}

std::string Registry::RenderPrometheus(
    const std::function<bool(absl::string_view)>& name_filter) const {
  static constexpr absl::string_view kTypes[] = {"counter", "gauge", "histogram"};
  std::string out;
  std::string family;
  for (const Merged& one : Collect(name_filter)) {
    if (one.name != family) {
      family = one.name;
      std::lock_guard<std::mutex> lock(mutex_);
      const auto help = help_.find(family);
      absl::StrAppend(&out, "# HELP ", family, " ", help == help_.end() ? family : help->second,
                      "\n# TYPE ", family, " ", kTypes[one.kind], "\n");
    }
    if (one.kind != Scope::Entry::kHistogram) {
      absl::StrAppend(&out, one.name, LabelText(one.labels), " ", one.value, "\n");
      continue;
    }
    uint64_t cumulative = 0;
    for (size_t i = 0; i < one.buckets.size(); ++i) {
      cumulative += one.buckets[i];
      const std::string bound = i < one.bounds.size() ? Number(one.bounds[i]) : "+Inf";
      absl::StrAppend(&out, one.name, "_bucket",
                      LabelText(one.labels, absl::StrCat("le=\"", bound, "\"")), " ", cumulative,
                      "\n");
    }
    absl::StrAppend(&out, one.name, "_sum", LabelText(one.labels), " ", Number(one.sum), "\n",
                    one.name, "_count", LabelText(one.labels), " ", cumulative, "\n");
  }
  return out;
}

std::string Registry::RenderText(const std::function<bool(absl::string_view)>& name_filter) const {
  std::string out;
  for (const Merged& one : Collect(name_filter)) {
    absl::StrAppend(&out, one.name, LabelText(one.labels), ": ");
    if (one.kind == Scope::Entry::kHistogram) {
      absl::StrAppend(&out, "count=", one.count(), " sum=", Number(one.sum), "\n");
    } else {
      absl::StrAppend(&out, one.value, "\n");
    }
  }
  return out;
}

int64_t Registry::Sum(absl::string_view name, const Labels& labels) const {
  Labels sorted = labels;
  std::sort(sorted.begin(), sorted.end());
  int64_t total = 0;
  for (const Merged& one : Collect([name](absl::string_view n) { return n == name; })) {
    if (!Contains(one.labels, sorted)) continue;
    total += one.kind == Scope::Entry::kHistogram ? static_cast<int64_t>(one.count()) : one.value;
  }
  return total;
}

}  // namespace meltemi::metrics
