// A connection that never comes about.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"

namespace meltemi::proxy {

// Tells its handler OnClosed(kConnectFailed, detail) at the end of the turn.
std::unique_ptr<net::Connection> NewFailedConnection(Loop& loop, const net::Address& to,
                                                     absl::string_view detail);

}  // namespace meltemi::proxy
