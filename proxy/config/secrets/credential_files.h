// How the control plane is spoken to, as the command line or the bootstrap says it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace meltemi::proxy {

// Files are read anew for each connection: tokens and roots are replaced while the proxy runs. Of a
// file and a text that say the same, one is set.
struct CredentialFiles {
  bool tls = false;
  // The authorities that sign the control plane's certificate. Neither: the system's.
  std::string root_file, root_pem;
  // SNI; "": the host that is connected to.
  std::string server_name;
  // What the certificate must be for.
  enum class Peer : uint8_t {
    kServerName,
    kNames,    // one of `names`
    kAny,      // whatever it is for: its signature counts
    kAnybody,  // it is not looked at
  };
  Peer peer = Peer::kServerName;
  std::vector<std::string> names;
  // Sent as "authorization: Bearer TOKEN"; "": none. Never without TLS.
  std::string token_file;
  // A certificate of our own; "": none.
  std::string certificate_file, certificate_pem, key_file, key_pem;
};

}  // namespace meltemi::proxy
