#include "base/tls/signing_request.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <arpa/inet.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/tls/handles.h"

namespace meltemi::tls {
namespace {

void FreeExtensions(STACK_OF(X509_EXTENSION) * list) {
  sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}

using RequestPtr = std::unique_ptr<X509_REQ, FreeWith<X509_REQ_free>>;
using ExtensionsPtr = std::unique_ptr<STACK_OF(X509_EXTENSION), FreeWith<FreeExtensions>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using NamePtr = std::unique_ptr<X509_NAME, FreeWith<X509_NAME_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using StringPtr = std::unique_ptr<ASN1_STRING, FreeWith<ASN1_STRING_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
using ConstraintsPtr = std::unique_ptr<BASIC_CONSTRAINTS, FreeWith<BASIC_CONSTRAINTS_free>>;
using UsagesPtr = std::unique_ptr<EXTENDED_KEY_USAGE, FreeWith<EXTENDED_KEY_USAGE_free>>;
using KeyIdPtr = std::unique_ptr<AUTHORITY_KEYID, FreeWith<AUTHORITY_KEYID_free>>;

// As keyUsage has them (RFC 5280 4.2.1.3): the first byte, and above it the second.
constexpr struct {
  const char* word;
  uint16_t bits;
} kKeyUsages[] = {
    {"signing", 0x80},          {"digital signature", 0x80}, {"content commitment", 0x40},
    {"key encipherment", 0x20}, {"data encipherment", 0x10}, {"key agreement", 0x08},
    {"cert sign", 0x04},        {"crl sign", 0x02},          {"encipher only", 0x01},
    {"decipher only", 0x8000},
};

constexpr struct {
  const char* word;
  int nid;
} kExtendedUsages[] = {
    {"any", NID_anyExtendedKeyUsage},
    {"server auth", NID_server_auth},
    {"client auth", NID_client_auth},
    {"code signing", NID_code_sign},
    {"email protection", NID_email_protect},
    {"s/mime", NID_email_protect},
    {"ipsec end system", NID_ipsecEndSystem},
    {"ipsec tunnel", NID_ipsecTunnel},
    {"ipsec user", NID_ipsecUser},
    {"timestamping", NID_time_stamp},
    {"ocsp signing", NID_OCSP_sign},
    {"microsoft sgc", NID_ms_sgc},
    {"netscape sgc", NID_ns_sgc},
};

absl::Status Error(absl::string_view what) {
  const std::string words = TakeErrors();
  return absl::InvalidArgumentError(absl::StrCat(what, words.empty() ? "" : ": ", words));
}

std::string ContentsOf(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return length <= 0 ? std::string() : std::string(data, static_cast<size_t>(length));
}

bool Push(GENERAL_NAMES* names, int type, void* value) {
  GENERAL_NAME* const name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

bool PushText(GENERAL_NAMES* names, int type, absl::string_view text) {
  ASN1_IA5STRING* const string = ASN1_IA5STRING_new();
  ASN1_STRING_set(string, text.data(), static_cast<int>(text.size()));
  return Push(names, type, string);
}

// Null: an address is none.
NamesPtr NamesOf(const CertificateRequest& request) {
  NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const std::string& name : request.dns_names) PushText(names.get(), GEN_DNS, name);
  for (const std::string& uri : request.uris) PushText(names.get(), GEN_URI, uri);
  for (const std::string& text : request.ip_addresses) {
    ASN1_OCTET_STRING* const address = a2i_IPADDRESS(text.c_str());
    if (address == nullptr) return nullptr;
    Push(names.get(), GEN_IPADD, address);
  }
  return names;
}

bool AddEntry(X509_NAME* name, int nid, const std::string& text) {
  return X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

RequestPtr RequestOfPem(absl::string_view pem) {
  if (!absl::StrContains(pem, "-----BEGIN CERTIFICATE REQUEST-----")) return nullptr;
  return RequestPtr(PEM_read_bio_X509_REQ(BioOf(pem).get(), nullptr, nullptr, nullptr));
}

// The request's subjectAltName; null when it has none.
NamesPtr NamesOf(X509_REQ* request) {
  const ExtensionsPtr extensions(X509_REQ_get_extensions(request));
  if (extensions == nullptr) return nullptr;
  return NamesPtr(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
}

std::string TextOf(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, string);
  if (length < 0) return "";
  std::string text(reinterpret_cast<char*>(utf8), static_cast<size_t>(length));
  OPENSSL_free(utf8);
  return text;
}

std::string AddressText(const ASN1_STRING* bytes) {
  const int length = ASN1_STRING_length(bytes);
  if (length != 4 && length != 16) return "";
  char text[INET6_ADDRSTRLEN];
  const char* const written =
      inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(bytes), text, sizeof(text));
  return written == nullptr ? "" : text;
}

std::vector<std::string> EntriesOf(X509_NAME* name, int nid) {
  std::vector<std::string> texts;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;) {
    texts.push_back(TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
  }
  return texts;
}

void ReadNames(const GENERAL_NAMES* names, SigningRequestInfo* info) {
  for (int i = 0; i < static_cast<int>(sk_GENERAL_NAME_num(names)); ++i) {
    int type = 0;
    const auto* const value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type));
    if (type == GEN_IPADD) {
      info->ip_addresses.push_back(AddressText(value));
      continue;
    }
    std::vector<std::string>* const list = type == GEN_DNS     ? &info->dns_names
                                           : type == GEN_URI   ? &info->uris
                                           : type == GEN_EMAIL ? &info->emails
                                                               : nullptr;
    if (list == nullptr) continue;
    list->emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                       static_cast<size_t>(ASN1_STRING_length(value)));
  }
}

// Names of kinds that a certificate may have; others are left out.
bool AddNames(X509* certificate, X509_REQ* request) {
  const NamesPtr names = NamesOf(request);
  if (names == nullptr) return true;
  const NamesPtr kept(sk_GENERAL_NAME_new_null());
  for (int i = 0; i < static_cast<int>(sk_GENERAL_NAME_num(names.get())); ++i) {
    int type = 0;
    GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    void* const value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_URI && type != GEN_EMAIL && type != GEN_IPADD) continue;
    ASN1_STRING* const copy = ASN1_STRING_dup(static_cast<const ASN1_STRING*>(value));
    if (copy == nullptr || !Push(kept.get(), type, copy)) return false;
  }
  return sk_GENERAL_NAME_num(kept.get()) == 0 ||
         X509_add1_ext_i2d(certificate, NID_subject_alt_name, kept.get(), 0, 0) == 1;
}

// Without a subject the names have to be understood (RFC 5280 4.2.1.6).
bool SetUris(X509* certificate, const std::vector<std::string>& uris) {
  const NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const std::string& uri : uris) {
    if (!PushText(names.get(), GEN_URI, uri)) return false;
  }
  const NamePtr nobody(X509_NAME_new());
  return X509_set_subject_name(certificate, nobody.get()) == 1 &&
         X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 1, 0) == 1;
}

absl::Status AddUsages(X509* certificate, const std::vector<std::string>& words) {
  uint16_t bits = 0;
  const UsagesPtr extended(EXTENDED_KEY_USAGE_new());
  for (const std::string& word : words) {
    const auto* const key = std::find_if(std::begin(kKeyUsages), std::end(kKeyUsages),
                                         [&](const auto& usage) { return word == usage.word; });
    const auto* const other = std::find_if(std::begin(kExtendedUsages), std::end(kExtendedUsages),
                                           [&](const auto& usage) { return word == usage.word; });
    if (key != std::end(kKeyUsages)) {
      bits |= key->bits;
    } else if (other != std::end(kExtendedUsages)) {
      sk_ASN1_OBJECT_push(extended.get(), OBJ_nid2obj(other->nid));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("unrecognized usage values: [\"", word, "\"]"));
    }
  }
  const unsigned char bytes[2] = {static_cast<unsigned char>(bits & 0xff),
                                  static_cast<unsigned char>(bits >> 8)};
  const StringPtr usage(ASN1_STRING_type_new(V_ASN1_BIT_STRING));
  ASN1_STRING_set(usage.get(), bytes, bytes[1] != 0 ? 2 : 1);
  usage->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 7);  // without unused bits at the end
  const bool added =
      (bits == 0 || X509_add1_ext_i2d(certificate, NID_key_usage, usage.get(), 1, 0) == 1) &&
      (sk_ASN1_OBJECT_num(extended.get()) == 0 ||
       X509_add1_ext_i2d(certificate, NID_ext_key_usage, extended.get(), 0, 0) == 1);
  return added ? absl::OkStatus() : Error("the usages can't be written");
}

bool AddConstraints(X509* certificate, X509* issuer) {
  const ConstraintsPtr constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = 0;
  const ASN1_BIT_STRING* const key = X509_get0_pubkey_bitstr(issuer);
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(ASN1_STRING_get0_data(key), static_cast<size_t>(ASN1_STRING_length(key)), digest);
  const KeyIdPtr issuer_id(AUTHORITY_KEYID_new());
  issuer_id->keyid = ASN1_STRING_type_new(V_ASN1_OCTET_STRING);
  ASN1_STRING_set(issuer_id->keyid, digest, sizeof(digest));
  return X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints.get(), 1, 0) == 1 &&
         X509_add1_ext_i2d(certificate, NID_authority_key_identifier, issuer_id.get(), 0, 0) == 1;
}

bool SetHead(X509* certificate, X509_REQ* request, X509* issuer, const SigningPolicy& policy) {
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return false;
  serial[0] &= 0x7f;  // positive
  const NumberPtr number(BN_bin2bn(serial, sizeof(serial), nullptr));
  const TimePtr before(ASN1_TIME_set(nullptr, static_cast<time_t>(policy.not_before_s)));
  const TimePtr after(ASN1_TIME_set(nullptr, static_cast<time_t>(policy.not_after_s)));
  const KeyPtr key(X509_REQ_get_pubkey(request));
  return key != nullptr && X509_set_version(certificate, 2) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr &&
         X509_set1_notBefore(certificate, before.get()) == 1 &&
         X509_set1_notAfter(certificate, after.get()) == 1 &&
         X509_set_subject_name(certificate, X509_REQ_get_subject_name(request)) == 1 &&
         X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
         X509_set_pubkey(certificate, key.get()) == 1;
}

absl::Status CheckSignature(X509_REQ* request) {
  const KeyPtr key(X509_REQ_get_pubkey(request));
  if (key == nullptr || X509_REQ_verify(request, key.get()) != 1) {
    return Error("the request is not signed with its own key");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> NewSigningRequestPem(const CertificateRequest& request,
                                                 absl::string_view private_key_pem) {
  const KeyPtr key = PrivateKeyOfPem(private_key_pem);
  if (key == nullptr) return Error("the private key can't be read");
  const NamePtr subject(X509_NAME_new());
  bool ok = true;
  for (const std::string& organization : request.organizations) {
    ok = ok && AddEntry(subject.get(), NID_organizationName, organization);
  }
  if (!request.common_name.empty()) {
    ok = ok && AddEntry(subject.get(), NID_commonName, request.common_name);
  }
  const NamesPtr names = NamesOf(request);
  if (!ok || names == nullptr) return Error("the subject can't be written");
  const RequestPtr made(X509_REQ_new());
  STACK_OF(X509_EXTENSION)* list = nullptr;
  if (sk_GENERAL_NAME_num(names.get()) > 0) {
    ok = X509V3_add1_i2d(&list, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1 &&
         X509_REQ_add_extensions(made.get(), list) == 1;
  }
  const ExtensionsPtr owner(list);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!ok || X509_REQ_set_version(made.get(), 0) != 1 ||
      X509_REQ_set_subject_name(made.get(), subject.get()) != 1 ||
      X509_REQ_set_pubkey(made.get(), key.get()) != 1 ||
      X509_REQ_sign(made.get(), key.get(), EVP_sha256()) <= 0 ||
      PEM_write_bio_X509_REQ(bio.get(), made.get()) != 1) {
    return Error("the request can't be made");
  }
  return ContentsOf(bio.get());
}

absl::StatusOr<SigningRequestInfo> ReadSigningRequestPem(absl::string_view pem) {
  const RequestPtr request = RequestOfPem(pem);
  if (request == nullptr) {
    TakeErrors();
    return absl::InvalidArgumentError("PEM block type must be CERTIFICATE REQUEST");
  }
  if (absl::Status status = CheckSignature(request.get()); !status.ok()) return status;
  SigningRequestInfo info;
  X509_NAME* const subject = X509_REQ_get_subject_name(request.get());
  // The last one is the most specific.
  for (std::string& name : EntriesOf(subject, NID_commonName)) info.common_name = std::move(name);
  info.organizations = EntriesOf(subject, NID_organizationName);
  if (const NamesPtr names = NamesOf(request.get()); names != nullptr) {
    ReadNames(names.get(), &info);
  }
  const KeyPtr key(X509_REQ_get_pubkey(request.get()));
  info.is_rsa = EVP_PKEY_id(key.get()) == EVP_PKEY_RSA;
  ERR_clear_error();
  return info;
}

absl::StatusOr<std::string> SignRequest(absl::string_view request_pem, const KeyPair& issuer,
                                        const SigningPolicy& policy) {
  const RequestPtr request = RequestOfPem(request_pem);
  if (request == nullptr) return Error("the request can't be read");
  if (absl::Status status = CheckSignature(request.get()); !status.ok()) return status;
  const X509Ptr authority = CertificateOfPem(issuer.certificate_chain_pem);
  const KeyPtr key = PrivateKeyOfPem(issuer.private_key_pem);
  if (authority == nullptr || key == nullptr) return Error("the authority can't be read");
  const X509Ptr certificate(X509_new());
  if (!SetHead(certificate.get(), request.get(), authority.get(), policy) ||
      !AddConstraints(certificate.get(), authority.get()) ||
      !(policy.uris.empty() ? AddNames(certificate.get(), request.get())
                            : SetUris(certificate.get(), policy.uris))) {
    return Error("the certificate can't be made");
  }
  if (absl::Status status = AddUsages(certificate.get(), policy.usages); !status.ok()) {
    return status;
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) <= 0 ||
      PEM_write_bio_X509(bio.get(), certificate.get()) != 1) {
    return Error("the certificate can't be signed");
  }
  return ContentsOf(bio.get());
}

bool IsCertificateOf(absl::string_view certificate_pem, absl::string_view private_key_pem) {
  const X509Ptr certificate = CertificateOfPem(certificate_pem);
  const KeyPtr key = PrivateKeyOfPem(private_key_pem);
  const bool matches = certificate != nullptr && key != nullptr &&
                       X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return matches;
}

}  // namespace meltemi::tls
