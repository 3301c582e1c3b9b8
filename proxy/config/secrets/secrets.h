// The store behind the seam: what is there by kind and name, where it came from, and who watches.
//
// Main loop only. Writers are the certificate authority's client, the files that secrets lie in,
// the bootstrap, and the xDS stream; a name belongs to the writer that claimed it first, in this
// order, so that a control plane cannot replace a workload's own identity.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "base/tls/tls.h"
#include "proxy/config/secrets/secret_store.h"

namespace meltemi::proxy {

class Secrets final : public SecretStore {
 public:
  explicit Secrets(const Clock& clock) : clock_(clock) {}
  // Every watch is gone by then.
  ~Secrets() override;

  // One secret: exactly one of `certificate` and `roots` is used, as `kind` says.
  struct Entry {
    tls::KeyPair certificate;
    std::string roots;
    std::string version;
    WallTime updated{};
    bool local = false;  // not from the xDS stream
  };
  using Key = std::pair<SecretKind, std::string>;

  // From now on nothing but SetLocal… gives this secret, and it is never asked for over SDS.
  void Claim(SecretKind kind, const std::string& name);
  void SetLocalCertificate(const std::string& name, tls::KeyPair pair);
  void SetLocalRoots(const std::string& name, std::string pem);

  // From the xDS stream. False: the name is claimed.
  bool SetCertificate(const std::string& name, tls::KeyPair pair, const std::string& version);
  bool SetRoots(const std::string& name, std::string pem, const std::string& version);
  // What came over the stream and is not watched any more is forgotten.
  void ForgetUnwatched();
  // The names that are watched and that nobody here has claimed, of both kinds.
  std::set<std::string> SdsNames() const;

  // Of all secrets, for /certs and /config_dump.
  const std::map<Key, Entry>& entries() const { return entries_; }

  // --- SecretStore
  const tls::KeyPair* Certificate(absl::string_view name) const override;
  const std::string* Roots(absl::string_view name) const override;
  std::unique_ptr<SecretWatch> Watch(SecretKind kind, std::string name,
                                     absl::AnyInvocable<void()> changed) override;

 private:
  class Handle;
  // Nothing happens when it is the same as before.
  void Set(const Key& key, Entry entry);
  void Tell(const Key& key);

  const Clock& clock_;
  std::map<Key, Entry> entries_;
  std::set<Key> claimed_;
  std::map<Key, std::vector<Handle*>> watches_;
};

}  // namespace meltemi::proxy
