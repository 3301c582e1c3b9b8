#include "orchestrator/app/open_store.h"

#include <string>
#include <utility>

#include "orchestrator/component/files.h"
#include "orchestrator/store/etcd/etcd_store.h"
#include "orchestrator/store/sqlite/sqlite_store.h"

namespace meltemi::orchestrator {
namespace {

// "" for a file that is not named.
absl::Status ReadNamed(const std::string& path, std::string* out) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (text.ok()) *out = *std::move(text);
  return text.status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<store::Store>> OpenStore(const ApiServerOptions& options,
                                                        const Clock& clock) {
  if (options.etcd_servers.empty()) {
    store::SqliteOptions sqlite;
    sqlite.path = options.data_dir + "/state.db";
    sqlite.bytes_max = int64_t{options.store_mib_max} * 1024 * 1024;
    return store::OpenSqliteStore(sqlite, clock);
  }
  store::EtcdOptions etcd;
  etcd.endpoints = options.etcd_servers;
  for (auto [path, out] : {std::pair(&options.etcd_ca_file, &etcd.ca_pem),
                           std::pair(&options.etcd_cert_file, &etcd.certificate_pem),
                           std::pair(&options.etcd_key_file, &etcd.key_pem)}) {
    if (absl::Status status = ReadNamed(*path, out); !status.ok()) return status;
  }
  return store::OpenEtcdStore(etcd);
}

}  // namespace meltemi::orchestrator
