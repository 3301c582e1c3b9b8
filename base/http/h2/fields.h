// Between HeaderMap and the name/value pairs of nghttp2.
//
// Stateless. What nghttp2 has validated (RFC 9113 8) is taken over; what it leaves open (characters
// of path and authority, Host beside :authority, cookie crumbs) is settled here.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"

namespace meltemi::http::h2 {

using NvList = absl::InlinedVector<nghttp2_nv, 32>;

// Copies one received field, pseudo or not, into `headers`.
void AddReceivedField(absl::string_view name, absl::string_view value, HeaderMap* headers);

// nullptr when the request can be passed on, else what is wrong with it. Joins cookie crumbs (RFC
// 9113 8.2.3) and makes Host the authority.
const char* FinishRequest(HeaderMap* headers);

// The extended CONNECT (RFC 8441) that stands for an HTTP/1 request with Upgrade.
HeaderMapPtr AsExtendedConnect(const HeaderMap& upgrade);

// The views in these lists point into `headers`; nghttp2 copies them when they are submitted.
// `status_text` holds the digits of the status for as long as the list is used.
NvList RequestFields(const HeaderMap& headers);
NvList ResponseFields(const HeaderMap& headers, char (&status_text)[3]);
NvList TrailerFields(const HeaderMap& trailers);

}  // namespace meltemi::http::h2
