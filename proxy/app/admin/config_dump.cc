#include "proxy/app/admin/config_dump.h"

#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/protojson/encode.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "proxy/app/admin/redact.h"
#include "proxy/config/bootstrap/bootstrap.h"
#include "proxy/config/secrets/secrets.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/xds/intake.h"
#include "re2/re2.h"

namespace meltemi::proxy {
namespace {

namespace admin_v3 = envoy::admin::v3;

void SetTime(WallTime at, google::protobuf::Timestamp* out) {
  const int64_t ns = at.time_since_epoch().count();
  out->set_seconds(ns / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
}

void SetResource(ResourceType type, const ResourceRecord& record, google::protobuf::Any* out) {
  out->set_type_url(std::string(TypeUrl(type)));
  out->set_value(record.bytes);
}

template <typename T>
void SetRefused(const ResourceRecord& record, T* out) {
  out->set_client_status(record.refused ? admin_v3::NACKED : admin_v3::ACKED);
  if (!record.refused) return;
  out->mutable_error_state()->set_details(record.refused->reason);
  out->mutable_error_state()->set_version_info(record.refused->version);
  SetTime(record.refused->at, out->mutable_error_state()->mutable_last_update_attempt());
}

class Dumper {
 public:
  Dumper(const Intake& intake, const ConfigStore& store, const Secrets& secrets,
         const ConfigDumpOptions& options)
      : intake_(intake), store_(store), secrets_(secrets) {
    if (!options.name_regex.empty()) regex_.emplace(options.name_regex, RE2::Quiet);
  }

  admin_v3::ClustersConfigDump Clusters() const {
    admin_v3::ClustersConfigDump dump;
    ForEach(ResourceType::kCluster, [&](const std::string& name, const ResourceRecord& record) {
      if (record.is_static) {
        auto* cluster = dump.add_static_clusters();
        SetResource(ResourceType::kCluster, record, cluster->mutable_cluster());
        SetTime(record.updated, cluster->mutable_last_updated());
        return;
      }
      const bool waits =
          record.bytes.empty() || store_.waiting().contains(absl::StrCat("cluster ", name));
      auto* cluster =
          waits ? dump.add_dynamic_warming_clusters() : dump.add_dynamic_active_clusters();
      Fill(ResourceType::kCluster, record, cluster, cluster->mutable_cluster());
      dump.set_version_info(record.version);
    });
    return dump;
  }

  admin_v3::ListenersConfigDump Listeners() const {
    admin_v3::ListenersConfigDump dump;
    ForEach(ResourceType::kListener, [&](const std::string& name, const ResourceRecord& record) {
      if (record.is_static) {
        auto* listener = dump.add_static_listeners();
        SetResource(ResourceType::kListener, record, listener->mutable_listener());
        SetTime(record.updated, listener->mutable_last_updated());
        return;
      }
      auto* listener = dump.add_dynamic_listeners();
      listener->set_name(name);
      SetRefused(record, listener);
      if (record.bytes.empty()) return;
      auto* state = store_.waiting().contains(absl::StrCat("listener ", name))
                        ? listener->mutable_warming_state()
                        : listener->mutable_active_state();
      state->set_version_info(record.version);
      SetResource(ResourceType::kListener, record, state->mutable_listener());
      SetTime(record.updated, state->mutable_last_updated());
      dump.set_version_info(record.version);
    });
    return dump;
  }

  admin_v3::RoutesConfigDump Routes() const {
    admin_v3::RoutesConfigDump dump;
    ForEach(ResourceType::kRoutes, [&](const std::string&, const ResourceRecord& record) {
      auto* routes = dump.add_dynamic_route_configs();
      Fill(ResourceType::kRoutes, record, routes, routes->mutable_route_config());
    });
    return dump;
  }

  admin_v3::EndpointsConfigDump Endpoints() const {
    admin_v3::EndpointsConfigDump dump;
    ForEach(ResourceType::kEndpoints, [&](const std::string&, const ResourceRecord& record) {
      auto* endpoints = dump.add_dynamic_endpoint_configs();
      Fill(ResourceType::kEndpoints, record, endpoints, endpoints->mutable_endpoint_config());
    });
    return dump;
  }

  // Those of the bootstrap are static; this workload's own count as dynamic, as where an agent
  // gives them to Envoy.
  admin_v3::SecretsConfigDump SecretsDump() const {
    admin_v3::SecretsConfigDump dump;
    for (const auto& [key, entry] : secrets_.entries()) {
      const auto& [kind, name] = key;
      if (regex_ && !RE2::PartialMatch(name, *regex_)) continue;
      envoy::extensions::transport_sockets::tls::v3::Secret secret;
      secret.set_name(name);
      if (kind == SecretKind::kRoots) {
        secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(entry.roots);
      } else {
        auto* certificate = secret.mutable_tls_certificate();
        certificate->mutable_certificate_chain()->set_inline_bytes(
            entry.certificate.certificate_chain_pem);
        certificate->mutable_private_key()->set_inline_string("[redacted]");
      }
      if (entry.local && name != kWorkloadCertificate && name != kMeshRoots) {
        auto* fixed = dump.add_static_secrets();
        fixed->set_name(name);
        SetTime(entry.updated, fixed->mutable_last_updated());
        fixed->mutable_secret()->PackFrom(secret);
        continue;
      }
      auto* dynamic = dump.add_dynamic_active_secrets();
      dynamic->set_name(name);
      dynamic->set_version_info(entry.version);
      SetTime(entry.updated, dynamic->mutable_last_updated());
      dynamic->mutable_secret()->PackFrom(secret);
    }
    ForEach(ResourceType::kSecrets, [&](const std::string& name, const ResourceRecord& record) {
      auto* refused = dump.add_dynamic_warming_secrets();
      refused->set_name(name);
      SetRefused(record, refused);
    });
    return dump;
  }

 private:
  template <typename F>
  void ForEach(ResourceType type, F&& f) const {
    for (const auto& [name, record] : intake_.records(type)) {
      if (regex_ && !RE2::PartialMatch(name, *regex_)) continue;
      f(name, record);
    }
  }

  template <typename T>
  void Fill(ResourceType type, const ResourceRecord& record, T* out,
            google::protobuf::Any* resource) const {
    out->set_version_info(record.version);
    SetRefused(record, out);
    if (!record.bytes.empty()) SetResource(type, record, resource);
    SetTime(record.updated, out->mutable_last_updated());
  }

  const Intake& intake_;
  const ConfigStore& store_;
  const Secrets& secrets_;
  std::optional<RE2> regex_;
};

// Moves the elements of the repeated field `name` of `dump` into `out`, each as an Any.
void Pick(const google::protobuf::Message& dump, const std::string& name,
          admin_v3::ConfigDump* out) {
  const auto* field = dump.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || !field->is_repeated()) return;
  const auto& reflection = *dump.GetReflection();
  for (int i = 0; i < reflection.FieldSize(dump, field); ++i) {
    out->add_configs()->PackFrom(reflection.GetRepeatedMessage(dump, field, i));
  }
}

}  // namespace

std::string ConfigDumpJson(const Bootstrap& bootstrap, WallTime started, const Intake& intake,
                           const ConfigStore& store, const Secrets& secrets,
                           const ConfigDumpOptions& options) {
  const Dumper dumper(intake, store, secrets, options);
  admin_v3::ConfigDump dump;
  if (!options.resource.empty()) {
    Pick(dumper.Clusters(), options.resource, &dump);
    Pick(dumper.Listeners(), options.resource, &dump);
    Pick(dumper.Routes(), options.resource, &dump);
    Pick(dumper.Endpoints(), options.resource, &dump);
    Pick(dumper.SecretsDump(), options.resource, &dump);
  } else {
    admin_v3::BootstrapConfigDump boot;
    *boot.mutable_bootstrap() = *bootstrap.proto;
    SetTime(started, boot.mutable_last_updated());
    dump.add_configs()->PackFrom(boot);
    dump.add_configs()->PackFrom(dumper.Clusters());
    if (options.include_eds) dump.add_configs()->PackFrom(dumper.Endpoints());
    dump.add_configs()->PackFrom(dumper.Listeners());
    dump.add_configs()->PackFrom(dumper.Routes());
    dump.add_configs()->PackFrom(dumper.SecretsDump());
  }
  RedactPrivateKeys(&dump);
  return protojson::ToJson(dump, {.proto_names = true, .indent = 1}) + "\n";
}

}  // namespace meltemi::proxy
