#include "orchestrator/dns/wire/message.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"

namespace meltemi::dns {
namespace {

constexpr uint16_t kOpcodeMask = 0x7800, kRcodeMask = 0x000F;
constexpr uint16_t kPointer = 0xC000;
constexpr size_t kOffsetMax = 0x3FFF;   // what a pointer can say
constexpr uint16_t kDnssecOk = 0x8000;  // of the OPT record's TTL, lower half
constexpr int kRecordsMax = 4000;       // more do not fit into a message

uint16_t Get16(absl::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 |
                               static_cast<uint8_t>(bytes[at + 1]));
}

uint32_t Get32(absl::string_view bytes, size_t at) {
  return static_cast<uint32_t>(Get16(bytes, at)) << 16 | Get16(bytes, at + 2);
}

struct RecordHead {
  size_t owner = 0;
  uint16_t type = 0, klass = 0;
  size_t ttl_at = 0;
  uint32_t ttl = 0;
  size_t data = 0, data_bytes = 0;
};

bool ReadRecord(absl::string_view message, size_t* at, RecordHead* record) {
  record->owner = *at;
  if (!SkipName(message, at) || message.size() - *at < 10) return false;
  record->type = Get16(message, *at);
  record->klass = Get16(message, *at + 2);
  record->ttl_at = *at + 4;
  record->ttl = Get32(message, *at + 4);
  record->data_bytes = Get16(message, *at + 8);
  record->data = *at + 10;
  if (message.size() - record->data < record->data_bytes) return false;
  *at = record->data + record->data_bytes;
  return true;
}

// The OPT record, wherever it is behind the question. False: a record is broken, or there are two.
bool ReadEdns(absl::string_view message, size_t at, int records, Query* query) {
  for (int i = 0; i < records; ++i) {
    RecordHead record;
    if (!ReadRecord(message, &at, &record)) return false;
    if (record.type != kTypeOpt) continue;
    if (query->has_edns || message[record.owner] != '\0') return false;
    query->has_edns = true;
    query->udp_bytes_max = std::clamp<size_t>(record.klass, kUdpBytesDefault, kUdpBytesMax);
    query->edns_version = static_cast<uint8_t>(record.ttl >> 16);
    query->dnssec_ok = (record.ttl & kDnssecOk) != 0;
  }
  return true;
}

// The TTL for which there is nothing, by the authority's SOA record: RFC 2308, 5.
bool ReadSoaMinimum(absl::string_view message, const RecordHead& record, uint32_t* ttl) {
  size_t at = record.data;
  const size_t end = record.data + record.data_bytes;
  if (!SkipName(message, &at) || !SkipName(message, &at)) return false;
  if (at > end || end - at < 20) return false;
  *ttl = std::min(record.ttl, Get32(message, at + 16));
  return true;
}

// Names in records are canonical in the writer's input; in the message they may be as the asker
// wrote them.
bool SameLetters(const char* a, absl::string_view b) {
  for (size_t i = 0; i < b.size(); ++i) {
    if (absl::ascii_tolower(a[i]) != absl::ascii_tolower(b[i])) return false;
  }
  return true;
}

}  // namespace

absl::string_view TypeText(uint16_t type) {
  switch (type) {
    case kTypeA:
      return "A";
    case kTypeNs:
      return "NS";
    case kTypeCname:
      return "CNAME";
    case kTypeSoa:
      return "SOA";
    case kTypePtr:
      return "PTR";
    case kTypeMx:
      return "MX";
    case kTypeTxt:
      return "TXT";
    case kTypeAaaa:
      return "AAAA";
    case kTypeSrv:
      return "SRV";
    case kTypeAny:
      return "ANY";
    default:
      return "other";
  }
}

absl::string_view RcodeText(uint8_t rcode) {
  switch (rcode) {
    case kNoError:
      return "NOERROR";
    case kFormErr:
      return "FORMERR";
    case kServFail:
      return "SERVFAIL";
    case kNxDomain:
      return "NXDOMAIN";
    case kNotImp:
      return "NOTIMP";
    case kRefused:
      return "REFUSED";
    case kBadVers:
      return "BADVERS";
    default:
      return "other";
  }
}

QueryRead ReadQuery(absl::string_view message, Query* query) {
  if (message.size() < kHeaderBytes) return QueryRead::kIgnore;
  query->id = Get16(message, 0);
  query->flags = Get16(message, 2);
  query->question.clear();
  query->has_edns = query->dnssec_ok = false;
  query->udp_bytes_max = kUdpBytesDefault;
  query->edns_version = 0;
  if ((query->flags & kFlagResponse) != 0) return QueryRead::kIgnore;
  if ((query->flags & kOpcodeMask) != 0) return QueryRead::kNotImp;
  if (Get16(message, 4) != 1) return QueryRead::kFormErr;
  size_t at = kHeaderBytes;
  if (!ReadName(message, &at, &query->name) || message.size() - at < 4) return QueryRead::kFormErr;
  // A question that points elsewhere has nowhere to point to.
  if (at - kHeaderBytes != query->name.size()) return QueryRead::kFormErr;
  query->type = Get16(message, at);
  query->klass = Get16(message, at + 2);
  at += 4;
  query->question.assign(message.data() + kHeaderBytes, at - kHeaderBytes);
  const int records = Get16(message, 6) + Get16(message, 8) + Get16(message, 10);
  if (records > kRecordsMax || !ReadEdns(message, at, records, query)) return QueryRead::kFormErr;
  return QueryRead::kOk;
}

void AnswerWriter::Begin(const Query& query, uint8_t rcode, uint16_t flags) {
  rcode_ = rcode;
  has_edns_ = query.has_edns;
  dnssec_ok_ = query.dnssec_ok;
  flags_ = static_cast<uint16_t>(
      kFlagResponse | flags | kFlagRecursionAvailable |
      (query.flags & (kOpcodeMask | kFlagRecursionDesired | kFlagCheckingDisabled)));
  limit_ = bytes_max_ - (has_edns_ ? kOptBytes : 0);
  Put16(query.id);
  for (int i = 0; i < 5; ++i) Put16(0);  // put right by Finish
  PutBytes(query.question);
  has_question_ = !query.question.empty();
  if (!has_question_) return;
  // The question's name and its ends can be pointed to.
  for (size_t at = 0; at < query.name.size() && query.name[at] != '\0' && known_count_ < kKnownMax;
       at += 1 + static_cast<size_t>(static_cast<uint8_t>(query.name[at]))) {
    known_[known_count_++] = {static_cast<uint16_t>(kHeaderBytes + at),
                              static_cast<uint16_t>(query.name.size() - at)};
  }
}

bool AnswerWriter::Room(size_t bytes) {
  if (failed_ || limit_ - size_ < bytes) failed_ = true;
  return !failed_;
}

void AnswerWriter::Put8(uint8_t value) {
  if (Room(1)) out_[size_++] = static_cast<char>(value);
}

void AnswerWriter::Put16(uint16_t value) {
  if (!Room(2)) return;
  out_[size_++] = static_cast<char>(value >> 8);
  out_[size_++] = static_cast<char>(value);
}

void AnswerWriter::Put32(uint32_t value) {
  Put16(static_cast<uint16_t>(value >> 16));
  Put16(static_cast<uint16_t>(value));
}

void AnswerWriter::PutBytes(absl::string_view bytes) {
  if (!Room(bytes.size())) return;
  std::memcpy(out_ + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

const AnswerWriter::Known* AnswerWriter::FindKnown(absl::string_view name) const {
  for (size_t i = 0; i < known_count_; ++i) {
    const Known& known = known_[i];
    if (known.length == name.size() && SameLetters(out_ + known.offset, name)) return &known;
  }
  return nullptr;
}

void AnswerWriter::PutName(absl::string_view name, bool compress) {
  size_t at = 0;
  while (at < name.size() && name[at] != '\0') {
    const absl::string_view rest = name.substr(at);
    const Known* known = compress ? FindKnown(rest) : nullptr;
    if (known != nullptr) {
      Put16(static_cast<uint16_t>(kPointer | known->offset));
      return;
    }
    const size_t length = static_cast<uint8_t>(name[at]);
    PutBytes(rest.substr(0, 1 + length));
    at += 1 + length;
  }
  Put8(0);
  if (failed_) return;
  // Only a name that stands there in full, in the last bytes, is pointed to later.
  const size_t start = size_ - name.size();
  for (size_t i = 0; i < name.size() && name[i] != '\0';
       i += 1 + static_cast<size_t>(static_cast<uint8_t>(name[i]))) {
    if (start + i > kOffsetMax || known_count_ == kKnownMax) break;
    const absl::string_view rest = name.substr(i);
    if (i > 0 && FindKnown(rest) != nullptr) break;
    known_[known_count_++] = {static_cast<uint16_t>(start + i),
                              static_cast<uint16_t>(name.size() - i)};
  }
}

bool AnswerWriter::BeginRecord(absl::string_view owner, uint16_t type, uint32_t ttl) {
  if (truncated_) return false;
  record_at_ = size_;
  known_before_ = known_count_;
  if (owner.empty()) {
    Put16(kPointer | kHeaderBytes);
  } else {
    PutName(owner, true);
  }
  Put16(type);
  Put16(kClassIn);
  Put32(ttl);
  length_at_ = size_;
  Put16(0);
  return !failed_;
}

void AnswerWriter::EndRecord() {
  if (failed_) {
    // What is additional may be missing.
    if (section_ != Section::kAdditional) truncated_ = true;
    size_ = record_at_;
    known_count_ = known_before_;
    failed_ = false;
    return;
  }
  const size_t length = size_ - length_at_ - 2;
  out_[length_at_] = static_cast<char>(length >> 8);
  out_[length_at_ + 1] = static_cast<char>(length);
  ++counts_[static_cast<size_t>(section_)];
}

void AnswerWriter::Address(absl::string_view owner, uint32_t ttl, absl::string_view bytes) {
  if (truncated_) return;
  BeginRecord(owner, bytes.size() == 4 ? kTypeA : kTypeAaaa, ttl);
  PutBytes(bytes);
  EndRecord();
}

void AnswerWriter::NameRecord(absl::string_view owner, uint16_t type, uint32_t ttl,
                              absl::string_view target) {
  if (truncated_) return;
  BeginRecord(owner, type, ttl);
  PutName(target, true);
  EndRecord();
}

void AnswerWriter::Srv(absl::string_view owner, uint32_t ttl, uint16_t priority, uint16_t weight,
                       uint16_t port, absl::string_view target) {
  if (truncated_) return;
  BeginRecord(owner, kTypeSrv, ttl);
  Put16(priority);
  Put16(weight);
  Put16(port);
  PutName(target, false);
  EndRecord();
}

void AnswerWriter::Txt(absl::string_view owner, uint32_t ttl, absl::string_view text) {
  if (truncated_) return;
  BeginRecord(owner, kTypeTxt, ttl);
  Put8(static_cast<uint8_t>(text.size()));
  PutBytes(text);
  EndRecord();
}

void AnswerWriter::SoaRecord(absl::string_view owner, uint32_t ttl, const Soa& soa) {
  if (truncated_) return;
  BeginRecord(owner, kTypeSoa, ttl);
  PutName(soa.primary, true);
  PutName(soa.mailbox, true);
  for (const uint32_t value : {soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum}) {
    Put32(value);
  }
  EndRecord();
}

absl::string_view AnswerWriter::Finish() {
  failed_ = false;
  if (has_edns_) {
    limit_ = bytes_max_;
    Put8(0);
    Put16(kTypeOpt);
    Put16(kUdpBytesMax);
    Put32(static_cast<uint32_t>(rcode_ >> 4) << 24 | (dnssec_ok_ ? kDnssecOk : 0));
    Put16(0);
    ++counts_[2];
  }
  const size_t size = std::exchange(size_, 2);
  const uint16_t truncated = truncated_ ? kFlagTruncated : 0;
  Put16(static_cast<uint16_t>(flags_ | truncated | (rcode_ & kRcodeMask)));
  Put16(has_question_ ? 1 : 0);
  for (const uint16_t count : counts_) Put16(count);
  size_ = size;
  return absl::string_view(out_, size_);
}

std::string WriteQuery(uint16_t id, absl::string_view name, uint16_t type, uint16_t klass,
                       uint16_t flags, bool edns, bool dnssec_ok) {
  std::string out;
  const auto put16 = [&out](uint32_t value) {
    out += static_cast<char>(value >> 8);
    out += static_cast<char>(value);
  };
  put16(id);
  put16(flags);
  put16(1);
  put16(0);
  put16(0);
  put16(edns ? 1 : 0);
  out.append(name.data(), name.size());
  put16(type);
  put16(klass);
  if (!edns) return out;
  out += '\0';
  put16(kTypeOpt);
  put16(kUdpBytesMax);
  put16(0);
  put16(dnssec_ok ? kDnssecOk : 0);
  put16(0);
  return out;
}

bool ReadAnswer(absl::string_view message, AnswerInfo* info) {
  if (message.size() < kHeaderBytes || message.size() > kMessageBytesMax) return false;
  info->id = Get16(message, 0);
  info->flags = Get16(message, 2);
  info->rcode = static_cast<uint8_t>(info->flags & kRcodeMask);
  if ((info->flags & kFlagResponse) == 0 || Get16(message, 4) != 1) return false;
  size_t at = kHeaderBytes;
  if (!ReadName(message, &at, &info->name) || message.size() - at < 4) return false;
  info->type = Get16(message, at);
  info->klass = Get16(message, at + 2);
  at += 4;
  info->question_end = at;
  info->answers = Get16(message, 6);
  const int authorities = Get16(message, 8);
  const int records = info->answers + authorities + Get16(message, 10);
  if (records > kRecordsMax) return false;
  bool first = true;
  for (int i = 0; i < records; ++i) {
    RecordHead record;
    if (!ReadRecord(message, &at, &record)) return false;
    if (record.type == kTypeOpt) {
      info->opt_offset = at == message.size() ? record.owner : 0;
      continue;
    }
    info->ttl_offsets.push_back(static_cast<uint16_t>(record.ttl_at));
    info->ttl_min = first ? record.ttl : std::min(info->ttl_min, record.ttl);
    first = false;
    const bool in_authority = i >= info->answers && i < info->answers + authorities;
    if (!in_authority || record.type != kTypeSoa) continue;
    if (!ReadSoaMinimum(message, record, &info->negative_ttl)) return false;
    info->has_soa = true;
  }
  return true;
}

void CopyAnswers(absl::string_view message, const AnswerInfo& info, AnswerWriter* writer) {
  size_t at = info.question_end;
  Name owner, target;
  for (int i = 0; i < info.answers; ++i) {
    RecordHead record;
    if (!ReadRecord(message, &at, &record)) return;
    size_t owner_at = record.owner;
    if (!ReadName(message, &owner_at, &owner)) return;
    const absl::string_view data = message.substr(record.data, record.data_bytes);
    const bool is_address = (record.type == kTypeA && data.size() == 4) ||
                            (record.type == kTypeAaaa && data.size() == 16);
    if (is_address) writer->Address(owner, record.ttl, data);
    size_t target_at = record.data;
    if (record.type == kTypeCname && ReadName(message, &target_at, &target)) {
      writer->NameRecord(owner, kTypeCname, record.ttl, target);
    }
  }
}

}  // namespace meltemi::dns
