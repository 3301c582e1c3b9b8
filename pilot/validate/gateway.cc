#include "networking/v1/gateway.pb.h"

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "pilot/ingest/names.h"
#include "pilot/model/ciphers.h"
#include "pilot/model/names.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using networking::Gateway;
using networking::Server;
using networking::ServerTLSSettings;

void ValidatePort(const networking::Port& port, const Path& path, Report* report) {
  if (port.protocol().empty()) {
    report->Error(path, "\"protocol\" is required");
  } else {
    report->Check(path / "protocol", WhyNoProtocol(port.protocol()));
  }
  report->Check(path / "number", WhyNoPort(port.number()));
  if (port.name().empty()) report->Error(path, "\"name\" is required");
  if (port.target_port() != 0) {
    report->Warning(path / "targetPort", "is out of date and has no effect", "IST0002");
  }
}

void ValidateBind(const Server& server, const Path& path, Report* report) {
  absl::string_view bind = server.bind();
  if (bind.empty()) return;
  if (absl::ConsumePrefix(&bind, "unix://")) {
    report->Check(path, WhyNoUnixPath(bind));
  } else {
    report->Check(path, WhyNoIp(bind));
  }
}

void ValidateServer(const Server& server, const Path& path, Report* report) {
  if (server.hosts_size() == 0) report->Error(path, "\"hosts\" is required");
  for (int i = 0; i < server.hosts_size(); ++i) {
    report->Check((path / "hosts")[static_cast<size_t>(i)], WhyNoScopedHost(server.hosts(i), true));
  }
  if (!server.has_port()) {
    report->Error(path, "\"port\" is required");
  } else {
    ValidatePort(server.port(), path / "port", report);
  }
  ValidateBind(server, path / "bind", report);
  const bool wants_tls = IsTlsProtocol(server.port().protocol());
  if (wants_tls && !server.has_tls()) {
    report->Error(path, absl::StrCat("\"tls\" is required for ", server.port().protocol()));
  }
  if (!server.has_tls()) return;
  const Path at = path / "tls";
  if (server.tls().https_redirect()) {
    if (!IsHttpProtocol(server.port().protocol())) {
      report->Warning(at / "httpsRedirect", "has an effect on HTTP servers only");
    }
    // The one setting that a server in plain text may have.
    if (!wants_tls) return;
  }
  if (!wants_tls) {
    report->Error(at, absl::StrCat("must not be set for ", server.port().protocol()));
  }
  ValidateServerTls(server.tls(), at, report);
}

}  // namespace

std::string WhyNoScopedHost(absl::string_view text, bool is_gateway) {
  const size_t slash = text.find('/');
  absl::string_view host = text;
  if (slash != absl::string_view::npos) {
    const absl::string_view ns = text.substr(0, slash);
    host = text.substr(slash + 1);
    const bool is_word = ns == "*" || ns == "." || (ns == "~" && !is_gateway);
    if (!is_word && !WhyNoDnsLabel(ns).empty()) {
      return absl::StrCat("\"", text, "\": \"", ns, "\" is no namespace");
    }
  } else if (!is_gateway) {
    return absl::StrCat("\"", text, "\": expected NAMESPACE/HOST");
  }
  if (host.empty()) return absl::StrCat("\"", text, "\": the host is missing");
  if (is_gateway && IsIpAddress(host)) return "";
  if (host != "*" && !absl::StrContains(host, '.')) {
    return absl::StrCat("\"", text, "\": short names are not allowed, write the full host name");
  }
  return WhyNoWildcardHost(host);
}

namespace {

void ValidateVersions(const ServerTLSSettings& tls, const Path& path, Report* report) {
  const auto old = [](ServerTLSSettings::TLSProtocol version) {
    return version == ServerTLSSettings::TLSV1_0 || version == ServerTLSSettings::TLSV1_1;
  };
  if (old(tls.min_protocol_version())) {
    report->Unsupported(path / "minProtocolVersion", "TLS below 1.2");
  }
  if (old(tls.max_protocol_version())) {
    report->Unsupported(path / "maxProtocolVersion", "TLS below 1.2");
  }
  if (tls.max_protocol_version() != ServerTLSSettings::TLS_AUTO &&
      tls.min_protocol_version() > tls.max_protocol_version()) {
    report->Error(path / "minProtocolVersion", "is above maxProtocolVersion");
  }
  std::set<std::string> seen;
  for (int i = 0; i < tls.cipher_suites_size(); ++i) {
    const std::string& cipher = tls.cipher_suites(i);
    const Path at = (path / "cipherSuites")[static_cast<size_t>(i)];
    if (!IsCipherSuite(cipher)) {
      report->Warning(at, absl::StrCat("ignoring invalid cipher suites: \"", cipher, "\""));
    } else if (!seen.insert(cipher).second) {
      report->Warning(at, absl::StrCat("ignoring duplicate cipher suites: \"", cipher, "\""));
    }
  }
}

// What proxies could not be told, or would refuse with the whole listener.
void ValidateServerLimits(const ServerTLSSettings& tls, const Path& path, Report* report) {
  if (tls.credential_names_size() > 1) {
    report->Unsupported(path / "credentialNames", "more than one certificate");
  }
  if (tls.tls_certificates_size() > 1) {
    report->Unsupported(path / "tlsCertificates", "more than one certificate");
  }
  if (!tls.ca_crl().empty()) report->Unsupported(path / "caCrl", "a list of revoked certificates");
  const int sources = (!tls.server_certificate().empty() && !tls.private_key().empty()) +
                      !tls.credential_name().empty() + (tls.credential_names_size() > 0) +
                      (tls.tls_certificates_size() > 0);
  if (sources > 1) {
    report->Error(path,
                  "only one of credentialName, credentialNames, serverCertificate with privateKey, "
                  "and tlsCertificates may be given");
  }
  const bool asks = tls.mode() == ServerTLSSettings::MUTUAL ||
                    tls.mode() == ServerTLSSettings::OPTIONAL_MUTUAL ||
                    tls.mode() == ServerTLSSettings::ISTIO_MUTUAL;
  if (!asks && tls.subject_alt_names_size() > 0) {
    report->Warning(path / "subjectAltNames", "has no effect unless clients show certificates");
  }
}

}  // namespace

void ValidateServerTls(const ServerTLSSettings& tls, const Path& path, Report* report) {
  const auto mode = tls.mode();
  const bool own_files = mode == ServerTLSSettings::SIMPLE || mode == ServerTLSSettings::MUTUAL ||
                         mode == ServerTLSSettings::OPTIONAL_MUTUAL;
  const bool has_name = !tls.credential_name().empty() || tls.credential_names_size() > 0 ||
                        tls.tls_certificates_size() > 0;
  if (own_files && !has_name) {
    if (tls.server_certificate().empty()) report->Error(path, "\"serverCertificate\" is required");
    if (tls.private_key().empty()) report->Error(path, "\"privateKey\" is required");
    if (mode != ServerTLSSettings::SIMPLE && tls.ca_certificates().empty()) {
      report->Error(path, "\"caCertificates\" is required for MUTUAL");
    }
  }
  if (mode == ServerTLSSettings::ISTIO_MUTUAL &&
      (!tls.server_certificate().empty() || !tls.private_key().empty() ||
       !tls.ca_certificates().empty() || has_name)) {
    report->Error(path, "ISTIO_MUTUAL takes no certificates: the mesh has its own");
  }
  const bool passes_through =
      mode == ServerTLSSettings::PASSTHROUGH || mode == ServerTLSSettings::AUTO_PASSTHROUGH;
  if (passes_through) {
    if (has_name || !tls.server_certificate().empty() || !tls.private_key().empty()) {
      report->Warning(path, "certificates have no effect when TLS passes through");
    }
    if (mode == ServerTLSSettings::AUTO_PASSTHROUGH) {
      report->Unsupported(path / "mode",
                          "AUTO_PASSTHROUGH (PASSTHROUGH with TLS routes in a VirtualService does "
                          "what it is mostly for)");
    }
    return;
  }
  ValidateVersions(tls, path, report);
  ValidateServerLimits(tls, path, report);
}

void ValidateGateway(const Gateway& spec, Report* report) {
  const Path path("spec");
  report->Check(Path("metadata.name"), WhyNoDnsLabel(report->object().meta.name));
  if (spec.servers_size() == 0) report->Error(path, "\"servers\" is required");
  std::set<std::string> names;
  for (int i = 0; i < spec.servers_size(); ++i) {
    const Path at = (path / "servers")[static_cast<size_t>(i)];
    ValidateServer(spec.servers(i), at, report);
    const std::string& name = spec.servers(i).port().name();
    if (!name.empty() && !names.insert(name).second) {
      report->Error(at / "port" / "name",
                    absl::StrCat("the port name \"", name, "\" is there already"));
    }
  }
  ValidateLabels(spec.selector(), path / "selector", report);
}

}  // namespace meltemi::pilot
