#include "test/machine/load.h"

#include <csignal>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::machine {

std::string LoadResult::Text() const {
  return absl::StrCat(requests, " requests, ", non_2xx, " not 2xx, ", socket_errors,
                      " socket errors");
}

LoadResult ParseWrk(const std::string& output) {
  LoadResult result;
  result.output = output;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() > 2 && words[1] == "requests" && words[2] == "in") {
      (void)absl::SimpleAtoi(words[0], &result.requests);
    } else if (absl::StrContains(line, "Non-2xx or 3xx responses:")) {
      (void)absl::SimpleAtoi(words.back(), &result.non_2xx);
    } else if (absl::StrContains(line, "Socket errors:")) {
      // "Socket errors: connect 0, read 1, write 0, timeout 0"
      for (size_t i = 3; i < words.size(); i += 2) {
        int64_t count = 0;
        (void)absl::SimpleAtoi(absl::StripSuffix(words[i], ","), &count);
        result.socket_errors += count;
      }
    } else if (absl::StartsWith(line, "Requests/sec:")) {
      (void)absl::SimpleAtod(words.back(), &result.requests_per_s);
    }
  }
  return result;
}

Load Load::Start(Pod& pod, const std::string& url, int connections) {
  const std::string log = pod.LogPath("load");
  WriteFile(log, "");
  auto process = Process::Start(
      {.argv = {"wrk", "-c", absl::StrCat(connections), "-t", "1", "-d", "300s", url},
       .network_namespace = pod.network().fd(),
       .hosts_file = pod.hosts_file(),
       .resolv_file = pod.resolv_file(),
       .output_path = log});
  return Load(process.ok() ? std::move(*process) : Process());
}

LoadResult Load::Stop() {
  process_.Signal(SIGINT);  // wrk prints its summary then
  process_.Wait(std::chrono::seconds(30));
  return ParseWrk(process_.Output());
}

}  // namespace meltemi::machine
