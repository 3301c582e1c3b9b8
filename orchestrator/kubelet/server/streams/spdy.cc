#include "orchestrator/kubelet/server/streams/spdy.h"

#include <zlib.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/kubelet/server/streams/spdy_dictionary.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kHeadBytes = 8;
constexpr uint16_t kVersion = 3;
constexpr uint8_t kFin = 1;
constexpr size_t kPayloadMax = (1 << 24) - 1;

uint32_t ReadInt(absl::string_view bytes) {
  uint32_t out = 0;
  for (const char c : bytes.substr(0, 4)) out = out << 8 | static_cast<uint8_t>(c);
  return out;
}

std::string Int(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string ControlHead(SpdyType type, uint8_t flags, size_t length) {
  return absl::StrCat(Int(uint32_t{0x8000 | kVersion} << 16 | static_cast<uint32_t>(type)),
                      Int(uint32_t{flags} << 24 | static_cast<uint32_t>(length)));
}

Bytef* AsZlib(absl::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

// What the payload of a frame of this type begins with at least.
size_t FixedBytes(SpdyType type) {
  switch (type) {
    case SpdyType::kSynStream:
      return 10;
    case SpdyType::kRstStream:
    case SpdyType::kGoaway:
    case SpdyType::kWindowUpdate:
      return 8;
    case SpdyType::kSynReply:
    case SpdyType::kHeaders:
    case SpdyType::kSettings:
    case SpdyType::kPing:
      return 4;
  }
  return 0;
}

}  // namespace

// ---- Header blocks ------------------------------------------------------------------------------

// All header blocks of one direction are one zlib stream.
class SpdyReader::Inflater {
 public:
  Inflater() { ok_ = inflateInit(&zlib_) == Z_OK; }
  ~Inflater() { inflateEnd(&zlib_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // False: it is no such stream, or more than `bytes_max` come out.
  bool Run(absl::string_view in, size_t bytes_max, std::string& out) {
    zlib_.next_in = AsZlib(in);
    zlib_.avail_in = static_cast<uInt>(in.size());
    while (ok_) {
      char room[4096];
      zlib_.next_out = reinterpret_cast<Bytef*>(room);
      zlib_.avail_out = sizeof(room);
      const int code = inflate(&zlib_, Z_SYNC_FLUSH);
      if (code == Z_NEED_DICT) {
        const std::string dictionary = SpdyDictionary();
        ok_ = inflateSetDictionary(&zlib_, AsZlib(dictionary),
                                   static_cast<uInt>(dictionary.size())) == Z_OK;
        continue;
      }
      // Z_BUF_ERROR: there was nothing more to do.
      ok_ = code == Z_OK || code == Z_BUF_ERROR;
      out.append(room, sizeof(room) - zlib_.avail_out);
      ok_ = ok_ && out.size() <= bytes_max;
      if (zlib_.avail_out > 0) break;
    }
    return ok_ && zlib_.avail_in == 0;
  }

 private:
  z_stream zlib_{};
  bool ok_ = false;
};

class SpdyWriter::Deflater {
 public:
  // A small window: what is sent is a few names again and again.
  Deflater() {
    const std::string dictionary = SpdyDictionary();
    deflateInit2(&zlib_, 9, Z_DEFLATED, 12, 1, Z_DEFAULT_STRATEGY);
    deflateSetDictionary(&zlib_, AsZlib(dictionary), static_cast<uInt>(dictionary.size()));
  }
  ~Deflater() { deflateEnd(&zlib_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  std::string Run(absl::string_view in) {
    std::string out;
    zlib_.next_in = AsZlib(in);
    zlib_.avail_in = static_cast<uInt>(in.size());
    do {
      char room[1024];
      zlib_.next_out = reinterpret_cast<Bytef*>(room);
      zlib_.avail_out = sizeof(room);
      deflate(&zlib_, Z_SYNC_FLUSH);
      out.append(room, sizeof(room) - zlib_.avail_out);
    } while (zlib_.avail_out == 0);
    return out;
  }

 private:
  z_stream zlib_{};
};

// ---- Reading ------------------------------------------------------------------------------------

SpdyReader::SpdyReader(SpdyEvents& events, SpdyLimits limits) : events_(events), limits_(limits) {}
SpdyReader::~SpdyReader() = default;

absl::Status SpdyReader::Fail(absl::string_view why) {
  failed_ = absl::InvalidArgumentError(absl::StrCat("SPDY: ", why));
  pending_.Clear();
  return failed_;
}

absl::Status SpdyReader::Receive(Buffer& in) {
  if (!failed_.ok()) {
    in.Clear();
    return failed_;
  }
  pending_.MoveFrom(in);
  while (true) {
    if (in_data_) {
      Buffer piece;
      piece.MoveFrom(pending_, left_);
      if (piece.empty() && left_ > 0) return absl::OkStatus();
      left_ -= piece.size();
      in_data_ = left_ > 0;
      events_.OnData(stream_, piece, !in_data_ && (flags_ & kFin) != 0);
      continue;
    }
    if (in_control_) {
      if (pending_.size() < left_) return absl::OkStatus();
      in_control_ = false;
      if (absl::Status status = OnPayload(static_cast<SpdyType>(type_)); !status.ok()) {
        return status;
      }
      pending_.Drain(left_);
      continue;
    }
    if (pending_.size() < kHeadBytes) return absl::OkStatus();
    char head[kHeadBytes];
    pending_.CopyOut(0, kHeadBytes, head);
    pending_.Drain(kHeadBytes);
    if (absl::Status status = BeginFrame({head, kHeadBytes}); !status.ok()) return status;
  }
}

absl::Status SpdyReader::BeginFrame(absl::string_view head) {
  const uint32_t first = ReadInt(head);
  const uint32_t second = ReadInt(head.substr(4));
  flags_ = static_cast<uint8_t>(second >> 24);
  left_ = second & kPayloadMax;
  if (first >> 31 == 0) {
    stream_ = first;
    if (stream_ == 0) return Fail("data of stream 0");
    in_data_ = true;
    return absl::OkStatus();
  }
  const uint32_t version = first >> 16 & 0x7fff;
  if (version != kVersion) return Fail(absl::StrCat("a frame of version ", version));
  type_ = static_cast<uint16_t>(first & 0xffff);
  if (left_ > limits_.control_bytes_max) {
    return Fail(absl::StrCat("a control frame of ", left_, " bytes"));
  }
  if (left_ < FixedBytes(static_cast<SpdyType>(type_))) {
    return Fail(absl::StrCat("a frame of type ", type_, " of ", left_, " bytes"));
  }
  in_control_ = true;
  return absl::OkStatus();
}

absl::Status SpdyReader::OnPayload(SpdyType type) {
  const absl::string_view payload = pending_.Linearize(left_);
  SpdyControl frame;
  frame.type = type;
  frame.fin = (flags_ & kFin) != 0;
  switch (type) {
    case SpdyType::kSynStream:
    case SpdyType::kSynReply:
    case SpdyType::kHeaders: {
      frame.stream = ReadInt(payload) & 0x7fffffff;
      if (frame.stream == 0) return Fail("headers of stream 0");
      const absl::string_view block = payload.substr(FixedBytes(type));
      if (absl::Status status = ReadHeaders(block, frame.headers); !status.ok()) return status;
      break;
    }
    case SpdyType::kRstStream:
    case SpdyType::kGoaway:
    case SpdyType::kWindowUpdate:
      frame.stream = ReadInt(payload) & 0x7fffffff;
      frame.value = ReadInt(payload.substr(4));
      break;
    case SpdyType::kPing:
      frame.value = ReadInt(payload);
      break;
    case SpdyType::kSettings:
      break;
    default:
      // Types that one does not know are passed over.
      return absl::OkStatus();
  }
  events_.OnControl(frame);
  return absl::OkStatus();
}

absl::Status SpdyReader::ReadHeaders(absl::string_view block, SpdyHeaders& headers) {
  if (inflater_ == nullptr) inflater_ = std::make_unique<Inflater>();
  std::string plain;
  if (!inflater_->Run(block, limits_.headers_bytes_max, plain)) {
    return Fail("a header block that can't be unpacked");
  }
  absl::string_view rest = plain;
  const auto next = [&rest](absl::string_view* out) {
    if (rest.size() < 4) return false;
    const size_t length = ReadInt(rest);
    rest.remove_prefix(4);
    if (length > rest.size()) return false;
    *out = rest.substr(0, length);
    rest.remove_prefix(length);
    return true;
  };
  if (rest.size() < 4) return Fail("a header block without a count");
  const uint32_t count = ReadInt(rest);
  rest.remove_prefix(4);
  for (uint32_t i = 0; i < count; ++i) {
    absl::string_view name, value;
    if (!next(&name) || !next(&value)) return Fail("a header block that ends early");
    for (const absl::string_view one : absl::StrSplit(value, '\0')) {
      if (headers.size() == limits_.headers_count_max) return Fail("too many headers");
      headers.emplace_back(absl::AsciiStrToLower(name), one);
    }
  }
  return absl::OkStatus();
}

// ---- Writing ------------------------------------------------------------------------------------

SpdyWriter::SpdyWriter() = default;
SpdyWriter::~SpdyWriter() = default;

std::string SpdyWriter::Block(const SpdyHeaders& headers) {
  if (deflater_ == nullptr) deflater_ = std::make_unique<Deflater>();
  std::string plain = Int(static_cast<uint32_t>(headers.size()));
  for (const auto& [name, value] : headers) {
    absl::StrAppend(&plain, Int(static_cast<uint32_t>(name.size())), name,
                    Int(static_cast<uint32_t>(value.size())), value);
  }
  return deflater_->Run(plain);
}

void SpdyWriter::SynStream(uint32_t stream, const SpdyHeaders& headers, bool fin, Buffer& out) {
  const std::string block = Block(headers);
  // No associated stream, the highest priority, no slot.
  out.Append(absl::StrCat(ControlHead(SpdyType::kSynStream, fin ? kFin : 0, 10 + block.size()),
                          Int(stream), Int(0), std::string(2, '\0'), block));
}

void SpdyWriter::SynReply(uint32_t stream, const SpdyHeaders& headers, bool fin, Buffer& out) {
  const std::string block = Block(headers);
  out.Append(absl::StrCat(ControlHead(SpdyType::kSynReply, fin ? kFin : 0, 4 + block.size()),
                          Int(stream), block));
}

void SpdyWriter::Data(uint32_t stream, Buffer& data, bool fin, Buffer& out) {
  do {
    const size_t count = std::min(data.size(), kPayloadMax);
    const bool last = fin && count == data.size();
    out.Append(absl::StrCat(
        Int(stream), Int(uint32_t{last ? kFin : uint8_t{0}} << 24 | static_cast<uint32_t>(count))));
    out.MoveFrom(data, count);
  } while (!data.empty());
}

void SpdyWriter::RstStream(uint32_t stream, uint32_t status, Buffer& out) {
  out.Append(absl::StrCat(ControlHead(SpdyType::kRstStream, 0, 8), Int(stream), Int(status)));
}

void SpdyWriter::Ping(uint32_t id, Buffer& out) {
  out.Append(absl::StrCat(ControlHead(SpdyType::kPing, 0, 4), Int(id)));
}

void SpdyWriter::Goaway(uint32_t last_stream, uint32_t status, Buffer& out) {
  out.Append(absl::StrCat(ControlHead(SpdyType::kGoaway, 0, 8), Int(last_stream), Int(status)));
}

}  // namespace meltemi::kubelet
