// A store whose secrets the test sets; watchers are told at once.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/tls/tls.h"
#include "proxy/config/secrets/secret_store.h"

namespace meltemi::proxy {

class SecretStoreFake final : public SecretStore {
 public:
  void SetCertificate(const std::string& name, tls::KeyPair pair) {
    certificates_[name] = std::move(pair);
    Tell(SecretKind::kCertificate, name);
  }
  void SetRoots(const std::string& name, std::string pem) {
    roots_[name] = std::move(pem);
    Tell(SecretKind::kRoots, name);
  }
  size_t watches() const { return watches_.size(); }

  const tls::KeyPair* Certificate(absl::string_view name) const override {
    const auto it = certificates_.find(name);
    return it == certificates_.end() ? nullptr : &it->second;
  }
  const std::string* Roots(absl::string_view name) const override {
    const auto it = roots_.find(name);
    return it == roots_.end() ? nullptr : &it->second;
  }
  std::unique_ptr<SecretWatch> Watch(SecretKind kind, std::string name,
                                     absl::AnyInvocable<void()> changed) override {
    return std::make_unique<Handle>(*this, kind, std::move(name), std::move(changed));
  }

 private:
  struct Handle final : SecretWatch {
    Handle(SecretStoreFake& store, SecretKind kind, std::string name,
           absl::AnyInvocable<void()> changed)
        : store(store), kind(kind), name(std::move(name)), changed(std::move(changed)) {
      store.watches_.insert(this);
    }
    ~Handle() override { store.watches_.erase(this); }
    SecretStoreFake& store;
    const SecretKind kind;
    const std::string name;
    absl::AnyInvocable<void()> changed;
  };

  void Tell(SecretKind kind, const std::string& name) {
    const std::set<Handle*> all = watches_;
    for (Handle* watch : all) {
      if (watches_.count(watch) != 0 && watch->kind == kind && watch->name == name) {
        watch->changed();
      }
    }
  }

  std::map<std::string, tls::KeyPair, std::less<>> certificates_;
  std::map<std::string, std::string, std::less<>> roots_;
  std::set<Handle*> watches_;
};

}  // namespace meltemi::proxy
