// How the control plane is spoken to, as the command line or the bootstrap says it.
#pragma once

#include <string>

namespace meltemi::proxy {

// Files are read anew for each connection: tokens and roots are replaced while the proxy runs.
struct CredentialFiles {
  bool tls = false;
  // The authorities that sign the control plane's certificate: a file, or the text. Both empty: the
  // system's.
  std::string root_file, root_pem;
  // What the certificate must be for; "": the host that is connected to.
  std::string server_name;
  // Sent as "authorization: Bearer TOKEN"; "": none. Never without TLS.
  std::string token_file;
  // A certificate of our own; "": none.
  std::string certificate_file, key_file;
};

}  // namespace meltemi::proxy
