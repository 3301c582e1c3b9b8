#include "proxy/config/secrets/secrets.h"

#include <algorithm>

#include "base/log/log.h"

namespace meltemi::proxy {

class Secrets::Handle final : public SecretWatch {
 public:
  Handle(Secrets& store, Key key, absl::AnyInvocable<void()> changed)
      : changed(std::move(changed)), store_(store), key_(std::move(key)) {
    store_.watches_[key_].push_back(this);
  }
  ~Handle() override {
    auto at = store_.watches_.find(key_);
    std::erase(at->second, this);
    if (at->second.empty()) store_.watches_.erase(at);
  }

  absl::AnyInvocable<void()> changed;

 private:
  Secrets& store_;
  const Key key_;
};

Secrets::~Secrets() { DCHECK(watches_.empty()); }

void Secrets::Claim(SecretKind kind, const std::string& name) { claimed_.insert({kind, name}); }

void Secrets::SetLocalCertificate(const std::string& name, tls::KeyPair pair) {
  Claim(SecretKind::kCertificate, name);
  Set({SecretKind::kCertificate, name}, Entry{.certificate = std::move(pair), .local = true});
}

void Secrets::SetLocalRoots(const std::string& name, std::string pem) {
  Claim(SecretKind::kRoots, name);
  Set({SecretKind::kRoots, name}, Entry{.roots = std::move(pem), .local = true});
}

bool Secrets::SetCertificate(const std::string& name, tls::KeyPair pair,
                             const std::string& version) {
  const Key key{SecretKind::kCertificate, name};
  if (claimed_.contains(key)) return false;
  Set(key, Entry{.certificate = std::move(pair), .version = version});
  return true;
}

bool Secrets::SetRoots(const std::string& name, std::string pem, const std::string& version) {
  const Key key{SecretKind::kRoots, name};
  if (claimed_.contains(key)) return false;
  Set(key, Entry{.roots = std::move(pem), .version = version});
  return true;
}

void Secrets::ForgetUnwatched() {
  std::erase_if(entries_, [this](const auto& entry) {
    return !entry.second.local && !watches_.contains(entry.first);
  });
}

std::set<std::string> Secrets::SdsNames() const {
  std::set<std::string> names;
  for (const auto& [key, watches] : watches_) {
    if (!claimed_.contains(key)) names.insert(key.second);
  }
  return names;
}

const tls::KeyPair* Secrets::Certificate(absl::string_view name) const {
  const auto at = entries_.find(Key{SecretKind::kCertificate, std::string(name)});
  return at == entries_.end() ? nullptr : &at->second.certificate;
}

const std::string* Secrets::Roots(absl::string_view name) const {
  const auto at = entries_.find(Key{SecretKind::kRoots, std::string(name)});
  return at == entries_.end() ? nullptr : &at->second.roots;
}

std::unique_ptr<SecretWatch> Secrets::Watch(SecretKind kind, std::string name,
                                            absl::AnyInvocable<void()> changed) {
  return std::make_unique<Handle>(*this, Key{kind, std::move(name)}, std::move(changed));
}

void Secrets::Set(const Key& key, Entry entry) {
  Entry& known = entries_[key];
  const bool same =
      known.certificate.certificate_chain_pem == entry.certificate.certificate_chain_pem &&
      known.certificate.private_key_pem == entry.certificate.private_key_pem &&
      known.roots == entry.roots;
  if (same) {
    known.version = std::move(entry.version);
    return;
  }
  entry.updated = clock_.WallNow();
  known = std::move(entry);
  Tell(key);
}

void Secrets::Tell(const Key& key) {
  const auto at = watches_.find(key);
  if (at == watches_.end()) return;
  // A watcher may end its own watch, or another's.
  const std::vector<Handle*> told = at->second;
  for (Handle* handle : told) {
    const auto now = watches_.find(key);
    if (now == watches_.end()) return;
    if (std::find(now->second.begin(), now->second.end(), handle) != now->second.end()) {
      handle->changed();
    }
  }
}

}  // namespace meltemi::proxy
