// What a container has said at its end: the file that it wrote, or the end of its log.
//
// Threads: pure functions; they block on the disk. Source: the API reference of
// terminationMessagePath and terminationMessagePolicy; the CRI log format.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kubelet {

// The last 4096 bytes of the file; "" when there is none.
std::string ReadTerminationFile(const std::string& path);
// The text of the last 80 lines, at most 2048 bytes, of a log.
std::string ReadLogEnd(const std::string& path);
// The text in whole lines of a log: without time, stream and tag.
std::string LogText(absl::string_view lines);

}  // namespace meltemi::kubelet
