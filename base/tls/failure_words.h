// The library's errors as Envoy writes them in access logs and answers.
//
// Threads: the error queue is the calling thread's.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::tls {

// Empties the queue: "TLS_error:|CODE:LIBRARY:OPENSSL_internal:REASON:TLS_error_end". `verdict`
// (why a certificate was refused; may be "") comes after the reasons. "" when the queue is empty.
std::string TakeErrorsWithCodes(absl::string_view verdict);

}  // namespace meltemi::tls
