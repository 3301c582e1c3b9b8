// TlsInfo of a connection whose handshake is done.
#pragma once

#include <memory>

#include "base/tls/tls.h"
#include "proxy/observe/tls_info.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {

// On the connection's loop, after OnConnected. `with_certificate`: somebody wants the peer's PEM.
std::shared_ptr<const TlsInfo> ReadTlsInfo(const tls::Connection& connection, const OwnNames& own,
                                           bool with_certificate = false);

}  // namespace meltemi::proxy
