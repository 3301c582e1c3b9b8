// What a client hands back to get the next page of a list: opaque to it.
//
// Threads: functions without state. Source: k8s.io/apiserver/pkg/storage/continue.go.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "kube/status/status.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

// The revision of a token that was given out when the list's own was compacted: the rest of the
// list is read as it is now.
inline constexpr store::Revision kNewestRevision = -1;

struct ContinueToken {
  store::Revision revision = 0;
  std::string start;
};

std::string EncodeContinue(const ContinueToken& token);
// Error: BadRequest.
kube::Result<ContinueToken> DecodeContinue(absl::string_view text);

}  // namespace meltemi::apiserver
