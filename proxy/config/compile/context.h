// What compiling needs beside the resource itself. Built by proxy/app; main loop only.
#pragma once

#include <string>

#include "proxy/observe/format.h"

namespace meltemi::proxy {

class LogSinks;     // proxy/observe/log_sink.h
class SecretStore;  // proxy/config/secrets/secret_store.h
class TlsSockets;   // proxy/transport/tls_socket.h

struct CompileContext {
  LogSinks& log_sinks;                // files of access logs, shared by all listeners
  FormatEnvironment environment;      // %HOSTNAME%, %ENVIRONMENT(X)%
  std::string node_id;                // FaultPolicy::downstream_nodes never match it; for messages
  SecretStore& secrets;               // of transport sockets; outlives what is compiled
  TlsSockets* tls_sockets = nullptr;  // makes them; null: TLS is refused
};

}  // namespace meltemi::proxy
