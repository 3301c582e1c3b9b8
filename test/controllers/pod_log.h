// What has happened to the pods of a cluster, in the order in which it happened: a watch that goes
// on where it was when the API server is killed, and what the pods' history says about rollouts.
//
// Threads: PodLog watches on one of its own; the rest are functions of what it has seen.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "test/history/api_client.h"

namespace meltemi::controllers {

// One change of one pod.
struct PodEvent {
  int64_t revision = 0;
  std::string ns, name, uid;
  std::string app;    // "NAMESPACE/APP", of the label "app"
  std::string owner;  // name of the controller
  std::string image;  // of the first container
  std::string index;  // of an indexed Job
  std::string phase;
  bool deleted = false;      // gone
  bool terminating = false;  // deletionTimestamp
  bool ready = false;

  bool active() const {
    return !deleted && !terminating && phase != "Succeeded" && phase != "Failed";
  }
  bool available() const { return active() && ready; }
};

class PodLog {
 public:
  // Begins with what there is now.
  explicit PodLog(const history::ApiServerAddress& server);
  ~PodLog();

  std::vector<PodEvent> events() const;
  // Until the log has reached this revision of a pod; false after a while.
  bool WaitFor(int64_t revision);
  // What should not have happened: a watch whose history was lost.
  std::vector<std::string> surprises() const;

 private:
  void Run();
  bool Begin(history::ApiClient& client);
  bool OnEvent(const json::Value& event);

  const history::ApiServerAddress server_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PodEvent> events_;
  std::vector<std::string> surprises_;
  int64_t revision_ = 0;
  std::thread thread_;
};

PodEvent PodEventOf(absl::string_view type, const json::Value& pod);

struct Bounds {
  int active_max = 0;
  int available_min = 0;
};
// Of the pods of this app after `from`, up to `to` (revisions): each moment at which a bound is
// broken, as text; at most ten.
std::vector<std::string> CheckBounds(const std::vector<PodEvent>& events, absl::string_view app,
                                     int64_t from, int64_t to, const Bounds& bounds);
// The extremes that were reached.
struct Extremes {
  int active_min = 1 << 30, active_max = 0;
  int available_min = 1 << 30, available_max = 0;
};
Extremes ExtremesOf(const std::vector<PodEvent>& events, absl::string_view app, int64_t from,
                    int64_t to);
// Two pods of one name at the same time (the older one was not gone), and indexes of Jobs that
// succeeded twice.
std::vector<std::string> CheckNames(const std::vector<PodEvent>& events);
std::vector<std::string> CheckCompletions(const std::vector<PodEvent>& events);

}  // namespace meltemi::controllers
