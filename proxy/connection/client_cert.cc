#include "proxy/connection/client_cert.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace meltemi::proxy {
namespace {

std::string UrlEncoded(absl::string_view pem) {
  return absl::StrReplaceAll(
      pem, {{"\n", "%0A"}, {" ", "%20"}, {"+", "%2B"}, {"/", "%2F"}, {"=", "%3D"}});
}

// A subject is the client's own words: a quote in it must not end ours, nor a line end the header.
std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) continue;
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

// A name goes unquoted: what could end it or begin another field leaves it out.
bool Plain(absl::string_view name) {
  for (char c : name) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == ';' || c == ',' || c == '"') {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string ClientCertText(const HttpConfig& config, const TlsInfo& info, absl::string_view pem,
                           absl::string_view chain_pem) {
  const bool says = config.forward_client_cert == ForwardClientCert::kAppendForward ||
                    config.forward_client_cert == ForwardClientCert::kSanitizeSet;
  if (!says || !info.peer_presented) return "";
  std::vector<std::string> parts;
  for (const std::string& uri : info.local_uri_sans) parts.push_back(absl::StrCat("By=", uri));
  parts.push_back(absl::StrCat("Hash=", info.peer_sha256));
  if (config.client_cert_pem && !pem.empty()) {
    parts.push_back(absl::StrCat("Cert=\"", UrlEncoded(pem), "\""));
  }
  if (config.client_cert_chain && !chain_pem.empty()) {
    parts.push_back(absl::StrCat("Chain=\"", UrlEncoded(chain_pem), "\""));
  }
  if (config.client_cert_subject) {
    parts.push_back(absl::StrCat("Subject=", Quoted(info.peer_subject)));
  }
  const auto add_names = [&](absl::string_view key, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (Plain(name)) parts.push_back(absl::StrCat(key, name));
    }
  };
  if (config.client_cert_uri) {
    if (info.peer_uri_sans.empty()) parts.push_back("URI=");
    add_names("URI=", info.peer_uri_sans);
  }
  if (config.client_cert_dns) add_names("DNS=", info.peer_dns_sans);
  return absl::StrJoin(parts, ";");
}

}  // namespace meltemi::proxy
