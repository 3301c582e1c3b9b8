#include "kube/quantity/quantity.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::kube {
namespace {

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 Uint128;

using Format = Quantity::Format;

constexpr int kNanoExponent = -9;
constexpr Int128 kNanosPerUnit = 1'000'000'000;
constexpr Int128 kNanosPerMilli = 1'000'000;
// 2^63-1 whole units: what a binary quantity is capped at.
constexpr Int128 kBinaryNanosMax = Int128{std::numeric_limits<int64_t>::max()} * kNanosPerUnit;
// 10^28 whole units, in nanos 10^37: below 2^127, so that sums of a few do not overflow.
constexpr Int128 kDecimalNanosMax =
    Int128{1'000'000'000'000'000'000} * Int128{1'000'000'000'000'000'000} * 10;
// Digits that the reference keeps in an int64, and thereby as they were written.
constexpr int kFastDigitsMax = 18;
constexpr int kFastBinaryDigitsMax = 15;
constexpr int kFractionDigitsMax = 18;

constexpr char kWrongFormat[] =
    "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
constexpr char kWrongSuffix[] = "unable to parse quantity's suffix";

struct Parts {
  bool negative = false;
  absl::string_view whole, fraction, suffix;  // `whole` without leading zeros, but "0" for none
};

struct Suffix {
  Format format = Format::kDecimalSi;
  int64_t exponent = 0;  // of 10, or of 2 for kBinarySi
};

size_t DigitsAt(absl::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
  return end - at;
}

// False when the text has not even the outer form.
bool Split(absl::string_view text, Parts* parts) {
  size_t at = 0;
  if (text[0] == '-' || text[0] == '+') {
    parts->negative = text[0] == '-';
    at = 1;
  }
  while (at < text.size() && text[at] == '0') ++at;
  size_t digits = DigitsAt(text, at);
  parts->whole = digits == 0 ? absl::string_view("0") : text.substr(at, digits);
  at += digits;
  if (at < text.size() && text[at] == '.') {
    digits = DigitsAt(text, at + 1);
    parts->fraction = text.substr(at + 1, digits);
    at += 1 + digits;
  }
  parts->suffix = text.substr(at);
  while (at < text.size() &&
         absl::string_view("eEinumkKMGTP").find(text[at]) != absl::string_view::npos)
    ++at;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  return at + DigitsAt(text, at) == text.size();
}

std::optional<Suffix> ReadSuffix(absl::string_view text) {
  if (text.empty()) return Suffix{};
  constexpr absl::string_view kLetters = "KMGTPE";
  if (text.size() == 2 && text[1] == 'i') {
    size_t index = kLetters.find(text[0]);
    if (index == absl::string_view::npos) return std::nullopt;
    return Suffix{Format::kBinarySi, static_cast<int64_t>(10 * (index + 1))};
  }
  if (text.size() == 1) {
    constexpr absl::string_view kDecimals = "num kMGTPE";
    // The blank stands for no suffix at all and is never in a suffix.
    constexpr int64_t kExponents[] = {-9, -6, -3, 0, 3, 6, 9, 12, 15, 18};
    size_t index = kDecimals.find(text[0]);
    if (index == absl::string_view::npos) return std::nullopt;
    return Suffix{Format::kDecimalSi, kExponents[index]};
  }
  if (text[0] != 'e' && text[0] != 'E') return std::nullopt;
  absl::string_view digits = text.substr(1);
  bool negative = digits[0] == '-';
  if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
  int64_t exponent = 0;
  if (digits.empty() || !absl::ascii_isdigit(digits[0]) || !absl::SimpleAtoi(digits, &exponent)) {
    return std::nullopt;
  }
  return Suffix{Format::kDecimalExponent, negative ? -exponent : exponent};
}

// The digits of whole and fraction, times 10^exponent, in nanos, rounded up and capped.
Int128 DecimalNanos(const Parts& parts, int64_t exponent) {
  std::string digits = absl::StrCat(parts.whole, parts.fraction);
  // An exponent beyond this can't change the outcome: capped or rounded up to 1n.
  constexpr int64_t kExponentMax = 1'000'000'000;
  exponent = std::clamp(exponent, -kExponentMax, kExponentMax);
  int64_t shift = exponent - static_cast<int64_t>(parts.fraction.size()) - int64_t{kNanoExponent};
  Int128 nanos = 0;
  bool inexact = false;
  int64_t kept = static_cast<int64_t>(digits.size()) + std::min<int64_t>(shift, 0);
  for (int64_t i = 0; i < static_cast<int64_t>(digits.size()); ++i) {
    if (i >= kept) {
      inexact |= digits[i] != '0';
    } else {
      nanos = std::min(nanos * 10 + (digits[i] - '0'), kDecimalNanosMax);
    }
  }
  for (; shift > 0 && nanos > 0 && nanos < kDecimalNanosMax; --shift) {
    nanos = std::min(nanos * 10, kDecimalNanosMax);
  }
  return std::min(nanos + (inexact ? 1 : 0), kDecimalNanosMax);
}

// The digits times 2^exponent, in nanos, rounded up and capped.
Int128 BinaryNanos(const Parts& parts, int64_t exponent) {
  constexpr Int128 kWholeMax = std::numeric_limits<int64_t>::max();
  Int128 whole = 0;
  for (char digit : parts.whole) whole = std::min(whole * 10 + (digit - '0'), kWholeMax);
  if (whole > (kWholeMax >> exponent)) return kBinaryNanosMax;
  Uint128 fraction = 0, unit = 1;
  for (size_t i = 0; i < parts.fraction.size(); ++i) {
    if (i < kFractionDigitsMax) {
      fraction = fraction * 10 + static_cast<unsigned>(parts.fraction[i] - '0');
      unit *= 10;
    } else if (parts.fraction[i] != '0') {
      ++fraction;  // rounded up
      break;
    }
  }
  Uint128 scaled = fraction << exponent;  // < 10^18 * 2^60 < 2^120
  Uint128 rest = scaled % unit * static_cast<Uint128>(kNanosPerUnit);
  Int128 nanos = (whole << exponent) * kNanosPerUnit +
                 static_cast<Int128>(scaled / unit) * kNanosPerUnit +
                 static_cast<Int128>((rest + unit - 1) / unit);
  return std::min(nanos, kBinaryNanosMax);
}

// Whether the reference hands back the text itself: when the digits say that it may be canonical.
bool KeptAsWritten(const Parts& parts, const Suffix& suffix) {
  int64_t whole_digits = static_cast<int64_t>(parts.whole.size());
  int64_t fraction_digits = static_cast<int64_t>(parts.fraction.size());
  if (suffix.format == Format::kBinarySi) {
    int64_t value = 0;
    return fraction_digits == 0 &&
           kFastBinaryDigitsMax - whole_digits - suffix.exponent * 3 / 10 - 1 >= 0 &&
           absl::SimpleAtoi(parts.whole, &value) && (value & 7) != 0;
  }
  if (whole_digits + fraction_digits > kFastDigitsMax) return false;
  int64_t scale = suffix.exponent - fraction_digits;
  std::string digits = absl::StrCat(parts.whole, parts.fraction);
  return scale >= kNanoExponent && scale % 3 == 0 && !absl::EndsWith(digits, "000") &&
         digits[0] != '0';
}

std::string DigitsOf(Uint128 number) {
  std::string digits;
  do {
    digits.push_back(static_cast<char>('0' + static_cast<int>(number % 10)));
    number /= 10;
  } while (number != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string DecimalText(Uint128 nanos, Format format) {
  int exponent = kNanoExponent;
  // Whole steps of a thousand, as far as there is a suffix for them.
  int exponent_max = format == Format::kDecimalSi ? 18 : std::numeric_limits<int>::max();
  while (nanos % 1000 == 0 && exponent < exponent_max) {
    nanos /= 1000;
    exponent += 3;
  }
  std::string text = DigitsOf(nanos);
  if (exponent == 0) return text;
  if (format == Format::kDecimalExponent) return absl::StrCat(text, "e", exponent);
  return absl::StrCat(text, absl::string_view("num kMGTPE").substr((exponent + 9) / 3, 1));
}

Int128 RoundedUp(Int128 number, Int128 unit) {
  Int128 quotient = number / unit, rest = number % unit;
  return quotient + (rest > 0 ? 1 : rest < 0 ? -1 : 0);
}

int64_t Capped(Int128 number) {
  constexpr Int128 kMin = std::numeric_limits<int64_t>::min();
  constexpr Int128 kMax = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::clamp(number, kMin, kMax));
}

}  // namespace

std::optional<Quantity> Quantity::Parse(absl::string_view text, std::string* why) {
  auto fail = [why](const char* what) {
    if (why != nullptr) *why = what;
    return std::nullopt;
  };
  Parts parts;
  if (text.empty() || !Split(text, &parts)) return fail(kWrongFormat);
  std::optional<Suffix> suffix = ReadSuffix(parts.suffix);
  if (!suffix.has_value()) return fail(kWrongSuffix);
  Quantity quantity;
  quantity.format_ = suffix->format;
  if (suffix->format == Format::kBinarySi) {
    quantity.nano_ = BinaryNanos(parts, suffix->exponent);
    bool below_one = quantity.nano_ > 0 && quantity.nano_ < kNanosPerUnit;
    if (below_one) quantity.format_ = Format::kDecimalSi;
  } else {
    quantity.nano_ = DecimalNanos(parts, suffix->exponent);
  }
  if (parts.negative) quantity.nano_ = -quantity.nano_;
  if (KeptAsWritten(parts, *suffix)) quantity.text_ = std::string(text);
  return quantity;
}

Quantity Quantity::OfMilli(int64_t milli, Format format) {
  Quantity quantity;
  quantity.nano_ = Nano{milli} * kNanosPerMilli;
  quantity.format_ = format;
  return quantity;
}

Quantity Quantity::Of(int64_t value, Format format) {
  Quantity quantity;
  quantity.nano_ = Nano{value} * kNanosPerUnit;
  quantity.format_ = format;
  return quantity;
}

std::string Quantity::ToString() const {
  if (!text_.empty()) return text_;
  if (nano_ == 0) return "0";
  Uint128 nanos = static_cast<Uint128>(nano_ < 0 ? -nano_ : nano_);
  std::string text = nano_ < 0 ? "-" : "";
  // Below 1024, or with a fraction, a binary suffix would lose something.
  Uint128 unit = static_cast<Uint128>(kNanosPerUnit);
  if (format_ != Format::kBinarySi || nanos < 1024 * unit || nanos % unit != 0) {
    Format format = format_ == Format::kBinarySi ? Format::kDecimalSi : format_;
    return text + DecimalText(nanos, format);
  }
  Uint128 value = nanos / unit;
  size_t steps = 0;
  while (value % 1024 == 0 && steps < 6) {
    value /= 1024;
    ++steps;
  }
  absl::StrAppend(&text, DigitsOf(value));
  if (steps > 0) absl::StrAppend(&text, absl::string_view("KMGTPE").substr(steps - 1, 1), "i");
  return text;
}

int64_t Quantity::Value() const { return Capped(RoundedUp(nano_, kNanosPerUnit)); }

int64_t Quantity::MilliValue() const { return Capped(RoundedUp(nano_, kNanosPerMilli)); }

int Quantity::Sign() const { return nano_ < 0 ? -1 : nano_ > 0 ? 1 : 0; }

Quantity& Quantity::operator+=(const Quantity& other) {
  if (nano_ == 0) format_ = other.format_;
  text_.clear();
  nano_ = std::clamp(nano_ + other.nano_, -kDecimalNanosMax, kDecimalNanosMax);
  return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) {
  if (nano_ == 0) format_ = other.format_;
  text_.clear();
  nano_ = std::clamp(nano_ - other.nano_, -kDecimalNanosMax, kDecimalNanosMax);
  return *this;
}

int Quantity::Compare(const Quantity& other) const {
  return nano_ < other.nano_ ? -1 : nano_ > other.nano_ ? 1 : 0;
}

}  // namespace meltemi::kube
