// Where a kubelet's certificates lie, and how they are written.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/tls/tls.h"

namespace meltemi::kubelet {

// CERT_DIR/kubelet-client-current.pem: a link to the newest pair.
std::string CurrentPath(const std::string& cert_dir);
// Error kNotFound: there is none yet; others: what is wrong with it.
absl::StatusOr<tls::KeyPair> ReadCurrent(const std::string& cert_dir);
// Into a file of its own, named by `now_s`, to which the link is turned in one step.
absl::Status WriteCurrent(const std::string& cert_dir, const tls::KeyPair& pair, int64_t now_s);

// Names the server and its CA as the bootstrap kubeconfig does, and the file of the current pair.
std::string KubeconfigText(absl::string_view server, absl::string_view ca_pem,
                           const std::string& pair_path);

}  // namespace meltemi::kubelet
