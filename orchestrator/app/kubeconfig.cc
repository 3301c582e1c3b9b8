#include "orchestrator/app/kubeconfig.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace meltemi::orchestrator {

std::string Kubeconfig(absl::string_view server, absl::string_view ca_pem, absl::string_view user,
                       const tls::KeyPair& identity) {
  return absl::StrCat(
      "apiVersion: v1\nkind: Config\nclusters:\n- name: meltemi\n  cluster:\n",
      "    server: ", server, "\n    certificate-authority-data: ", absl::Base64Escape(ca_pem),
      "\nusers:\n- name: ", user, "\n  user:\n    client-certificate-data: ",
      absl::Base64Escape(identity.certificate_chain_pem),
      "\n    client-key-data: ", absl::Base64Escape(identity.private_key_pem),
      "\ncontexts:\n- name: meltemi\n  context:\n    cluster: meltemi\n    user: ", user,
      "\ncurrent-context: meltemi\n");
}

}  // namespace meltemi::orchestrator
