// DNS messages: queries read, answers written, answers of others read.
//
// Sans IO; thread-compatible. Source: RFC 1035 4, RFC 6891 (EDNS), RFC 2782 (SRV), RFC 2308.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/dns/wire/name.h"

namespace meltemi::dns {

inline constexpr size_t kHeaderBytes = 12, kMessageBytesMax = 65535;
inline constexpr size_t kUdpBytesDefault = 512;
// What goes over a network in one piece (DNS flag day 2020).
inline constexpr size_t kUdpBytesMax = 1232;
inline constexpr size_t kOptBytes = 11;  // an OPT record without options

enum Type : uint16_t {
  kTypeA = 1,
  kTypeNs = 2,
  kTypeCname = 5,
  kTypeSoa = 6,
  kTypePtr = 12,
  kTypeHinfo = 13,
  kTypeMx = 15,
  kTypeTxt = 16,
  kTypeAaaa = 28,
  kTypeSrv = 33,
  kTypeOpt = 41,
  kTypeIxfr = 251,
  kTypeAxfr = 252,
  kTypeAny = 255,
};
inline constexpr uint16_t kClassIn = 1;
// "A", "AAAA", …; "other" for those that are not counted one by one.
absl::string_view TypeText(uint16_t type);

enum Rcode : uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,  // EDNS' own, its upper bits are in the OPT record
};
absl::string_view RcodeText(uint8_t rcode);

enum Flag : uint16_t {
  kFlagResponse = 0x8000,
  kFlagAuthoritative = 0x0400,
  kFlagTruncated = 0x0200,
  kFlagRecursionDesired = 0x0100,
  kFlagRecursionAvailable = 0x0080,
  kFlagCheckingDisabled = 0x0010,
};

struct Query {
  uint16_t id = 0, flags = 0;
  Name name;             // canonical
  std::string question;  // as it came: the case of its letters is kept in answers
  uint16_t type = 0, klass = 0;
  bool has_edns = false, dnssec_ok = false;
  uint8_t edns_version = 0;
  size_t udp_bytes_max = kUdpBytesDefault;  // what the asker takes over UDP
};

enum class QueryRead : uint8_t {
  kOk,
  kIgnore,   // too short, or an answer: nothing is said to it
  kFormErr,  // `query` has the id at least
  kNotImp,   // an operation other than a query
};
QueryRead ReadQuery(absl::string_view message, Query* query);

// Writes one answer into memory of the caller's, at most `bytes_max` of it. What does not fit is
// dropped whole, and the answer says that it is truncated.
class AnswerWriter {
 public:
  AnswerWriter(char* out, size_t bytes_max) : out_(out), bytes_max_(bytes_max) {}

  // Header and question. `flags` beyond those that follow from the query. Room for OPT is kept.
  void Begin(const Query& query, uint8_t rcode, uint16_t flags);
  void SetRcode(uint8_t rcode) { rcode_ = rcode; }
  void SetFlags(uint16_t flags) { flags_ |= flags; }

  // Sections are written in their order.
  enum class Section : uint8_t { kAnswer, kAuthority, kAdditional };
  void SetSection(Section section) { section_ = section; }

  // `owner` empty: the question's name. Compressed with what has been written.
  void Address(absl::string_view owner, uint32_t ttl, absl::string_view bytes);  // 4: A, 16: AAAA
  void NameRecord(absl::string_view owner, uint16_t type, uint32_t ttl, absl::string_view target);
  void Srv(absl::string_view owner, uint32_t ttl, uint16_t priority, uint16_t weight, uint16_t port,
           absl::string_view target);
  void Txt(absl::string_view owner, uint32_t ttl, absl::string_view text);
  struct Soa {
    absl::string_view primary, mailbox;
    uint32_t serial, refresh, retry, expire, minimum;
  };
  void SoaRecord(absl::string_view owner, uint32_t ttl, const Soa& soa);

  bool truncated() const { return truncated_; }
  int answers() const { return counts_[0]; }
  // The whole message. A truncated one ends at the last record that fits.
  absl::string_view Finish();

 private:
  bool BeginRecord(absl::string_view owner, uint16_t type, uint32_t ttl);
  void EndRecord();
  bool Room(size_t bytes);
  void Put8(uint8_t value);
  void Put16(uint16_t value);
  void Put32(uint32_t value);
  void PutBytes(absl::string_view bytes);
  void PutName(absl::string_view name, bool compress);

  struct Known {  // a name's suffix that stands in the message
    uint16_t offset;
    uint16_t length;
  };
  static constexpr size_t kKnownMax = 48;
  const Known* FindKnown(absl::string_view name) const;

  char* const out_;
  const size_t bytes_max_;
  size_t size_ = 0, limit_ = 0;
  size_t record_at_ = 0, length_at_ = 0, known_before_ = 0;
  bool failed_ = false, truncated_ = false, has_question_ = false;
  bool has_edns_ = false, dnssec_ok_ = false;
  uint8_t rcode_ = 0;
  uint16_t flags_ = 0;
  Section section_ = Section::kAnswer;
  std::array<uint16_t, 3> counts_{};
  std::array<Known, kKnownMax> known_;
  size_t known_count_ = 0;
};

// A query of ours to another server, with an OPT record unless `edns` is false.
std::string WriteQuery(uint16_t id, absl::string_view name, uint16_t type, uint16_t klass,
                       uint16_t flags, bool edns, bool dnssec_ok);

// What there is to know of somebody's answer.
struct AnswerInfo {
  uint16_t id = 0, flags = 0;
  uint8_t rcode = 0;
  Name name;
  uint16_t type = 0, klass = 0;
  size_t question_end = 0;
  int answers = 0;
  uint32_t ttl_min = 0;               // of all records but OPT; 0 when there is none
  bool has_soa = false;               // in the authority section, of a negative answer
  uint32_t negative_ttl = 0;          // by it: the smaller of its TTL and its minimum
  std::vector<uint16_t> ttl_offsets;  // of all records but OPT
  size_t opt_offset = 0;              // 0: none. Only one that ends the message
};
// False: it is broken.
bool ReadAnswer(absl::string_view message, AnswerInfo* info);

// The A, AAAA and CNAME records of an answer's answer section, written into another answer. The
// message has been read before.
void CopyAnswers(absl::string_view message, const AnswerInfo& info, AnswerWriter* writer);

}  // namespace meltemi::dns
