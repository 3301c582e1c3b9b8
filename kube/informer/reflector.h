// Keeps one informer up to date:
//
//   kListing -> kWatching -> (the watch has ended) kWaiting -> kWatching, from where it was
//       ^                                             |
//       +---------- 410, or refused for good ---------+
//
// Threads: Start and Stop from the owner's; what it hears comes from the executor's threads (lists)
// or the client's (watches), one at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"

namespace meltemi::kube {

// What a reflector hears, in order.
class ReflectorSink {
 public:
  virtual ~ReflectorSink() = default;
  // One object of a list that begins anew with OnListBegin, and counts once OnList is called.
  virtual void OnListBegin() = 0;
  virtual void OnListed(std::unique_ptr<google::protobuf::Message> object) = 0;
  virtual void OnList(int64_t revision) = 0;
  virtual void OnObject(std::unique_ptr<google::protobuf::Message> object, bool gone,
                        int64_t revision) = 0;
  // Nothing has changed up to here.
  virtual void OnBookmark(int64_t revision) = 0;
  // A list or a watch has failed: `why`. It is tried again, whatever it is.
  virtual void OnFailure(const Status& why) = 0;
};

// What is listed and watched.
struct ReflectedKind {
  const google::protobuf::Message& prototype;
  ApiResource resource;
  std::string field_selector;
  bool metadata_only = false;
};

class Reflector final : public WatchSink, public std::enable_shared_from_this<Reflector> {
 public:
  Reflector(Client& client, Executor& executor, const InformerOptions& options, ReflectedKind kind,
            ReflectorSink& sink);

  void Start();
  // Nothing is heard after it.
  void Stop();

 private:
  void OnEvent(absl::string_view type, absl::string_view object) override;
  void OnEnd(const Status& why) override;

  static constexpr int64_t kNoBound = std::numeric_limits<int64_t>::max();

  // On the executor's threads; `step` is not begun once it is stopped.
  void Run(void (Reflector::*step)());
  void RunAfterBackoff(void (Reflector::*step)(), int64_t most_ms = kNoBound);
  void Guarded(void (Reflector::*step)());
  void List();
  void Watch();
  // All pages; the Status says why not.
  Outcome ReadList(std::string* resource_version);
  Outcome ReadPage(const ApiCall& call, std::string* token, std::string* resource_version);
  void Failed(absl::string_view doing, const Status& why);
  // `answer`: the kind that answers, where metadata alone is wanted.
  ApiCall NewCall(absl::string_view answer) const;

  Client& client_;
  Executor& executor_;
  const InformerOptions options_;
  const ReflectedKind kind_;
  ReflectorSink& sink_;
  const std::string path_;

  // Of the one step that is under way, or of the watch.
  FastRandom random_;
  std::string resource_version_;  // where the next watch begins
  int failures_ = 0;              // in a row
  bool heard_ = false;            // the watch has told something
  bool confused_ = false;         // an event could not be read

  std::mutex mutex_;
  std::condition_variable at_rest_;
  // Guarded by mutex_.
  bool stopped_ = false;
  int under_way_ = 0;
  std::unique_ptr<ApiWatch> watch_;
  std::unique_ptr<Delayed> delayed_;
};

}  // namespace meltemi::kube
