// URLs of HTTP probes: their text, and where a redirect leads to; durations in Go's words.
//
// Threads: functions without state. Source: Go's net/url as the kubelet uses it; RFC 3986.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kubelet {

// "10.0.0.1:80", "[fd00::1]:80".
std::string HostPort(absl::string_view host, uint16_t port);
// "http://10.0.0.1:80/healthz".
std::string UrlOf(const HttpProbe& probe);
// As a request names it: begins with "/", without a fragment, and what may not stand there is
// percent-encoded.
std::string EncodePath(absl::string_view path);
// Go's form of whole seconds: "1s", "1m30s".
std::string SecondsInGo(Duration duration);

// The request to where `location` leads from `from`. nullopt: it is no http(s) URL.
std::optional<HttpProbe> Redirected(const HttpProbe& from, absl::string_view location);

}  // namespace meltemi::kubelet
