#include "base/tls/certificate.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include <arpa/inet.h>

#include <ctime>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/net/address.h"
#include "base/tls/certificate_info.h"
#include "base/tls/handles.h"

namespace meltemi::tls {
namespace {

using TimePtr = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
using NamePtr = std::unique_ptr<X509_NAME, FreeWith<X509_NAME_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using SignaturePtr = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;
using StringPtr = std::unique_ptr<ASN1_STRING, FreeWith<ASN1_STRING_free>>;
using ConstraintsPtr = std::unique_ptr<BASIC_CONSTRAINTS, FreeWith<BASIC_CONSTRAINTS_free>>;
using UsagesPtr = std::unique_ptr<EXTENDED_KEY_USAGE, FreeWith<EXTENDED_KEY_USAGE_free>>;
using KeyIdPtr = std::unique_ptr<AUTHORITY_KEYID, FreeWith<AUTHORITY_KEYID_free>>;

constexpr size_t kP256Bytes = 32;
// Bits of keyUsage (RFC 5280 4.2.1.3), as they stand in the first byte.
constexpr uint8_t kDigitalSignature = 0x80, kKeyEncipherment = 0x20, kCertSign = 0x04,
                  kCrlSign = 0x02;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

absl::Status Error(absl::string_view what) {
  const std::string words = TakeErrors();
  return absl::InvalidArgumentError(absl::StrCat(what, words.empty() ? "" : ": ", words));
}

// i2d_* of any kind as a string; "" on failure.
template <typename Encode, typename T>
std::string Der(Encode encode, T* object) {
  unsigned char* bytes = nullptr;
  const int length = encode(object, &bytes);
  if (length <= 0) return "";
  std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(length));
  OPENSSL_free(bytes);
  return der;
}

std::string ContentsOf(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return length <= 0 ? std::string() : std::string(data, static_cast<size_t>(length));
}

KeyPtr NewKey(KeyKind kind) {
  const bool rsa = kind == KeyKind::kRsa2048;
  const KeyContextPtr context(EVP_PKEY_CTX_new_id(rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_keygen_init(context.get()) != 1) return nullptr;
  const int set = rsa ? EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), 2048)
                      : EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), NID_X9_62_prime256v1);
  if (set != 1 || EVP_PKEY_keygen(context.get(), &key) != 1) return nullptr;
  return KeyPtr(key);
}

absl::StatusOr<std::string> KeyPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Error("the private key can't be written");
  }
  return ContentsOf(bio.get());
}

// A public key, that of a private key, or that of a certificate.
KeyPtr AnyKeyOfPem(absl::string_view pem) {
  KeyPtr key(PEM_read_bio_PUBKEY(BioOf(pem).get(), nullptr, nullptr, nullptr));
  if (key == nullptr) key = PrivateKeyOfPem(pem);
  if (key == nullptr) {
    if (const X509Ptr certificate = CertificateOfPem(pem); certificate != nullptr) {
      key.reset(X509_get_pubkey(certificate.get()));
    }
  }
  if (key != nullptr) ERR_clear_error();
  return key;
}

// ---- Making certificates ------------------------------------------------------------------------

NamePtr SubjectOf(const CertificateRequest& request) {
  NamePtr name(X509_NAME_new());
  const auto add = [&name](int nid, const std::string& text) {
    return X509_NAME_add_entry_by_NID(name.get(), nid, MBSTRING_UTF8, Bytes(text),
                                      static_cast<int>(text.size()), -1, 0) == 1;
  };
  bool ok = true;
  for (const std::string& organization : request.organizations) {
    ok = ok && add(NID_organizationName, organization);
  }
  if (!request.common_name.empty()) ok = ok && add(NID_commonName, request.common_name);
  return ok ? std::move(name) : nullptr;
}

bool AddText(GENERAL_NAMES* names, int type, const std::string& text) {
  ASN1_IA5STRING* const string = ASN1_IA5STRING_new();
  GENERAL_NAME* const name = GENERAL_NAME_new();
  ASN1_STRING_set(string, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name, type, string);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

bool AddAddress(GENERAL_NAMES* names, const std::string& text) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(text.c_str());
  if (address == nullptr) return false;
  GENERAL_NAME* const name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_IPADD, address);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

absl::Status AddNames(X509* certificate, const CertificateRequest& request) {
  const NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const std::string& name : request.dns_names) {
    if (!AddText(names.get(), GEN_DNS, name)) return Error(name);
  }
  for (const std::string& address : request.ip_addresses) {
    if (!AddAddress(names.get(), address)) {
      return Error(absl::StrCat("\"", address, "\" is no IP address"));
    }
  }
  for (const std::string& uri : request.uris) {
    if (!AddText(names.get(), GEN_URI, uri)) return Error(uri);
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return absl::OkStatus();
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) != 1) {
    return Error("subjectAltName");
  }
  return absl::OkStatus();
}

// SHA-1 of the subject's public key (RFC 5280 4.2.1.2, method 1).
std::string KeyIdOf(X509* certificate) {
  const ASN1_BIT_STRING* const key = X509_get0_pubkey_bitstr(certificate);
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(ASN1_STRING_get0_data(key), static_cast<size_t>(ASN1_STRING_length(key)), digest);
  return std::string(reinterpret_cast<char*>(digest), sizeof(digest));
}

StringPtr OctetString(absl::string_view bytes) {
  StringPtr string(ASN1_STRING_type_new(V_ASN1_OCTET_STRING));
  ASN1_STRING_set(string.get(), bytes.data(), static_cast<int>(bytes.size()));
  return string;
}

bool AddKeyUsage(X509* certificate, const CertificateRequest& request, EVP_PKEY* key) {
  uint8_t bits = kDigitalSignature;
  if (EVP_PKEY_id(key) == EVP_PKEY_RSA) bits |= kKeyEncipherment;
  if (request.is_ca) bits |= kCertSign | kCrlSign;
  const StringPtr usage(ASN1_STRING_type_new(V_ASN1_BIT_STRING));
  ASN1_STRING_set(usage.get(), &bits, 1);
  usage->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 7);  // without unused bits at the end
  return X509_add1_ext_i2d(certificate, NID_key_usage, usage.get(), 1, 0) == 1;
}

bool AddExtendedKeyUsage(X509* certificate, const CertificateRequest& request) {
  if (!request.server_auth && !request.client_auth) return true;
  const UsagesPtr usages(EXTENDED_KEY_USAGE_new());
  if (request.server_auth) sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(NID_server_auth));
  if (request.client_auth) sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(NID_client_auth));
  return X509_add1_ext_i2d(certificate, NID_ext_key_usage, usages.get(), 0, 0) == 1;
}

bool AddExtensions(X509* certificate, const CertificateRequest& request, EVP_PKEY* key,
                   X509* issuer) {
  const ConstraintsPtr constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = request.is_ca ? 0xff : 0;
  const KeyIdPtr issuer_id(AUTHORITY_KEYID_new());
  issuer_id->keyid = OctetString(KeyIdOf(issuer)).release();
  return X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints.get(), 1, 0) == 1 &&
         AddKeyUsage(certificate, request, key) && AddExtendedKeyUsage(certificate, request) &&
         X509_add1_ext_i2d(certificate, NID_subject_key_identifier,
                           OctetString(KeyIdOf(certificate)).get(), 0, 0) == 1 &&
         X509_add1_ext_i2d(certificate, NID_authority_key_identifier, issuer_id.get(), 0, 0) == 1;
}

bool SetSerialNumber(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return false;
  bytes[0] &= 0x7f;  // positive
  const NumberPtr number(BN_bin2bn(bytes, sizeof(bytes), nullptr));
  return BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool SetTimes(X509* certificate, const CertificateRequest& request) {
  const TimePtr before(ASN1_TIME_set(nullptr, static_cast<time_t>(request.not_before_s)));
  const TimePtr after(ASN1_TIME_set(nullptr, static_cast<time_t>(request.not_after_s)));
  return before != nullptr && after != nullptr &&
         X509_set1_notBefore(certificate, before.get()) == 1 &&
         X509_set1_notAfter(certificate, after.get()) == 1;
}

absl::StatusOr<X509Ptr> Issue(const CertificateRequest& request, EVP_PKEY* key, X509* issuer,
                              EVP_PKEY* issuer_key) {
  X509Ptr certificate(X509_new());
  const NamePtr subject = SubjectOf(request);
  if (subject == nullptr) return Error("the subject can't be written");
  if (issuer == nullptr) issuer = certificate.get();
  // The subject comes first: it may be the issuer's as well.
  if (X509_set_version(certificate.get(), 2) != 1 || !SetSerialNumber(certificate.get()) ||
      !SetTimes(certificate.get(), request) ||
      X509_set_subject_name(certificate.get(), subject.get()) != 1 ||
      X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1 ||
      !AddExtensions(certificate.get(), request, key, issuer)) {
    return Error("the certificate can't be made");
  }
  if (absl::Status status = AddNames(certificate.get(), request); !status.ok()) return status;
  if (X509_sign(certificate.get(), issuer_key, EVP_sha256()) <= 0) {
    return Error("the certificate can't be signed");
  }
  return certificate;
}

// ---- Reading certificates -----------------------------------------------------------------------

std::string TextOf(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, string);
  if (length < 0) {
    ERR_clear_error();
    return "";
  }
  std::string text(reinterpret_cast<char*>(utf8), static_cast<size_t>(length));
  OPENSSL_free(utf8);
  return text;
}

std::string BytesOf(const ASN1_STRING* string) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                     static_cast<size_t>(ASN1_STRING_length(string)));
}

std::vector<std::string> EntriesOf(X509_NAME* name, int nid) {
  std::vector<std::string> texts;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;) {
    texts.push_back(TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
  }
  return texts;
}

std::string AddressText(absl::string_view bytes) {
  sockaddr_storage storage{};
  if (bytes.size() == 4) {
    auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
    v4->sin_family = AF_INET;
    bytes.copy(reinterpret_cast<char*>(&v4->sin_addr), 4);
  } else if (bytes.size() == 16) {
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    v6->sin6_family = AF_INET6;
    bytes.copy(reinterpret_cast<char*>(&v6->sin6_addr), 16);
  } else {
    return "";
  }
  char text[INET6_ADDRSTRLEN];
  const void* const at =
      bytes.size() == 4
          ? static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(&storage)->sin_addr)
          : static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr);
  return inet_ntop(storage.ss_family, at, text, sizeof(text)) == nullptr ? "" : text;
}

// RFC 2253, as Envoy writes it.
std::string NameText(X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "";
  return ContentsOf(bio.get());
}

std::string SerialHex(X509* certificate) {
  const NumberPtr number(ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), nullptr));
  if (number == nullptr) return "";
  char* hex = BN_bn2hex(number.get());
  if (hex == nullptr) return "";
  std::string text = absl::AsciiStrToLower(hex);
  OPENSSL_free(hex);
  return text;
}

absl::StatusOr<int64_t> UnixTime(const ASN1_TIME* time) {
  const TimePtr epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, rest = 0;
  if (ASN1_TIME_diff(&days, &rest, epoch.get(), time) != 1) return Error("a time can't be read");
  return int64_t{days} * 86400 + rest;
}

// ---- Signatures ---------------------------------------------------------------------------------

// DER to the fixed length of JWS (RFC 7518 3.4), and back.
std::string RawSignature(const std::string& der) {
  const unsigned char* at = Bytes(der);
  const SignaturePtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (signature == nullptr) return "";
  const BIGNUM *r = nullptr, *s = nullptr;
  ECDSA_SIG_get0(signature.get(), &r, &s);
  unsigned char raw[2 * kP256Bytes];
  if (BN_bn2binpad(r, raw, kP256Bytes) < 0 || BN_bn2binpad(s, raw + kP256Bytes, kP256Bytes) < 0) {
    return "";
  }
  return std::string(reinterpret_cast<char*>(raw), sizeof(raw));
}

std::string DerSignature(absl::string_view raw) {
  if (raw.size() != 2 * kP256Bytes) return "";
  const SignaturePtr signature(ECDSA_SIG_new());
  // The signature takes both over.
  if (ECDSA_SIG_set0(signature.get(), BN_bin2bn(Bytes(raw), kP256Bytes, nullptr),
                     BN_bin2bn(Bytes(raw) + kP256Bytes, kP256Bytes, nullptr)) != 1) {
    return "";
  }
  return Der(i2d_ECDSA_SIG, signature.get());
}

// RSA of any size that is still safe, and the curve P-256.
bool IsSupported(EVP_PKEY* key) {
  if (EVP_PKEY_id(key) == EVP_PKEY_RSA) return EVP_PKEY_bits(key) >= 2048;
  return EVP_PKEY_id(key) == EVP_PKEY_EC && EVP_PKEY_bits(key) == 256;
}

// The contents of the DER element of `tag` at the front of `*der`, which is moved behind it.
absl::string_view TakeDer(uint8_t tag, absl::string_view* der) {
  const auto byte = [der](size_t at) { return static_cast<uint8_t>((*der)[at]); };
  if (der->size() < 2 || byte(0) != tag) return "";
  size_t length = byte(1), head = 2;
  if (length >= 0x80) {
    const size_t digits = length & 0x7f;
    if (digits > 3 || der->size() < 2 + digits) return "";
    length = 0;
    for (size_t i = 0; i < digits; ++i) length = length << 8 | byte(2 + i);
    head += digits;
  }
  if (der->size() < head + length) return "";
  const absl::string_view contents = der->substr(head, length);
  der->remove_prefix(head + length);
  return contents;
}

}  // namespace

SubjectNames SubjectNamesOf(X509* certificate) {
  SubjectNames result;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) {
    ERR_clear_error();
    return result;
  }
  for (size_t i = 0; i < static_cast<size_t>(sk_GENERAL_NAME_num(names.get())); ++i) {
    int type = 0;
    const void* const value =
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), static_cast<int>(i)), &type);
    const auto* const string = static_cast<const ASN1_STRING*>(value);
    if (type == GEN_DNS) result.dns_names.push_back(BytesOf(string));
    if (type == GEN_URI) result.uris.push_back(BytesOf(string));
    if (type == GEN_IPADD) result.ip_addresses.push_back(AddressText(BytesOf(string)));
    if (type == GEN_EMAIL) result.emails.push_back(BytesOf(string));
  }
  return result;
}

absl::StatusOr<CertificateInfo> CertificateInfoOf(X509* certificate) {
  CertificateInfo info;
  X509_NAME* const subject = X509_get_subject_name(certificate);
  // The last one is the most specific.
  for (std::string& name : EntriesOf(subject, NID_commonName)) info.common_name = std::move(name);
  info.organizations = EntriesOf(subject, NID_organizationName);
  SubjectNames names = SubjectNamesOf(certificate);
  info.dns_names = std::move(names.dns_names);
  info.ip_addresses = std::move(names.ip_addresses);
  info.uris = std::move(names.uris);
  info.subject = NameText(subject);
  info.issuer = NameText(X509_get_issuer_name(certificate));
  info.serial_hex = SerialHex(certificate);
  const auto before = UnixTime(X509_get0_notBefore(certificate));
  const auto after = UnixTime(X509_get0_notAfter(certificate));
  if (!before.ok()) return before.status();
  if (!after.ok()) return after.status();
  info.not_before_s = *before;
  info.not_after_s = *after;
  const ConstraintsPtr constraints(static_cast<BASIC_CONSTRAINTS*>(
      X509_get_ext_d2i(certificate, NID_basic_constraints, nullptr, nullptr)));
  info.is_ca = constraints != nullptr && constraints->ca != 0;
  info.sha256_hex = absl::BytesToHexString(Sha256(Der(i2d_X509, certificate)));
  ERR_clear_error();
  return info;
}

std::string PemOf(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) {
    ERR_clear_error();
    return "";
  }
  return ContentsOf(bio.get());
}

absl::StatusOr<std::string> NewPrivateKeyPem(KeyKind kind) {
  const KeyPtr key = NewKey(kind);
  if (key == nullptr) return Error("no private key can be made");
  return KeyPem(key.get());
}

absl::StatusOr<KeyPair> NewCertificate(const CertificateRequest& request, const KeyPair& issuer,
                                       KeyKind kind) {
  const KeyPtr key = NewKey(kind);
  if (key == nullptr) return Error("no private key can be made");
  X509Ptr issuer_certificate;
  KeyPtr issuer_key;
  const bool self_signed = issuer.private_key_pem.empty();
  if (!self_signed) {
    issuer_certificate = CertificateOfPem(issuer.certificate_chain_pem);
    if (issuer_certificate == nullptr) return Error("the issuer's certificate can't be read");
    issuer_key = PrivateKeyOfPem(issuer.private_key_pem);
    if (issuer_key == nullptr) return Error("the issuer's private key can't be read");
    if (X509_check_private_key(issuer_certificate.get(), issuer_key.get()) != 1) {
      return Error("the issuer's private key is not that of its certificate");
    }
  }
  auto certificate = Issue(request, key.get(), issuer_certificate.get(),
                           self_signed ? key.get() : issuer_key.get());
  if (!certificate.ok()) return certificate.status();
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate->get()) != 1) {
    return Error("the certificate can't be written");
  }
  auto key_pem = KeyPem(key.get());
  if (!key_pem.ok()) return key_pem.status();
  return KeyPair{ContentsOf(bio.get()), *std::move(key_pem)};
}

absl::StatusOr<CertificateInfo> ReadCertificatePem(absl::string_view pem) {
  const X509Ptr certificate = CertificateOfPem(pem);
  if (certificate == nullptr) return Error("the certificate can't be read");
  return CertificateInfoOf(certificate.get());
}

absl::StatusOr<CertificateInfo> ReadCertificateDer(absl::string_view der) {
  const unsigned char* at = Bytes(der);
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr || at != Bytes(der) + der.size()) {
    return Error("the certificate can't be read");
  }
  return CertificateInfoOf(certificate.get());
}

absl::StatusOr<PublicKey> ReadPublicKeyPem(absl::string_view pem) {
  const KeyPtr key = AnyKeyOfPem(pem);
  if (key == nullptr) return Error("the key can't be read");
  if (!IsSupported(key.get())) {
    return absl::InvalidArgumentError("the key is neither RSA of 2048 bits or more nor P-256");
  }
  PublicKey out;
  out.der = Der(i2d_PUBKEY, key.get());
  const std::string numbers = Der(i2d_PublicKey, key.get());
  if (EVP_PKEY_id(key.get()) == EVP_PKEY_EC) {
    // 0x04, x, y.
    if (numbers.size() != 1 + 2 * kP256Bytes) return Error("the key's point is compressed");
    out.x = numbers.substr(1, kP256Bytes);
    out.y = numbers.substr(1 + kP256Bytes);
    return out;
  }
  out.kind = KeyKind::kRsa2048;
  absl::string_view rest = numbers;
  rest = TakeDer(0x30, &rest);
  for (std::string* number : {&out.modulus, &out.exponent}) {
    absl::string_view digits = TakeDer(0x02, &rest);
    while (!digits.empty() && digits.front() == '\0') digits.remove_prefix(1);
    *number = std::string(digits);
  }
  return out;
}

absl::StatusOr<std::string> Sign(absl::string_view private_key_pem, absl::string_view data) {
  const KeyPtr key = PrivateKeyOfPem(private_key_pem);
  if (key == nullptr) return Error("the private key can't be read");
  if (!IsSupported(key.get())) {
    return absl::InvalidArgumentError("the key is neither RSA of 2048 bits or more nor P-256");
  }
  const DigestContextPtr context(EVP_MD_CTX_new());
  size_t length = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, Bytes(data), data.size()) != 1) {
    return Error("the key can't sign");
  }
  std::string signature(length, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                     Bytes(data), data.size()) != 1) {
    return Error("the key can't sign");
  }
  signature.resize(length);
  if (EVP_PKEY_id(key.get()) == EVP_PKEY_RSA) return signature;
  return RawSignature(signature);
}

bool Verify(absl::string_view key_pem, absl::string_view data, absl::string_view signature) {
  const KeyPtr key = AnyKeyOfPem(key_pem);
  if (key == nullptr || !IsSupported(key.get())) {
    ERR_clear_error();
    return false;
  }
  std::string der(signature);
  if (EVP_PKEY_id(key.get()) == EVP_PKEY_EC) der = DerSignature(signature);
  const DigestContextPtr context(EVP_MD_CTX_new());
  const bool good =
      !der.empty() &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), Bytes(der), der.size(), Bytes(data), data.size()) == 1;
  ERR_clear_error();
  return good;
}

std::string Sha256(absl::string_view data) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(Bytes(data), data.size(), reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace meltemi::tls
