#include "orchestrator/apiserver/authn/signing_keys.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/tls/certificate.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr size_t kTokenBytesMax = 64 * 1024;
constexpr json::ParseLimits kTokenLimits = {
    .size_bytes_max = kTokenBytesMax, .depth_max = 16, .values_max = 4096};

template <auto free_function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, Free<BN_free>>;
using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using DecoderPtr = std::unique_ptr<OSSL_DECODER_CTX, Free<OSSL_DECODER_CTX_free>>;

struct Key {
  std::string public_pem, key_id, algorithm;
  Value jwk;
};

BioPtr BioOf(absl::string_view pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Reads a private key, a public one in either notation, or that of a certificate.
KeyPtr ReadKey(absl::string_view pem) {
  if (absl::StrContains(pem, "BEGIN CERTIFICATE")) {
    const X509Ptr certificate(PEM_read_bio_X509(BioOf(pem).get(), nullptr, nullptr, nullptr));
    return KeyPtr(certificate == nullptr ? nullptr : X509_get_pubkey(certificate.get()));
  }
  EVP_PKEY* key = nullptr;
  const DecoderPtr decoder(
      OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", nullptr, nullptr, 0, nullptr, nullptr));
  if (decoder == nullptr) return nullptr;
  // Never asks on the terminal for the pass phrase of an encrypted key.
  OSSL_DECODER_CTX_set_passphrase(decoder.get(), reinterpret_cast<const unsigned char*>(""), 0);
  (void)OSSL_DECODER_from_bio(decoder.get(), BioOf(pem).get());
  return KeyPtr(key);
}

std::string Number(const EVP_PKEY* key, const char* parameter, int bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, parameter, &raw) != 1) return "";
  const BignumPtr number(raw);
  std::string out(bytes > 0 ? bytes : BN_num_bytes(number.get()), '\0');
  BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(out.data()),
               static_cast<int>(out.size()));
  return absl::WebSafeBase64Escape(out);
}

bool FillJwk(const EVP_PKEY* key, Key& out) {
  const bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
  char curve[32] = "";
  if (!rsa) {
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
    EVP_PKEY_get_group_name(key, curve, sizeof(curve), nullptr);
    if (absl::string_view(curve) != "prime256v1") return false;
  }
  out.algorithm = rsa ? "RS256" : "ES256";
  out.jwk = Value::Object();
  out.jwk.Add("use", Value::String("sig"));
  out.jwk.Add("kty", Value::String(rsa ? "RSA" : "EC"));
  out.jwk.Add("kid", Value::String(out.key_id));
  if (!rsa) out.jwk.Add("crv", Value::String("P-256"));
  out.jwk.Add("alg", Value::String(out.algorithm));
  if (rsa) {
    out.jwk.Add("n", Value::String(Number(key, OSSL_PKEY_PARAM_RSA_N, 0)));
    out.jwk.Add("e", Value::String(Number(key, OSSL_PKEY_PARAM_RSA_E, 0)));
  } else {
    out.jwk.Add("x", Value::String(Number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32)));
    out.jwk.Add("y", Value::String(Number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32)));
  }
  return true;
}

absl::StatusOr<Key> KeyOf(absl::string_view pem) {
  const KeyPtr key = ReadKey(pem);
  if (key == nullptr) return absl::InvalidArgumentError("not a key in PEM form");
  unsigned char* der = nullptr;
  const int der_bytes = i2d_PUBKEY(key.get(), &der);
  if (der_bytes <= 0) return absl::InvalidArgumentError("a key without a public half");
  const std::string spki(reinterpret_cast<const char*>(der), der_bytes);
  OPENSSL_free(der);
  Key out;
  out.key_id = absl::WebSafeBase64Escape(tls::Sha256(spki));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key.get());
  char* text = nullptr;
  const auto text_bytes = BIO_get_mem_data(bio.get(), &text);
  out.public_pem.assign(text, text_bytes);
  if (!FillJwk(key.get(), out)) {
    return absl::InvalidArgumentError(
        "a service account key has to be RSA or of the elliptic curve P-256");
  }
  return out;
}

class KeysImpl final : public SigningKeys {
 public:
  KeysImpl(std::string private_pem, std::vector<Key> keys)
      : private_pem_(std::move(private_pem)), keys_(std::move(keys)) {
    Value header = Value::Object();
    header.Add("alg", Value::String(keys_[0].algorithm));
    header.Add("kid", Value::String(keys_[0].key_id));
    header_ = absl::WebSafeBase64Escape(json::ToString(header));
  }

  absl::StatusOr<std::string> Sign(absl::string_view payload_json) const override {
    const std::string signed_part =
        absl::StrCat(header_, ".", absl::WebSafeBase64Escape(payload_json));
    const absl::StatusOr<std::string> signature = tls::Sign(private_pem_, signed_part);
    if (!signature.ok()) return signature.status();
    return absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(*signature));
  }

  absl::Status Verify(const CompactJws& jws) const override {
    bool found = false;
    for (const Key& key : keys_) {
      if (!jws.key_id.empty() && jws.key_id != key.key_id) continue;
      found = true;
      // The key decides which algorithm is right, never the token ("none", HS256 with the public
      // key as the secret).
      if (jws.algorithm != key.algorithm) continue;
      if (tls::Verify(key.public_pem, jws.signed_part, jws.signature)) return absl::OkStatus();
    }
    return absl::UnauthenticatedError(found ? "go-jose/go-jose: error in cryptographic primitive"
                                            : "invalid signature, no keys found");
  }

  std::string KeySetJson() const override {
    Value set = Value::Object();
    Value& list = set.Add("keys", Value::Array());
    for (const Key& key : keys_) list.Append(key.jwk);
    return json::ToString(set);
  }

  std::vector<std::string> Algorithms() const override {
    std::vector<std::string> out;
    for (const Key& key : keys_) out.push_back(key.algorithm);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

 private:
  const std::string private_pem_;
  const std::vector<Key> keys_;  // the signing one first
  std::string header_;
};

absl::StatusOr<std::string> DecodePart(absl::string_view part, absl::string_view what) {
  std::string out;
  const bool alphabet = std::all_of(part.begin(), part.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
  if (!alphabet || !absl::WebSafeBase64Unescape(part, &out)) {
    return absl::InvalidArgumentError(absl::StrCat("the token's ", what, " is not base64url"));
  }
  return out;
}

absl::StatusOr<Value> DecodeJson(absl::string_view part, absl::string_view what) {
  const absl::StatusOr<std::string> text = DecodePart(part, what);
  if (!text.ok()) return text.status();
  absl::StatusOr<Value> value = json::Parse(*text, kTokenLimits);
  if (!value.ok() || !value->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("the token's ", what, " is not a JSON object"));
  }
  return value;
}

}  // namespace

absl::StatusOr<CompactJws> ParseCompactJws(absl::string_view token) {
  if (token.size() > kTokenBytesMax) return absl::InvalidArgumentError("the token is too long");
  const std::vector<absl::string_view> parts = absl::StrSplit(token, absl::MaxSplits('.', 3));
  if (parts.size() != 3) return absl::InvalidArgumentError("the token has not three parts");
  const absl::StatusOr<Value> header = DecodeJson(parts[0], "header");
  if (!header.ok()) return header.status();
  absl::StatusOr<Value> payload = DecodeJson(parts[1], "payload");
  if (!payload.ok()) return payload.status();
  absl::StatusOr<std::string> signature = DecodePart(parts[2], "signature");
  if (!signature.ok()) return signature.status();
  // RFC 7515 4.1.11: extensions that are not understood make the token invalid.
  if (header->Find("crit") != nullptr) {
    return absl::InvalidArgumentError("the token has critical extensions");
  }
  CompactJws out;
  out.algorithm = std::string(header->FindString("alg"));
  out.key_id = std::string(header->FindString("kid"));
  out.payload = *std::move(payload);
  out.signed_part = std::string(token.substr(0, parts[0].size() + 1 + parts[1].size()));
  out.signature = *std::move(signature);
  return out;
}

absl::StatusOr<std::shared_ptr<const SigningKeys>> NewSigningKeys(
    absl::string_view signing_key_pem, const std::vector<std::string>& more_pems) {
  std::vector<Key> keys;
  absl::StatusOr<Key> signing = KeyOf(signing_key_pem);
  if (!signing.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the service account signing key: ", signing.status().message()));
  }
  keys.push_back(*std::move(signing));
  for (const std::string& pem : more_pems) {
    absl::StatusOr<Key> key = KeyOf(pem);
    if (!key.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a service account verification key: ", key.status().message()));
    }
    const bool known = std::any_of(keys.begin(), keys.end(),
                                   [&](const Key& k) { return k.key_id == key->key_id; });
    if (!known) keys.push_back(*std::move(key));
  }
  // A signature now rather than an error with the first token.
  absl::StatusOr<std::string> trial = tls::Sign(signing_key_pem, "trial");
  if (!trial.ok() || !tls::Verify(keys[0].public_pem, "trial", *trial)) {
    return absl::InvalidArgumentError(
        "the service account signing key can't sign: is it a private key without a pass phrase?");
  }
  return std::shared_ptr<const SigningKeys>(
      std::make_shared<KeysImpl>(std::string(signing_key_pem), std::move(keys)));
}

}  // namespace meltemi::apiserver
