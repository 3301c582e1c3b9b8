#include "proxy/app/admin/certs.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/json/write.h"
#include "base/tls/certificate.h"
#include "proxy/config/secrets/pem.h"
#include "proxy/config/secrets/secrets.h"

namespace meltemi::proxy {
namespace {

std::string TimeText(int64_t unix_s) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(unix_s), absl::UTCTimeZone());
}

void WriteName(absl::string_view kind, const std::string& name, json::Writer* out) {
  out->BeginObject().Key(kind).String(name).EndObject();
}

void WriteDetails(const tls::CertificateInfo& info, int64_t now_s, json::Writer* out) {
  const int64_t days = std::max<int64_t>(0, (info.not_after_s - now_s) / 86400);
  out->BeginObject().Key("path").String("<inline>").Key("serial_number").String(info.serial_hex);
  out->Key("subject_alt_names").BeginArray();
  for (const std::string& name : info.dns_names) WriteName("dns", name, out);
  for (const std::string& name : info.uris) WriteName("uri", name, out);
  for (const std::string& name : info.ip_addresses) WriteName("ip_address", name, out);
  out->EndArray();
  // As protobuf's JSON has 64 bits.
  out->Key("days_until_expiration").String(absl::StrCat(days));
  out->Key("valid_from").String(TimeText(info.not_before_s));
  out->Key("expiration_time").String(TimeText(info.not_after_s)).EndObject();
}

// `leaf_only`: Envoy shows what peers see, not who signed it.
void WriteCertificates(absl::string_view pem, bool leaf_only, int64_t now_s, json::Writer* out) {
  out->BeginArray();
  for (const std::string& block : CertificatesOfPem(pem)) {
    const auto info = tls::ReadCertificatePem(block);
    if (info.ok()) WriteDetails(*info, now_s, out);
    if (leaf_only) break;
  }
  out->EndArray();
}

void WriteEntry(absl::string_view roots_pem, absl::string_view chain_pem, int64_t now_s,
                json::Writer* out) {
  out->BeginObject().Key("ca_cert");
  WriteCertificates(roots_pem, /*leaf_only=*/false, now_s, out);
  out->Key("cert_chain");
  WriteCertificates(chain_pem, /*leaf_only=*/true, now_s, out);
  out->EndObject();
}

}  // namespace

std::string CertsJson(const Secrets& secrets, WallTime now) {
  const int64_t now_s = std::chrono::duration_cast<seconds>(now.time_since_epoch()).count();
  const bool has_own = secrets.Certificate(kWorkloadCertificate) != nullptr;
  const std::string* const mesh_roots = secrets.Roots(kMeshRoots);
  std::string text;
  json::Writer out(&text, 1);
  out.BeginObject().Key("certificates").BeginArray();
  for (const auto& [key, entry] : secrets.entries()) {
    const auto& [kind, name] = key;
    if (kind == SecretKind::kCertificate) {
      const bool own = name == kWorkloadCertificate && mesh_roots != nullptr;
      WriteEntry(own ? *mesh_roots : "", entry.certificate.certificate_chain_pem, now_s, &out);
    } else if (name != kMeshRoots || !has_own) {
      WriteEntry(entry.roots, "", now_s, &out);
    }
  }
  out.EndArray().EndObject();
  return text + "\n";
}

}  // namespace meltemi::proxy
